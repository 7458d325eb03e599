"""The time span of a request: from, to and a step that fits."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from monitor.config.section import duration
from monitor.errors import InvalidRequest

STEPS = [timedelta(minutes=m) for m in (1, 5, 15, 30, 60, 120, 360, 720, 1440, 10080)]
MAX_STEPS = 2000
HOUR = timedelta(hours=1)
DEFAULT = timedelta(days=7)
DEFAULT_POINTS = 170
EARLIEST, LATEST = datetime(1971, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TimeRange:
    """From `start` to `end` (aware UTC), in whole steps; `until` is the end that was asked for."""

    start: datetime
    end: datetime
    step: timedelta
    until: datetime

    @property
    def steps(self) -> list[datetime]:
        """The start of every step."""
        count = -(-(self.end - self.start) // self.step)
        return [self.start + i * self.step for i in range(count)]

    @property
    def now(self) -> datetime:
        """The end of the hour that was asked until: up to there rows can be, the rest of the last step is to come."""
        return min(self.end, _ceil(self.until, HOUR))

    @property
    def naive(self) -> tuple[datetime, datetime]:
        """Start and end as the store takes them."""
        return self.start.replace(tzinfo=None), self.end.replace(tzinfo=None)


def parse_time_range(
    start: str | None,
    end: str | None,
    step: str | None,
    now: datetime,
    min_step: timedelta,
    max_points: int = DEFAULT_POINTS,
) -> TimeRange:
    """The span that the parameters ask for, on whole steps. Raises InvalidRequest, naming the parameter.

    Without `step` the smallest usual one that needs at most `max_points`; never finer than
    what is stored (`min_step`).
    """
    last = parse_time(end, "to") if end else now
    first = max(parse_time(start, "from") if start else last - DEFAULT, EARLIEST)
    if first >= last:
        raise InvalidRequest(
            f"`from` ({first:%Y-%m-%dT%H:%M:%SZ}) must be before `to` ({last:%Y-%m-%dT%H:%M:%SZ})"
        )
    width = (
        _step(step)
        if step
        else next(
            (s for s in STEPS if s >= min_step and (last - first) / s <= max_points),
            STEPS[-1],
        )
    )
    width = max(width, min_step)
    if (last - first) / width > MAX_STEPS:
        raise InvalidRequest(
            f"`step` {step} gives more than {MAX_STEPS} points; ask for a longer step or a shorter span"
        )
    return TimeRange(_floor(first, width), _ceil(last, width), width, last)


def _floor(at: datetime, width: timedelta) -> datetime:
    epoch = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday, so that weeks begin on one
    return at - (at - epoch) % width


def _ceil(at: datetime, width: timedelta) -> datetime:
    down = _floor(at, width)
    return down if down == at else down + width


def parse_time(text: str, name: str) -> datetime:
    """A time parameter as aware UTC; without an offset it is UTC.

    Raises InvalidRequest, naming the parameter.
    """
    try:
        at = datetime.fromisoformat(text.replace(" ", "+").upper())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"`{name}` {text[:40]!r} is not a time, e.g. 2026-11-22T09:30:00Z"
        ) from None
    if not EARLIEST <= at <= LATEST:
        raise InvalidRequest(
            f"`{name}` {text[:40]!r} is out of range: {EARLIEST.year} to {LATEST.year}"
        )
    return at


def _step(text: str) -> timedelta:
    try:
        width = duration(text)
    except ValueError as error:
        raise InvalidRequest(f"`step`: {error}") from None
    if width < timedelta(minutes=1):
        raise InvalidRequest(f"`step` {text} is too short; at least 1m")
    return width
