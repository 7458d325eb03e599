"""Numbers, times and durations as people read them.

Plain text; None is always a dash, never 0 or "nan".
"""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app import text

DASH = "—"
_SHARES = frozenset({"share", "rate", "fraction", "proportion"})
_SHARE_STATISTICS = frozenset(
    {
        "error_rate",
        "wrong_share",
        "missing_rate",
        "type_error_rate",
        "new_category_share",
    }
)


def count(value: float | None) -> str:
    """1234567 -> "1,234,567"."""
    return DASH if value is None else f"{value:,.0f}"


def compact(value: float | None) -> str:
    """95123 -> "95k"; small numbers as they are."""
    if value is None:
        return DASH
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            digits = 1 if abs(value) < 10 * size else 0
            return f"{value / size:.{digits}f}".removesuffix(".0") + letter
    return f"{value:.0f}"


def size(bytes_: float | None) -> str:
    """1536000 -> "1.5 MB"; in the units of the configuration, 1 MB = 1024 * 1024 bytes."""
    if bytes_ is None:
        return DASH
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")):
        if bytes_ >= unit:
            value = bytes_ / unit
            return f"{value:.{1 if value < 10 else 0}f}".removesuffix(".0") + f" {name}"
    return f"{bytes_:.0f} B"


def percent(value: float | None, digits: int | None = None) -> str:
    """0.0067 -> "0.67%"; two digits below one percent, one above."""
    if value is None:
        return DASH
    if digits is None and 0 < abs(value) < 0.00005:
        return "<0.01%"
    if digits is None:
        digits = 0 if value == 0 else 2 if abs(value) < 0.00995 else 1
    shown = f"{value:.{digits}%}"
    return shown[:-1].rstrip("0").rstrip(".") + "%" if "." in shown else shown


def milliseconds(value: float | None) -> str:
    """35.12 -> "35 ms"; 12500 -> "12.5 s"."""
    if value is None:
        return DASH
    if abs(value) >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:,.0f} ms" if abs(value) >= 10 else f"{value:.1f} ms"


def number(value: float | None) -> str:
    """Three meaningful digits: 0.5412 -> "0.541", 1234.5 -> "1,234"."""
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
    """A distance between distributions, always two digits: 0.2 -> "0.20"."""
    return DASH if value is None else f"{value:.2f}"


def measured(value: float | None, statistic: str, unit: str | None) -> str:
    """A value of this statistic with its unit: shares in percent, times in ms, distances with two digits."""
    if value is None:
        return DASH
    if statistic in _SHARE_STATISTICS or (unit or "") in _SHARES:
        return percent(value)
    if unit == "ms":
        return milliseconds(value)
    if unit in ("s", "seconds"):
        return duration(value)
    if unit == "sd":
        return f"{deviations(value)} sd"
    if unit == "times":
        return f"{number(value)}×"
    if statistic in text.DISTANCES:
        return score(value)
    return (
        number(value)
        if unit in (None, "", "nats", "events", "1")
        else f"{number(value)} {unit}"
    )


def deviations(value: float) -> str:
    """A distance in standard deviations with its sign: 0.617 -> "+0.62", -0.004 -> "-0.004"."""
    return f"{value:+.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:+.1g}"


def duration(seconds: float | None) -> str:
    """How long, in one unit: "4 s", "12 min", "46 h", "8 days"."""
    if seconds is None:
        return DASH
    seconds = max(seconds, 0.0)
    for limit, size, key in (
        (90, 1, "age.seconds"),
        (3570, 60, "age.minutes"),
        (259_200, 3600, "age.hours"),
    ):
        if seconds < limit:
            digits = 1 if seconds < 3 * size else 0
            return text.raw(key, n=f"{seconds / size:.{digits}f}".removesuffix(".0"))
    return text.raw("age.days", n=f"{seconds / 86_400:.0f}")


def parse(moment: str | None) -> datetime | None:
    """RFC 3339 text as an aware datetime; None for None or for text that is no time."""
    try:
        read = datetime.fromisoformat(moment) if moment else None
    except (TypeError, ValueError):
        return None
    return read if read is None or read.tzinfo else read.replace(tzinfo=UTC)


def zone(name: str | None) -> ZoneInfo:
    """The named time zone; UTC if the name is unknown or absent."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def local(moment: str | None, place: ZoneInfo) -> datetime | None:
    """The time on the viewer's wall clock, without a zone: what charts and tables are given."""
    read = parse(moment)
    return read.astimezone(place).replace(tzinfo=None) if read else None


def at(moment: str | datetime | None, place: ZoneInfo) -> str:
    """ "20 Nov 11:40" or "11/20 11:40" on the viewer's wall clock; the year is said when it is not this one."""
    read = moment if isinstance(moment, datetime) else parse(moment)
    if read is None:
        return DASH
    wall = read.astimezone(place)
    old = wall.year != datetime.now(place).year
    if text.language() == "zh":
        return (
            f"{wall.year}/{wall.month}/{wall.day} {wall:%H:%M}"
            if old
            else f"{wall.month}/{wall.day} {wall:%H:%M}"
        )
    return f"{wall.day} {wall:%b %Y %H:%M}" if old else f"{wall.day} {wall:%b %H:%M}"


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """Seconds from one time to the other; None if either is missing."""
    first, second = parse(earlier), parse(later)
    return (second - first).total_seconds() if first and second else None


def limit_of(found: dict[str, Any]) -> str:
    """The limit of a finding or alert, in the unit of its value.

    A limit on the increase over the reference is given as the value it allows, "24%";
    "+5%" if there is no reference.
    """
    limit, before = found.get("limit"), found.get("reference_value")
    rises = found.get("compare") == "increase" and limit is not None
    shown = measured(
        limit + before if rises and before is not None else limit,
        str(found.get("statistic")),
        found.get("unit"),
    )
    return f"+{shown}" if rises and before is None else shown
