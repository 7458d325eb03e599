"""Write accepted rows to the spool, each body once, and answer with counts and refusals."""

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from monitor import __version__
from monitor.config.columns import NOTHING, PolicyOf
from monitor.errors import Conflict, TooLarge
from monitor.event import Refusal, TimeBounds
from monitor.ingest.accepted import AcceptedBatch, SpoolRecord, refused_record
from monitor.ingest.pending import Pending
from monitor.ingest.quota import ALL_MODELS, Quota
from monitor.ingest.validation import Validator
from monitor.schema import ModelSchema
from monitor.spool.spool import Spool
from monitor.type_mismatch import sentences

MAX_REFUSALS_SHOWN = 100
MAX_RESULTS_IN_MEMORY = 10_000  # of Idempotency-Keys; older ones are in the database


@dataclass(frozen=True)
class IngestResult:
    """The outcome of one request; `durable` is done when all of it is on disk."""

    accepted: int
    refused: int
    refusals: Sequence[Refusal]
    durable: "Future[None]"
    # values of the wrong type in accepted rows
    mistyped: Sequence[Mapping[str, Any]] = ()
    # True: the first result of this Idempotency-Key again, nothing was added
    replayed: bool = False

    def body(self) -> dict[str, Any]:
        """Return the JSON response: counts, the first refusals, type mismatches if any."""
        shown = [
            {
                "line": refused.line,
                "event_id": refused.event_id,
                "reason": refused.reason,
            }
            for refused in self.refusals[:MAX_REFUSALS_SHOWN]
        ]
        body = {"accepted": self.accepted, "refused": self.refused, "refusals": shown}
        return {**body, "mistyped": self.mistyped} if self.mistyped else body


class Collector:
    """Accepts request bodies and tables of files; safe from several threads.

    Refused rows are kept with their reasons; an accepted row is never lost.
    """

    def __init__(
        self,
        spool: Spool,
        schemas: dict[str, ModelSchema],
        *,
        bounds: TimeBounds | None = None,
        max_rows: int = 10_000,
        quota: Quota | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        known_key: Callable[[str], tuple[str, str] | None] = lambda _: None,
        policy: PolicyOf = lambda _: NOTHING,
    ) -> None:
        self.spool = spool
        self.schemas = schemas
        self.bounds = bounds or TimeBounds()
        self.max_rows = max_rows
        self.quota = quota or Quota()
        self.clock = clock
        self.pending = Pending()
        self.policy = policy
        self.validator = Validator(schemas, self.quota, lambda: self.clock(), policy)
        self._stored_result = known_key
        self._results: dict[str, tuple[str, IngestResult]] = {}
        self._lock = threading.Lock()

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
            key,
            body,
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
            key,
            body,
            lambda: self.validator.labels(
                body, media_type, model, bounds or self.bounds, allowed
            ),
        )

    def refuse(
        self, kind: str, refusals: Sequence[Refusal], key: str | None = None
    ) -> IngestResult:
        """Count and keep records that a source could not read, as those refused here."""
        fingerprint = b""
        if key:
            fields = [(r.line, r.reason, r.raw, r.model) for r in refusals]
            fingerprint = repr(fields).encode()
        visible = [
            replace(refused, raw="") if self.policy(refused.model).active else refused
            for refused in refusals
        ]
        return self._once(
            key, fingerprint, lambda: AcceptedBatch(kind, len(visible), visible)
        )

    # each body once

    def _once(
        self, key: str | None, body: bytes, validate: Callable[[], AcceptedBatch]
    ) -> IngestResult:
        digest = hashlib.sha256(body).hexdigest() if key else ""
        with self._lock:
            earlier = self._earlier_result(key, digest) if key else None
            if earlier is not None:
                return replace(earlier, replayed=True)
            batch = validate()
            if batch.rows > self.max_rows:
                raise TooLarge(
                    f"{batch.rows} rows in one request; at most {self.max_rows},"
                    " send smaller batches"
                )
            result = self._append(batch, key, digest)
            if key:
                self._remember(key, digest, result)
            return result

    def _earlier_result(self, key: str, digest: str) -> IngestResult | None:
        """Return the result of this key; None when it is new. Raises Conflict."""
        earlier = self._results.get(key) or self._read_result(key)
        if earlier is None:
            return None
        if earlier[0] != digest:
            raise Conflict(
                f"Idempotency-Key {key[:60]!r} was used for another body; send a new key"
            )
        return earlier[1]

    def _read_result(self, key: str) -> tuple[str, IngestResult] | None:
        stored = self._stored_result(key)
        if stored is None:
            return None
        digest, text = stored
        body = json.loads(text)
        refusals = [
            Refusal(r["line"], r["event_id"], r["reason"]) for r in body["refusals"]
        ]
        result = IngestResult(
            body["accepted"],
            body["refused"],
            refusals,
            _NOTHING_TO_WRITE,
            body.get("mistyped", ()),
        )
        return digest, result

    def _remember(self, key: str, digest: str, result: IngestResult) -> None:
        self._results[key] = (digest, result)
        result.durable.add_done_callback(
            lambda done: done.exception() and self._results.pop(key, None)
        )
        if len(self._results) > MAX_RESULTS_IN_MEMORY:
            self._results.pop(next(iter(self._results)))

    # to the spool

    def _append(
        self, batch: AcceptedBatch, key: str | None, digest: str
    ) -> IngestResult:
        """Write all records of a request.

        The last one carries its key, so that a torn request does not count as done.
        """
        now = self.clock()
        at = now.isoformat(timespec="seconds")  # requests of one second share a record
        records = _records_of(batch, key, digest)
        self._append_schemas(batch.schemas, now, at)
        rows = batch.received()
        self.pending.add(rows, now)
        durable = _NOTHING_TO_WRITE
        try:
            for header, payload in records:
                stamped = {**header, "at": at, "v": __version__}
                is_lines = stamped.get("format") == "lines"
                joined_rows = stamped.pop("rows") if is_lines else 0
                durable = self.spool.append(stamped, payload, joined_rows)
        except BaseException:
            self.pending.settle(rows, now)
            raise
        durable.add_done_callback(
            lambda done: self.pending.settle(rows, now) if done.exception() else None
        )
        return _result_of(batch, durable)

    def _append_schemas(
        self, schemas: Mapping[str, ModelSchema], now: datetime, at: str
    ) -> None:
        for model, schema in schemas.items():
            before = self.schemas.get(model)
            if before is None:
                self.quota.note(ALL_MODELS, 1, now)
            features_before = len(before.features) if before else 0
            self.quota.note(model, len(schema.features) - features_before, now)
            # in the payload, which may be long: ten thousand names are half a megabyte
            grown = msgspec.json.encode(schema.to_dict(features_before))
            self.spool.append({"kind": "schema", "model": model, "at": at}, grown)
            self.schemas[model] = schema


def _records_of(
    batch: AcceptedBatch, key: str | None, digest: str
) -> list[SpoolRecord]:
    records = list(batch.records)
    if batch.refusals:
        records.append(refused_record(batch.kind, batch.counted_refusals))
    if key:
        response = json.dumps(_result_of(batch, _NOTHING_TO_WRITE).body())
        header = {"kind": "key", "key": key, "hash": digest, "answer": response}
        records.append((header, b""))
    return records


def _result_of(batch: AcceptedBatch, durable: "Future[None]") -> IngestResult:
    return IngestResult(
        batch.accepted,
        len(batch.refusals),
        batch.refusals,
        durable,
        sentences(batch.mistyped),
    )


def _done() -> "Future[None]":
    done: Future[None] = Future()
    done.set_result(None)
    return done


_NOTHING_TO_WRITE = _done()
