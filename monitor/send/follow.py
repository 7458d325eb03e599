"""A growing log of JSON lines to a server, like tail -F: each line once, across rotation, restarts and crashes.

What is about to be sent is written down first. After a crash the very same bytes are
sent once more under the same key, and the server, which may have them already, adds
nothing.
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
from monitor.ingest.file_batches import NDJSON, ROWS, FileBatch
from monitor.send.session import Session
from monitor.send.upload import Counts, post
from monitor.sources._compressed import MAX_LINE

HEAD = 256  # bytes at the beginning that tell one log from another


@dataclass(frozen=True)
class LogPosition:
    """How far a log was read.

    `sending` is the end of what may or may not have reached the server.
    """

    log: str  # random: a new one for each file that was ever behind the path
    inode: int
    head: str  # hash of the first `head_bytes` bytes
    head_bytes: int
    line: int = 1  # number of the next line
    offset: int = 0
    sending: int | None = None


class Follower:
    """Reads one path for ever; `position` is kept in a file of its own, beside the data."""

    def __init__(self, path: Path, kept: Path, say: Callable[[str], None]) -> None:
        self.path, self.kept, self.say = path, kept, say
        self.position = _read(kept)
        self._file: int | None = None

    def run(
        self,
        session: Session,
        counts: Counts,
        model: str | None = None,
        max_age: float | None = None,
        pause: Callable[[], None] = lambda: time.sleep(0.5),
    ) -> None:
        """Send every whole line that is there or comes, until `pause` raises."""
        send = lambda batch: post(session, batch, model, max_age)  # noqa: E731
        while True:
            if self._file is None and not self._open():
                pause()
                continue
            body = self._next(last=False)
            if body:
                self._send(send, body, counts, pause)
            elif self._rotated():
                # nobody will finish its last line any more
                rest = self._next(last=True)
                if rest:
                    self._send(send, rest, counts, pause)
                else:
                    self._close()
            else:
                pause()

    # reading

    def _open(self) -> bool:
        """Open the log where it was left: the file itself, or the one that it was renamed to meanwhile."""
        known = self.position
        for path in [self.path, *self._neighbours()] if known else [self.path]:
            try:
                file = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            if known is None or self._same(file, known):
                self._file = file
                self.position = known or _begin(file)
                return True
            os.close(file)
        if known is not None and self.path.exists():
            if known.sending is not None:
                self.say(
                    f"the log that was being sent is gone; up to {known.sending - known.offset} of its bytes may be missing"
                )
            else:
                self.say(
                    f"{self.path.name} is another file now and the old one is gone; what came after byte {known.offset} is missed"
                )
            self.position = None
        return False

    def _neighbours(self) -> list[Path]:
        try:
            found = [
                e
                for e in os.scandir(self.path.parent)
                if e.is_file(follow_symlinks=False)
            ]
        except OSError:
            return []
        return [
            Path(e.path)
            for e in found
            if self.position and e.inode() == self.position.inode
        ]

    def _same(self, file: int, known: LogPosition) -> bool:
        about = os.fstat(file)
        return (
            about.st_ino == known.inode
            and about.st_size >= max(known.offset, known.sending or 0)
            and _hash(os.pread(file, known.head_bytes, 0)) == known.head
        )

    def _opened(self) -> tuple[int, LogPosition]:
        if self._file is None or self.position is None:
            raise AssertionError("no log is open")
        return self._file, self.position

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self.position = None, None

    def _rotated(self) -> bool:
        """True when nothing more will come to the open file: it was renamed, replaced, or cut."""
        file, at = self._opened()
        try:
            inode = self.path.stat().st_ino
        except FileNotFoundError:
            return False  # between the rename and the new file
        if inode != at.inode:
            return True
        if not self._same(file, at):
            # cut and written anew: what was not read before that is nowhere
            self._close()
            return False
        self._learn_head()
        return False

    def _learn_head(self) -> None:
        """A log that was short when it began is known by more bytes once it has them."""
        file, at = self._opened()
        if at.head_bytes < HEAD:
            head = os.pread(file, HEAD, 0)
            if len(head) > at.head_bytes:
                self.position = replace(at, head=_hash(head), head_bytes=len(head))

    def _next(self, last: bool) -> bytes:
        """The next bytes to send: whole lines, or what was being sent when a crash came; empty when there are none."""
        file, at = self._opened()
        if at.sending is not None:
            return os.pread(file, at.sending - at.offset, at.offset)
        if os.fstat(file).st_size < at.offset:
            return b""
        self._learn_head()
        data = os.pread(file, MAX_LINE, at.offset)
        end = 0
        for _ in range(ROWS):
            found = data.find(b"\n", end)
            if found < 0:
                break
            end = found + 1
        if not end and len(data) == MAX_LINE:
            # a line that no request can hold: it is refused in pieces, and the log goes
            # on
            end = MAX_LINE
        return data[: end or (len(data) if last else 0)]

    # sending

    def _send(
        self,
        send: Callable[[FileBatch], dict[str, Any]],
        body: bytes,
        counts: Counts,
        pause: Callable[[], None],
    ) -> None:
        _, at = self._opened()
        end = at.offset + len(body)
        sending = self.position = replace(at, sending=end)
        _write(self.kept, sending)
        batch = FileBatch(
            "events", f"follow-{at.log}-{at.offset}-{end}", at.line, NDJSON, body
        )
        waiting = False
        while True:
            try:
                answer = send(batch)
                break
            except DriftdeckError as error:
                if not isinstance(error, Unreachable) and error.status not in (
                    429,
                    503,
                ):
                    raise
                if not waiting:
                    self.say(f"waiting: {error}")
                waiting = True
                pause()
        counts.add(answer, self.path.name, at.line)
        sent = self.position = replace(
            sending, offset=end, line=at.line + body.count(b"\n"), sending=None
        )
        _write(self.kept, sent)


def position_file(data: Path, path: Path, *how: object) -> Path:
    """Where the position of a followed log is kept."""
    name = hashlib.sha256(repr((str(path.resolve()), *how)).encode()).hexdigest()[:16]
    return data / "follow" / f"{name}.json"


def _begin(file: int) -> LogPosition:
    head = os.pread(file, HEAD, 0)
    return LogPosition(uuid.uuid4().hex, os.fstat(file).st_ino, _hash(head), len(head))


def _hash(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()


def _read(kept: Path) -> LogPosition | None:
    try:
        return LogPosition(**json.loads(kept.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise StorageError(
            f"{kept} does not hold a position; delete it to read the log from its beginning (its rows would come twice)"
        ) from None


def _write(kept: Path, position: LogPosition) -> None:
    """Replace the position on disk, all or nothing, and only then go on."""
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = kept.with_suffix(".new")
    with new.open("w") as file:
        json.dump(asdict(position), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(kept)
    folder = os.open(kept.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
