"""Spool and acknowledge what the intake took, each body once.

What is refused is kept with its reason; nothing acknowledged is ever lost.
"""

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
from monitor.ingest.accepted import AcceptedBatch, refused_frame
from monitor.ingest.pending import Pending
from monitor.ingest.quota import Quota
from monitor.ingest.validation import Validator
from monitor.schema import ModelSchema
from monitor.spool.spool import Spool
from monitor.type_mismatch import told

MAX_REFUSALS_SHOWN = 100


@dataclass(frozen=True)
class IngestResult:
    """What one request came to; `durable` is done when all of it is on disk."""

    accepted: int
    refused: int
    refusals: Sequence[Refusal]
    durable: "Future[None]"
    # values of the wrong type in rows that were taken
    mistyped: Sequence[Mapping[str, Any]] = ()
    # the first answer to this Idempotency-Key once more: nothing was added
    replayed: bool = False

    def body(self) -> dict[str, Any]:
        """The JSON answer: counts, the first refusals with their reasons, and values of the wrong type if there were."""
        shown = [
            {"line": r.line, "event_id": r.event_id, "reason": r.reason}
            for r in self.refusals[:MAX_REFUSALS_SHOWN]
        ]
        answer = {"accepted": self.accepted, "refused": self.refused, "refusals": shown}
        return {**answer, "mistyped": self.mistyped} if self.mistyped else answer


class Collector:
    """Takes request bodies and files' tables; safe from several threads."""

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
        self.max_rows, self.quota = max_rows, quota or Quota()
        self.clock = clock
        self.pending = Pending()
        self._known_key = known_key
        self.policy = policy
        self._answers: dict[str, tuple[str, IngestResult]] = {}
        self._lock = threading.Lock()
        self.intake = Validator(schemas, self.quota, lambda: self.clock(), policy)

    def events(
        self,
        body: bytes,
        media_type: str,
        key: str | None = None,
        model: str | None = None,
        bounds: TimeBounds | None = None,
        allowed: Collection[str] | None = None,
    ) -> IngestResult:
        """Take a body of events of any supported Content-Type. `model` names that of a table without a model column.

        Rows of a model that is not `allowed` (None: every model is) are refused.
        """
        return self._once(
            key,
            body,
            lambda: self.intake.events(
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
        """Take a body of labels of any supported Content-Type; those of a model that is not `allowed` are refused."""
        return self._once(
            key,
            body,
            lambda: self.intake.labels(
                body, media_type, model, bounds or self.bounds, allowed
            ),
        )

    def refuse(
        self, kind: str, refusals: Sequence[Refusal], key: str | None = None
    ) -> IngestResult:
        """Keep records that a source could not read: counted and in the quarantine, like those refused here."""
        body = (
            repr([(r.line, r.reason, r.raw, r.model) for r in refusals]).encode()
            if key
            else b""
        )
        kept = [
            replace(r, raw="") if self.policy(r.model).active else r for r in refusals
        ]
        return self._once(key, body, lambda: AcceptedBatch(kind, len(kept), kept))

    # each body once

    def _once(
        self, key: str | None, body: bytes, take: Callable[[], AcceptedBatch]
    ) -> IngestResult:
        digest = hashlib.sha256(body).hexdigest() if key else ""
        with self._lock:
            if key:
                earlier = self._answers.get(key) or self._stored(key)
                if earlier is not None:
                    if earlier[0] != digest:
                        raise Conflict(
                            f"Idempotency-Key {key[:60]!r} was used for another body; send a new key"
                        )
                    return replace(earlier[1], replayed=True)
            taken = take()
            if taken.rows > self.max_rows:
                raise TooLarge(
                    f"{taken.rows} rows in one request; at most {self.max_rows}, send smaller batches"
                )
            answer = self._append(taken, key, digest)
            if key:
                self._answers[key] = (digest, answer)
                answer.durable.add_done_callback(
                    lambda done: done.exception() and self._answers.pop(key, None)
                )
                if len(self._answers) > 10_000:
                    self._answers.pop(next(iter(self._answers)))
            return answer

    def _stored(self, key: str) -> tuple[str, IngestResult] | None:
        found = self._known_key(key)
        if found is None:
            return None
        body = json.loads(found[1])
        refusals = [
            Refusal(r["line"], r["event_id"], r["reason"]) for r in body["refusals"]
        ]
        return found[0], IngestResult(
            body["accepted"],
            body["refused"],
            refusals,
            _NOTHING_TO_WRITE,
            body.get("mistyped", ()),
        )

    def _append(
        self, taken: AcceptedBatch, key: str | None, digest: str
    ) -> IngestResult:
        """Write all frames of a request; the last one carries its key, so that a torn request is not taken for done."""
        now = self.clock()
        at = now.isoformat(timespec="seconds")  # requests of one second share a frame
        frames = list(taken.frames)
        if taken.refusals:
            frames.append(refused_frame(taken.kind, taken.noted))
        if key:
            text = json.dumps(_answer(taken, _NOTHING_TO_WRITE).body())
            frames.append(
                ({"kind": "key", "key": key, "hash": digest, "answer": text}, b"")
            )
        self._grow(taken.schemas, now, at)
        rows = taken.received()
        self.pending.add(rows, now)
        durable = _NOTHING_TO_WRITE
        try:
            for header, payload in frames:
                about = {**header, "at": at, "v": __version__}
                joined = about.pop("rows") if about.get("format") == "lines" else 0
                durable = self.spool.append(about, payload, joined)
        except BaseException:
            self.pending.settle(rows, now)
            raise
        durable.add_done_callback(
            lambda done: self.pending.settle(rows, now) if done.exception() else None
        )
        return _answer(taken, durable)

    def _grow(self, schemas: Mapping[str, ModelSchema], now: datetime, at: str) -> None:
        for model, schema in schemas.items():
            before = self.schemas.get(model)
            if before is None:
                self.quota.note("", 1, now)
            self.quota.note(
                model,
                len(schema.features) - len(before.features if before else ()),
                now,
            )
            # in the payload, which may be long: ten thousand names are half a megabyte
            grown = msgspec.json.encode(
                schema.to_dict(len(before.features) if before else 0)
            )
            self.spool.append({"kind": "schema", "model": model, "at": at}, grown)
            self.schemas[model] = schema


def _answer(taken: AcceptedBatch, durable: "Future[None]") -> IngestResult:
    return IngestResult(
        taken.accepted,
        len(taken.refusals),
        taken.refusals,
        durable,
        told(taken.mistyped),
    )


def _done() -> "Future[None]":
    done: Future[None] = Future()
    done.set_result(None)
    return done


_NOTHING_TO_WRITE = _done()
