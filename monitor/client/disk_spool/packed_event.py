"""An event as the spool keeps it: numbers as they are in memory, texts as JSON, and what all events have in common made once.

To write twenty numbers as text takes longer than all else that `log()` does: that is
left to the sender.
"""

import json
import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import compress, repeat
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple
from zlib import crc32

from ..ndjson import MAX_TEXT, c_encode, encode

MAX_SHAPES = 256
# how a value is kept; the first two are formats of `struct`
FLOAT, WHOLE, NONE, OTHER = "dqno"


class Shape(NamedTuple):
    """What events of the same names and types have in common: the start of their lines and its checksum, which of their
    values (the time first) are numbers (None: all), which are kept as JSON (None:
    none), and what packs the numbers.
    """

    start: bytes
    checksum: int
    numbers: list[bool] | None
    others: list[bool] | None
    pack: Callable[..., bytes]


_shapes: dict[tuple[Any, ...], Shape] = {}


def packed(record: Mapping[str, Any]) -> bytes | None:
    """The line of an event: checksum, kind, rows, then with tabs between them JSON with the form of each value in its
    place, a JSON list of the id and the values that are no numbers, and the numbers in
    base64 (little-endian).

    None when a value needs the closer look of `wire.encode`: tags, an error, a given
    time, other types than JSON's, lists.
    """
    features, status = record["features"], record["status"]
    # 1, 1.0 and True are one key of a dict and three things in JSON
    if (
        type(status) is not int
        or record["error"] is not None
        or record["tags"] is not None
    ):
        return None
    values = [
        record["ts"],
        *features.values(),
        record["prediction"],
        record["latency_ms"],
    ]
    key = (record["model"], record["version"], status, *features, *map(type, values))
    try:
        shape = _shapes.get(key) or _remembered(key, record, values)
        if shape is None:
            return None
        start, checksum, numbers, others, pack = shape
        if others is None:
            texts = f"[{encode_basestring_ascii(record['event_id'])}]"
        else:
            texts = c_encode([record["event_id"], *compress(values, others)])
            if texts.count("[") > 1 or texts.count("{") > isinstance(
                record["prediction"], dict
            ):
                return None
        if len(texts) > MAX_TEXT:
            return None
        data = pack(*values) if numbers is None else pack(*compress(values, numbers))
    # the last: a whole number of more than 64 bits
    except (TypeError, ValueError, struct.error):
        return None
    end = texts.encode() + b"\t" + b2a_base64(data)
    return b"%08x %b%b" % (crc32(end, checksum), start, end)


def unpacked(line: bytes) -> bytes:
    """The line of NDJSON for an event in the part of a line of `packed` that follows the number of rows."""
    start, texts, data = line.split(b"\t")
    common, forms, unpack = _read(start)
    event_id, *others = json.loads(texts)
    numbers = iter(unpack(a2b_base64(data)))
    kept = {FLOAT: numbers, WHOLE: numbers, NONE: repeat(None), OTHER: iter(others)}
    ts, *values, prediction, latency_ms = [next(kept[form]) for form in forms]
    features = dict(zip(common["features"], values, strict=True))
    return encode(
        {
            "event_id": event_id,
            **common,
            "features": features,
            "prediction": prediction,
            "latency_ms": latency_ms,
            "ts": ts,
        }
    )


@lru_cache(maxsize=MAX_SHAPES)
def _read(
    start: bytes,
) -> tuple[dict[str, Any], list[str], Callable[[bytes], tuple[Any, ...]]]:
    """What a start says: the fields that all its events have, the forms of their values, and what unpacks the numbers."""
    common = json.loads(start)
    forms = [
        FLOAT,
        *common["features"].values(),
        common["prediction"],
        common["latency_ms"],
    ]
    return common, forms, _numbers(forms).unpack


def _remembered(
    key: tuple[Any, ...], record: Mapping[str, Any], values: list[Any]
) -> Shape | None:
    """The shape of an event, made once for the same names and types; None when these are not as they should be."""
    names = (record["model"], record["version"], *record["features"])
    if type(record["ts"]) is not float or not all(type(name) is str for name in names):
        return None
    forms = [*map(_form, values)]
    _, *features, prediction, latency_ms = forms
    common = {name: record[name] for name in ("model", "version", "status")}
    common |= {"features": dict(zip(record["features"], features, strict=True))}
    text = c_encode(common | {"prediction": prediction, "latency_ms": latency_ms})
    if len(text) > MAX_TEXT:
        return None
    start = b"P 1 %s\t" % text.encode()
    numbers = [form in (FLOAT, WHOLE) for form in forms]
    others = [form == OTHER for form in forms]
    shape = Shape(
        start,
        crc32(start),
        None if all(numbers) else numbers,
        others if any(others) else None,
        _numbers(forms).pack,
    )
    if len(_shapes) >= MAX_SHAPES:
        _shapes.clear()
    _shapes[key] = shape
    return shape


def _form(value: Any) -> str:
    if isinstance(value, float):
        return FLOAT
    if type(value) is int:
        return WHOLE
    return NONE if value is None else OTHER


def _numbers(forms: list[str]) -> struct.Struct:
    return struct.Struct(
        "<" + "".join(form for form in forms if form in (FLOAT, WHOLE))
    )
