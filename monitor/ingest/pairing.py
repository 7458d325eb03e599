"""Pairing of requests and responses that arrive apart, as KServe's logger sends them.

Each part waits on disk for the other, and its sender gets a response when it is there.
Both together become events, through the collector, under a key made of their id: a
repetition after a crash stores nothing twice. A part without a partner within the time
limit is counted as refused and quarantined.
"""

import hashlib
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from monitor.contracts import FieldChoice, NotUnderstood, Row
from monitor.errors import DriftdeckError, Overloaded
from monitor.event import MAX_ID_BYTES, RAW_SAMPLE, Refusal, Refused
from monitor.ingest.collector import Collector
from monitor.ingest.ingest_result import IngestResult
from monitor.plugins import protocols
from monitor.spool.record import NewRecord, SpoolPosition
from monitor.spool.spool import Spool

log = logging.getLogger("driftdeck.halves")

# KServe's protocol v1: for requests that no protocol recognises with certainty
DEFAULT_PROTOCOL = "tfserving"
Part = Literal["request", "response"]
OTHER: dict[Part, Part] = {"request": "response", "response": "request"}
SETTLE_EVERY_S = 30.0
# settled pairs in memory: a repeated part does not wait for a partner that is stored
MAX_SETTLED_PAIRS = 50_000
MAX_ROWS = 5_000  # of one pair, in one call of the collector
MIN_COMPACTION_BYTES = 16 << 20
MAX_DISK_BYTES = 1 << 30
RETRY_AFTER_S = 30


@dataclass(frozen=True)
class PairPart:
    """A request or a response; `pair` is the id that both share."""

    pair: str
    part: Part
    id: str
    model: str
    version: str
    at: datetime
    body: bytes

    def header(self) -> dict[str, Any]:
        """The spool header of the part: everything but its body."""
        return {
            "kind": "half",
            "pair": self.pair,
            "part": self.part,
            "id": self.id,
            "model": self.model,
            "version": self.version,
            "at": self.at.isoformat(),
        }


@dataclass
class PairBuffer:
    """The unpaired requests and responses of one server, in memory and on disk.

    `settled` counts pairs that became events or a refusal.
    """

    folder: Path
    collector: Collector
    wait: timedelta = timedelta(hours=1)
    max_bytes: int = 64 << 20
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    waiting: dict[str, dict[Part, PairPart]] = field(default_factory=dict)
    settled: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._spool = Spool(self.folder, MAX_DISK_BYTES)
        # by pair, the time of receipt of its first part
        self._received: dict[str, datetime] = {}
        self._written: dict[tuple[str, Part], Future[None]] = {}
        # pairs whose events or refusal are on disk
        self._finished: deque[str] = deque()
        self._settled: dict[str, None] = {}
        self._bytes = self._appended = 0
        self._problem: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._settle_repeatedly, name="driftdeck-halves", daemon=True
        )

    def start(self, background: bool = True) -> None:
        """Read the parts that waited when the server stopped, then settle the due ones."""
        now = self.clock()
        for record in self._spool.records(SpoolPosition(0, 0), 1 << 62):
            match record.header:
                case {"kind": "half", **header}:
                    received = datetime.fromisoformat(header["came"])
                    self._remember(_part_of(header, record.payload), received)
                case {"kind": "done", "pairs": pairs}:
                    for pair in pairs:
                        self._forget(pair)
        for damage in self._spool.damage:
            log.error(
                "the spool of unpaired requests and responses is damaged: "
                "%d bytes of file %d cannot be read",
                damage.bytes,
                damage.segment,
            )
        self._settle_due_safely(now)
        if background:
            self._thread.start()

    def add(self, part: PairPart) -> list["Future[None]"]:
        """Add a part, or settle the pair that it completes.

        Everything is on disk when the returned writes are done. Raises Overloaded when
        the buffer is full.
        """
        with self._lock:
            self._forget_finished()
            if part.pair in self._settled:
                return []
            if part.part in self.waiting.get(part.pair, {}):
                return self._repeat(part)
            if self._bytes + len(part.body) > self.max_bytes:
                raise Overloaded(self._full(), RETRY_AFTER_S)
            received = self._received.get(part.pair) or self.clock()
            written = self._write(part, received)
            self._remember(part, received)
            return [written, *self._settle_if_complete(part.pair)]

    def _full(self) -> str:
        return (
            f"buffer full: {self._bytes >> 20} of {self.max_bytes >> 20} MB of unpaired "
            f"requests and responses; retry in {RETRY_AFTER_S} s"
        )

    def _repeat(self, part: PairPart) -> list["Future[None]"]:
        """Return the writes of a part that still waits; a failed write is repeated."""
        written = self._written.get((part.pair, part.part))
        if written is not None and written.done() and written.exception() is not None:
            written = self._write(part, self._received[part.pair])
        writes = [] if written is None else [written]
        return [*writes, *self._settle_if_complete(part.pair)]

    def settle_due(self, now: datetime) -> int:
        """Settle complete pairs, refuse parts past the time limit; return their number."""
        with self._lock:
            self._forget_finished()
            due = [
                pair
                for pair, received in self._received.items()
                if now - received >= self.wait or self._is_complete(pair)
            ]
            for pair in due:
                self._settle(pair)
            if self._appended > max(MIN_COMPACTION_BYTES, 2 * self._bytes):
                self._compact()
            return len(due)

    def erase(self, texts: Sequence[bytes]) -> int:
        """Delete the parts that contain any of some texts, on disk too; return their number."""
        with self._lock:
            self._forget_finished()
            pairs = [pair for pair in self.waiting if self._contains(pair, texts)]
            count = sum(len(self.waiting[pair]) for pair in pairs)
            for pair in pairs:
                self._forget(pair)
            self._compact()  # also deletes the parts of settled pairs
            return count

    def problem(self) -> str | None:
        """Return why pairs are not accepted or settled; None when they are."""
        return self._spool.problem() or self._problem

    def unpaired_count(self) -> int:
        """Return the number of parts without a partner."""
        with self._lock:
            return sum(len(parts) == 1 for parts in self.waiting.values())

    def close(self) -> None:
        """Stop; unpaired parts stay on disk."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        with self._lock:
            self._forget_finished()
        self._spool.close()

    def _settle_repeatedly(self) -> None:
        pause_s = min(SETTLE_EVERY_S, self.wait.total_seconds() / 4)
        while not self._stop.wait(pause_s):
            self._settle_due_safely(self.clock())

    def _settle_due_safely(self, now: datetime) -> None:
        try:
            self.settle_due(now)
        # spool or disk full: the parts wait a little longer
        except DriftdeckError as problem:
            self._problem = f"pairs could not be settled: {problem}"
            log.warning("%s", self._problem)
        # a failure of any kind must not end the thread
        except Exception as error:
            self._problem = f"pairs could not be settled: {error}"
            log.exception("pairs could not be settled; it is tried again")
        else:
            self._problem = None

    def _contains(self, pair: str, texts: Sequence[bytes]) -> bool:
        bodies = [part.body for part in self.waiting[pair].values()]
        return any(text in body for body in bodies for text in texts)

    def _is_complete(self, pair: str) -> bool:
        return len(self.waiting[pair]) == 2

    def _remember(self, part: PairPart, received: datetime) -> None:
        self.waiting.setdefault(part.pair, {})[part.part] = part
        self._received.setdefault(part.pair, received)
        self._bytes += len(part.body)

    def _forget(self, pair: str) -> None:
        for name, part in self.waiting.pop(pair, {}).items():
            self._bytes -= len(part.body)
            self._written.pop((pair, name), None)
        self._received.pop(pair, None)
        self._settled[pair] = None
        while len(self._settled) > MAX_SETTLED_PAIRS:
            self._settled.pop(next(iter(self._settled)))

    def _write(self, part: PairPart, received: datetime) -> "Future[None]":
        header = {**part.header(), "came": received.isoformat()}
        try:
            record = NewRecord.of(header, part.body)
        except UnicodeEncodeError:
            raise Refused(
                "an attribute of the CloudEvent holds half a surrogate pair;"
                " send valid Unicode"
            ) from None
        self._appended += len(part.body)
        written = self._spool.append(record)
        self._written[part.pair, part.part] = written
        return written

    def _settle_if_complete(self, pair: str) -> list["Future[None]"]:
        return [self._settle(pair)] if self._is_complete(pair) else []

    def _settle(self, pair: str) -> "Future[None]":
        """Turn a pair into events, or a part alone into a refusal.

        Once that is on disk, the pair leaves the buffer.
        """
        result = self._ingest(pair)

        def note(write: "Future[None]") -> None:
            if write.exception() is None:
                self._finished.append(pair)

        result.durable.add_done_callback(note)
        return result.durable

    def _ingest(self, pair: str) -> IngestResult:
        key = f"halves-{hashlib.sha256(pair.encode()).hexdigest()[:40]}"
        parts = self.waiting[pair]
        if self._is_complete(pair):
            return self._events(parts["request"], parts["response"], key)
        return self._refuse_unpaired(pair, key)

    def _forget_finished(self) -> None:
        """Delete the pairs whose events or refusal are on disk.

        After a crash before this they settle again, under the same key.
        """
        pairs = []
        while self._finished:
            if (pair := self._finished.popleft()) in self.waiting:
                pairs.append(pair)
                self._forget(pair)
        if pairs:
            self.settled += len(pairs)
            self._spool.append(NewRecord.of({"kind": "done", "pairs": pairs}))

    def _events(self, request: PairPart, response: PairPart, key: str) -> IngestResult:
        try:
            return self._logged(request, response, key)
        except Overloaded:
            raise  # the sender tries again
        except (NotUnderstood, DriftdeckError) as reason:
            return self._refuse(request, str(reason), key)

    def _logged(self, request: PairPart, response: PairPart, key: str) -> IngestResult:
        rows = read(request.body, response.body)
        latency = (response.at - request.at).total_seconds() * 1e3
        latency_ms = latency if 0 <= latency < 1e12 else None
        lines = [_line(request, i, row, latency_ms) for i, row in enumerate(rows)]
        result = None
        step = min(MAX_ROWS, self.collector.limits.max_rows)
        for start in range(0, len(lines), step):
            body = b"".join(lines[start : start + step])
            result = self.collector.events(
                body, "application/x-ndjson", f"{key}-{start}"
            )
        return result or self._refuse(request, "the request has no rows", key)

    def _refuse_unpaired(self, pair: str, key: str) -> IngestResult:
        [part] = self.waiting[pair].values()
        minutes = self.wait.total_seconds() / 60
        reason = (
            f"no {OTHER[part.part]} arrived for this {part.part} "
            f"within {minutes:g} minutes"
        )
        return self._refuse(part, reason, key)

    def _refuse(self, part: PairPart, reason: str, key: str) -> IngestResult:
        raw = part.body[:RAW_SAMPLE].decode("utf-8", "replace")
        refusal = Refusal(0, part.id[:MAX_ID_BYTES], reason, raw, part.model)
        return self.collector.refuse("events", [refusal], key)

    def _compact(self) -> None:
        """Write the unpaired parts to a new spool file, and delete the older files."""
        before = self._spool.synced.segment
        self._spool.roll()
        self._appended = 0
        header = {"kind": "done", "pairs": list(self._settled)}
        written = self._spool.append(NewRecord.of(header))
        for pair, parts in self.waiting.items():
            for part in parts.values():
                written = self._write(part, self._received[pair])
        written.result(60)
        self._spool.release(SpoolPosition(before + 1, 0))


def read(request: bytes, response: bytes) -> list[Row]:
    """Read the rows of a pair by the protocol that recognises the request, else KServe's v1.

    Raises NotUnderstood.
    """
    try:
        body = json.loads(request)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise NotUnderstood("the request is not a JSON object")
    matching = [p for p in protocols().values() if p.understands(body)]
    protocol = matching[0] if matching else protocols()[DEFAULT_PROTOCOL]
    return protocol.read(request, response, FieldChoice())


def event_id(id_: str, row: int) -> str:
    """Return the id of a pair's row: the CloudEvent's id, then with -1, -2, ... added.

    A long id is hashed.
    """
    first = (
        id_
        if len(id_.encode()) <= MAX_ID_BYTES - 8
        else hashlib.sha256(id_.encode()).hexdigest()
    )
    return first if row == 0 else f"{first}-{row}"


def _part_of(header: dict[str, Any], body: bytes) -> PairPart:
    at = datetime.fromisoformat(header["at"])
    return PairPart(
        header["pair"],
        header["part"],
        header["id"],
        header["model"],
        header["version"],
        at,
        body,
    )


def _line(request: PairPart, i: int, row: Row, latency: float | None) -> bytes:
    event = {
        "event_id": event_id(request.id, i),
        "model": request.model,
        "version": request.version,
        "ts": request.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "features": row.features,
        "prediction": row.prediction,
        "latency_ms": None if latency is None else round(latency, 3),
    }
    return (
        json.dumps({k: v for k, v in event.items() if v is not None}).encode() + b"\n"
    )
