"""The lines of the spool's files: each a checksum, the kind, the number of rows and the body.

The kinds: E an event, P one with its numbers apart (packed.py), L a label, A an Arrow
table.
"""

import zlib
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

from ..ndjson import encode
from ..request_batch import EVENTS, LABELS
from .packed_event import packed, unpacked

_KINDS = {EVENTS: b"E", LABELS: b"L"}


class Line(NamedTuple):
    """One whole line: where it is sent, its body, and its rows."""

    path: str
    body: bytes
    rows: int
    table: bool


def line_of(path: str, record: dict[str, Any] | bytes, rows: int) -> bytes:
    """The line that keeps an event or label, or an Arrow table for a path with a model."""
    if isinstance(record, bytes):
        return _checked(b"A %d %s %s\n" % (rows, path.encode(), b64encode(record)))
    line = packed(record) if path == EVENTS else None
    return line or _checked(b"%s 1 %s" % (_KINDS[path], encode(record)))


def _checked(kept: bytes) -> bytes:
    return b"%08x %s" % (zlib.crc32(kept), kept)


def read_line(line: bytes) -> Line | None:
    """The record in a line; None if it is damaged."""
    checksum, _, kept = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(kept):
        return None
    kind, rows, body = kept.split(b" ", 2)
    if kind == b"A":
        path, _, table = body.partition(b" ")
        return Line(path.decode(), b64decode(table), int(rows), True)
    if kind == b"P":
        return Line(EVENTS, unpacked(body), 1, False)
    return Line(EVENTS if kind == b"E" else LABELS, body, 1, False)


def rows_of(line: bytes) -> int:
    """How many records a line holds, without checking it."""
    try:
        return int(line.split(b" ", 3)[2])
    except (ValueError, IndexError):
        return 1
