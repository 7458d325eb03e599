"""One line of a spool file: a checksum, the kind, the number of rows and the body.

The kinds: E an event, P an event with its numbers packed (packed_event.py), L a label,
A an Arrow table.
"""

import zlib
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

from ..ndjson import encode
from ..request_batch import EVENTS, LABELS
from .packed_event import pack_event, unpack_event

_KINDS = {EVENTS: b"E", LABELS: b"L"}


class SpoolLine(NamedTuple):
    """One whole line: its request path, its body, its rows and its format."""

    path: str
    body: bytes
    rows: int
    table: bool


def spool_line(path: str, record: dict[str, Any] | bytes, rows: int) -> bytes:
    """Encode an event, a label, or an Arrow table for a path with a model."""
    if isinstance(record, bytes):
        body = b64encode(record)
        return _with_checksum(b"A %d %s %s\n" % (rows, path.encode(), body))
    line = pack_event(record) if path == EVENTS else None
    return line or _with_checksum(b"%s 1 %s" % (_KINDS[path], encode(record)))


def _with_checksum(content: bytes) -> bytes:
    return b"%08x %s" % (zlib.crc32(content), content)


def read_line(line: bytes) -> SpoolLine | None:
    """Decode a line; None if it is damaged."""
    checksum, _, content = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(content):
        return None
    kind, rows, body = content.split(b" ", 2)
    if kind == b"A":
        path, _, table = body.partition(b" ")
        return SpoolLine(path.decode(), b64decode(table), int(rows), True)
    if kind == b"P":
        return SpoolLine(EVENTS, unpack_event(body), 1, False)
    return SpoolLine(EVENTS if kind == b"E" else LABELS, body, 1, False)


def count_rows(line: bytes) -> int:
    """Return the number of records in a line, without checking it."""
    try:
        return int(line.split(b" ", 3)[2])
    except (ValueError, IndexError):
        return 1
