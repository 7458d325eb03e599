"""A growing log of JSON lines to a server, like tail -F: each line once.

That holds across rotation, restarts and crashes: the position of a batch is recorded
before it is sent. After a crash the same bytes are sent once more under the same key,
and the server, which may have them already, adds nothing.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from monitor.errors import DriftdeckError, StorageError, Unreachable
from monitor.ingest.file_batches import MAX_ROWS, NDJSON, FileBatch
from monitor.send.session import Session
from monitor.send.upload import Counts, is_busy, post
from monitor.sources._compressed import MAX_LINE

HEAD_BYTES = 256  # the first bytes, which identify a log
PAUSE_S = 0.5


@dataclass(frozen=True)
class LogPosition:
    """How far a log was read.

    `sending` is the end of the bytes that may or may not have reached the server.
    """

    log: str  # random, another one for each file that was ever at the path
    inode: int
    head: str  # hash of the first `head_bytes` bytes
    head_bytes: int
    line: int = 1  # number of the next line
    offset: int = 0
    sending: int | None = None


class Follower:
    """Follows the log at one path; its position is stored in a file beside the data.

    `warn` prints a sentence to the user.
    """

    def __init__(
        self, path: Path, position_path: Path, warn: Callable[[str], None]
    ) -> None:
        self.path = path
        self.position_path = position_path
        self.warn = warn
        self.position = _read_position(position_path)
        self._file: int | None = None

    def run(
        self,
        session: Session,
        counts: Counts,
        model: str | None = None,
        max_age: float | None = None,
        pause: Callable[[], None] = lambda: time.sleep(PAUSE_S),
    ) -> None:
        """Send every whole line, present and future, until `pause` raises."""

        def send(batch: FileBatch) -> dict[str, Any]:
            return post(session, batch, model, max_age)

        while True:
            if self._file is None and not self._open():
                pause()
                continue
            body = self._read_next(last=False)
            if body:
                self._send(send, body, counts, pause)
            elif self._is_rotated():
                # no program will finish the last line
                unfinished = self._read_next(last=True)
                if unfinished:
                    self._send(send, unfinished, counts, pause)
                else:
                    self._close()
            else:
                pause()

    # reading

    def _open(self) -> bool:
        """Open the log of the position, under its path or the name it was renamed to."""
        position = self.position
        paths = [self.path]
        if position is not None:
            paths += self._renamed_paths(position)
        for path in paths:
            try:
                file = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            if position is None or _is_same_log(file, position):
                self._file = file
                self.position = position or _new_position(file)
                return True
            os.close(file)
        if position is not None and self.path.exists():
            self._report_missing(position)
            self.position = None
        return False

    def _report_missing(self, position: LogPosition) -> None:
        if position.sending is not None:
            missing = position.sending - position.offset
            self.warn(
                "the log that was being sent is gone;"
                f" up to {missing} of its bytes may be missing"
            )
        else:
            self.warn(
                f"{self.path.name} is another file now and the old one is gone;"
                f" its lines after byte {position.offset} are missing"
            )

    def _renamed_paths(self, position: LogPosition) -> list[Path]:
        """Return the files of the log's folder that have its inode."""
        try:
            entries = list(os.scandir(self.path.parent))
        except OSError:
            return []
        return [
            Path(entry.path)
            for entry in entries
            if entry.is_file(follow_symlinks=False) and entry.inode() == position.inode
        ]

    def _open_log(self) -> tuple[int, LogPosition]:
        """Return the open file and its position."""
        if self._file is None or self.position is None:
            raise AssertionError("no log is open")
        return self._file, self.position

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self.position = None, None

    def _is_rotated(self) -> bool:
        """True when the open file will not grow: it was renamed, replaced, or cut."""
        file, position = self._open_log()
        try:
            inode = self.path.stat().st_ino
        except FileNotFoundError:
            return False  # between the rename and the new file
        if inode != position.inode:
            return True
        if not _is_same_log(file, position):
            # cut and written again: lines that were not read before are lost
            self._close()
            return False
        self._extend_head()
        return False

    def _extend_head(self) -> None:
        """Identify a log that was short at first by more bytes once it has them."""
        file, position = self._open_log()
        if position.head_bytes < HEAD_BYTES:
            head = os.pread(file, HEAD_BYTES, 0)
            if len(head) > position.head_bytes:
                self.position = replace(
                    position, head=_hash(head), head_bytes=len(head)
                )

    def _read_next(self, last: bool) -> bytes:
        """Read the next whole lines, with `last` also an unfinished one.

        After a crash they are the bytes that were being sent. Empty when there is none.
        """
        file, position = self._open_log()
        if position.sending is not None:
            size = position.sending - position.offset
            return os.pread(file, size, position.offset)
        if os.fstat(file).st_size < position.offset:
            return b""
        self._extend_head()
        data = os.pread(file, MAX_LINE, position.offset)
        end = 0
        for _ in range(MAX_ROWS):
            newline = data.find(b"\n", end)
            if newline < 0:
                break
            end = newline + 1
        if not end and (last or len(data) == MAX_LINE):
            # a line that no request can hold is refused in pieces, and the log goes on
            end = len(data)
        return data[:end]

    # sending

    def _send(
        self,
        send: Callable[[FileBatch], dict[str, Any]],
        body: bytes,
        counts: Counts,
        pause: Callable[[], None],
    ) -> None:
        """Record the position, send until the server accepts, record the new position."""
        _, position = self._open_log()
        end = position.offset + len(body)
        sending = self.position = replace(position, sending=end)
        _write_position(self.position_path, sending)
        key = f"follow-{position.log}-{position.offset}-{end}"
        batch = FileBatch("events", key, position.line, NDJSON, body)
        response = self._send_until_accepted(send, batch, pause)
        counts.add(response, self.path.name, position.line)
        next_line = position.line + body.count(b"\n")
        after = replace(sending, offset=end, line=next_line, sending=None)
        self.position = after
        _write_position(self.position_path, after)

    def _send_until_accepted(
        self,
        send: Callable[[FileBatch], dict[str, Any]],
        batch: FileBatch,
        pause: Callable[[], None],
    ) -> dict[str, Any]:
        waiting = False
        while True:
            try:
                return send(batch)
            except DriftdeckError as error:
                if not isinstance(error, Unreachable) and not is_busy(error):
                    raise
                if not waiting:
                    self.warn(f"waiting: {error}")
                waiting = True
                pause()


def position_file(data: Path, path: Path, *options: object) -> Path:
    """Return the file for the position of a followed log."""
    identity = repr((str(path.resolve()), *options))
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return data / "follow" / f"{name}.json"


def _is_same_log(file: int, position: LogPosition) -> bool:
    status = os.fstat(file)
    return (
        status.st_ino == position.inode
        and status.st_size >= max(position.offset, position.sending or 0)
        and _hash(os.pread(file, position.head_bytes, 0)) == position.head
    )


def _new_position(file: int) -> LogPosition:
    head = os.pread(file, HEAD_BYTES, 0)
    return LogPosition(uuid.uuid4().hex, os.fstat(file).st_ino, _hash(head), len(head))


def _hash(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()


def _read_position(path: Path) -> LogPosition | None:
    """Read a position; None if there is none.

    Raises StorageError for a damaged file.
    """
    try:
        return LogPosition(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise StorageError(
            f"{path} does not hold a position; delete it to read the log from its"
            " beginning (its rows would be sent twice)"
        ) from None


def _write_position(path: Path, position: LogPosition) -> None:
    """Replace the position on disk atomically, and sync it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(asdict(position), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
