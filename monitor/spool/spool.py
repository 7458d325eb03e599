"""The spool: append-only, checksummed, synced files of accepted rows that survive a crash.

A spool file (segment) is a file `NNNNNNNN.spool` of records (see record.py). A position
is (segment, offset): everything before it has been read.
"""

import logging
import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from monitor.errors import Overloaded, StorageError
from monitor.spool.record import (
    Damage,
    NewRecord,
    Record,
    SpoolPosition,
    WriteBatch,
    parse_header,
)

log = logging.getLogger("driftdeck.spool")

SEGMENT_BYTES = 32 << 20
MIN_FREE_BYTES = 64 << 20  # of the disk
FREE_CHECK_BYTES = 16 << 20  # appended between two checks of the disk
READ_AHEAD_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 20
MAX_PARTS = 1000  # of one writev; the system's limit is 1024
POLL_S = 0.002
SPOOL_FULL = "the loader is behind and the spool is full"
PROBE_EVERY_S = 1.0  # while writes fail
PROBE_BYTES = 64 << 10
RETRY_S = 5  # what a client is asked to wait
RETRY_DISK_S = 30


class Spool:
    """The spool of one data directory; one process owns it.

    Appending is safe from several threads.
    """

    def __init__(self, folder: Path, capacity: int = 1 << 30, read: int = 0) -> None:
        """Begin a new spool file after those on disk, and after the number `read`.

        `read` is the newest file that was ever read from. Raises StorageError.
        """
        self.folder = folder
        self.capacity = capacity
        self.damage: list[Damage] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._wake = threading.Condition()
        self._releasing = threading.Lock()
        self._closed = False
        segments = self.segments()
        self._segment = max([read, *segments]) + 1
        self._offset = 0  # of the next record, in the newest file
        self._bytes = sum(self._path(s).stat().st_size for s in segments)
        self._unchecked = FREE_CHECK_BYTES
        self._batch = WriteBatch(self._segment)
        self._sealed: list[WriteBatch] = []
        self._truncate = False  # a failed write left bytes after the synced ones
        self.failures = 0  # of writes; each refused all that was not on disk
        # why the last write failed; None once one holds
        self._write_problem: str | None = None
        self.synced = SpoolPosition(self._segment, 0)
        try:
            # from here on only the writing thread uses it
            self._file = self._open(self._segment)
        except OSError as error:
            raise StorageError(
                f"cannot write in {folder}: {error.strerror}; check its owner and mode"
            ) from None
        self._writer = threading.Thread(
            target=self._write_loop, name="spool-write", daemon=True
        )
        self._writer.start()

    def append(
        self, *records: NewRecord, after_failures: int | None = None
    ) -> "Future[None]":
        """Append the records of one request; the future is done when all are on disk.

        Either all of them reach the disk, or the future has the error and none does.
        Raises Overloaded when the spool or the disk is full, and when a write failed
        since the caller read `failures` as `after_failures`: what the records rest on
        may be lost.
        """
        size = sum(record.bytes for record in records)
        with self._wake:
            self.check_room(size)
            if after_failures is not None and after_failures != self.failures:
                raise Overloaded(
                    "an earlier write to the spool failed meanwhile; send again",
                    RETRY_S,
                )
            if self._offset >= SEGMENT_BYTES:
                self._roll()
            batch = self._batch
            if not batch.records:
                self._wake.notify()
            for record in records:
                batch.add(record)
            self._offset += size
            self._bytes += size
        return batch

    def records(
        self, start: SpoolPosition, limit_bytes: int = 64 << 20
    ) -> Iterator[Record]:
        """Yield the synced records after `start`, in order, up to about `limit_bytes`."""
        budget = limit_bytes
        end = self.synced
        for segment in self.segments():
            if not start.segment <= segment <= end.segment:
                continue
            offset = start.offset if segment == start.segment else 0
            stop = end.offset if segment == end.segment else None
            for record in self._read(segment, offset, stop):
                yield record
                budget -= len(record.payload)
                if budget <= 0:
                    return

    def release(self, until: SpoolPosition) -> None:
        """Delete finished files wholly before `until`: their rows are in the database."""
        with self._releasing:
            for segment in self.segments():
                size = self._path(segment).stat().st_size
                last = segment == until.segment and size <= until.offset
                if (last or segment < until.segment) and segment < self.synced.segment:
                    self._path(segment).unlink()
                    with self._wake:
                        self._bytes -= size

    @property
    def half_full(self) -> bool:
        """True when finished files, loaded or not, fill half of the capacity."""
        return self._bytes - self._offset > self.capacity / 2

    def roll(self) -> None:
        """Begin a new file, so that the current one can be released once it is loaded."""
        with self._wake:
            if not self._offset:
                return
            self._roll()
            self._wake.notify()
            begun = self._batch
        while self.synced.segment < begun.segment and not begun.done():
            time.sleep(POLL_S)  # until the writing thread has opened it

    def pending_bytes(self, position: SpoolPosition) -> int:
        """Return the bytes after `position`, which are not loaded yet."""
        total = 0
        for segment in self.segments():
            if segment >= position.segment:
                total += self._path(segment).stat().st_size
            if segment == position.segment:
                total -= position.offset
        return max(0, total)

    def segments(self) -> list[int]:
        """Return the numbers of the spool files on disk, oldest first."""
        paths = self.folder.glob("*.spool")
        return sorted(int(path.stem) for path in paths if path.stem.isdigit())

    def close(self) -> None:
        """Write and sync what was appended, and stop."""
        with self._wake:
            if self._closed:
                return
            self._closed = True
            self._wake.notify()
        self._writer.join()
        os.close(self._file)
        if self.synced.offset == 0:
            self._path(self.synced.segment).unlink(missing_ok=True)

    def problem(self) -> str | None:
        """Return why rows are not accepted; None when they are."""
        if self._write_problem is not None:
            return self._write_problem
        path = self._path(self.synced.segment)
        # the writing thread may be about to open the next file
        if not path.exists() and path == self._path(self.synced.segment):
            return f"the spool file {path.name} was deleted; restart the server"
        if self._bytes > 0.99 * self.capacity:
            return SPOOL_FULL
        return self._disk_problem(0)

    def check_room(self, size: int) -> None:
        """Raise Overloaded when `size` more bytes do not fit.

        Also when the disk is full, or the spool is closed.
        """
        if self._closed:
            raise Overloaded("the server is stopping; send again in a moment", RETRY_S)
        if self._bytes + size > self.capacity:
            raise Overloaded(f"{SPOOL_FULL}; send again later", RETRY_S)
        self._unchecked += size
        if self._unchecked >= FREE_CHECK_BYTES:
            self._unchecked = 0
            problem = self._disk_problem(size)
            if problem is not None:
                self._unchecked = FREE_CHECK_BYTES
                raise Overloaded(f"{problem}, then send again", RETRY_DISK_S)

    def _disk_problem(self, size: int) -> str | None:
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            return f"the folder of the spool cannot be read ({error.strerror})"
        if free >= MIN_FREE_BYTES + size:
            return None
        return f"less than {MIN_FREE_BYTES >> 20} MB of disk are free; make room"

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:08d}.spool"

    def _open(self, segment: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL
        file = os.open(self._path(segment), flags, 0o600)
        try:
            _sync_folder(self.folder)
        except OSError:
            os.close(file)
            self._path(segment).unlink(missing_ok=True)  # it is opened again then
            raise
        return file

    def _roll(self) -> None:
        self._sealed.append(self._batch)
        self._segment += 1
        self._offset = 0
        self._batch = WriteBatch(self._segment)

    def _write_loop(self) -> None:
        while True:
            with self._wake:
                while not (self._sealed or self._batch.records or self._closed):
                    if not self._wake.wait(
                        PROBE_EVERY_S if self._write_problem else None
                    ):
                        break
                batches = [*self._sealed, self._batch]
                if self._closed and not any(batch.records for batch in batches):
                    return
                self._sealed, self._batch = [], WriteBatch(self._segment)
            for i, batch in enumerate(batches):
                try:
                    self._write(batch)
                    if self._write_problem and not batch.records:
                        self._probe()
                    self._write_problem = None
                # whatever it is, the batch fails and the thread lives on
                except Exception as problem:
                    self._fail(batches[i:], problem)
                    break
                # the future lives on in cached responses, its bytes must not
                batch.records = []
                batch.set_result(None)

    def _write(self, batch: WriteBatch) -> None:
        if self._truncate:
            self._discard_unsynced()
        if batch.segment != self.synced.segment:
            file = self._open(batch.segment)
            os.close(self._file)
            self._file, self.synced = file, SpoolPosition(batch.segment, 0)
        if not batch.records:
            return
        parts = [part for record in batch.records for part in record.parts()]
        self._truncate = True
        for i in range(0, len(parts), MAX_PARTS):
            _write_all(self._file, parts[i : i + MAX_PARTS])
        os.fdatasync(self._file)
        self._check_linked()
        self._truncate = False
        size = sum(map(len, parts))
        with self._wake:
            self._bytes += size - batch.bytes
        self.synced = SpoolPosition(batch.segment, self.synced.offset + size)

    def _probe(self) -> None:
        """Write and sync a page, and cut it off again: raises the error of a full disk."""
        self._truncate = True
        _write_all(self._file, [bytes(PROBE_BYTES)])
        os.fdatasync(self._file)
        self._check_linked()
        self._discard_unsynced()

    def _check_linked(self) -> None:
        """Raise StorageError when the file was deleted: its bytes would be lost."""
        if not os.fstat(self._file).st_nlink:
            name = self._path(self.synced.segment).name
            raise StorageError(f"{name} was deleted")

    def _discard_unsynced(self) -> None:
        """Cut the file after the synced records. Raises OSError, and is tried again then.

        Nothing may be written behind records that were refused: they would be read.
        """
        os.ftruncate(self._file, self.synced.offset)
        os.fdatasync(self._file)
        self._truncate = False

    def _fail(self, batches: list[WriteBatch], problem: Exception) -> None:
        """Refuse these batches and all appended meanwhile; go on after the synced ones."""
        with self._wake:
            self.failures += 1
            batches = [*batches, *self._sealed, self._batch]
            self._bytes -= sum(batch.bytes for batch in batches)
            self._segment, self._offset = self.synced
            self._sealed, self._batch = [], WriteBatch(self._segment)
        if self._truncate:
            with suppress(OSError):
                self._discard_unsynced()
        sentence = _sentence(problem)
        if sentence != self._write_problem:
            log.error("%s", sentence, exc_info=not isinstance(problem, OSError))
        self._write_problem = sentence
        for batch in batches:
            batch.records = []
            batch.set_exception(Overloaded(sentence, RETRY_DISK_S))

    def _read(self, segment: int, offset: int, stop: int | None) -> Iterator[Record]:
        path = self._path(segment)
        size = path.stat().st_size if stop is None else stop
        with path.open("rb", buffering=READ_AHEAD_BYTES) as file:
            file.seek(offset)
            while offset < size:
                line = file.readline(MAX_HEADER_BYTES)
                header = parse_header(line)
                payload = file.read(header["bytes"]) if header else b""
                if header is None or not _is_whole(header, payload):
                    at_tail = segment == self.segments()[-1]
                    damage = Damage(segment, offset, size - offset, at_tail)
                    if damage not in self.damage:
                        self.damage.append(damage)
                    return
                offset += len(line) + len(payload)
                yield Record(header, payload, SpoolPosition(segment, offset))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sentence(problem: Exception) -> str:
    """Return why the spool cannot be written, and what to do."""
    if isinstance(problem, OSError):
        reason = problem.strerror or str(problem)
        return (
            f"the spool cannot be written ({reason}); free disk space, then send again"
        )
    reason = str(problem) or type(problem).__name__
    return (
        f"the spool cannot be written ({reason}); restart the server, then send again"
    )


def _is_whole(header: dict[str, Any], payload: bytes) -> bool:
    return len(payload) == header["bytes"] and zlib.crc32(payload) == header["crc"]


def _write_all(file: int, parts: list[bytes]) -> None:
    """Write all parts, one after the other, without joining megabytes first."""
    total = sum(map(len, parts))
    written = os.writev(file, parts)
    if written < total:  # a signal or a full disk: go on, or raise the error
        unwritten = memoryview(b"".join(parts))[written:]
        while unwritten:
            unwritten = unwritten[os.write(file, unwritten) :]
