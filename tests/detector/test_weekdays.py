"""Days that go like another weekday: holidays that are not in the calendar call nobody, real changes are not hidden."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import ndtr, ndtri

from monitor.detector.lanes.distribution_lane import machine_of
from monitor.detector.lanes.lane import Budget
from monitor.detector.model import DetectorColumn, Hour, from_plain, to_plain
from monitor.detector.model.shifts import (
    Shift,
    ShiftState,
    advance_shift,
    initial_shift,
)
from monitor.detector.model.weekdays import (
    Borrowed,
    find_matching_weekday,
    with_borrowed_weekdays,
)

FEATURES = [DetectorColumn(f"x{j}", "numeric") for j in range(4)]
EDGES = ndtri(np.arange(1, 20) / 20)
ROWS, WEEKEND = 1000, 0.3  # an hour; sd by which a number is higher from Saturday on
REFERENCE = 28  # days
WANDER = lfilter(
    [1], [1, -0.8], np.random.default_rng(7).normal(0, 0.02, (60 * 24, 4)), axis=0
)
# how much of the weekend each number has
ALL, ONE = (1.0, 1.0, 1.0, 1.0), (2.0, 0.0, 0.0, 0.0)

Weekday = Callable[[int], int]  # of a day, what it looks like


def usual(day: int) -> int:
    return day % 7


def hours(
    first: int,
    days: int,
    course: Sequence[float],
    looks: Weekday = usual,
    missing: int = 0,
    wider: float = 1.0,
) -> list[Hour]:
    """Hours of some days on, each of which looks like the weekday that `looks` says; where that is not its own, so many
    rows are missing and the spread is so many times as large."""
    found = []
    for index in range(first * 24, (first + days) * 24):
        rng = np.random.default_rng([7, index])
        weekday = looks(index // 24)
        other = weekday != usual(index // 24)
        level = WEEKEND * np.array(course) * (weekday >= 5) + WANDER[index]
        below = ndtr((EDGES - level[:, None]) / (wider if other else 1.0))
        lost = missing if other else 0
        counts = tuple(
            rng.multinomial(ROWS - lost, p)
            for p in np.diff(below, axis=1, prepend=0, append=1)
        )
        found.append(Hour(index, counts, np.full(4, lost)))
    return found


@cache
def learned(course: tuple[float, ...], weekdays: bool = True) -> Shift:
    machine = machine_of(
        FEATURES, hours(0, REFERENCE, course), Budget(2160 / 0.72, 0.05, 1)
    )
    fitted, sensitive = (
        replace(f, settings=replace(f.settings, weekdays=weekdays))
        for f in (machine.fitted, machine.sensitive)
    )
    return Shift(fitted, sensitive)


def run(
    machine: Shift,
    watched: Sequence[Hour],
    state: ShiftState | None = None,
    start: int = 0,
) -> tuple[ShiftState, list[int]]:
    """The state after the hours from `start` on, and in which of them an episode opened."""
    state, pages = state or initial_shift(machine), []
    for i in range(start, len(watched)):
        state, _ = advance_shift(machine, state, watched[max(0, i - 167) : i + 1])
        pages += [
            watched[i].index for e in state.episodes if e.opened == watched[i].index
        ]
    return state, pages


HOLIDAY = REFERENCE + 2  # a Wednesday


def like_a_sunday_on(*days: int) -> Weekday:
    return lambda day: 6 if day in days else usual(day)


def test_day_that_goes_like_a_sunday_calls_nobody_and_is_remembered() -> None:
    watched = hours(REFERENCE, 5, ALL, like_a_sunday_on(HOLIDAY))
    _, before = run(learned(ALL, weekdays=False), watched)
    assert [page // 24 for page in before] == [HOLIDAY]
    state, pages = run(learned(ALL), watched)
    assert not pages
    (found,) = state.borrowed
    assert found.day == HOLIDAY
    assert found.weekday >= 5


def test_quiet_week_borrows_no_day() -> None:
    state, pages = run(learned(ALL), hours(REFERENCE, 7, ALL))
    assert not pages
    assert not state.borrowed


def test_one_column_alone_does_not_make_another_weekday() -> None:
    state, pages = run(
        learned(ONE), hours(REFERENCE, 3, ONE, like_a_sunday_on(HOLIDAY))
    )
    assert [page // 24 for page in pages] == [HOLIDAY]
    assert not state.borrowed


def test_weekday_that_explains_less_than_half_is_none() -> None:
    state, pages = run(
        learned(ALL), hours(REFERENCE, 3, ALL, like_a_sunday_on(HOLIDAY), wider=1.5)
    )
    assert [page // 24 for page in pages] == [HOLIDAY]
    assert not state.borrowed


def test_level_is_as_if_the_weekday_had_been_known_in_the_morning() -> None:
    watched = hours(REFERENCE, 3, ALL, like_a_sunday_on(HOLIDAY))
    found, _ = run(learned(ALL), watched)
    known, _ = run(learned(ALL), with_borrowed_weekdays(found.borrowed, watched))
    assert json.dumps(to_plain(found.page.level)) == json.dumps(
        to_plain(known.page.level)
    )
    assert json.dumps(to_plain(found.warning.level)) == json.dumps(
        to_plain(known.warning.level)
    )


def test_missing_values_have_no_weekday() -> None:
    state, pages = run(
        learned(ALL), hours(REFERENCE, 3, ALL, like_a_sunday_on(HOLIDAY), missing=300)
    )
    assert pages[0] == HOLIDAY * 24
    assert state.episodes[0].changes[0].contrast == "missing"


def test_lasting_change_that_looks_like_a_sunday_is_found_on_the_third_day() -> None:
    _, pages = run(
        learned(ALL),
        hours(REFERENCE, 5, ALL, lambda day: 6 if day > REFERENCE else usual(day)),
    )
    assert pages[0] // 24 == REFERENCE + 3


@pytest.mark.parametrize(
    ("days", "may"),
    [
        ((), True),
        ((1,), True),
        ((1, 2), False),
        ((2, 3), True),
        ((2, 4, 6, 8), False),
        ((2, 4, 6, 30), True),
    ],
)
def test_two_days_running_and_four_in_thirty_may_be_borrowed(
    days: tuple[int, ...], may: bool
) -> None:
    """`days` before today."""
    machine = learned(ALL).fitted
    today = hours(HOLIDAY, 1, ALL, like_a_sunday_on(HOLIDAY))
    found = find_matching_weekday(
        machine, machine.level, today, [Borrowed(HOLIDAY - back, 6) for back in days]
    )
    assert (found is not None) == may


@pytest.mark.parametrize("stopped", [1, 3, 12])
def test_state_restored_on_such_a_day_changes_nothing(stopped: int) -> None:
    """The hours from where it stopped on give the same state, bit for bit."""
    watched, machine = hours(REFERENCE, 4, ALL, like_a_sunday_on(HOLIDAY)), learned(ALL)
    at = 2 * 24 + stopped
    halfway, _ = run(machine, watched[:at])
    restored = from_plain(ShiftState, json.loads(json.dumps(to_plain(halfway))))
    whole, _ = run(machine, watched)
    after, _ = run(machine, watched, restored, at)
    assert whole.borrowed
    assert json.dumps(to_plain(after)) == json.dumps(to_plain(whole))


def test_machine_and_state_that_were_stored_before_go_on_as_they_were() -> None:
    machine = to_plain(learned(ALL))
    for part in ("fitted", "sensitive"):
        del machine[part]["settings"]["weekdays"]
    state = to_plain(initial_shift(learned(ALL)))
    del state["morning"], state["borrowed"]
    watched = hours(REFERENCE, 3, ALL, like_a_sunday_on(HOLIDAY))
    _, pages = run(from_plain(Shift, machine), watched, from_plain(ShiftState, state))
    assert [page // 24 for page in pages] == [HOLIDAY]
