"""Records of the spool, as they are appended, written and read.

A record is one line (a checksum, then the header as JSON: bytes, crc and the writer's
own fields) and `bytes` bytes of payload, whose checksum is `crc`.
"""

import zlib
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

HEADER_BYTES = 128  # the estimated size of a header, until it is written
MAX_JOINED_BYTES = 64 << 10  # payloads of several requests that share a record


class SpoolPosition(NamedTuple):
    """A place in the spool just after a record: number of the spool file, and offset."""

    segment: int
    offset: int


@dataclass(frozen=True)
class Record:
    """One appended record: its header, its payload, and the position after it."""

    header: dict[str, Any]
    payload: bytes
    end: SpoolPosition


@dataclass(frozen=True)
class Damage:
    """Bytes of a spool file from an offset on that are no whole record.

    `at_tail` is true in the newest file, as after a crash.
    """

    segment: int
    offset: int
    bytes: int
    at_tail: bool


@dataclass
class UnwrittenRecord:
    """A record that is not written yet: payloads of several requests, and their rows."""

    header: dict[str, Any]
    payloads: list[bytes]
    size: int  # of the payloads, in bytes
    rows: int

    def parts(self) -> list[bytes]:
        """Return the record as it is written, in parts."""
        crc = 0
        for payload in self.payloads:
            crc = zlib.crc32(payload, crc)
        rows = {"rows": self.rows} if self.rows else {}
        header = {**self.header, **rows, "bytes": self.size, "crc": crc}
        text = msgspec.json.encode(header)
        return [b"%08x %s\n" % (zlib.crc32(text), text), *self.payloads]


class WriteBatch(Future[None]):
    """Records that are written and synced together; done when they are on disk.

    A request that arrives during a sync joins the next batch: one write, one sync and
    one wake-up serve all of its requests.
    """

    def __init__(self, segment: int) -> None:
        super().__init__()
        self.segment = segment
        self.records: list[UnwrittenRecord] = []
        self.bytes = 0  # estimated, until it is written

    def add(self, header: dict[str, Any], payload: bytes, rows: int) -> None:
        """Add a record; a payload of rows may join the newest record of equal header."""
        newest = self.records[-1] if self.records else None
        if (
            newest
            and rows
            and newest.rows
            and newest.size < MAX_JOINED_BYTES
            and newest.header == header
        ):
            newest.payloads.append(payload)
            newest.size += len(payload)
            newest.rows += rows
        else:
            record = UnwrittenRecord(header, [payload], len(payload), rows)
            self.records.append(record)


def parse_header(line: bytes) -> dict[str, Any] | None:
    """Return the header in the first line of a record; None when the line is not whole."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    header: dict[str, Any] = msgspec.json.decode(text)
    return header
