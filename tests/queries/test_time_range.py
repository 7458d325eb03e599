"""Time ranges of requests: parsing, default steps, rounding, limits."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.errors import InvalidRequest
from monitor.queries.time_range import (
    MAX_STEPS,
    TimeRange,
    parse_time,
    parse_time_range,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


def test_default_is_seven_days_until_now_in_whole_steps() -> None:
    time_range = parse_time_range(None, None, None, NOW, HOUR)
    assert time_range.step == HOUR
    assert time_range.start == datetime(2026, 11, 18, 9, tzinfo=UTC)
    assert time_range.end == datetime(2026, 11, 25, 10, tzinfo=UTC)
    assert time_range.requested_end == NOW
    assert len(time_range.steps) == 7 * 24 + 1


@pytest.mark.parametrize(
    ("days", "min_step", "max_points", "step"),
    [
        (1, timedelta(minutes=1), 170, timedelta(minutes=15)),
        (1, HOUR, 170, HOUR),
        (30, HOUR, 170, timedelta(hours=6)),
        (30, HOUR, 60, timedelta(hours=12)),
        (4000, HOUR, 170, timedelta(days=7)),
    ],
)
def test_step_is_the_shortest_that_fits(
    days: int, min_step: timedelta, max_points: int, step: timedelta
) -> None:
    start = (NOW - days * DAY).isoformat()
    time_range = parse_time_range(start, None, None, NOW, min_step, max_points)
    assert time_range.step == step


def test_step_is_never_below_the_stored_resolution() -> None:
    assert parse_time_range(None, None, "1m", NOW, HOUR).step == HOUR


def test_weeks_begin_on_monday() -> None:
    time_range = parse_time_range("2026-11-01", "2026-11-25", "1w", NOW, HOUR)
    assert {at.weekday() for at in time_range.steps} == {0}
    assert time_range.start == datetime(2026, 10, 26, tzinfo=UTC)


def test_data_ends_with_the_hour_of_the_requested_end() -> None:
    time_range = parse_time_range(None, NOW.isoformat(), "1d", NOW, HOUR)
    assert time_range.end == datetime(2026, 11, 26, tzinfo=UTC)
    assert time_range.data_end == datetime(2026, 11, 25, 10, tzinfo=UTC)


def test_shifted_range_keeps_its_steps() -> None:
    time_range = TimeRange(NOW - DAY, NOW, HOUR, NOW)
    earlier = time_range.shifted(-7 * DAY)
    assert earlier.steps == [at - 7 * DAY for at in time_range.steps]
    assert earlier.requested_end == NOW - 7 * DAY


@pytest.mark.parametrize(
    ("start", "end", "step", "words"),
    [
        ("2026-02-02", "2026-01-01", None, "`from` .* must be before `to`"),
        ("yesterday", None, None, "`from` 'yesterday' is not a time"),
        (None, "1900-01-01", None, "`to` '1900-01-01' is out of range: 1971 to 2200"),
        (None, None, "30s", "`step` 30s is too short; at least 1m"),
        (None, None, "soon", "`step`: "),
        ("2026-01-01", None, "1m", f"`step` 1m gives more than {MAX_STEPS} points"),
    ],
)
def test_a_wrong_parameter_is_named(
    start: str | None, end: str | None, step: str | None, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        parse_time_range(start, end, step, NOW, timedelta(minutes=1))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T09:30:00Z",
        "2026-11-22T17:30:00+08:00",
        "2026-11-22T17:30:00 08:00",  # a plus sign that was not encoded
        "2026-11-22t09:30:00",
    ],
)
def test_a_time_is_utc_whatever_its_offset(text: str) -> None:
    assert parse_time(text, "from") == datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
