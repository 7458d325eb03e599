"""What the comparison with other tools does itself: rows behind counts, pages, limits, delays.

No other tool is needed.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.peers.draw import rows_of, write
from benchmarks.detection.peers.pages import delay, lowest_limit, pages, runs
from benchmarks.detection.peers.tables import delay_head, delay_row, quiet_table
from benchmarks.detection.runs import holiday_order
from benchmarks.detection.world import BINS, NUMERIC, Change, World


@pytest.mark.parametrize(
    "change", [None, Change("variance", 3, 1.3), Change("mean", 3, 0.5)]
)
def test_rows_binned_again_have_the_counts_of_every_hour(change: Change | None) -> None:
    world = World(5, rows=400)
    hours, laws = world.course(6, change)
    numbers, categories, starts = rows_of(np.random.default_rng(1), world, hours, laws)
    for t, hour in enumerate(hours):
        place = slice(starts[t], starts[t + 1])
        for j, counts in enumerate(hour.counts):
            if j < NUMERIC:
                x = numbers[place, j]
                missing, x = np.isnan(x).sum(), x[~np.isnan(x)]
                again = np.bincount(
                    np.searchsorted(world.edges(j), x, side="right"), minlength=BINS
                )
            else:
                c = categories[place, j - NUMERIC]
                missing, again = (
                    (c == -1).sum(),
                    np.bincount(c[c >= 0], minlength=len(counts)),
                )
            assert again.tolist() == counts.tolist()
            assert missing == hour.missing[j]


def test_rows_follow_the_law_within_their_bins() -> None:
    world = World(5, rows=60_000, seasonal=False)
    hours, laws = world.course(1)
    numbers, _, _ = rows_of(np.random.default_rng(1), world, hours, laws)
    x = numbers[~np.isnan(numbers[:, 0]), 0]
    at = np.quantile(x, [0.01, 0.3, 0.5, 0.7, 0.99])  # none is a bound of a bin
    assert laws[0].cumulative(at)[0] == pytest.approx(
        [0.01, 0.3, 0.5, 0.7, 0.99], abs=0.006
    )


def test_counts_do_not_depend_on_whether_the_laws_are_taken() -> None:
    hours, again = World(3).hours(4), World(3).course(4)[0]
    assert [h.missing.tolist() for h in hours] == [h.missing.tolist() for h in again]


def test_holidays_come_with_the_rows_of_the_sunday(tmp_path: Path) -> None:
    world = World(3, rows=5)
    hours, laws = world.course(24 * 70)
    drawn = rows_of(np.random.default_rng(1), world, hours, laws)
    order = holiday_order(hours)
    changed = [t for t, source in enumerate(order) if source != t]
    assert changed == [*range(24 * 24, 25 * 24), *range(61 * 24, 62 * 24)]
    assert {(hours[order[t]].index // 24) % 7 for t in changed} == {6}
    write(tmp_path, "watched", drawn, order)
    starts, numbers = (
        np.load(tmp_path / "watched_starts.npy"),
        np.load(tmp_path / "watched_numbers.npy"),
    )
    there, source = 24 * 24 + 5, order[24 * 24 + 5]
    rows = drawn[0][drawn[2][source] : drawn[2][source + 1]]
    assert np.array_equal(
        numbers[starts[there] : starts[there + 1]], rows, equal_nan=True
    )


def test_pages_of_windows_within_a_day_are_one() -> None:
    # a day apart: each its own, as for the detector
    assert pages([0, 2, 2, 0, 2], 1, 24) == [47, 71, 119]
    hours = [0.0] * 60
    hours[3] = hours[4] = hours[26] = hours[27] = 2.0
    assert pages(hours, 1, 1) == [3, 27]
    assert runs(hours, 1) == 2


def test_a_score_on_the_limit_is_no_page() -> None:
    assert pages([1.0, 1.5], 1.0, 24) == [47]


def test_limit_is_raised_until_no_more_pages_are_left_than_allowed() -> None:
    series = [[1.0, 4.0, 2.0], [3.0, 0.5, 5.0]]
    assert [lowest_limit(series, allowed, 24) for allowed in (0, 1, 2, 6)] == [
        5.0,
        4.0,
        3.0,
        0.5,
    ]


def test_delay_counts_to_the_close_of_the_first_window_above_the_limit() -> None:
    # windows of a day from the seventh on; the change is in hour 170, two hours into
    # the eighth
    assert (
        delay([9.0, 0.5, 1.5, 2.0], first=6, limit=1.0, width=24, at=170)
        == 9 * 24 - 170
    )
    assert delay([9.0, 1.5], first=6, limit=1.0, width=24, at=170) == 8 * 24 - 170
    assert delay([0.5, 0.5], first=7, limit=1.0, width=24, at=170) is None
    assert delay([1.5], first=170, limit=1.0, width=1, at=170) == 1


def test_tables_say_rates_for_the_time_that_was_watched() -> None:
    month = [2.0] + [0.0] * 29
    quiet = quiet_table({"a": [0, 1]}, {"a": {("alibi", 24): [month]}})
    assert quiet[2] == "| driftdeck | hours | 0.50 (2) |"
    assert quiet[3] == "| alibi-detect TabularDrift | days | 3.0 / 3.0 / 3% (1) |"
    limits = {("alibi", 24): 2.0}
    assert delay_head(limits)[-1] == "| limit, times its own |  | 2.00 |"
    row = delay_row("c", [3, None], {("alibi", 24): [(170, 7, [0.0, 5.0])]}, limits)
    assert row == "| c | – (1 of 2) | 46 (1 of 1) |"
