"""An event as a spool line with binary numbers, which log() writes in little time.

Numbers stay as they are in memory, texts become JSON, and what all events of one shape
have in common is encoded once. To write twenty numbers as text takes longer than all
else that `log()` does: that is left to the sender.
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

from ..ndjson import MAX_TEXT_CHARACTERS, c_encode, encode

MAX_SHAPES = 256
# the form of a value; the first two are formats of `struct`
FLOAT, WHOLE, NONE, OTHER = "dqno"


class EventShape(NamedTuple):
    """The common part of events with the same names and types.

    `start` is the start of their lines and `checksum` that of the start. `numbers`
    marks their values (the time first) that are numbers (None: all), `others` those
    written as JSON (None: none). `pack` packs the numbers.
    """

    start: bytes
    checksum: int
    numbers: list[bool] | None
    others: list[bool] | None
    pack: Callable[..., bytes]


_shapes: dict[tuple[Any, ...], EventShape] = {}


def pack_event(record: Mapping[str, Any]) -> bytes | None:
    """Encode an event as a line: checksum, kind, rows, then three parts with tabs between.

    The parts are JSON with the form of each value in its place, a JSON list of the id
    and the values that are not numbers, and the numbers in base64 (little-endian).

    None when a value needs the closer look of `ndjson.encode`: tags, an error, a time
    that the caller gave, other types than JSON's, lists.
    """
    features, status = record["features"], record["status"]
    # 1, 1.0 and True are one key of a dict and three things in JSON
    if (
        type(status) is not int
        or record["error"] is not None
        or record["tags"] is not None
    ):
        return None
    prediction = record["prediction"]
    values = [record["ts"], *features.values(), prediction, record["latency_ms"]]
    key = (record["model"], record["version"], status, *features, *map(type, values))
    try:
        shape = _shapes.get(key) or _new_shape(key, record, values)
        if shape is None:
            return None
        start, checksum, numbers, others, pack = shape
        if others is None:
            texts = f"[{encode_basestring_ascii(record['event_id'])}]"
        else:
            texts = c_encode([record["event_id"], *compress(values, others)])
            objects = isinstance(prediction, dict)
            if texts.count("[") > 1 or texts.count("{") > objects:
                return None
        if len(texts) > MAX_TEXT_CHARACTERS:
            return None
        data = pack(*values) if numbers is None else pack(*compress(values, numbers))
    # struct.error: a whole number of more than 64 bits
    except (TypeError, ValueError, struct.error):
        return None
    end = texts.encode() + b"\t" + b2a_base64(data)
    return b"%08x %b%b" % (crc32(end, checksum), start, end)


def unpack_event(line: bytes) -> bytes:
    """Convert the part of a `pack_event` line after the number of rows to NDJSON."""
    start, texts, data = line.split(b"\t")
    common, forms, unpack = _read_start(start)
    event_id, *others = json.loads(texts)
    numbers = iter(unpack(a2b_base64(data)))
    sources = {
        FLOAT: numbers,
        WHOLE: numbers,
        NONE: repeat(None),
        OTHER: iter(others),
    }
    ts, *values, prediction, latency_ms = [next(sources[form]) for form in forms]
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
def _read_start(
    start: bytes,
) -> tuple[dict[str, Any], list[str], Callable[[bytes], tuple[Any, ...]]]:
    """Decode a start: the common fields, the forms of the values, and the unpacker."""
    common = json.loads(start)
    features = common["features"].values()
    forms = [FLOAT, *features, common["prediction"], common["latency_ms"]]
    return common, forms, _number_format(forms).unpack


def _new_shape(
    key: tuple[Any, ...], record: Mapping[str, Any], values: list[Any]
) -> EventShape | None:
    """Make and cache the shape of an event; None when names or time have odd types."""
    names = (record["model"], record["version"], *record["features"])
    if type(record["ts"]) is not float or not all(type(name) is str for name in names):
        return None
    forms = [*map(_form, values)]
    _, *features, prediction, latency_ms = forms
    common = {name: record[name] for name in ("model", "version", "status")}
    common |= {"features": dict(zip(record["features"], features, strict=True))}
    text = c_encode(common | {"prediction": prediction, "latency_ms": latency_ms})
    if len(text) > MAX_TEXT_CHARACTERS:
        return None
    start = b"P 1 %s\t" % text.encode()
    numbers = [form in (FLOAT, WHOLE) for form in forms]
    others = [form == OTHER for form in forms]
    shape = EventShape(
        start,
        crc32(start),
        None if all(numbers) else numbers,
        others if any(others) else None,
        _number_format(forms).pack,
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


def _number_format(forms: list[str]) -> struct.Struct:
    numbers = [form for form in forms if form in (FLOAT, WHOLE)]
    return struct.Struct("<" + "".join(numbers))
