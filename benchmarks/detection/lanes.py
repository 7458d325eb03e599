"""A quarter of a whole model without drift through every lane, each with its own part of the budget, as the product runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.detection.runs import MONTH, QUARTER, TOLERANCE, merged
from benchmarks.detection.whole import Model, Quiet
from monitor.calendar import HOUR
from monitor.detector.lane_run import LaneRun
from monitor.detector.lanes.lane import Lane, LaneWindow
from monitor.detector.lanes.segment_lane import parts
from monitor.detector.lanes.signals import LANES, QUALITY, SEGMENTS, WITH_SEGMENTS
from monitor.layout import Layout

WHOLE: dict[str, Quiet] = {
    "about 1,000 rows an hour, share of wrong predictions": Quiet(),
    "about 1,000 rows an hour, absolute error": Quiet(truth="absolute_error"),
    "fat shocks (t3)": Quiet(shocks="t3"),
    "slow wandering (phi .95)": Quiet(phi=0.95),
    "about 50 rows an hour": Quiet(rows=50),
    "about 1,000 rows an hour, and features of 3,000 and 30,000 values": Quiet(
        many=((3000, 0.0), (30_000, 1.0))
    ),
    "about 1,000 rows an hour in four segments, watched apart": Quiet(
        segments=(0.4, 0.3, 0.2, 0.1)
    ),
}
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
LANE_NAMES = (*(lane.name for lane in WITH_SEGMENTS), "quality")


@dataclass(frozen=True)
class Whole:
    """Hours of the pages of each lane that was watched, counted from the first watched hour."""

    pages: dict[str, list[int]]


def whole(name: str, seed: int) -> Whole:
    """A quarter of every lane of one model."""
    quiet = WHOLE[name]
    layouts, windows = Model(seed, quiet, MONTH, QUARTER).windows()
    lanes = (*(WITH_SEGMENTS if quiet.segments else LANES), QUALITY[quiet.truth])
    return Whole({lane.name: pages_of(lane, layouts, windows, MONTH) for lane in lanes})


def pages_of(
    lane: Lane,
    layouts: Mapping[str, Layout],
    windows: Sequence[LaneWindow],
    reference: int,
) -> list[int]:
    """Return the hours after the reference in which a signal opened an alert, at most one a day."""
    layouts = {
        c: layout
        for c, layout in layouts.items()
        if bool(parts(c)[1]) == (lane.name == SEGMENTS.name)
    }
    course = LaneRun(lane, QUARTER / lane.share, TOLERANCE)
    if not course.learn(
        windows[:reference], layouts, MONDAY + reference * HOUR, "live", MONDAY
    ):
        raise ValueError(f"the lane {lane.name} learned nothing")
    opened = []
    for window in windows[reference:]:
        step = course.add_window(
            window, MONDAY + (window.index + 1) * HOUR, window.index + 1, judge=True
        )
        if step is not None and any(
            episode.opened == step.index for episode in step.episodes
        ):
            opened.append(step.index - reference)
    return merged(opened)
