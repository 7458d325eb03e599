"""Time range of a request: `from`, `to` and a step that fits."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from monitor.config.section import duration
from monitor.errors import InvalidRequest

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STEPS = [timedelta(minutes=m) for m in (1, 5, 15, 30, 60, 120, 360, 720, 1440, 10080)]
MAX_STEPS = 2000
# steps of a chart whose step is not given
DEFAULT_POINTS = 170
DEFAULT_LENGTH = timedelta(days=7)
# beyond these years the arithmetic of steps would overflow
EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class TimeRange:
    """From `start` to `end` (aware UTC), a whole number of steps.

    `requested_end` is the end before it was rounded up to a step.
    """

    start: datetime
    end: datetime
    step: timedelta
    requested_end: datetime

    @property
    def steps(self) -> list[datetime]:
        """The start of every step."""
        count = -(-(self.end - self.start) // self.step)
        return [self.start + i * self.step for i in range(count)]

    @property
    def data_end(self) -> datetime:
        """The end of the hour of the requested end; no row of the range is later."""
        return min(self.end, _round_up(self.requested_end, HOUR))

    @property
    def naive_bounds(self) -> tuple[datetime, datetime]:
        """Start and end without a time zone, as the store takes them."""
        return self.start.replace(tzinfo=None), self.end.replace(tzinfo=None)

    def shifted(self, by: timedelta) -> "TimeRange":
        """Return the same range `by` later."""
        return TimeRange(
            self.start + by, self.end + by, self.step, self.requested_end + by
        )


def parse_time_range(
    start: str | None,
    end: str | None,
    step: str | None,
    now: datetime,
    min_step: timedelta,
    max_points: int = DEFAULT_POINTS,
) -> TimeRange:
    """Return the time range of the parameters `from`, `to` and `step`, on whole steps.

    Without `step` it is the smallest of STEPS that gives at most `max_points`. The step
    is never below `min_step`, the resolution of the stored profiles. Raises
    InvalidRequest, naming the parameter.
    """
    last = parse_time(end, "to") if end else now
    first = parse_time(start, "from") if start else last - DEFAULT_LENGTH
    first = max(first, EARLIEST)
    if first >= last:
        raise InvalidRequest(
            f"`from` ({first:%Y-%m-%dT%H:%M:%SZ}) must be before "
            f"`to` ({last:%Y-%m-%dT%H:%M:%SZ})"
        )
    length = last - first
    width = _parse_step(step) if step else _fitting_step(length, min_step, max_points)
    width = max(width, min_step)
    if length / width > MAX_STEPS:
        raise InvalidRequest(
            f"`step` {step} gives more than {MAX_STEPS} points; "
            "ask for a longer step or a shorter time range"
        )
    return TimeRange(_round_down(first, width), _round_up(last, width), width, last)


def parse_time(text: str, name: str) -> datetime:
    """Return a time parameter as aware UTC; without an offset it is UTC.

    Raises InvalidRequest, naming the parameter.
    """
    try:
        # a plus sign that was not encoded arrives as a space
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


def _parse_step(text: str) -> timedelta:
    try:
        step = duration(text)
    except ValueError as error:
        raise InvalidRequest(f"`step`: {error}") from None
    if step < MINUTE:
        raise InvalidRequest(f"`step` {text} is too short; at least 1m")
    return step


def _fitting_step(length: timedelta, min_step: timedelta, max_points: int) -> timedelta:
    for step in STEPS:
        if step >= min_step and length / step <= max_points:
            return step
    return STEPS[-1]


def _round_down(at: datetime, step: timedelta) -> datetime:
    return at - (at - MONDAY) % step


def _round_up(at: datetime, step: timedelta) -> datetime:
    down = _round_down(at, step)
    return down if down == at else down + step
