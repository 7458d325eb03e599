"""One event or label as one line of NDJSON."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

# the server refuses an event with a longer text, so a longer one is cut
MAX_TEXT_CHARACTERS = 4_096

c_encode = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, check_circular=False
).encode


def encode(record: Mapping[str, Any]) -> bytes:
    """Encode a record as one line, without fields that are None.

    Inside `features` None stays, as null.
    """
    return _encode_whole(record) or _encode_by_field(record)


def _encode_whole(record: Mapping[str, Any]) -> bytes | None:
    """Encode with the C encoder alone, in a third of the time.

    None if a value needs a closer look: one that the encoder refuses (NaN, other types)
    or that the server would refuse (nested values, long texts, odd tags).
    """
    if record.get("tags") is not None or record.get("error") is not None:
        return None
    fields = {name: value for name, value in record.items() if value is not None}
    try:
        fields["ts"] = timestamp(fields["ts"])
        text = c_encode(fields)
    except (TypeError, ValueError, LookupError):
        return None
    objects = 1 + ("features" in fields) + isinstance(fields.get("prediction"), dict)
    if len(text) > MAX_TEXT_CHARACTERS or "[" in text or text.count("{") != objects:
        return None
    return text.encode() + b"\n"


def _encode_by_field(record: Mapping[str, Any]) -> bytes:
    fields = {
        name: _FIELDS.get(name, plain)(value)
        for name, value in record.items()
        if value is not None
    }
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def plain(value: Any) -> Any:
    """Convert a value to one that JSON can carry.

    NaN and infinities become the strings "NaN", "Infinity" and "-Infinity", which the
    server counts as invalid (null would count as missing). NumPy scalars give their
    Python value, dates ISO 8601 text, all others `str(value)`, cut at
    MAX_TEXT_CHARACTERS.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value[:MAX_TEXT_CHARACTERS]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _non_finite(value)
    # pandas' own null and its null time, without importing pandas
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, date):  # datetime is a date
        return value.isoformat()
    return _unwrap(value)


def _non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _unwrap(value: Any) -> Any:
    """Convert a NumPy scalar to its Python value; any other object to text."""
    item = getattr(value, "item", None)
    if not callable(item):
        return _as_text(value)
    try:
        inner = item()
    except Exception:  # an array of several values has an item() that refuses
        return _as_text(value)
    if isinstance(inner, bool | str | int | float | date | None):
        return plain(inner)
    return _as_text(inner)


def _as_text(value: Any) -> str:
    try:
        return str(value)[:MAX_TEXT_CHARACTERS]
    # a feature's own __str__ may do anything; the event is worth more than this value
    except Exception:
        return f"<{type(value).__name__} without text>"


def _plain_mapping(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): plain(value) for name, value in values.items()}


def _features(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _feature(value) for name, value in values.items()}


def _feature(value: Any) -> Any:
    """Convert a feature to a value that JSON can carry.

    A list of numbers (list, tuple, array, tensor) is an embedding and stays a list,
    with null where it is not finite. Other values are converted by `plain`.
    """
    if isinstance(value, str | bool | int | float | None):
        return plain(value)
    try:
        elements = value if isinstance(value, list | tuple) else value.tolist()
        return [_element(element) for element in elements]
    # not a list of numbers, or a tensor that is not in this machine's memory
    except Exception:
        return plain(value)


def _element(value: Any) -> float | None:
    if value is None or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else None
    inner = value.item()  # a NumPy scalar
    if not isinstance(inner, int | float) or isinstance(inner, bool):
        raise TypeError("not a number")
    return inner if math.isfinite(inner) else None


def _prediction(value: Any) -> Any:
    return _plain_mapping(value) if isinstance(value, Mapping) else plain(value)


def _tags(values: Mapping[Any, Any]) -> dict[str, str]:
    return {str(name): _as_text(value) for name, value in values.items()}


@lru_cache(maxsize=4)
def _second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def timestamp(value: Any) -> str:
    """Format a time as RFC 3339 text.

    `value` is a datetime (naive means UTC), Unix seconds, or text, which stays as is.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, datetime):
        second, fraction = divmod(float(value), 1)
        return f"{_second(int(second))}.{int(fraction * 1e6):06d}Z"
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    text: str = value.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "features": _features,
    "prediction": _prediction,
    "tags": _tags,
    "error": _as_text,
    "ts": timestamp,
}
