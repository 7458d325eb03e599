"""Events: the fields and limits of one logged prediction, its parser, and its refusals."""

import hashlib
import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor import embedding

MAX_ID_BYTES = 128
MAX_NAME = 200
MAX_TEXT = 4096
MAX_FEATURES = 10_000
RAW_SAMPLE = 16_000  # characters of a refused row that are quarantined
FIELDS = (
    "event_id",
    "model",
    "version",
    "ts",
    "features",
    "prediction",
    "latency_ms",
    "status",
    "error",
    "tags",
)


@dataclass(frozen=True)
class Refusal:
    """A refused row: its line (from 1), its id if it has one, the reason, and its start."""

    line: int
    event_id: str | None
    reason: str
    raw: str = ""
    model: str = ""


@dataclass(frozen=True)
class TimeBounds:
    """The accepted times of events: from now - max_age to now + max_ahead."""

    max_age: timedelta = timedelta(days=400)
    max_ahead: timedelta = timedelta(minutes=10)

    def around(self, now: datetime) -> tuple[datetime, datetime]:
        """Earliest and latest accepted time."""
        return now - self.max_age, now + self.max_ahead

    def reason(self, ts: datetime, now: datetime) -> str | None:
        """Return the reason to refuse `ts`; None when it is accepted."""
        earliest, latest = self.around(now)
        if ts < earliest:
            return (
                f"ts {ts:%Y-%m-%dT%H:%M:%SZ} is older than {self.max_age.days} days; "
                "raise limits.max_age_days or use --max-age"
            )
        if ts > latest:
            return f"ts {ts:%Y-%m-%dT%H:%M:%SZ} is in the future; the server's clock is at {now:%Y-%m-%dT%H:%M:%SZ}"
        return None


class Refused(ValueError):
    """Raised inside a parser for one row; the caller turns it into a Refusal."""


@dataclass(frozen=True)
class Event:
    """One logged prediction, validated.

    `ts` is UTC. `prediction` is a number, a class or class probabilities.
    """

    event_id: str
    model: str
    version: str
    ts: datetime
    features: dict[str, float | str | bool | None]
    prediction: float | str | dict[str, float] | None
    latency_ms: float | None
    status: int
    error: str | None
    tags: dict[str, str]


def parse_event(
    raw: Any, now: datetime, bounds: TimeBounds, make_ids: bool = True
) -> Event:
    """Return the event in one decoded JSON value.

    Raises Refused with the reason, which names the key and a valid value.
    """
    if not isinstance(raw, dict):
        raise Refused(f"an event is a JSON object, this is {_kind(raw)}")
    unknown = [k for k in raw if k not in FIELDS]
    if unknown:
        raise Refused(
            f"unknown key {unknown[0]!r}; known: {', '.join(FIELDS)} (features go inside `features`)"
        )
    return Event(
        event_id=id_of(raw.get("event_id"), make_ids),
        model=name_of(raw, "model"),
        version=_text(raw, "version", MAX_NAME) or "",
        ts=time_of(raw, now, bounds),
        features=_features(raw.get("features")),
        prediction=_prediction(raw.get("prediction")),
        latency_ms=_latency(raw.get("latency_ms")),
        status=_status(raw.get("status")),
        error=_text(raw, "error", MAX_TEXT),
        tags=_tags(raw.get("tags")),
    )


def decode(line: bytes) -> Any:
    """Return the JSON value in `line`.

    NaN and Infinity become floats, which are counted as invalid values.
    """
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise Refused("JSON is nested too deeply") from None
    except ValueError as error:
        position = getattr(error, "pos", None)
        where = "" if position is None else f" at character {position + 1}"
        raise Refused(
            f"not JSON{where}: {getattr(error, 'msg', str(error))[:80]}"
        ) from None


def name_of(raw: Mapping[str, Any], key: str) -> str:
    """Return the required short name of this key."""
    value = _text(raw, key, MAX_NAME)
    if not value:
        raise Refused(f"`{key}` is missing; it is required")
    return value


def time_of(raw: Mapping[str, Any], now: datetime, bounds: TimeBounds) -> datetime:
    """Return the required `ts` as aware UTC, within the bounds."""
    value = raw.get("ts")
    if value is None:
        raise Refused("`ts` is missing; it is required, e.g. 2026-11-22T09:30:00Z")
    if not isinstance(value, str):
        raise Refused(
            f"`ts` is {_kind(value)}; expected RFC 3339 text with offset, e.g. 2026-11-22T09:30:00Z"
        )
    ts = parse_time(value)
    reason = bounds.reason(ts, now)
    if reason:
        raise Refused(reason)
    return ts


def parse_time(text: str) -> datetime:
    """Return RFC 3339 text with offset as aware UTC. Raises Refused."""
    try:
        ts = datetime.fromisoformat(text.upper())  # RFC 3339 allows t and z
        if ts.tzinfo is not None:
            return ts.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    else:
        raise Refused(f"`ts` {text[:40]!r} has no offset; add Z or +00:00")
    raise Refused(f"`ts` {text[:40]!r} is not RFC 3339, e.g. 2026-11-22T09:30:00Z")


def make_id() -> str:
    """Return a random id for an event without one."""
    return str(uuid.uuid4())


def derived_id(key: str, line: int, text: bytes) -> str:
    """Return an id for an event without one, of a request with an Idempotency-Key.

    The same key, line and text always give the same id.
    """
    seed = f"{key}\n{line}\n".encode("utf-8", "replace") + text
    return str(uuid.UUID(bytes=hashlib.sha256(seed).digest()[:16]))


def label_text(value: Any) -> str | None:
    """Return the canonical text of a class or label; None for any other value.

    1 and 1.0 are "1", true is "true".
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if 0 < len(value) <= MAX_TEXT and _storable(value) else None
    if isinstance(value, int):
        return str(value) if abs(value) < 10**300 else None
    if isinstance(value, float) and math.isfinite(value):
        return (
            str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        )
    return None


def id_of(value: Any, make: bool) -> str:
    """Return a valid event id; with `make`, a new one when it is absent. Raises Refused."""
    if value is None and make:
        return make_id()
    if value is None:
        raise Refused("`event_id` is missing")
    if not isinstance(value, str) or not value:
        raise Refused(f"`event_id` is {_kind(value)}; expected text")
    if not _storable(value):
        raise Refused("`event_id` contains half a surrogate pair; send valid Unicode")
    if len(value.encode()) > MAX_ID_BYTES:
        raise Refused(
            f"`event_id` has {len(value.encode())} bytes; at most {MAX_ID_BYTES}"
        )
    return value


def _features(value: Any) -> dict[str, float | str | bool | None]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(
            f"`features` is {_kind(value)}; expected an object of name: number, text, boolean, null or embedding"
        )
    if len(value) > MAX_FEATURES:
        raise Refused(f"`features` has {len(value)} names; at most {MAX_FEATURES}")
    embedded: list[str] = []
    for name, item in value.items():
        if not 0 < len(name) <= MAX_NAME or not _storable(name):
            raise Refused(
                f"feature name {name[:40]!r} must have 1 to {MAX_NAME} characters of valid Unicode"
            )
        if isinstance(item, dict):
            raise Refused(
                f"`features.{name}` is an object; expected number, text, boolean, null or a list of numbers"
            )
        if isinstance(item, list):
            embedded.append(name)
            if problem := embedding.problem(item):
                raise Refused(f"`features.{name}` {problem}")
        if isinstance(item, str) and (len(item) > MAX_TEXT or not _storable(item)):
            raise Refused(
                f"`features.{name}` must be at most {MAX_TEXT} characters of valid Unicode"
            )
    if embedded:
        value = _replace_embeddings(value, embedded)
    return {
        name: _number(item) if _is_number(item) else item
        for name, item in value.items()
    }


def _replace_embeddings(value: dict[str, Any], embedded: list[str]) -> dict[str, Any]:
    for name in embedded:
        if len(embedding.names(name)[-1]) > MAX_NAME:
            raise Refused(
                f"feature name {name[:40]!r} is too long for an embedding; at most {MAX_NAME - 20} characters"
            )
    if reserved := embedding.name_conflict(value, embedded):
        raise Refused(
            f"`features.{reserved}` is a name that an embedding needs; rename one of them"
        )
    return embedding.replace_embeddings(value)


def _prediction(value: Any) -> float | str | dict[str, float] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        if not value:
            raise Refused(
                "`prediction` is an empty object; expected class: probability"
            )
        for name, share in value.items():
            if not _is_number(share) or not 0 <= share <= 1:
                raise Refused(
                    f"`prediction.{name[:40]}` is {str(share)[:20]}; a probability is in [0, 1]"
                )
            if not 0 < len(name) <= MAX_NAME or not _storable(name):
                raise Refused(
                    f"class {name[:40]!r} must have 1 to {MAX_NAME} characters of valid Unicode"
                )
        return {name: float(share) for name, share in value.items()}
    if _is_number(value):
        number = _number(value)
        if not math.isfinite(number):
            raise Refused(
                f"`prediction` is {number}; expected a finite number, a class, or class: probability"
            )
        return number
    text = label_text(value)
    if text in ("NaN", "Infinity", "-Infinity"):
        raise Refused(
            f"`prediction` is {text}; expected a finite number, a class, or class: probability"
        )
    if text is None:
        raise Refused(
            f"`prediction` is {_kind(value)}; expected a number, a class, or class: probability"
        )
    return text


def _latency(value: Any) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not 0 <= value < 1e12:
        raise Refused(
            f"`latency_ms` is {str(value)[:20]}; expected milliseconds, 0 or more"
        )
    return float(value)


def _status(value: Any) -> int:
    if value is None:
        return 200
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 999:
        raise Refused(
            f"`status` is {str(value)[:20]}; expected a whole number like an HTTP status, 0 to 999"
        )
    return value


def _tags(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(f"`tags` is {_kind(value)}; expected an object of texts")
    for name, item in value.items():
        if not isinstance(item, str) or not _storable(item) or not _storable(name):
            raise Refused(f"`tags.{name[:40]}` is {_kind(item)}; expected valid text")
    return value


def _text(raw: Mapping[str, Any], key: str, longest: int) -> str | None:
    value = raw.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused(f"`{key}` is {_kind(value)}; expected text")
    if len(value) > longest or not _storable(value):
        raise Refused(f"`{key}` must be at most {longest} characters of valid Unicode")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")
