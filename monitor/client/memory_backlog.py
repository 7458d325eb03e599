"""Bounded backlog in memory, between the watched service and the sender."""

import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from .counters import Counters
from .event_id import new_event_id
from .ndjson import encode
from .request_batch import MAX_BODY_BYTES, BatchBuilder, RequestBatch


class QueueEntry(NamedTuple):
    """One event or label, or an Arrow table of `rows` events, and its request path."""

    path: str
    record: dict[str, Any] | bytes
    rows: int

    @property
    def weight(self) -> int:
        """Share of `max_queue`: 1 for a record, 1 for every kilobyte of a table."""
        return 1 if self.rows == 1 else 1 + len(self.record) // 1000


class MemoryBacklog:
    """At most `limit` records, those being sent included.

    A record that finds the backlog full is dropped and counted. New records are
    dropped, not old ones: the waiting records remain one unbroken stretch of time, and
    a batch that is retried never changes under its Idempotency-Key.
    """

    def __init__(self, limit: int, batch: int) -> None:
        self.limit = limit
        self.batch = batch
        self.reset()

    def reset(self) -> None:
        """Empty the backlog, with new counts and a new lock.

        A forked child must not wait for a lock that its parent holds.
        """
        self.counters = Counters()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._waiting: deque[QueueEntry] = deque()
        self._waiting_rows = 0
        self._weight = 0  # of all records, those being sent included
        self._sending_weight = 0
        self._waiting_since = 0.0
        self.closed = False
        self.flush_requested = False

    def pending(self) -> bool:
        """False: no record of an earlier process is here."""
        return False

    def put(self, path: str, record: dict[str, Any] | bytes, rows: int) -> bool:
        """Queue a record.

        False if it was dropped because the backlog is full or closed.
        """
        entry = QueueEntry(path, record, rows)
        counters = self.counters
        with counters.lock:
            weight = entry.weight
            if self.closed or self._weight + weight > self.limit:
                counters.drop_unqueued(rows)
                return False
            self._weight += weight
            before = self._waiting_rows
            self._waiting.append(entry)
            self._waiting_rows = before + rows
            counters.logged += rows
            counters.entered += rows
            if before == 0:
                self._waiting_since = time.monotonic()
        if before == 0 or before < self.batch <= before + rows:
            self._wake.put(None)
        return True

    def wait_for_batch(self, flush_interval: float) -> bool:
        """Block until a batch is due: full, old enough, or requested by a flush.

        False once the backlog is closed and empty.
        """
        while True:
            due_in = None
            with self.counters.lock:
                waiting = self._waiting_rows
                if waiting == 0:
                    self.flush_requested = False
                    if self.closed:
                        return False
                else:
                    due_at = self._waiting_since + flush_interval
                    due_in = due_at - time.monotonic()
                    full = waiting >= self.batch
                    if full or self.flush_requested or self.closed:
                        return True
            if due_in is not None and due_in <= 0:
                return True
            self.wait_for_change(due_in)

    def wait_for_change(self, seconds: float | None) -> None:
        """Block until a record, a flush or the end arrives, or the time is over."""
        try:
            self._wake.get(timeout=seconds)
        except Empty:
            return

    def batches(self) -> list[RequestBatch]:
        """Remove the oldest records that fit into one request of each kind."""
        builder = BatchBuilder()
        while builder.rows < self.batch and builder.size < MAX_BODY_BYTES:
            entry = self._pop()
            if entry is None:
                break
            try:
                _add_entry(builder, entry)
            # the other records must go on, whatever a value of the service does
            except Exception as error:
                reason = f"a record could not be written as JSON: {error!r}"
                self.counters.settle(refused=1, error=reason)
        return builder.batches(new_event_id())

    def _pop(self) -> QueueEntry | None:
        with self.counters.lock:
            if not self._waiting:
                return None
            self._waiting_since = time.monotonic()
            entry = self._waiting.popleft()
            self._waiting_rows -= entry.rows
            self._sending_weight += entry.weight
            return entry

    def advance(self) -> None:
        """Free the room of the batches that were sent."""
        with self.counters.lock:
            self._weight -= self._sending_weight
            self._sending_weight = 0

    def abandon(self, rows: int, error: str) -> None:
        """Drop and count rows: memory ends with the process."""
        self.counters.settle(dropped=rows, error=error)

    def keeps(self, status: int) -> bool:
        """False: memory is needed for later records."""
        return False

    def request_flush(self) -> None:
        """Make the sender send the waiting records now, not when the batch is due."""
        with self.counters.lock:
            self.flush_requested = True
        self._wake.put(None)

    def close(self) -> None:
        """Accept no more records; drop and count those that still wait."""
        with self.counters.lock:
            self.closed = True
            self.counters.settle(dropped=self._waiting_rows)
            self._waiting.clear()
            self._waiting_rows = 0
        self._wake.put(None)

    def release(self) -> None:
        """Do nothing: memory needs no release."""


def _add_entry(builder: BatchBuilder, entry: QueueEntry) -> None:
    record = entry.record
    if isinstance(record, bytes):
        builder.add(entry.path, record, entry.rows, table=True)
    else:
        builder.add(entry.path, encode(record), entry.rows, table=False)
