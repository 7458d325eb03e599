"""Borrowed weekdays: days with the pattern of another weekday, as holidays outside the calendar."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.detector.model.filter import Innovation, Level, advance_all
from monitor.detector.model.fit import Fitted
from monitor.detector.model.season import DAY
from monitor.detector.model.step import State, initial
from monitor.detector.model.streams import Hour, score

WEEKDAYS = 7
MAX_SCORE = 4.0  # cap on the weight of one stream
# squared innovations that another weekday must save for each stream; streams are
# correlated
STREAM_GAIN = 1.25
MIN_EXPLAINED = 0.6  # of today's excess, by the other weekday
MAX_CONSECUTIVE_DAYS = 2
MAX_DAYS, MEMORY_DAYS = 4, 30  # at most 4 borrowed days in 30


@dataclass(frozen=True)
class Borrowed:
    """A day with the pattern of another weekday.

    `day` counts days from a Monday; `weekday` is 0 (Monday) to 6 (Sunday).
    """

    day: int
    weekday: int


@dataclass(frozen=True, eq=False)
class Morning:
    """The filters of both detectors before the window `index`, the first of its day."""

    index: int
    page: Level
    warning: Level


def with_borrowed_weekdays(
    borrowed: Sequence[Borrowed], hours: Sequence[Hour]
) -> Sequence[Hour]:
    """Return the hours; those of borrowed days have the season of the other weekday."""
    weekdays = {day.day: day.weekday for day in borrowed}
    if not weekdays:
        return hours
    result = []
    for hour in hours:
        weekday = weekdays.get(hour.index // DAY)
        result.append(hour if weekday is None else _with_weekday(hour, weekday))
    return result


def _with_weekday(hour: Hour, weekday: int) -> Hour:
    days = weekday - hour.index // DAY % WEEKDAYS
    return replace(hour, borrowed_index=hour.index + DAY * days)


def find_matching_weekday(
    fitted: Fitted, morning: Level, hours: Sequence[Hour], borrowed: Sequence[Borrowed]
) -> Borrowed | None:
    """Return the other weekday whose pattern today follows; None when there is none.

    None too when too many days were borrowed. `hours` are those of today so far,
    `morning` is the filter before them. q is the sum of squared innovations, each at
    most 16, over these hours and the J streams of bins: minus twice a log likelihood.
    The season of the best of the other six weekdays must lower q by at least
    2 log(6 due) + STREAM_GAIN J, and by MIN_EXPLAINED of its excess over the
    expectation. It must do so without the column that gains most, which may itself have
    changed.
    """
    today = hours[-1].index // DAY
    if fitted.season != "weekly" or not _may_borrow(borrowed, today):
        return None
    own = _squares(fitted, morning, hours)
    others = {
        weekday: _squares(fitted, morning, [_with_weekday(h, weekday) for h in hours])
        for weekday in range(WEEKDAYS)
        if weekday != today % WEEKDAYS
    }
    best = min(others, key=lambda weekday: float(others[weekday].sum()))
    gain = own - others[best]
    streams_of = np.bincount(fitted.streams.feature_of_binned, minlength=len(own))
    expected = len(hours) * streams_of
    is_compared = np.arange(len(own)) != gain.argmax()
    excess = float((own - expected)[is_compared].sum())
    selection_cost = 2 * np.log((WEEKDAYS - 1) * fitted.due)
    min_gain = selection_cost + STREAM_GAIN * len(fitted.streams.binned)
    total_gain = float(gain[is_compared].sum())
    if total_gain < max(min_gain, MIN_EXPLAINED * excess):
        return None
    return Borrowed(today, best)


def restart_from_morning(
    fitted: Fitted, state: State, morning: Level, hours: Sequence[Hour]
) -> State:
    """Return the state after the hours since the morning, without evidence.

    The evidence so far was caused by the pattern of the other weekday.
    """
    level = _filtered(fitted, morning, hours)[0] if hours else morning
    return replace(initial(fitted), level=level, last_page=state.last_page)


def add_borrowed_day(
    borrowed: Sequence[Borrowed], today: Borrowed
) -> tuple[Borrowed, ...]:
    """Return the borrowed days of the last MEMORY_DAYS, and today."""
    recent = [day for day in borrowed if today.day - day.day < MEMORY_DAYS]
    return (*recent, today)


def _may_borrow(borrowed: Sequence[Borrowed], today: int) -> bool:
    days = {day.day for day in borrowed}
    previous = range(1, MAX_CONSECUTIVE_DAYS + 1)
    if today in days or all(today - back in days for back in previous):
        return False
    return sum(today - day < MEMORY_DAYS for day in days) < MAX_DAYS


def _squares(fitted: Fitted, morning: Level, hours: Sequence[Hour]) -> np.ndarray:
    """Return squared innovations of the streams of bins, summed by feature, (features,)."""
    _, innovation = _filtered(fitted, morning, hours)
    scaled = (innovation.z / fitted.tails.scale)[:, fitted.streams.binned]
    z = np.clip(scaled, -MAX_SCORE, MAX_SCORE)
    squares = (z * z).sum(axis=0)
    features = len(fitted.streams.weights)
    return np.bincount(fitted.streams.feature_of_binned, squares, features)


def _filtered(
    fitted: Fitted, morning: Level, hours: Sequence[Hour]
) -> tuple[Level, Innovation]:
    scores = score(fitted.streams, hours)
    season_index = np.array([hour.season_index for hour in hours])
    residuals = fitted.residuals(scores, season_index)
    return advance_all(fitted.wander, morning, residuals, scores.variances)
