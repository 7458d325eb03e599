"""One process's part of the spool: a folder of append-only files that nobody else writes or sends.

A lane is held by a lock on its folder for as long as its process lives, however that
ends; then another process adopts it. A file `NNNNNNNN.log` has one line a record
(line.py). The file `cursor` says how far all before was sent and which bytes are under
way, so that a batch is the same batch after a restart.
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
from .spool_line import Line, read_line, rows_of

_FIRST_READ = 1 << 20


@dataclass
class Segment:
    """One file: its bytes, and the rows in it that are not settled yet."""

    size: int = 0
    rows: int = 0


class Cursor(NamedTuple):
    """Bytes `start` to `end` of `segment` are under way (none if equal); all before is settled."""

    segment: int
    start: int
    end: int


class SpoolRead(NamedTuple):
    """Some whole lines from the cursor on, a name that is theirs alone, and rows that were found damaged."""

    lines: list[Line]
    key: str
    damaged: int


class ProcessSpool:
    """One lane, locked.

    Appending, and reading from the front, may happen in two threads.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self._file: int | None = None
        self._newest = Segment()
        self._unsynced: list[int] = []
        self.segments: dict[int, Segment] = {}
        self.cursor = Cursor(0, 0, 0)
        self._taken_rows = 0
        self.size = 0  # bytes on disk
        self.rows = 0  # rows that are not settled

    @classmethod
    def created(cls, spool: Path) -> "ProcessSpool":
        """A new lane of this process."""
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            # time comes first in it: the names sort by age
            folder = spool / new_event_id()
            folder.mkdir(mode=0o700)
            if (lane := cls._locked(folder)) is not None:
                # otherwise another process took the empty folder for a dead one's
                return lane

    @classmethod
    def adopted(cls, folder: Path) -> "ProcessSpool | None":
        """The lane of a process that has ended; None while its process lives."""
        lane = cls._locked(folder)
        if lane is not None:
            lane._survey()
        return lane

    @classmethod
    def _locked(cls, folder: Path) -> "ProcessSpool | None":
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.stat().st_ino == os.fstat(lock).st_ino:
                return cls(folder, lock)
        except OSError:  # held by a living process, or gone meanwhile
            pass
        os.close(lock)
        return None

    def _survey(self) -> None:
        self.cursor = _read_cursor(self.folder / "cursor")
        for number in sorted(
            int(p.stem) for p in self.folder.glob("*.log") if p.stem.isdigit()
        ):
            start = self.cursor.start if number == self.cursor.segment else 0
            data = self._path(number).read_bytes()
            # what follows was never acknowledged: a write that a crash cut short
            whole = data.rfind(b"\n") + 1
            rows = (
                sum(map(rows_of, data[start:whole].splitlines()))
                if number >= self.cursor.segment
                else 0
            )
            self.segments[number] = Segment(whole, rows)
            self.size += whole
            self.rows += rows

    def append(self, line: bytes, rows: int, segment_bytes: int) -> None:
        """Write one line; a crash of the process after this loses nothing of it.

        Raises OSError, having written none.
        """
        file, segment = self._file, self._newest
        if file is None or segment.size >= segment_bytes:
            file, segment = self._roll()
        try:
            written = os.write(file, line)
            while written < len(line):
                written += os.write(file, line[written:])
        except OSError:
            os.ftruncate(file, segment.size)
            raise
        segment.size += len(line)
        segment.rows += rows
        self.size += len(line)
        self.rows += rows

    def _roll(self) -> tuple[int, Segment]:
        number = max(self.segments, default=0) + 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL
        file = os.open(self._path(number), flags, 0o600)
        if self._file is not None:
            self._unsynced.append(self._file)
        self._file = file
        self._newest = self.segments[number] = Segment()
        return file, self._newest

    def sync(self) -> None:
        """Force what was appended onto the disk itself: from now on it outlives a loss of power, too."""
        while self._unsynced:
            file = self._unsynced.pop()
            os.fsync(file)
            os.close(file)
        if self._file is not None:
            os.fsync(self._file)

    def take(
        self, most_rows: int, lock: AbstractContextManager[Any]
    ) -> SpoolRead | None:
        """The next lines, from now on under way: the very ones that were under way before a crash, if any. None: empty.

        `lock` keeps appending out while the place is chosen, not while it is read: the
        caller of log() must not wait.
        """
        with lock:
            segment = self._segment_to_read()
            if segment is None:
                return None
            number, start, end = self.cursor
            stop = end if end > start else segment.size
        data = self._read(number, start, stop)
        lines, used, rows, size, damaged = [], 0, 0, 0, 0
        for line in data.splitlines(keepends=True):
            if end <= start and used and (rows >= most_rows or size >= MAX_BODY_BYTES):
                break
            used += len(line)
            found = read_line(line)
            if found is None:
                damaged += rows_of(line)
                continue
            lines.append(found)
            rows += found.rows
            size += len(found.body)
        if not used:  # somebody else cut the file
            used, damaged = stop - start, segment.rows
        self._taken_rows = rows + damaged
        self.cursor = Cursor(number, start, start + used)
        self._save_cursor(durable=True)
        # the content is part of the name: lines that differ after a loss of power are
        # another batch
        return SpoolRead(
            lines,
            f"{self.folder.name}-{number}-{start}-{zlib.crc32(data[:used]):08x}",
            damaged,
        )

    def _segment_to_read(self) -> Segment | None:
        while True:
            number = self.cursor.segment
            if number not in self.segments:
                later = [n for n in self.segments if n > number]
                if not later:
                    return None
                self.cursor = Cursor(min(later), 0, 0)
                continue
            segment = self.segments[number]
            if self.cursor.start < segment.size:
                if self.cursor.end > segment.size:  # bytes that a loss of power took
                    self.cursor = self.cursor._replace(end=0)
                return segment
            if number == max(self.segments) and self._file is not None:
                return None
            self._forget(number)

    def _read(self, number: int, start: int, end: int) -> bytes:
        with self._path(number).open("rb") as file:
            file.seek(start)
            data = file.read(min(_FIRST_READ, end - start))
            while len(data) < end - start and (
                b"\n" not in data or self.cursor.end > start
            ):
                more = file.read(min(_FIRST_READ, end - start - len(data)))
                if not more:
                    break
                data += more
        return data[: data.rfind(b"\n") + 1]

    def advance(self, lock: AbstractContextManager[Any]) -> None:
        """What was taken is settled; `lock` as in `take`."""
        with lock:
            number, _, end = self.cursor
            self.cursor = Cursor(number, end, end)
            self.segments[number].rows -= self._taken_rows
            self.rows -= self._taken_rows
        self._save_cursor(durable=False)

    def drop_oldest(self) -> int:
        """Delete the oldest file that is neither being sent nor written; the rows lost, 0 if there is none."""
        written = max(self.segments) if self._file is not None else None
        found = [
            n for n in sorted(self.segments) if n not in (self.cursor.segment, written)
        ]
        return self._forget(found[0]) if found else 0

    def _forget(self, number: int) -> int:
        self._path(number).unlink(missing_ok=True)
        gone = self.segments.pop(number)
        self.size -= gone.size
        self.rows -= gone.rows
        return gone.rows

    def let_go(self) -> None:
        """Unlock; the folder stays for whoever comes next, or goes if nothing is left in it."""
        self.sync()
        if not self.rows:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.forget_descriptors()

    def forget_descriptors(self) -> None:
        """Close what this process has open, and nothing else: in a forked child the lane is still the parent's."""
        for file in (
            self._lock,
            *self._unsynced,
            *(() if self._file is None else (self._file,)),
        ):
            os.close(file)
        self._file, self._unsynced = None, []

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.log"

    def _save_cursor(self, durable: bool) -> None:
        about = b"%d %d %d" % self.cursor
        new = self.folder / "cursor.new"
        with new.open("wb") as file:
            file.write(b"%08x %s\n" % (zlib.crc32(about), about))
            file.flush()
            if durable:
                os.fsync(file.fileno())
        new.replace(self.folder / "cursor")


def _read_cursor(path: Path) -> Cursor:
    try:
        checksum, _, about = path.read_bytes().rstrip(b"\n").partition(b" ")
        if checksum == b"%08x" % zlib.crc32(about):
            segment, start, end = map(int, about.split())
            return Cursor(segment, start, end)
    except (OSError, ValueError):
        pass
    # none, or cut short: everything is sent again, and the server stores it once
    return Cursor(0, 0, 0)
