"""Records of the spool, as they are appended, written and read.

A record is one line (a checksum, then the header as JSON: bytes, crc and the writer's
own fields) and `bytes` bytes of payload, whose checksum is `crc`.
"""

import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

CHECKSUM_BYTES = 45  # of a header, with the sizes beside them: an estimate
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

    def parts(self) -> list[bytes]:
        """Return the record as it was written, in parts."""
        text = msgspec.json.encode(self.header)
        return [b"%08x %s\n" % (zlib.crc32(text), text), self.payload]


@dataclass(frozen=True)
class Damage:
    """Bytes of a spool file from an offset on that are no whole record.

    `at_tail` is true in the newest file, as after a crash.
    """

    segment: int
    offset: int
    bytes: int
    at_tail: bool


@dataclass(frozen=True)
class NewRecord:
    """A record to append: its header as JSON text, and its payload.

    Records of `rows` whose headers are equal may be written as one: its `rows` are
    their sum.
    """

    header: bytes
    payload: bytes
    rows: int = 0

    @classmethod
    def of(
        cls, header: Mapping[str, Any], payload: bytes = b"", rows: int = 0
    ) -> "NewRecord":
        """Encode a header. Raises UnicodeEncodeError for a text that UTF-8 cannot hold."""
        return cls(msgspec.json.encode(header), payload, rows)

    @property
    def bytes(self) -> int:
        """The size on disk, in bytes; estimated, as the checksums are not known yet."""
        return len(self.header) + len(self.payload) + CHECKSUM_BYTES


@dataclass
class UnwrittenRecord:
    """A record that is not written yet: payloads of several requests, and their rows."""

    header: bytes
    payloads: list[bytes]
    size: int  # of the payloads, in bytes
    rows: int

    def parts(self) -> list[bytes]:
        """Return the record as it is written, in parts."""
        crc = 0
        for payload in self.payloads:
            crc = zlib.crc32(payload, crc)
        rows = b'"rows":%d,' % self.rows if self.rows else b""
        ending = b'%s"bytes":%d,"crc":%d}' % (rows, self.size, crc)
        separator = b"" if self.header == b"{}" else b","
        text = self.header[:-1] + separator + ending
        return [b"%08x %s\n" % (zlib.crc32(text), text), *self.payloads]


class WriteBatch(Future[None]):
    """Records that are written and synced together; done when they are on disk.

    A request that arrives during a sync joins the next batch: one write, one sync and
    one wake-up serve all of its requests. All records of a request are in one batch,
    so that it is on disk as a whole or refused as a whole.
    """

    def __init__(self, segment: int) -> None:
        super().__init__()
        self.segment = segment
        self.records: list[UnwrittenRecord] = []
        self.bytes = 0  # estimated, until it is written

    def add(self, record: NewRecord) -> None:
        """Add a record; one of rows may join the newest record of equal header."""
        self.bytes += record.bytes
        newest = self.records[-1] if self.records else None
        if (
            newest
            and record.rows
            and newest.rows
            and newest.size < MAX_JOINED_BYTES
            and newest.header == record.header
        ):
            newest.payloads.append(record.payload)
            newest.size += len(record.payload)
            newest.rows += record.rows
        else:
            size = len(record.payload)
            self.records.append(
                UnwrittenRecord(record.header, [record.payload], size, record.rows)
            )


def parse_header(line: bytes) -> dict[str, Any] | None:
    """Return the header in the first line of a record; None when the line is not whole."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    header: dict[str, Any] = msgspec.json.decode(text)
    return header
