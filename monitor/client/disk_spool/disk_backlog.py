"""The backlog on disk: what was logged outlives the process, and is sent in order when the server can be reached.

The spool is a folder of lanes (see lane.py), one for each process that logs. A process
first sends what it finds in lanes of processes that have ended, the oldest first, then
its own.
"""

import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from ..counters import Counters
from ..request_batch import Gathered, RequestBatch
from .process_spool import ProcessSpool
from .spool_line import line_of

SYNC_EVERY = 1.0  # seconds that a loss of power may cost
LOOK_FOR_LANES_EVERY = 30.0
MIN_BYTES = 1_000_000
MAX_SEGMENT_BYTES = 4_000_000
# what a person can put right on the server while the spool keeps the data: keys, an
# address, a limit
MENDABLE = {401, 403, 404, 407}


class DiskBacklog:
    """At most `limit` bytes on disk. When they are full the oldest file is dropped and its records are counted.

    The oldest, not the newest: after days without a network the present says more about
    a model than the past, and a whole file goes at once, so that logging never waits.
    `put` returns when the record is in the file: a crash of the process, kill -9
    included, loses nothing of it; a loss of power loses at most what was logged since
    the last sync.
    """

    def __init__(self, folder: Path, limit: int, batch: int) -> None:
        if limit < MIN_BYTES:
            raise ValueError(
                f"spool_bytes = {limit!r} is too small; at least {MIN_BYTES:,}"
            )
        self.folder = folder
        self.limit = limit
        self.batch = batch
        self._segment_bytes = min(MAX_SEGMENT_BYTES, limit // 16)
        self._own: ProcessSpool | None = None
        self._found: list[ProcessSpool] = []
        self.reset()

    def reset(self) -> None:
        """In a forked child: no lane, no count and no lock of the parent's."""
        self.tally = Counters()
        self._bell: SimpleQueue[None] = SimpleQueue()
        for lane in self._all():
            lane.forget_descriptors()
        self._own, self._found = None, []
        self._reading: ProcessSpool | None = None
        self._oldest_since = 0.0
        self._synced_at = self._looked_at = -1e9
        self._dirty = False
        self.closed = False
        self.hurry = False

    def pending(self) -> bool:
        """True if another process left something to send: then sending begins before the first record."""
        self._look_for_lanes()
        return bool(self._found)

    def put(self, path: str, record: dict[str, Any] | bytes, rows: int) -> bool:
        """True if the record is in the file now; False if it was dropped because of the disk."""
        line = line_of(path, record, rows)
        tally = self.tally
        with tally.lock:
            if self.closed:
                tally.turn_away(rows)
                return False
            try:
                own = self._own
                if own is None or self._found or own.size + len(line) > self.limit:
                    own = self._with_room(len(line))
                before = own.rows
                own.append(line, rows, self._segment_bytes)
            except OSError as error:
                tally.turn_away(
                    rows, f"the spool {self.folder} cannot be written: {error.strerror}"
                )
                return False
            tally.logged += rows
            tally.entered += rows
            self._dirty = True
            if before == 0:
                self._oldest_since = time.monotonic()
        if before == 0 or before < self.batch <= before + rows:
            self._bell.put(None)
        return True

    def _with_room(self, size: int) -> ProcessSpool:
        """The own lane, made when there is none, after so much was dropped that `size` more bytes fit."""
        own = self._own
        if own is None:
            own = self._own = ProcessSpool.created(self.folder)
        while sum(lane.size for lane in self._all()) + size > self.limit:
            lost = next(filter(None, (lane.drop_oldest() for lane in self._all())), 0)
            if not lost:
                raise OSError(0, f"more than {self.limit} bytes wait")
            self.tally.settle(
                dropped=lost,
                error=f"the spool was full ({self.limit} bytes): the oldest were dropped",
            )
        return own

    def _all(self) -> list[ProcessSpool]:
        return self._found if self._own is None else [*self._found, self._own]

    def wait_for_batch(self, flush_interval: float) -> bool:
        """Block until a batch is due: full, old enough, or wanted by a flush.

        False once closed: what waits is kept.
        """
        while True:
            self._look_for_lanes()
            with self.tally.lock:
                waiting = sum(lane.rows for lane in self._all())
                if self.closed:
                    return False
                if waiting == 0:
                    self.hurry = False
                due_in = (
                    None
                    if waiting == 0
                    else self._oldest_since + flush_interval - time.monotonic()
                )
                if waiting and (waiting >= self.batch or self.hurry or self._found):
                    return True
            if due_in is not None and due_in <= 0:
                return True
            self.wait_for_bell(due_in)

    def wait_for_bell(self, seconds: float | None) -> None:
        """Block until something changed or the time is over; sync what was written meanwhile."""
        wait = min(
            LOOK_FOR_LANES_EVERY if seconds is None else seconds,
            SYNC_EVERY if self._dirty else 3600,
        )
        with suppress(Empty):
            self._bell.get(timeout=wait)
        if self._dirty and time.monotonic() - self._synced_at >= SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        """Force what was logged so far onto the disk."""
        with self.tally.lock:
            self._dirty = False
            own = self._own
        self._synced_at = time.monotonic()
        if own is not None:
            own.sync()

    def _look_for_lanes(self) -> None:
        """Take over the lanes of processes that have ended, every now and then."""
        if (
            time.monotonic() - self._looked_at < LOOK_FOR_LANES_EVERY
            or not self.folder.is_dir()
        ):
            return
        self._looked_at = time.monotonic()
        own = {lane.folder for lane in self._all()}
        for folder in sorted(
            path for path in self.folder.iterdir() if path not in own and path.is_dir()
        ):
            lane = ProcessSpool.adopted(folder)
            if lane is None:
                continue
            if not lane.rows:
                lane.let_go()
                continue
            with self.tally.lock:
                self._found.append(lane)
                self.tally.adopt(lane.rows)

    def batches(self) -> list[RequestBatch]:
        """The oldest records that fit into one request of each kind; the same ones as before a crash."""
        with self.tally.lock:
            self._reading = next((lane for lane in self._all() if lane.rows), None)
            self._oldest_since = time.monotonic()
        taken = (
            None
            if self._reading is None
            else self._reading.take(self.batch, self.tally.lock)
        )
        if taken is None:
            self._reading = None
            return []
        if taken.damaged:
            self.tally.settle(
                dropped=taken.damaged,
                error=f"{taken.damaged} records of {self.folder} are damaged",
            )
        found = Gathered()
        for line in taken.lines:
            found.add(*line)
        return found.batches(taken.key)

    def advance(self) -> None:
        """What was taken last is settled: the lane goes on after it, and goes away when that was the end of it."""
        lane = self._reading
        if lane is None:
            return
        lane.advance(self.tally.lock)
        if lane is not self._own and not lane.rows:
            with self.tally.lock:
                self._found.remove(lane)
            lane.let_go()

    def abandon(self, rows: int, error: str) -> None:
        """They stay on disk and count as queued; the next process sends them under the same keys."""
        self.tally.last_error = error

    def keeps(self, status: int) -> bool:
        """True for answers that somebody can put right while the data waits here."""
        return status in MENDABLE

    def ask_to_hurry(self) -> None:
        """Let the sender send what waits now instead of when the batch is due."""
        with self.tally.lock:
            self.hurry = True
        self._bell.put(None)

    def close(self) -> None:
        """Take no more records; what waits stays on disk."""
        with self.tally.lock:
            self.closed = True
        self._bell.put(None)

    def leave(self) -> None:
        """Let go of the lanes, so that another process may send what is left."""
        with self.tally.lock:
            for lane in self._all():
                lane.let_go()
            self._own, self._found = None, []
