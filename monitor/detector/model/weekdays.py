"""Days that go like another weekday, as a holiday does that is not in the calendar."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.detector.model.filter import Innovation, Level, advance_all
from monitor.detector.model.fit import Fitted
from monitor.detector.model.season import DAY
from monitor.detector.model.step import State, initial
from monitor.detector.model.streams import Hour, score

WEEKDAYS = 7
MAX_SCORE = 4.0  # one stream must not be the day by itself
# squared innovations that another weekday must save for each stream, as streams move
# together
STREAM_GAIN = 1.25
EXPLAINED = 0.6  # of what is beyond chance today, by the other weekday
MAX_RUNNING = 2  # days in a row
MAX_DAYS, REMEMBERED = 4, 30  # days of so many


@dataclass(frozen=True)
class Borrowed:
    """A day, counted like hours from a Monday, that went like `weekday` (0 Monday to 6 Sunday), not like its own."""

    day: int
    weekday: int


@dataclass(frozen=True, eq=False)
class Morning:
    """The filters of both detectors before the window `index`, the first one of its day."""

    index: int
    page: Level
    warning: Level


def dressed(borrowed: Sequence[Borrowed], hours: Sequence[Hour]) -> Sequence[Hour]:
    """The hours, those of borrowed days expected to be as usual on the other weekday."""
    weekdays = {b.day: b.weekday for b in borrowed}
    if not weekdays:
        return hours
    return [
        _like(h, weekdays[h.index // DAY]) if h.index // DAY in weekdays else h
        for h in hours
    ]


def _like(hour: Hour, weekday: int) -> Hour:
    return replace(
        hour, like=hour.index + DAY * (weekday - hour.index // DAY % WEEKDAYS)
    )


def alike(
    fitted: Fitted, morning: Level, hours: Sequence[Hour], borrowed: Sequence[Borrowed]
) -> Borrowed | None:
    """The weekday that today goes like instead of its own; None when it is none, or when too many days were borrowed.

    q is the sum of squared innovations, each at most 16, over the hours of today and
    the J streams of bins: minus twice a log likelihood. With the season of the best of
    the other six weekdays it must fall by at least 2 log(6 due) + STREAM_GAIN J, and by
    EXPLAINED of what it is beyond its expectation, and it must do so without the column
    that gains most, which may have changed. `hours` are those of today so far,
    `morning` is where the filter stood before them.
    """
    today = hours[-1].index // DAY
    if fitted.season != "weekly" or not _may_borrow(borrowed, today):
        return None
    own = _squares(fitted, morning, hours)
    others = {
        d: _squares(fitted, morning, [_like(h, d) for h in hours])
        for d in range(WEEKDAYS)
        if d != today % WEEKDAYS
    }
    best = min(others, key=lambda d: float(others[d].sum()))
    gain = own - others[best]
    expected = len(hours) * np.bincount(
        fitted.streams.feature_of_binned, minlength=len(own)
    )
    other_days = np.arange(len(own)) != gain.argmax()
    excess = float((own - expected)[other_days].sum())
    least = 2 * np.log((WEEKDAYS - 1) * fitted.due) + STREAM_GAIN * len(
        fitted.streams.binned
    )
    explains = float(gain[other_days].sum()) >= max(least, EXPLAINED * excess)
    return Borrowed(today, best) if explains else None


def resumed(
    fitted: Fitted, state: State, morning: Level, hours: Sequence[Hour]
) -> State:
    """The state after the hours since the morning, without evidence: what gathered it was another weekday."""
    level, _ = _filtered(fitted, morning, hours) if hours else (morning, None)
    return replace(initial(fitted), level=level, last_page=state.last_page)


def remembered(borrowed: Sequence[Borrowed], today: Borrowed) -> tuple[Borrowed, ...]:
    """The days that still count, and today."""
    return (*(b for b in borrowed if today.day - b.day < REMEMBERED), today)


def _may_borrow(borrowed: Sequence[Borrowed], today: int) -> bool:
    days = {b.day for b in borrowed}
    running = all(today - back in days for back in range(1, MAX_RUNNING + 1))
    return (
        today not in days
        and not running
        and sum(today - d < REMEMBERED for d in days) < MAX_DAYS
    )


def _squares(fitted: Fitted, morning: Level, hours: Sequence[Hour]) -> np.ndarray:
    """Squared innovations of the streams of bins, summed by feature, (features,)."""
    _, innovation = _filtered(fitted, morning, hours)
    binned = fitted.streams.binned
    z = np.clip((innovation.z / fitted.tails.scale)[:, binned], -MAX_SCORE, MAX_SCORE)
    return np.bincount(
        fitted.streams.feature_of_binned,
        (z * z).sum(axis=0),
        len(fitted.streams.weights),
    )


def _filtered(
    fitted: Fitted, morning: Level, hours: Sequence[Hour]
) -> tuple[Level, Innovation]:
    scores = score(fitted.streams, hours)
    residuals = fitted.residuals(scores, np.array([h.usual for h in hours]))
    return advance_all(fitted.wander, morning, residuals, scores.variances)
