"""Backlog on disk: records survive the process and are sent in order later.

The spool is a folder with one folder for each process that logs (process_spool.py). A
process first sends what processes that have ended left, the oldest first, then its own.
"""

import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from ..counters import Counters
from ..request_batch import BatchBuilder, RequestBatch
from .process_spool import ProcessSpool
from .spool_line import spool_line

SYNC_INTERVAL_S = 1.0  # the time that a loss of power may cost
ADOPTION_INTERVAL_S = 30.0
MAX_SYNC_WAIT_S = 3600.0
MIN_SPOOL_BYTES = 1_000_000
MAX_FILE_BYTES = 4_000_000
# an operator can correct these on the server while the spool keeps the data: keys, an
# address, a limit
CORRECTABLE_STATUSES = {401, 403, 404, 407}


class DiskBacklog:
    """At most `limit` bytes on disk; a full spool drops and counts its oldest file.

    The oldest, not the newest: after days without a network the present is more useful
    than the past, and a whole file is deleted at once, so that logging never waits.
    `put` returns when the record is in the file: a crash of the process, kill -9
    included, loses nothing of it. A loss of power loses at most what was logged since
    the last sync.
    """

    def __init__(self, folder: Path, limit: int, batch: int) -> None:
        if limit < MIN_SPOOL_BYTES:
            raise ValueError(
                f"spool_bytes = {limit!r} is too small; at least {MIN_SPOOL_BYTES:,}"
            )
        self.folder = folder
        self.limit = limit
        self.batch = batch
        self._max_file_bytes = min(MAX_FILE_BYTES, limit // 16)
        self._own: ProcessSpool | None = None
        self._adopted: list[ProcessSpool] = []
        self.reset()

    def reset(self) -> None:
        """Start without the parent's folder, counts and lock, in a forked child."""
        self.counters = Counters()
        self._wake: SimpleQueue[None] = SimpleQueue()
        for process_spool in self._all_spools():
            process_spool.close_descriptors()
        self._own, self._adopted = None, []
        self._reading: ProcessSpool | None = None
        self._oldest_since = 0.0
        self._synced_at = -1e9
        self._adopted_at = -1e9
        self._dirty = False
        self.closed = False
        self.flush_requested = False

    def pending(self) -> bool:
        """True if another process left records: sending begins before the first new one."""
        self._adopt_spools()
        return bool(self._adopted)

    def put(self, path: str, record: dict[str, Any] | bytes, rows: int) -> bool:
        """Write a record to the file; False if it was dropped because of the disk."""
        line = spool_line(path, record, rows)
        counters = self.counters
        with counters.lock:
            if self.closed:
                counters.drop_unqueued(rows)
                return False
            try:
                own = self._own
                if own is None or self._adopted or own.size + len(line) > self.limit:
                    own = self._spool_with_room(len(line))
                before = own.rows
                own.append(line, rows, self._max_file_bytes)
            except OSError as problem:
                error = f"the spool {self.folder} cannot be written: {problem.strerror}"
                counters.drop_unqueued(rows, error)
                return False
            counters.logged += rows
            counters.entered += rows
            self._dirty = True
            if before == 0:
                self._oldest_since = time.monotonic()
        if before == 0 or before < self.batch <= before + rows:
            self._wake.put(None)
        return True

    def _spool_with_room(self, size: int) -> ProcessSpool:
        """Return the own spool, after dropping old files until `size` more bytes fit."""
        own = self._own
        if own is None:
            own = self._own = ProcessSpool.create(self.folder)
        while self._size() + size > self.limit:
            lost = self._drop_oldest()
            if not lost:
                raise OSError(0, f"more than {self.limit} bytes wait")
            error = f"the spool was full ({self.limit} bytes): the oldest were dropped"
            self.counters.settle(dropped=lost, error=error)
        return own

    def _size(self) -> int:
        return sum(process_spool.size for process_spool in self._all_spools())

    def _drop_oldest(self) -> int:
        """Drop the oldest file of the oldest spool that has one; return its rows."""
        for process_spool in self._all_spools():
            lost = process_spool.drop_oldest()
            if lost:
                return lost
        return 0

    def _all_spools(self) -> list[ProcessSpool]:
        return self._adopted if self._own is None else [*self._adopted, self._own]

    def wait_for_batch(self, flush_interval: float) -> bool:
        """Block until a batch is due: full, old enough, or requested by a flush.

        False once closed: the waiting records stay on disk.
        """
        while True:
            self._adopt_spools()
            due_in = None
            with self.counters.lock:
                waiting = sum(spool.rows for spool in self._all_spools())
                if self.closed:
                    return False
                if waiting == 0:
                    self.flush_requested = False
                else:
                    due_at = self._oldest_since + flush_interval
                    due_in = due_at - time.monotonic()
                    full = waiting >= self.batch
                    if full or self.flush_requested or self._adopted:
                        return True
            if due_in is not None and due_in <= 0:
                return True
            self.wait_for_change(due_in)

    def wait_for_change(self, seconds: float | None) -> None:
        """Block until a record, a flush or the end arrives, or the time is over.

        Sync what was written meanwhile.
        """
        wait_s = ADOPTION_INTERVAL_S if seconds is None else seconds
        max_wait_s = SYNC_INTERVAL_S if self._dirty else MAX_SYNC_WAIT_S
        with suppress(Empty):
            self._wake.get(timeout=min(wait_s, max_wait_s))
        if self._dirty and time.monotonic() - self._synced_at >= SYNC_INTERVAL_S:
            self.sync()

    def sync(self) -> None:
        """Sync all records logged so far to disk."""
        with self.counters.lock:
            self._dirty = False
            own = self._own
        self._synced_at = time.monotonic()
        if own is not None:
            own.sync()

    def _adopt_spools(self) -> None:
        """Adopt the spools of processes that have ended, from time to time."""
        now = time.monotonic()
        if now - self._adopted_at < ADOPTION_INTERVAL_S or not self.folder.is_dir():
            return
        self._adopted_at = now
        open_folders = {spool.folder for spool in self._all_spools()}
        for folder in sorted(self.folder.iterdir()):
            if folder in open_folders or not folder.is_dir():
                continue
            process_spool = ProcessSpool.adopt(folder)
            if process_spool is None:
                continue
            if not process_spool.rows:
                process_spool.release()
                continue
            with self.counters.lock:
                self._adopted.append(process_spool)
                self.counters.adopt(process_spool.rows)

    def batches(self) -> list[RequestBatch]:
        """Return the oldest records that fit into one request of each kind.

        After a crash they are the same ones as before.
        """
        with self.counters.lock:
            with_rows = (spool for spool in self._all_spools() if spool.rows)
            reading = self._reading = next(with_rows, None)
            self._oldest_since = time.monotonic()
        read = None
        if reading is not None:
            read = reading.read_batch(self.batch, self.counters.lock)
        if read is None:
            self._reading = None
            return []
        if read.damaged:
            error = f"{read.damaged} records of {self.folder} are damaged"
            self.counters.settle(dropped=read.damaged, error=error)
        builder = BatchBuilder()
        for line in read.lines:
            builder.add(*line)
        return builder.batches(read.key)

    def advance(self) -> None:
        """Mark the last batches as settled; release an adopted spool without more rows."""
        reading = self._reading
        if reading is None:
            return
        reading.advance(self.counters.lock)
        if reading is not self._own and not reading.rows:
            with self.counters.lock:
                self._adopted.remove(reading)
            reading.release()

    def abandon(self, rows: int, error: str) -> None:
        """Leave rows on disk, counted as queued; the next process sends them."""
        self.counters.last_error = error

    def keeps(self, status: int) -> bool:
        """True for a status whose cause an operator can correct while the data waits."""
        return status in CORRECTABLE_STATUSES

    def request_flush(self) -> None:
        """Make the sender send the waiting records now, not when the batch is due."""
        with self.counters.lock:
            self.flush_requested = True
        self._wake.put(None)

    def close(self) -> None:
        """Accept no more records; those that wait stay on disk."""
        with self.counters.lock:
            self.closed = True
        self._wake.put(None)

    def release(self) -> None:
        """Release the folders, so that another process may send what remains."""
        with self.counters.lock:
            for process_spool in self._all_spools():
                process_spool.release()
            self._own, self._adopted = None, []
