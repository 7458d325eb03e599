"""Numbers, times and durations as text for people.

Plain text; None is always a dash, never 0 or "nan". Times are on the viewer's clock.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app import text

DASH = "—"
HOUR_S, DAY_S = 3600, 86_400
_SHARES = frozenset({"share", "rate", "fraction", "proportion"})
_viewer: list[Callable[[], str | None]] = [lambda: None]


def follow(zone_name: Callable[[], str | None]) -> None:
    """Read the name of the viewer's time zone from this function from now on."""
    _viewer[0] = zone_name


def viewer_zone() -> ZoneInfo:
    """Return the viewer's time zone; UTC when it is unknown."""
    return zone(_viewer[0]())


def count(value: float | None) -> str:
    """Return a whole number: 1234567 -> "1,234,567"."""
    return DASH if value is None else f"{value:,.0f}"


def compact(value: float | None) -> str:
    """Return a short whole number: 95123 -> "95k"; small numbers as they are."""
    if value is None:
        return DASH
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            digits = 1 if abs(value) < 10 * size else 0
            return f"{value / size:.{digits}f}".removesuffix(".0") + letter
    return f"{value:.0f}"


def size(bytes_: float | None) -> str:
    """Return bytes in larger units: 1536000 -> "1.5 MB".

    The units are those of the configuration: 1 MB = 1024 * 1024 bytes.
    """
    if bytes_ is None:
        return DASH
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")):
        if bytes_ >= unit:
            value = bytes_ / unit
            digits = 1 if value < 10 else 0
            return f"{value:.{digits}f}".removesuffix(".0") + f" {name}"
    return f"{bytes_:.0f} B"


def percent(value: float | None, digits: int | None = None) -> str:
    """Return a share in percent: 0.0067 -> "0.67%".

    Without `digits`: two below one percent, one above.
    """
    if value is None:
        return DASH
    if digits is None:
        if 0 < abs(value) < 0.00005:
            return "<0.01%"
        digits = 2 if abs(value) < 0.00995 else 1
    shown = f"{value * 100:.{digits}f}"
    if "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return f"{shown}%"


def points(value: float | None) -> str:
    """Return the difference of two shares in percentage points: 0.06 -> "+6 points"."""
    if value is None:
        return DASH
    shown = f"{value * 100:+.1f}".removesuffix(".0")
    return text.raw("unit.points", value=shown)


def interval(low: str, high: str) -> str:
    """Return a 95% confidence interval: "95% CI 0.36–0.61", "95% CI -0.42 to -0.20"."""
    if low.startswith("-") or high.startswith("-"):
        return text.raw("interval.signed", low=low, high=high)
    bounds = {"low": low.removeprefix("+"), "high": high.removeprefix("+")}
    return text.raw("interval.plain", **bounds)


def milliseconds(value: float | None) -> str:
    """Return a latency: 35.12 -> "35 ms"; 12500 -> "12.5 s"."""
    if value is None:
        return DASH
    if abs(value) >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:,.0f} ms" if abs(value) >= 10 else f"{value:.1f} ms"


def number(value: float | None) -> str:
    """Return three significant digits: 0.5412 -> "0.541", 1234.5 -> "1,234"."""
    if value is None:
        return DASH
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 1:
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1g}"


def score(value: float | None) -> str:
    """Return a distance between distributions with two digits: 0.2 -> "0.20"."""
    return DASH if value is None else f"{value:.2f}"


def measured(value: float | None, statistic: str, unit: str | None) -> str:
    """Return a value of this statistic with its unit.

    Shares are in percent, times in ms, distances have two digits.
    """
    if value is None:
        return DASH
    unit = unit or text.unit_of(statistic)
    if unit in _SHARES:
        return percent(value)
    if unit == "ms":
        return milliseconds(value)
    if unit in ("s", "seconds"):
        return duration(value)
    if unit == "sd":
        return text.raw("unit.sd", value=deviations(value))
    if unit == "times":
        return f"{number(value)}×"
    if text.is_distance(statistic):
        return score(value)
    if unit in (None, "", "nats", "events", "1"):
        return number(value)
    return f"{number(value)} {unit}"


def deviations(value: float) -> str:
    """Return standard deviations with their sign: 0.617 -> "+0.62", -0.004 -> "-0.004"."""
    return f"{value:+.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:+.1g}"


def duration(seconds: float | None) -> str:
    """Return a duration in one unit: "4 s", "12 min", "46 h", "8 days"."""
    if seconds is None:
        return DASH
    seconds = max(seconds, 0.0)
    for limit, unit_s, key in (
        (90, 1, "age.seconds"),
        (3570, 60, "age.minutes"),
        (3 * DAY_S, HOUR_S, "age.hours"),
    ):
        if seconds < limit:
            digits = 1 if seconds < 3 * unit_s else 0
            shown = f"{seconds / unit_s:.{digits}f}".removesuffix(".0")
            return text.raw(key, n=shown)
    return text.raw("age.days", n=f"{seconds / DAY_S:.0f}")


def parse(moment: str | None) -> datetime | None:
    """Return RFC 3339 text as an aware datetime; None for None or other text."""
    try:
        time = datetime.fromisoformat(moment) if moment else None
    except (TypeError, ValueError):
        return None
    return time if time is None or time.tzinfo else time.replace(tzinfo=UTC)


def zone(name: str | None) -> ZoneInfo:
    """Return the named time zone; UTC if the name is unknown or absent."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def local(moment: str | None, place: ZoneInfo) -> datetime | None:
    """Return the wall-clock time of a zone, without the zone: for charts and tables."""
    time = parse(moment)
    return time.astimezone(place).replace(tzinfo=None) if time else None


def at(moment: str | datetime | None, place: ZoneInfo | None = None) -> str:
    """Return "20 Nov 11:40" or "11/20 11:40" on the viewer's clock.

    `place` is another time zone. The year is shown when it is not the present one.
    """
    time = moment if isinstance(moment, datetime) else parse(moment)
    if time is None:
        return DASH
    place = place or viewer_zone()
    wall = time.astimezone(place)
    old = wall.year != datetime.now(place).year
    if text.language() == "zh":
        date = f"{wall.month}/{wall.day}"
        return f"{wall.year}/{date} {wall:%H:%M}" if old else f"{date} {wall:%H:%M}"
    return f"{wall.day} {wall:%b %Y %H:%M}" if old else f"{wall.day} {wall:%b %H:%M}"


def zoned(moment: str | datetime | None) -> str:
    """Return the time with its zone, for sentences: "20 Nov 11:40 (UTC+8)"."""
    time = moment if isinstance(moment, datetime) else parse(moment)
    if time is None:
        return DASH
    offset = time.astimezone(viewer_zone()).utcoffset() or timedelta(0)
    minutes = round(offset.total_seconds() / 60)
    hours, rest_minutes = divmod(abs(minutes), 60)
    name = "UTC"
    if minutes:
        sign = "+" if minutes > 0 else "-"
        name += f"{sign}{hours}" + (f":{rest_minutes:02d}" if rest_minutes else "")
    return text.raw("time.zoned", at=at(time), zone=name)


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """Return the seconds from one time to the other; None if either is missing."""
    first, second = parse(earlier), parse(later)
    return (second - first).total_seconds() if first and second else None


def limit_of(result: dict[str, Any]) -> str:
    """Return the limit of a finding or alert, in the unit of its value.

    A limit on the increase over the reference is shown as the value it allows, "24%";
    "+5%" if there is no reference.
    """
    limit, reference = result.get("limit"), result.get("reference_value")
    is_increase = result.get("compare") == "increase" and limit is not None
    if is_increase and reference is not None:
        limit += reference
    shown = measured(limit, str(result.get("statistic")), result.get("unit"))
    return f"+{shown}" if is_increase and reference is None else shown
