"""The whole model of the detection benchmark: what it draws, and that its lanes find what is put into it."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.detection.lanes import pages_of
from benchmarks.detection.runs import MONTH
from benchmarks.detection.whole import FAILED, OK, Model, Quiet
from monitor.detector.lanes.lane import LaneWindow
from monitor.detector.lanes.segment_lane import key
from monitor.detector.lanes.signals import LANES, WITH_SEGMENTS

LANE = {lane.name: lane for lane in LANES}
DAYS = 96


@pytest.fixture(scope="module")
def drawn():
    return Model(5, Quiet(rows=300), MONTH, DAYS).windows()


def test_same_seed_gives_the_same_hours(drawn) -> None:
    _, again = Model(5, Quiet(rows=300), MONTH, DAYS).windows()
    assert all(
        np.array_equal(profile.counts, b.profiles[column].counts)
        for a, b in zip(drawn[1], again, strict=True)
        for column, profile in a.profiles.items()
    )


def test_every_column_has_the_rows_of_the_hour(drawn) -> None:
    _, windows = drawn
    assert all(p.n == p.rows == w.rows for w in windows for p in w.profiles.values())


def test_what_the_reference_never_had_is_rare_and_comes(drawn) -> None:
    layouts, windows = drawn
    new = [
        sum(int(w.profiles[f"c{j}"].counts[layouts[f"c{j}"].new_bin]) for w in windows)
        for j in range(4)
    ]
    assert 0 < sum(new) < 1e-4 * sum(w.rows for w in windows) * len(new)
    beyond = [w.profiles["x0"].counts[[0, -1]].sum() for w in windows]
    assert sum(beyond) < 1e-4 * sum(w.rows for w in windows)


def _failing(window: LaneWindow) -> LaneWindow:
    counts = window.profiles["status"].counts.copy()
    failed = counts[OK] // 20
    counts[OK] -= failed
    counts[FAILED] += failed
    return replace(
        window,
        profiles={
            **window.profiles,
            "status": replace(window.profiles["status"], counts=counts),
        },
    )


def test_lane_of_errors_finds_errors_that_are_put_in_and_others_do_not(drawn) -> None:
    layouts, windows = drawn
    at = MONTH + 30
    failing = [*windows[:at], *map(_failing, windows[at:])]
    pages = pages_of(LANE["errors"], layouts, failing, MONTH)
    assert len(pages) == 1
    assert 30 <= pages[0] < 54
    assert pages_of(LANE["latency"], layouts, failing, MONTH) == []


def test_segments_add_up_and_their_lane_finds_what_moves_in_one_alone() -> None:
    layouts, windows = Model(
        6, Quiet(rows=400, segments=(0.5, 0.5)), MONTH, DAYS
    ).windows()
    halves = [key("x0", f"segment={s}") for s in range(2)]
    assert all(
        np.array_equal(
            w.profiles["x0"].counts, sum(w.profiles[h].counts for h in halves)
        )
        for w in windows
    )
    at = MONTH + 30
    moved = [*windows[:at], *(_shifted(w, halves[1]) for w in windows[at:])]
    (segments,) = (lane for lane in WITH_SEGMENTS if lane.name == "segments")
    assert pages_of(segments, layouts, windows, MONTH) == []
    (page,) = pages_of(segments, layouts, moved, MONTH)
    assert 30 <= page < 54


def _shifted(window: LaneWindow, column: str) -> LaneWindow:
    """Every second row goes up by three bins."""
    profile = window.profiles[column]
    up = profile.counts[1:-4] // 2
    counts = profile.counts.copy()
    counts[1:-4] -= up
    counts[4:-1] += up
    return replace(
        window, profiles={**window.profiles, column: replace(profile, counts=counts)}
    )
