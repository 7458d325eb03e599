"""The spool of one process: a folder of append-only files with one writer and one sender.

A process locks its folder for as long as it lives, in whatever way it ends; then
another process adopts the folder. A file `NNNNNNNN.log` has one line a record
(spool_line.py). The file `cursor` records how far all is settled and which bytes are
being sent, so that a batch is the same batch after a restart.
"""

import fcntl
import os
import shutil
import zlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..event_id import new_event_id
from ..request_batch import MAX_BODY_BYTES
from .spool_line import SpoolLine, count_rows, read_line

READ_BYTES = 1 << 20


@dataclass
class SpoolFile:
    """One file: its bytes, and its rows that are not settled yet."""

    size: int = 0
    rows: int = 0


class SpoolCursor(NamedTuple):
    """Bytes `start` to `end` of a file are being sent (none if equal); all before is settled."""

    file: int
    start: int
    end: int


class SpoolRead(NamedTuple):
    """Whole lines from the cursor on, the key of this batch, and the damaged rows."""

    lines: list[SpoolLine]
    key: str
    damaged: int


class ProcessSpool:
    """One folder of the spool, locked by this process.

    One thread may append while another reads from the front.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self._descriptor: int | None = None
        self._newest = SpoolFile()
        self._unsynced: list[int] = []
        self.files: dict[int, SpoolFile] = {}
        self.cursor = SpoolCursor(0, 0, 0)
        self._sending_rows = 0
        self.size = 0  # bytes on disk
        self.rows = 0  # rows that are not settled

    @classmethod
    def create(cls, spool: Path) -> "ProcessSpool":
        """Create a folder for this process."""
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            # an id starts with its time: the names sort by age
            folder = spool / new_event_id()
            folder.mkdir(mode=0o700)
            process_spool = cls._lock_folder(folder)
            # None: another process took the empty folder for that of a dead process
            if process_spool is not None:
                return process_spool

    @classmethod
    def adopt(cls, folder: Path) -> "ProcessSpool | None":
        """Open the folder of a process that has ended; None while that process lives."""
        process_spool = cls._lock_folder(folder)
        if process_spool is not None:
            process_spool._scan()
        return process_spool

    @classmethod
    def _lock_folder(cls, folder: Path) -> "ProcessSpool | None":
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.stat().st_ino == os.fstat(lock).st_ino:
                return cls(folder, lock)
        except OSError:  # locked by a living process, or deleted meanwhile
            pass
        os.close(lock)
        return None

    def _scan(self) -> None:
        """Count the bytes and rows that an earlier process left."""
        self.cursor = _read_cursor(self.folder / "cursor")
        logs = self.folder.glob("*.log")
        for number in sorted(int(log.stem) for log in logs if log.stem.isdigit()):
            data = self._path(number).read_bytes()
            # an unfinished last line was never accepted: a crash cut the write short
            size = data.rfind(b"\n") + 1
            rows = 0
            if number >= self.cursor.file:
                start = self.cursor.start if number == self.cursor.file else 0
                rows = sum(map(count_rows, data[start:size].splitlines()))
            self.files[number] = SpoolFile(size, rows)
            self.size += size
            self.rows += rows

    def append(self, line: bytes, rows: int, max_file_bytes: int) -> None:
        """Write one line; a crash of the process after this loses nothing of it.

        Raises OSError; then nothing was written.
        """
        descriptor, file = self._descriptor, self._newest
        if descriptor is None or file.size >= max_file_bytes:
            descriptor, file = self._open_next_file()
        try:
            written = os.write(descriptor, line)
            while written < len(line):
                written += os.write(descriptor, line[written:])
        except OSError:
            os.ftruncate(descriptor, file.size)
            raise
        file.size += len(line)
        file.rows += rows
        self.size += len(line)
        self.rows += rows

    def _open_next_file(self) -> tuple[int, SpoolFile]:
        number = max(self.files, default=0) + 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL
        descriptor = os.open(self._path(number), flags, 0o600)
        if self._descriptor is not None:
            self._unsynced.append(self._descriptor)
        self._descriptor = descriptor
        self._newest = self.files[number] = SpoolFile()
        return descriptor, self._newest

    def sync(self) -> None:
        """Sync all appended lines to disk: from then on they survive a loss of power."""
        while self._unsynced:
            descriptor = self._unsynced.pop()
            os.fsync(descriptor)
            os.close(descriptor)
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def read_batch(
        self, max_rows: int, lock: AbstractContextManager[Any]
    ) -> SpoolRead | None:
        """Read the next lines and mark them as being sent; None if there is none.

        Lines that were being sent before a crash are read again as the same batch.
        `lock` blocks appending while the place is chosen, not while it is read: the
        caller of log() must not wait.
        """
        with lock:
            file = self._file_to_read()
            if file is None:
                return None
            number, start, end = self.cursor
            resumed = end > start
            stop = end if resumed else file.size
        data = self._read(number, start, stop)
        lines = []
        used = rows = size = damaged = 0
        for raw_line in data.splitlines(keepends=True):
            full = rows >= max_rows or size >= MAX_BODY_BYTES
            if full and used and not resumed:
                break
            used += len(raw_line)
            line = read_line(raw_line)
            if line is None:
                damaged += count_rows(raw_line)
                continue
            lines.append(line)
            rows += line.rows
            size += len(line.body)
        if not used:  # another program cut the file
            used, damaged = stop - start, file.rows
        self._sending_rows = rows + damaged
        self.cursor = SpoolCursor(number, start, start + used)
        self._save_cursor(durable=True)
        # the content is part of the key: lines that differ after a loss of power are
        # another batch
        checksum = zlib.crc32(data[:used])
        key = f"{self.folder.name}-{number}-{start}-{checksum:08x}"
        return SpoolRead(lines, key, damaged)

    def _file_to_read(self) -> SpoolFile | None:
        """Return the file at the cursor; delete files that are settled."""
        while True:
            number = self.cursor.file
            if number not in self.files:
                later = [other for other in self.files if other > number]
                if not later:
                    return None
                self.cursor = SpoolCursor(min(later), 0, 0)
                continue
            file = self.files[number]
            if self.cursor.start < file.size:
                if self.cursor.end > file.size:  # a loss of power took these bytes
                    self.cursor = self.cursor._replace(end=0)
                return file
            if number == max(self.files) and self._descriptor is not None:
                return None
            self._delete_file(number)

    def _read(self, number: int, start: int, end: int) -> bytes:
        """Read whole lines: about READ_BYTES, or all to `end` if they were being sent."""
        resumed = self.cursor.end > start
        with self._path(number).open("rb") as file:
            file.seek(start)
            data = file.read(min(READ_BYTES, end - start))
            while len(data) < end - start and (resumed or b"\n" not in data):
                chunk = file.read(min(READ_BYTES, end - start - len(data)))
                if not chunk:
                    break
                data += chunk
        return data[: data.rfind(b"\n") + 1]

    def advance(self, lock: AbstractContextManager[Any]) -> None:
        """Mark the batch read last as settled; `lock` as in `read_batch`."""
        with lock:
            number, _, end = self.cursor
            self.cursor = SpoolCursor(number, end, end)
            self.files[number].rows -= self._sending_rows
            self.rows -= self._sending_rows
        self._save_cursor(durable=False)

    def drop_oldest(self) -> int:
        """Delete the oldest file that is neither being sent nor written.

        Return the number of rows lost, 0 if there is no such file.
        """
        busy = {self.cursor.file}
        if self._descriptor is not None:
            busy.add(max(self.files))
        for number in sorted(self.files):
            if number not in busy:
                return self._delete_file(number)
        return 0

    def _delete_file(self, number: int) -> int:
        self._path(number).unlink(missing_ok=True)
        file = self.files.pop(number)
        self.size -= file.size
        self.rows -= file.rows
        return file.rows

    def release(self) -> None:
        """Unlock the folder for another process; delete it if all rows are settled."""
        self.sync()
        if not self.rows:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.close_descriptors()

    def close_descriptors(self) -> None:
        """Close the files; in a forked child the folder still belongs to the parent."""
        os.close(self._lock)
        for descriptor in self._unsynced:
            os.close(descriptor)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._unsynced = None, []

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.log"

    def _save_cursor(self, durable: bool) -> None:
        content = b"%d %d %d" % self.cursor
        new = self.folder / "cursor.new"
        with new.open("wb") as file:
            file.write(b"%08x %s\n" % (zlib.crc32(content), content))
            file.flush()
            if durable:
                os.fsync(file.fileno())
        new.replace(self.folder / "cursor")


def _read_cursor(path: Path) -> SpoolCursor:
    try:
        checksum, _, content = path.read_bytes().rstrip(b"\n").partition(b" ")
        if checksum == b"%08x" % zlib.crc32(content):
            number, start, end = map(int, content.split())
            return SpoolCursor(number, start, end)
    except (OSError, ValueError):
        pass
    # no cursor, or one cut short: all is sent again, and the server stores it once
    return SpoolCursor(0, 0, 0)
