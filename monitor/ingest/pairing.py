"""Requests and answers that come apart, as KServe's logger sends them: each half waits on disk for the other.

A half is on disk before its sender is answered. When both are there they become events,
through the collector, under a key made of their id: doing it again after a crash stores
nothing twice. A half whose partner does not come in time is counted as refused and kept
in the quarantine.
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

# KServe's protocol v1: of requests that no protocol surely understands
DEFAULT_PROTOCOL = "tfserving"
Part = Literal["request", "response"]
OTHER: dict[Part, Part] = {"request": "response", "response": "request"}
LOOK_EVERY_S = 30.0
# pairs that are remembered, so that a repeated half does not wait for a partner that
# came long ago
MAX_DONE = 50_000
MAX_ROWS = 5_000  # of one pair that go to the collector together
COMPACT_BYTES = 16 << 20
DISK_BYTES = 1 << 30


@dataclass(frozen=True)
class PairPart:
    """A request or an answer; `pair` names the exchange that it is a half of."""

    pair: str
    part: Part
    id: str
    model: str
    version: str
    at: datetime
    body: bytes

    def header(self) -> dict[str, Any]:
        """What is kept of it besides the body."""
        about = {
            "pair": self.pair,
            "part": self.part,
            "id": self.id,
            "model": self.model,
            "version": self.version,
        }
        return {"kind": "half", **about, "at": self.at.isoformat()}


@dataclass
class PairBuffer:
    """The waiting room of one server.

    `settled` counts pairs that became events or a refusal.
    """

    folder: Path
    collector: Collector
    wait: timedelta = timedelta(hours=1)
    most_bytes: int = 64 << 20
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    waiting: dict[str, dict[Part, PairPart]] = field(default_factory=dict)
    settled: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._spool = Spool(self.folder, DISK_BYTES)
        self._came: dict[str, datetime] = {}  # when the first half of a pair came
        self._written: dict[tuple[str, Part], Future[None]] = {}
        self._finished: deque[str] = deque()  # pairs whose outcome is on disk
        self._done: dict[str, None] = {}
        self._bytes = self._appended = 0
        self._problem: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._look, name="driftdeck-halves", daemon=True
        )

    def start(self, background: bool = True) -> None:
        """Take up what waited when the server stopped."""
        now = self.clock()
        for frame in self._spool.records(SpoolPosition(0, 0), 1 << 62):
            match frame.header:
                case {"kind": "half", **about}:
                    part: Part = about["part"]
                    at = datetime.fromisoformat(about["at"])
                    names = (
                        about["pair"],
                        part,
                        about["id"],
                        about["model"],
                        about["version"],
                    )
                    self._keep(
                        PairPart(*names, at, frame.payload),
                        datetime.fromisoformat(about["came"]),
                    )
                case {"kind": "done", "pairs": pairs}:
                    for pair in pairs:
                        self._forget(pair)
        for damage in self._spool.damage:
            log.error(
                "halves that wait are damaged: segment %d, %d bytes cannot be read",
                damage.segment,
                damage.bytes,
            )
        self._look_calmly(now)
        if background:
            self._thread.start()

    def take(self, half: PairPart) -> list["Future[None]"]:
        """Keep a half, or settle the pair it completes; all of it is on disk when these are done.

        Raises Overloaded when too much waits.
        """
        with self._lock:
            self._clear()
            if half.pair in self._done:
                return []
            if half.part in self.waiting.get(half.pair, {}):
                return self._again(half)
            if self._bytes + len(half.body) > self.most_bytes:
                raise Overloaded(
                    f"halves of {self._bytes >> 20} MB wait for their partners; send again later",
                    30,
                )
            came = self._came.get(half.pair) or self.clock()
            written = self._write(half, came)
            self._keep(half, came)
            return (
                [written, self._settle(half.pair)]
                if len(self.waiting[half.pair]) == 2
                else [written]
            )

    def _again(self, half: PairPart) -> list["Future[None]"]:
        """A repeat of a half that still waits: what its first sender waits for, or another try where that failed."""
        written = self._written.get((half.pair, half.part))
        if written is not None and written.done() and written.exception() is not None:
            written = self._write(half, self._came[half.pair])
        found = [] if written is None else [written]
        return (
            [*found, self._settle(half.pair)]
            if len(self.waiting[half.pair]) == 2
            else found
        )

    def look(self, now: datetime) -> int:
        """Settle what can be settled, give up what waited too long; how many pairs went."""
        with self._lock:
            self._clear()
            late = [
                p
                for p, came in self._came.items()
                if now - came >= self.wait or len(self.waiting[p]) == 2
            ]
            for pair in late:
                self._settle(pair)
            if self._appended > max(COMPACT_BYTES, 2 * self._bytes):
                self._compact()
            return len(late)

    def erase(self, needles: Sequence[bytes]) -> int:
        """Forget the halves that hold any of some texts, on disk too; how many there were."""
        with self._lock:
            self._clear()
            named = [
                pair
                for pair, halves in self.waiting.items()
                if any(
                    needle in half.body
                    for half in halves.values()
                    for needle in needles
                )
            ]
            count = sum(len(self.waiting[pair]) for pair in named)
            for pair in named:
                self._forget(pair)
            self._compact()  # also lets go of what was settled before
            return count

    def problem(self) -> str | None:
        """Return why pairs are not accepted or settled; None when they are."""
        return self._spool.problem() or self._problem

    def alone(self) -> int:
        """How many halves wait for a partner."""
        with self._lock:
            return sum(len(halves) == 1 for halves in self.waiting.values())

    def close(self) -> None:
        """Stop; what waits stays on disk."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        with self._lock:
            self._clear()
        self._spool.close()

    def _look(self) -> None:
        while not self._stop.wait(min(LOOK_EVERY_S, self.wait.total_seconds() / 4)):
            self._look_calmly(self.clock())

    def _look_calmly(self, now: datetime) -> None:
        try:
            self.look(now)
        # spool or disk full: they wait a little longer
        except DriftdeckError as problem:
            self._problem = f"pairs could not be settled: {problem}"
            log.warning("%s", self._problem)
        # a failure of any kind must not end the thread
        except Exception as error:
            self._problem = f"pairs could not be settled: {error}"
            log.exception("pairs could not be settled; it is tried again")
        else:
            self._problem = None

    def _keep(self, half: PairPart, came: datetime) -> None:
        self.waiting.setdefault(half.pair, {})[half.part] = half
        self._came.setdefault(half.pair, came)
        self._bytes += len(half.body)

    def _forget(self, pair: str) -> None:
        for part, half in self.waiting.pop(pair, {}).items():
            self._bytes -= len(half.body)
            self._written.pop((pair, part), None)
        self._came.pop(pair, None)
        self._done[pair] = None
        while len(self._done) > MAX_DONE:
            self._done.pop(next(iter(self._done)))

    def _write(self, half: PairPart, came: datetime) -> "Future[None]":
        header = {**half.header(), "came": came.isoformat()}
        try:
            record = NewRecord.of(header, half.body)
        except UnicodeEncodeError:
            raise Refused(
                "an attribute of the CloudEvent holds half a surrogate pair;"
                " send valid Unicode"
            ) from None
        self._appended += len(half.body)
        written = self._spool.append(record)
        self._written[half.pair, half.part] = written
        return written

    def _settle(self, pair: str) -> "Future[None]":
        """Both halves as events, or one as a refusal; once that is on disk neither waits any more."""
        key = f"halves-{hashlib.sha256(pair.encode()).hexdigest()[:40]}"
        halves = self.waiting[pair]
        answer = (
            self._events(halves["request"], halves["response"], key)
            if len(halves) == 2
            else self._alone(pair, key)
        )

        def note(done: "Future[None]") -> None:
            if done.exception() is None:
                self._finished.append(pair)

        answer.durable.add_done_callback(note)
        return answer.durable

    def _clear(self) -> None:
        """Note which pairs are done.

        A crash before this only makes them settle again, under the same key.
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
            raise  # later it will do
        except (NotUnderstood, DriftdeckError) as reason:
            return self._refuse(request, str(reason), key)

    def _logged(self, request: PairPart, response: PairPart, key: str) -> IngestResult:
        rows = read(request.body, response.body)
        latency = (response.at - request.at).total_seconds() * 1e3
        lines = [
            _line(request, i, row, latency if 0 <= latency < 1e12 else None)
            for i, row in enumerate(rows)
        ]
        answer = None
        most = min(MAX_ROWS, self.collector.max_rows)
        for start in range(0, len(lines), most):
            body = b"".join(lines[start : start + most])
            answer = self.collector.events(
                body, "application/x-ndjson", f"{key}-{start}"
            )
        return answer or self._refuse(request, "the request has no rows", key)

    def _alone(self, pair: str, key: str) -> IngestResult:
        [half] = self.waiting[pair].values()
        minutes = self.wait.total_seconds() / 60
        return self._refuse(
            half,
            f"no {OTHER[half.part]} came for this {half.part} within {minutes:g} minutes",
            key,
        )

    def _refuse(self, half: PairPart, reason: str, key: str) -> IngestResult:
        raw = half.body[:RAW_SAMPLE].decode("utf-8", "replace")
        return self.collector.refuse(
            "events", [Refusal(0, half.id[:MAX_ID_BYTES], reason, raw, half.model)], key
        )

    def _compact(self) -> None:
        """Write what still waits once more, and let go of all before."""
        before = self._spool.synced.segment
        self._spool.roll()
        self._appended = 0
        header = {"kind": "done", "pairs": list(self._done)}
        written = self._spool.append(NewRecord.of(header))
        for pair, halves in self.waiting.items():
            for half in halves.values():
                written = self._write(half, self._came[pair])
        written.result(60)
        self._spool.release(SpoolPosition(before + 1, 0))


def read(request: bytes, response: bytes) -> list[Row]:
    """The rows of a pair, in the protocol that understands the request, else KServe's v1.

    Raises NotUnderstood.
    """
    try:
        body = json.loads(request)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise NotUnderstood("the request is not a JSON object")
    understood = [p for p in protocols().values() if p.understands(body)]
    protocol = understood[0] if understood else protocols()[DEFAULT_PROTOCOL]
    return protocol.read(request, response, FieldChoice())


def event_id(id_: str, row: int) -> str:
    """The id of a pair's row: the CloudEvent's own, then the same with -1, -2, ...; a long one is hashed."""
    first = (
        id_
        if len(id_.encode()) <= MAX_ID_BYTES - 8
        else hashlib.sha256(id_.encode()).hexdigest()
    )
    return first if row == 0 else f"{first}-{row}"


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
