"""Write accepted rows to the spool, each body once, and answer with counts and refusals."""

import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from monitor import __version__
from monitor.config.columns import NOTHING, PolicyOf
from monitor.contracts import BodyLimits
from monitor.event import Refusal, TimeBounds
from monitor.ingest.accepted import AcceptedBatch, SpoolRecord, refused_record
from monitor.ingest.idempotency import IdempotencyResults, KeyedRequest, StoredResults
from monitor.ingest.ingest_result import NOTHING_TO_WRITE, IngestResult
from monitor.ingest.pending import Pending
from monitor.ingest.quota import ALL_MODELS, Quota
from monitor.ingest.schema_catalog import SchemaCatalog
from monitor.ingest.validation import Validator
from monitor.schema import ModelSchema
from monitor.spool.record import NewRecord
from monitor.spool.spool import Spool
from monitor.type_mismatch import sentences


class Collector:
    """Accepts request bodies and tables of files; safe from several threads.

    Refused rows are kept with their reasons; an accepted row is never lost.
    """

    def __init__(
        self,
        spool: Spool,
        schemas: Mapping[str, ModelSchema],
        *,
        bounds: TimeBounds | None = None,
        limits: BodyLimits | None = None,
        quota: Quota | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        stored_results: StoredResults = lambda _: {},
        policy: PolicyOf = lambda _: NOTHING,
    ) -> None:
        self.spool = spool
        self.catalog = SchemaCatalog(schemas)
        self.bounds = bounds or TimeBounds()
        self.limits = limits or BodyLimits()
        self.quota = quota or Quota()
        self.clock = clock
        self.pending = Pending()
        self.policy = policy
        self.validator = Validator(
            self.catalog.current,
            self.quota,
            lambda: self.clock(),
            policy,
            self.limits,
        )
        self.results = IdempotencyResults(stored_results)
        self._spool_failures = spool.failures  # those that the schemas know of
        self._lock = threading.Lock()

    @property
    def schemas(self) -> Mapping[str, ModelSchema]:
        """The schema of every model, as accepted rows made it."""
        return self.catalog.current

    def events(
        self,
        body: bytes,
        media_type: str,
        key: str | None = None,
        model: str | None = None,
        bounds: TimeBounds | None = None,
        allowed: Collection[str] | None = None,
    ) -> IngestResult:
        """Accept a body of events of any supported Content-Type.

        `model` is that of rows that name none. Rows of a model that is not `allowed`
        (None: every model is) are refused.
        """
        return self._once(
            KeyedRequest("events", key, body, model, bounds) if key else None,
            lambda: self.validator.events(
                body, media_type, model, bounds or self.bounds, allowed, key
            ),
        )

    def labels(
        self,
        body: bytes,
        media_type: str,
        key: str | None = None,
        model: str | None = None,
        bounds: TimeBounds | None = None,
        allowed: Collection[str] | None = None,
    ) -> IngestResult:
        """Accept a body of labels, as `events` does."""
        return self._once(
            KeyedRequest("labels", key, body, model, bounds) if key else None,
            lambda: self.validator.labels(
                body, media_type, model, bounds or self.bounds, allowed
            ),
        )

    def refuse(
        self, kind: str, refusals: Sequence[Refusal], key: str | None = None
    ) -> IngestResult:
        """Count and keep records that a source could not read, as those refused here."""
        request = None
        if key:
            fields = [(r.line, r.reason, r.raw, r.model) for r in refusals]
            request = KeyedRequest(f"refused {kind}", key, repr(fields).encode())
        visible = [
            replace(refused, raw="") if self.policy(refused.model).active else refused
            for refused in refusals
        ]
        return self._once(request, lambda: AcceptedBatch(kind, len(visible), visible))

    def grow_schema(self, before: ModelSchema | None, schema: ModelSchema) -> bool:
        """Write a larger schema of a model, and return once it is on disk.

        False, and nothing is written, when the model's schema is not `before` any more.
        """
        with self._lock:
            failures = self._forget_unwritten_schemas()
            if self.schemas.get(schema.model) is not before:
                return False
            if schema is before:
                return True
            now = self.clock()
            record = self._schema_record(schema, now.isoformat(timespec="seconds"))
            write = self.spool.append(record, after_failures=failures)
            self._note_growth(schema, write, now)
        write.result()
        return True

    # each request once

    def _once(
        self, request: KeyedRequest | None, validate: Callable[[], AcceptedBatch]
    ) -> IngestResult:
        with self._lock:
            earlier = None if request is None else self.results.find(request)
            if earlier is not None:
                return replace(earlier, replayed=True)
            failures = self._forget_unwritten_schemas()
            batch = validate()
            self.limits.check_rows(batch.rows)
            result = self._append(batch, request, failures)
            if request is not None:
                self.results.remember(request, result)
            return result

    # to the spool

    def _append(
        self, batch: AcceptedBatch, request: KeyedRequest | None, failures: int
    ) -> IngestResult:
        """Write the schemas, the rows and the key of a request as one: all or nothing.

        The key comes last, so that a request that a crash cut off does not count as
        done.
        """
        now = self.clock()
        at = now.isoformat(timespec="seconds")  # requests of one second share a record
        schemas = list(batch.schemas.values())
        records = [self._schema_record(schema, at) for schema in schemas]
        records += [_stamped(record, at) for record in _records_of(batch, request)]
        if not records:
            return _result_of(batch, NOTHING_TO_WRITE)
        rows = batch.received()
        self.pending.add(rows, now)
        try:
            durable = self.spool.append(*records, after_failures=failures)
        except BaseException:
            self.pending.settle(rows, now)
            raise
        for schema in schemas:
            self._note_growth(schema, durable, now)
        durable.add_done_callback(
            lambda done: self.pending.settle(rows, now) if done.exception() else None
        )
        return _result_of(batch, durable)

    # schemas

    def _forget_unwritten_schemas(self) -> int:
        """Forget what failed writes would have brought; return the number of failures."""
        failures = self.spool.failures
        if failures != self._spool_failures:
            self.catalog.forget_unwritten()
            self._spool_failures = failures
        return failures

    def _schema_record(self, schema: ModelSchema, at: str) -> NewRecord:
        """Return the record of what is new in a schema."""
        before = self.schemas.get(schema.model)
        # in the payload, which may be long: ten thousand names are half a megabyte
        grown = schema.to_dict(len(before.features) if before else 0)
        header = {"kind": "schema", "model": schema.model, "at": at}
        return NewRecord.of(header, msgspec.json.encode(grown))

    def _note_growth(
        self, schema: ModelSchema, write: "Future[None]", now: datetime
    ) -> None:
        before = self.schemas.get(schema.model)
        new_features = len(schema.features) - (len(before.features) if before else 0)
        if before is None:
            self.quota.note(ALL_MODELS, 1, now)
        self.quota.note(schema.model, new_features, now)
        self.catalog.grow(schema, write)


def _records_of(
    batch: AcceptedBatch, request: KeyedRequest | None
) -> list[SpoolRecord]:
    records = list(batch.records)
    if batch.refusals:
        records.append(refused_record(batch.kind, batch.counted_refusals))
    if request is not None:
        response = json.dumps(_result_of(batch, NOTHING_TO_WRITE).body())
        header = {
            "kind": "key",
            "key": request.stored_key,
            "hash": request.fingerprint,
            "answer": response,
        }
        records.append((header, b""))
    return records


def _stamped(record: SpoolRecord, at: str) -> NewRecord:
    """Return a record with the time of its request; lines may share one with others."""
    header, payload = record
    stamped = {**header, "at": at, "v": __version__}
    rows = stamped.pop("rows") if stamped.get("format") == "lines" else 0
    return NewRecord.of(stamped, payload, rows)


def _result_of(batch: AcceptedBatch, durable: "Future[None]") -> IngestResult:
    return IngestResult(
        batch.accepted,
        len(batch.refusals),
        batch.refusals,
        durable,
        sentences(batch.mistyped),
    )
