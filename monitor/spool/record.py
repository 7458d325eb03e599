"""Frames of a spool, as they are appended, written and read.

A frame is one line (a checksum, then the header as JSON: bytes, crc and what the writer
adds) and `bytes` bytes of payload, whose checksum is `crc`.
"""

import zlib
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

HEAD_BYTES = 128  # about what a header takes, until it is written
JOINED_BYTES = 64 << 10  # payloads of one frame that came apart


class SpoolPosition(NamedTuple):
    """A place in the spool, just after a frame."""

    segment: int
    offset: int


@dataclass(frozen=True)
class Record:
    """One appended batch: its header, its payload, and the position after it."""

    header: dict[str, Any]
    payload: bytes
    end: SpoolPosition


@dataclass(frozen=True)
class Damage:
    """Bytes of a segment that are not a whole, checksummed frame: where they begin and how many they are."""

    segment: int
    offset: int
    bytes: int
    at_tail: bool


@dataclass
class _Unwritten:
    """A frame that is not written yet: payloads that came apart and share a header, and how many rows they are."""

    header: dict[str, Any]
    payloads: list[bytes]
    size: int  # of the payloads
    rows: int

    def parts(self) -> list[bytes]:
        """The frame as it is written."""
        crc = 0
        for payload in self.payloads:
            crc = zlib.crc32(payload, crc)
        rows = {"rows": self.rows} if self.rows else {}
        about = msgspec.json.encode(
            {**self.header, **rows, "bytes": self.size, "crc": crc}
        )
        return [b"%08x %s\n" % (zlib.crc32(about), about), *self.payloads]


class WriteBatch(Future[None]):
    """Frames that are written and synced together; done when they are on disk.

    A request that comes while others are being synced joins the next group: one write,
    one sync and one wake-up serve them all.
    """

    def __init__(self, segment: int) -> None:
        super().__init__()
        self.segment = segment
        self.frames: list[_Unwritten] = []
        self.bytes = 0  # about, until it is written

    def add(self, header: dict[str, Any], payload: bytes, rows: int) -> None:
        """Add a frame, or to the newest one what may join it."""
        newest = self.frames[-1] if self.frames else None
        if (
            newest
            and rows
            and newest.rows
            and newest.size < JOINED_BYTES
            and newest.header == header
        ):
            newest.payloads.append(payload)
            newest.size += len(payload)
            newest.rows += rows
        else:
            self.frames.append(_Unwritten(header, [payload], len(payload), rows))


def header_in(line: bytes) -> dict[str, Any] | None:
    """The header that a frame begins with; None when the line is not whole."""
    checksum, _, about = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(about):
        return None
    header: dict[str, Any] = msgspec.json.decode(about)
    return header
