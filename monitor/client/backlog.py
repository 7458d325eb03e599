"""The bounded backlog between the watched service and the sender, and the count of what became of every record."""

import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One record that waits: `path` says whether it is an event or a label."""

    path: str
    record: dict[str, Any]


class Backlog:
    """At most `limit` records, those under way included. A record that finds it full is dropped and counted.

    New records are dropped, not old ones: what waits stays one unbroken stretch of time, and a batch that is being
    retried never changes under its Idempotency-Key. At every moment
    `logged = accepted + refused + dropped + queued`.
    """

    def __init__(self, limit: int, batch: int) -> None:
        self.limit = limit
        self.batch = batch
        self.reset()

    def reset(self) -> None:
        """Empty, all counts zero, with a new lock: a forked child must not wait for a lock its parent held."""
        self._lock = threading.RLock()  # re-entrant: a signal handler of the service may log as well
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._waiting: deque[Entry] = deque()
        self._waiting_since = 0.0
        self._under_way = 0
        self._entered = self._finished = 0
        self.closed = False
        self.hurry = False
        self.logged = self.sent = self.accepted = self.refused = self.dropped = self.retries = 0
        self.last_error: str | None = None

    def put(self, entry: Entry) -> bool:
        """True if the record now waits; False if it was dropped because the queue is full or closed."""
        with self._lock:
            self.logged += 1
            waiting = len(self._waiting)
            if self.closed or waiting + self._under_way >= self.limit:
                self.dropped += 1
                return False
            self._waiting.append(entry)
            self._entered += 1
            if waiting == 0:
                self._waiting_since = time.monotonic()
        if waiting == 0 or waiting + 1 == self.batch:
            self._bell.put(None)
        return True

    def refuse_unseen(self, reason: str) -> None:
        """Count a record that cannot be made into an event at all."""
        with self._lock:
            self.logged += 1
            self.refused += 1
            self.last_error = reason

    def wait_for_batch(self, flush_interval: float) -> bool:
        """Block until a batch is due: full, old enough, or wanted by a flush. False once closed and empty."""
        while True:
            with self._lock:
                waiting = len(self._waiting)
                if waiting == 0:
                    self.hurry = False
                    if self.closed:
                        return False
                due_in = None if waiting == 0 else self._waiting_since + flush_interval - time.monotonic()
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

    def take(self) -> Entry | None:
        """The oldest record, from now on under way; None if none waits."""
        with self._lock:
            if not self._waiting:
                return None
            self._under_way += 1
            self._waiting_since = time.monotonic()
            return self._waiting.popleft()

    def settle(self, *, accepted: int = 0, refused: int = 0, dropped: int = 0, error: str | None = None) -> None:
        """Count what became of records that were under way."""
        with self._lock:
            self._under_way -= accepted + refused + dropped
            self._finished += accepted + refused + dropped
            self.accepted += accepted
            self.refused += refused
            self.dropped += dropped
            self.last_error = error or self.last_error

    def answered(self, records: int) -> None:
        """Count records to which the server gave a final answer."""
        with self._lock:
            self.sent += records

    def retry(self, error: str) -> None:
        """Count one failed try of a batch that will be sent again."""
        with self._lock:
            self.retries += 1
            self.last_error = error

    def entered(self) -> int:
        """How many records have waited here so far."""
        with self._lock:
            return self._entered

    def finished(self) -> int:
        """How many of them, oldest first, have a final outcome."""
        with self._lock:
            return self._finished

    def ask_to_hurry(self) -> None:
        """Let the sender send what waits now instead of when the batch is due."""
        with self._lock:
            self.hurry = True
        self._bell.put(None)

    def close(self) -> None:
        """Take no more records; what still waits is dropped and counted."""
        with self._lock:
            self.closed = True
            self.dropped += len(self._waiting)
            self._finished += len(self._waiting)
            self._waiting.clear()
        self._bell.put(None)

    def counts(self) -> dict[str, Any]:
        """What became of every record, and the newest error (None if there was none)."""
        with self._lock:
            return {
                "logged": self.logged,
                "sent": self.sent,
                "accepted": self.accepted,
                "refused": self.refused,
                "dropped": self.dropped,
                "retries": self.retries,
                "queued": len(self._waiting) + self._under_way,
                "last_error": self.last_error,
            }
