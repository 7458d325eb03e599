"""An event as the spool keeps it: floating-point numbers as they are in memory, the rest as JSON.

To write twenty numbers as text takes longer than all else that `log()` does: that is left to the sender.
"""

import json
import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple
from zlib import crc32

from .wire import MAX_TEXT, c_encode, encode

MOST_SHAPES = 64
_NUMBER: list[Any] = []  # stands for a number in the JSON: no value that is kept here is a list


class Shape(NamedTuple):
    """What events that differ in id and numbers alone have in common: the start of their lines, its checksum, what packs."""

    start: bytes
    checksum: int
    pack: Callable[..., bytes]


_shapes: dict[tuple[Any, ...], Shape] = {}


def packed(record: Mapping[str, Any]) -> bytes | None:
    """The line of an event: checksum, kind, rows, then with tabs between the JSON without id and numbers, the id, and the
    numbers (the time first) in base64 (binary64, little-endian).

    None when a value needs the closer look of `wire.encode`: tags, an error, a given time, other types than JSON's, lists.
    """
    # 1, 1.0 and True are one key of a dict and three things in JSON
    if type(record["ts"]) is not float or type(record["status"]) is not int:
        return None
    if record["error"] is not None or record["tags"] is not None:
        return None
    numbers = [record["ts"], *record["features"].values(), record["prediction"]]
    if record["latency_ms"] is not None:
        numbers.append(record["latency_ms"])
    try:
        if [*map(type, numbers)].count(float) == len(numbers):
            key = (record["model"], record["version"], record["status"], len(numbers), *record["features"])
            shape = _shapes.get(key) or _remembered(key, record, len(numbers))
        else:
            numbers = [number for number in numbers if type(number) is float]
            shape = _new_shape(record, len(numbers))
        if shape is None:
            return None
        event_id = encode_basestring_ascii(record["event_id"]).encode()
    except (TypeError, ValueError):
        return None
    start, checksum, pack = shape
    end = event_id + b"\t" + b2a_base64(pack(*numbers))
    return b"".join((b"%08x " % crc32(end, checksum), start, end))


def unpacked(line: bytes) -> bytes:
    """The line of NDJSON for an event in the part of a line of `packed` that follows the number of rows."""
    rest, event_id, data = line.split(b"\t")
    found = a2b_base64(data)
    ts, *values = struct.unpack(f"<{len(found) // 8}d", found)
    numbers = iter(values)
    fields = json.loads(rest)
    features = {name: next(numbers) if value == _NUMBER else value for name, value in fields["features"].items()}
    for name in ("prediction", "latency_ms"):
        if fields.get(name) == _NUMBER:
            fields[name] = next(numbers)
    return encode({"event_id": json.loads(event_id), **fields, "features": features, "ts": ts})


def _remembered(key: tuple[Any, ...], record: Mapping[str, Any], numbers: int) -> Shape | None:
    """The shape of an event that is all numbers: the same names give the same one, so it is made once."""
    shape = _new_shape(record, numbers)
    if shape is not None:
        if len(_shapes) >= MOST_SHAPES:
            _shapes.clear()
        _shapes[key] = shape
    return shape


def _new_shape(record: Mapping[str, Any], numbers: int) -> Shape | None:
    """What is left of an event without its id and its numbers, the time among them; None when it is not as it should be."""
    names = (record["model"], record["version"], *record["features"])
    if not all(type(name) is str for name in names):
        return None
    fields = {
        name: _NUMBER if type(value) is float else value
        for name, value in record.items()
        if value is not None and name not in ("event_id", "ts")
    }
    fields["features"] = {
        name: _NUMBER if type(value) is float else value for name, value in record["features"].items()
    }
    text = c_encode(fields)
    objects = 2 + isinstance(fields.get("prediction"), dict)
    lists = text.count("[")
    if lists != numbers - 1 or text.count("[]") != lists or text.count("{") != objects or len(text) > MAX_TEXT:
        return None
    start = b"P 1 %s\t" % text.encode()
    return Shape(start, crc32(start), struct.Struct(f"<{numbers}d").pack)
