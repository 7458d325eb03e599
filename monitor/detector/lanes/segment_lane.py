"""The lane of segments: the columns of each of a model's largest segments, watched apart.

Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.detector.lanes.distribution_lane import (
    DistributionLane,
    DistributionMachine,
)
from monitor.detector.lanes.lane import SERVICE, Budget, LaneWindow
from monitor.detector.model import Hour
from monitor.detector.model.episode import Episode
from monitor.detector.model.shifts import ShiftState
from monitor.detector.model.windows import STEADY_ROWS, width_for
from monitor.layout import Layout
from monitor.schema import NON_FEATURE_COLUMNS, RECONSTRUCTION_ERROR

MAX_SEGMENTS, MAX_COLUMNS = 10, 300  # each column has four streams or more
_BETWEEN = "\x1f"


def key(column: str, segment: str) -> str:
    """The key of a column in one segment."""
    return f"{column}{_BETWEEN}{segment}"


def parts(of: str) -> tuple[str, str]:
    """The column and the segment of a key; the segment is empty for a column of all rows.

    >>> parts(key("f1", "country=US"))
    ('f1', 'country=US')
    """
    column, _, segment = of.partition(_BETWEEN)
    return column, segment


def layouts_of(
    segments: Iterable[str], layouts: Mapping[str, Layout]
) -> dict[str, Layout]:
    """The layouts of the features and the prediction in the first segments, as many as may be watched, by key."""
    columns = {c: layout for c, layout in layouts.items() if c not in SERVICE}
    most = min(MAX_SEGMENTS, MAX_COLUMNS // max(1, len(columns)))
    return {
        key(c, segment): layout
        for segment in list(segments)[:most]
        for c, layout in columns.items()
    }


@dataclass(frozen=True)
class SegmentLane(DistributionLane):
    """As the inputs of all rows, for each segment by itself. The window is as long as half of the segments need; those that
    have fewer than STEADY_ROWS in it are left out.
    """

    def columns(self, layouts: Mapping[str, Layout]) -> list[str]:
        return [c for c in layouts if parts(c)[1]]

    def holds(self, window: LaneWindow) -> bool:
        return any(p.rows > 0 for c, p in window.profiles.items() if parts(c)[1])

    def width(self, hours: Sequence[LaneWindow]) -> int:
        usable = [w for w in hours if self.holds(w)]
        index = [w.index for w in usable]
        widths = sorted(width_for(index, rows) for rows in _rows(usable).values())
        return widths[len(widths) // 2]

    def fit(
        self,
        windows: Sequence[LaneWindow],
        layouts: Mapping[str, Layout],
        budget: Budget,
    ) -> DistributionMachine:
        usual = {
            segment: float(np.median(rows)) for segment, rows in _rows(windows).items()
        }
        enough = min(STEADY_ROWS, max(usual.values()))
        return super().fit(
            windows,
            {k: v for k, v in layouts.items() if usual[parts(k)[1]] >= enough},
            budget,
        )

    def step(
        self, machine: DistributionMachine, state: ShiftState, views: Sequence[Hour]
    ) -> tuple[ShiftState, list[Episode]]:
        state, ended = super().step(machine, state, views)
        now = views[-1].index
        episodes = tuple(
            _led_by_feature(e) if e.opened == now else e for e in state.episodes
        )
        return replace(state, episodes=episodes), ended

    def detectable(
        self, machine: DistributionMachine, rows: float, hours: int
    ) -> list[tuple[str, str, float]]:
        return []  # how many of the rows a segment has is not known here


def _led_by_feature(episode: Episode) -> Episode:
    """The episode named after its farthest feature where the error of rebuilding that one paged first, as it may."""
    column, segment = parts(episode.lead)
    named = [
        c
        for c in episode.changes
        if parts(c.column)[1] == segment
        and parts(c.column)[0] not in NON_FEATURE_COLUMNS
    ]
    if column != RECONSTRUCTION_ERROR or not named:
        return episode
    first = max(named, key=lambda c: abs(c.size))
    changes = (first, *(c for c in episode.changes if c is not first))
    return replace(
        episode,
        lead=first.column,
        rising=first.size > 0,
        changes=changes,
        size=first.size,
    )


def _rows(windows: Sequence[LaneWindow]) -> dict[str, list[int]]:
    """The rows of each segment in each window."""
    rows_by_segment: dict[str, list[int]] = {}
    for i, window in enumerate(windows):
        for column, profile in window.profiles.items():
            segment = parts(column)[1]
            if segment:
                rows = rows_by_segment.setdefault(segment, [0] * len(windows))
                rows[i] = max(rows[i], profile.n)
    return rows_by_segment
