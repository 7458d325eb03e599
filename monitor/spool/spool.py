"""What was acknowledged: append-only, checksummed, synced segments that the loader reads and that outlive a crash.

A segment is a file `NNNNNNNN.spool` of frames (see frame.py). A position is (segment,
offset): everything before it has been read.
"""

import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from monitor.errors import Overloaded, StorageError
from monitor.spool.record import (
    HEAD_BYTES,
    Damage,
    Record,
    SpoolPosition,
    WriteBatch,
    header_in,
)

SEGMENT_BYTES = 32 << 20
FREE_FLOOR = 64 << 20
CHECK_FREE_EVERY = 16 << 20
READ_AHEAD = 1 << 20
MAX_PARTS = 1000  # of one writev; the system's limit is 1024


class Spool:
    """The spool of one data directory; one process owns it.

    Appending is safe from several threads.
    """

    def __init__(self, folder: Path, capacity: int = 1 << 30, read: int = 0) -> None:
        """Goes on in a segment of its own, after those on disk and after `read`, the newest that was ever read from."""
        self.folder = folder
        self.capacity = capacity
        self.damage: list[Damage] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._wake = threading.Condition()
        self._closed = False
        segments = self.segments()
        self._segment = max([read, *segments]) + 1
        self._offset = 0  # of the next frame, in the newest segment
        self._held = sum(self._path(s).stat().st_size for s in segments)
        self._unchecked = CHECK_FREE_EVERY
        self._group = WriteBatch(self._segment)
        self._sealed: list[WriteBatch] = []
        self.synced = SpoolPosition(self._segment, 0)
        try:
            # from here on the writing thread's alone
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
        self, header: dict[str, Any], payload: bytes, rows: int = 0
    ) -> "Future[None]":
        """Add one frame; the future is done when it is on disk. Raises Overloaded when the spool or the disk is full.

        A payload of `rows` may share a frame with those before it that have the same
        header: `rows` in it is their sum.
        """
        size = HEAD_BYTES + len(payload)
        with self._wake:
            self.check_room(size)
            if self._offset >= SEGMENT_BYTES:
                self._roll()
            group = self._group
            if not group.frames:
                self._wake.notify()
            group.add(header, payload, rows)
            group.bytes += size
            self._offset += size
            self._held += size
        return group

    def frames(
        self, start: SpoolPosition, limit_bytes: int = 64 << 20
    ) -> Iterator[Record]:
        """The synced frames after `start`, in order, until about `limit_bytes` were read."""
        budget = limit_bytes
        end = self.synced
        for segment in [
            s for s in self.segments() if start.segment <= s <= end.segment
        ]:
            offset = start.offset if segment == start.segment else 0
            stop = end.offset if segment == end.segment else None
            for frame in self._read(segment, offset, stop):
                yield frame
                budget -= len(frame.payload)
                if budget <= 0:
                    return

    def release(self, until: SpoolPosition) -> None:
        """Delete finished segments that lie wholly before `until`: their rows are in the database and on disk."""
        for segment in self.segments():
            size = self._path(segment).stat().st_size
            read = segment < until.segment or (
                segment == until.segment and size <= until.offset
            )
            if read and segment < self.synced.segment:
                self._path(segment).unlink()
                with self._wake:
                    self._held -= size

    @property
    def half_full(self) -> bool:
        """True when finished segments, loaded or not, fill half of the capacity: time to release some."""
        return self._held - self._offset > self.capacity / 2

    def roll(self) -> None:
        """Begin a new segment, so that the current one can be released once it is loaded."""
        with self._wake:
            if not self._offset:
                return
            self._roll()
            self._wake.notify()
            begun = self._group
        while self.synced.segment < begun.segment and not begun.done():
            time.sleep(0.002)  # until the writing thread has opened it

    def pending_bytes(self, position: SpoolPosition) -> int:
        """Bytes after `position`: what the loader still has to read."""
        total = 0
        for segment in self.segments():
            if segment >= position.segment:
                size = self._path(segment).stat().st_size
                total += size - (position.offset if segment == position.segment else 0)
        return max(0, total)

    def segments(self) -> list[int]:
        """The numbers of the segments on disk, oldest first."""
        return sorted(
            int(p.stem) for p in self.folder.glob("*.spool") if p.stem.isdigit()
        )

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

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:08d}.spool"

    def _open(self, segment: int) -> int:
        fd = os.open(
            self._path(segment),
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL,
            0o600,
        )
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return fd

    def check_room(self, size: int) -> None:
        """Raises Overloaded when `size` more bytes do not fit, or the disk is full, or the server is stopping."""
        if self._closed:
            raise Overloaded("the server is stopping; send again in a moment", 5)
        if self._held + size > self.capacity:
            raise Overloaded(
                "the loader is behind and the spool is full; send again later", 5
            )
        self._unchecked += size
        if self._unchecked >= CHECK_FREE_EVERY:
            self._unchecked = 0
            if shutil.disk_usage(self.folder).free < FREE_FLOOR + size:
                self._unchecked = CHECK_FREE_EVERY
                raise Overloaded(
                    f"less than {FREE_FLOOR >> 20} MB of disk are free; make room, then send again",
                    30,
                )

    def _roll(self) -> None:
        self._sealed.append(self._group)
        self._segment += 1
        self._offset = 0
        self._group = WriteBatch(self._segment)

    def _write_loop(self) -> None:
        while True:
            with self._wake:
                while not self._sealed and not self._group.frames and not self._closed:
                    self._wake.wait()
                groups = [*self._sealed, self._group]
                if self._closed and not any(group.frames for group in groups):
                    return
                self._sealed, self._group = [], WriteBatch(self._segment)
            for i, group in enumerate(groups):
                try:
                    self._write(group)
                except OSError as problem:
                    self._fail(groups[i:], problem)
                    break
                # the future lives on in answers that are remembered, the bytes must not
                group.frames = []
                group.set_result(None)

    def _write(self, group: WriteBatch) -> None:
        if group.segment != self.synced.segment:
            following = self._open(group.segment)
            os.close(self._file)
            self._file, self.synced = following, SpoolPosition(group.segment, 0)
        if group.frames:
            parts = [part for frame in group.frames for part in frame.parts()]
            for i in range(0, len(parts), MAX_PARTS):
                _write_all(self._file, parts[i : i + MAX_PARTS])
            os.fdatasync(self._file)
            size = sum(map(len, parts))
            with self._wake:
                self._held += size - group.bytes
            self.synced = SpoolPosition(group.segment, self.synced.offset + size)

    def _fail(self, groups: list[WriteBatch], problem: OSError) -> None:
        """Nothing of these groups counts, nor of what was appended meanwhile: the spool goes on after what is synced."""
        with self._wake:
            groups = [*groups, *self._sealed, self._group]
            self._held -= sum(group.bytes for group in groups)
            self._segment, self._offset = self.synced
            try:
                os.ftruncate(self._file, self._offset)
            except OSError:  # what was half written stays, and is reported as damage
                self._segment, self._offset = self.synced.segment + 1, 0
            self._sealed, self._group = [], WriteBatch(self._segment)
        sentence = f"the spool cannot be written ({problem.strerror}); free disk space, then send again"
        for group in groups:
            group.frames = []
            group.set_exception(Overloaded(sentence, 30))

    def _read(self, segment: int, offset: int, stop: int | None) -> Iterator[Record]:
        path = self._path(segment)
        size = path.stat().st_size if stop is None else stop
        with path.open("rb", buffering=READ_AHEAD) as file:
            file.seek(offset)
            while offset < size:
                line = file.readline(1 << 20)
                header = header_in(line)
                payload = file.read(header["bytes"]) if header else b""
                if (
                    header is None
                    or len(payload) != header["bytes"]
                    or zlib.crc32(payload) != header["crc"]
                ):
                    self._report(
                        Damage(
                            segment,
                            offset,
                            size - offset,
                            at_tail=segment == self.segments()[-1],
                        )
                    )
                    return
                offset += len(line) + len(payload)
                yield Record(header, payload, SpoolPosition(segment, offset))

    def _report(self, damage: Damage) -> None:
        if damage not in self.damage:
            self.damage.append(damage)


def _write_all(fd: int, parts: list[bytes]) -> None:
    """All the parts, one after the other; written in place, so that megabytes need not be joined first."""
    written, total = os.writev(fd, parts), sum(map(len, parts))
    if written < total:  # a signal or a full disk: the rest, or the error that says why
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]
