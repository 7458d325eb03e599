"""The bounded backlog between the watched service and the sender, in memory."""

import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol

from .counters import Counters
from .event_id import new_event_id
from .ndjson import encode
from .request_batch import MAX_BODY_BYTES, Gathered, RequestBatch


class Entry(NamedTuple):
    """What waits: one event or label, or an Arrow table of `rows` events; `path` says where it is sent."""

    path: str
    record: dict[str, Any] | bytes
    rows: int

    @property
    def weight(self) -> int:
        """What it takes of `max_queue`: 1 for a record, 1 for every kilobyte of a table."""
        return 1 if self.rows == 1 else 1 + len(self.record) // 1000


class Waiting(Protocol):
    """What the sender asks of a backlog, in memory or on disk."""

    tally: Counters
    closed: bool

    def wait_for_batch(self, flush_interval: float) -> bool:
        """Block until a batch is due: full, old enough, or wanted by a flush.

        False once there is no more to do.
        """

    def wait_for_bell(self, seconds: float | None) -> None:
        """Block until something changed or the time is over."""

    def batches(self) -> list[RequestBatch]:
        """The oldest records that fit into one request of each kind."""

    def advance(self) -> None:
        """All that `batches` gave last is settled."""

    def abandon(self, rows: int, error: str) -> None:
        """The client was closed before these rows had a final answer."""

    def keeps(self, status: int) -> bool:
        """True if a request with this answer is worth another try later, besides those that always are."""


class Backlog:
    """At most `limit` records, those under way included. A record that finds it full is dropped and counted.

    New records are dropped, not old ones: what waits stays one unbroken stretch of
    time, and a batch that is being retried never changes under its Idempotency-Key.
    """

    def __init__(self, limit: int, batch: int) -> None:
        self.limit = limit
        self.batch = batch
        self.reset()

    def reset(self) -> None:
        """Empty, all counts zero, with a new lock: a forked child must not wait for a lock its parent held."""
        self.tally = Counters()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._waiting: deque[Entry] = deque()
        self._waiting_rows = 0
        self._held = self._under_way = 0  # weights
        self._waiting_since = 0.0
        self.closed = False
        self.hurry = False

    def pending(self) -> bool:
        """False: nothing outlives the process here."""
        return False

    def put(self, path: str, record: dict[str, Any] | bytes, rows: int) -> bool:
        """True if the record now waits; False if it was dropped because the queue is full or closed."""
        entry = Entry(path, record, rows)
        tally = self.tally
        with tally.lock:
            weight = entry.weight
            if self.closed or self._held + weight > self.limit:
                tally.turn_away(rows)
                return False
            self._held += weight
            before = self._waiting_rows
            self._waiting.append(entry)
            self._waiting_rows = before + rows
            tally.logged += rows
            tally.entered += rows
            if before == 0:
                self._waiting_since = time.monotonic()
        if before == 0 or before < self.batch <= before + rows:
            self._bell.put(None)
        return True

    def wait_for_batch(self, flush_interval: float) -> bool:
        """Block until a batch is due: full, old enough, or wanted by a flush.

        False once closed and empty.
        """
        while True:
            with self.tally.lock:
                waiting = self._waiting_rows
                if waiting == 0:
                    self.hurry = False
                    if self.closed:
                        return False
                due_in = (
                    None
                    if waiting == 0
                    else self._waiting_since + flush_interval - time.monotonic()
                )
                if waiting and (waiting >= self.batch or self.hurry or self.closed):
                    return True
            if due_in is not None and due_in <= 0:
                return True
            self.wait_for_bell(due_in)

    def wait_for_bell(self, seconds: float | None) -> None:
        """Block until something changed or the time is over."""
        try:
            self._bell.get(timeout=seconds)
        except Empty:
            return

    def batches(self) -> list[RequestBatch]:
        """The oldest records that fit into one request of each kind, from now on under way."""
        found = Gathered()
        while (
            found.rows < self.batch
            and found.size < MAX_BODY_BYTES
            and (entry := self._take())
        ):
            record = entry.record
            try:
                table = isinstance(record, bytes)
                found.add(
                    entry.path,
                    record if isinstance(record, bytes) else encode(record),
                    entry.rows,
                    table,
                )
            # whatever a value of the service does, the other records must go on
            except Exception as error:
                self.tally.settle(
                    refused=1, error=f"a record could not be written as JSON: {error!r}"
                )
        return found.batches(new_event_id())

    def _take(self) -> Entry | None:
        with self.tally.lock:
            if not self._waiting:
                return None
            self._waiting_since = time.monotonic()
            entry = self._waiting.popleft()
            self._waiting_rows -= entry.rows
            self._under_way += entry.weight
            return entry

    def advance(self) -> None:
        """What was taken is settled: its room is free."""
        with self.tally.lock:
            self._held -= self._under_way
            self._under_way = 0

    def abandon(self, rows: int, error: str) -> None:
        """Drop and count them: memory ends with the process."""
        self.tally.settle(dropped=rows, error=error)

    def keeps(self, status: int) -> bool:
        """False: memory is needed for what comes after."""
        return False

    def ask_to_hurry(self) -> None:
        """Let the sender send what waits now instead of when the batch is due."""
        with self.tally.lock:
            self.hurry = True
        self._bell.put(None)

    def close(self) -> None:
        """Take no more records; what still waits is dropped and counted."""
        with self.tally.lock:
            self.closed = True
            self.tally.settle(dropped=self._waiting_rows)
            self._waiting.clear()
            self._waiting_rows = 0
        self._bell.put(None)

    def leave(self) -> None:
        """Nothing to let go of."""
