"""The lanes of distributions: inputs and prediction, latency, the size of errors.

Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.detector.lanes.lane import (
    MAX_FEATURES,
    SERVICE,
    Budget,
    LaneWindow,
    rows_of,
)
from monitor.detector.model import DetectorColumn, Hour, Settings
from monitor.detector.model.effects import detectable
from monitor.detector.model.episode import Episode
from monitor.detector.model.fit import fit_tolerances
from monitor.detector.model.rates import Rates
from monitor.detector.model.serialization import from_plain, to_plain
from monitor.detector.model.shifts import (
    Shift,
    ShiftState,
    Warning,
    advance_shift,
    initial_shift,
)
from monitor.detector.model.weekdays import Borrowed
from monitor.detector.model.windows import width_for
from monitor.layout import Layout
from monitor.profile import grouping

# against pages for shocks that decay over half a day; measured, see docs/detector.md
SLOW_JUMP = 2.5
# of LAMBDAS: a small shift waits days for its evidence, a large one hours
SMALL_FIRST = (0.25, 0.3, 0.2, 0.125, 0.125)
SENSITIVE = 0.03  # the tolerance, in sd, of the detector that only warns
# features that the prediction counts for, at least a tenth of all
PREDICTION_SHARE = 2.0


@dataclass(frozen=True, eq=False)
class DistributionMachine:
    """The machine of a lane of distributions: its columns, which bins of each are put together (F,), and the detectors."""

    columns: tuple[str, ...]
    groups: tuple[np.ndarray, ...]
    shift: Shift


@dataclass(frozen=True)
class DistributionLane:
    """Location, spread, shape, category shares and missing values of some columns."""

    name: str
    share: float
    live: bool
    only: tuple[str, ...] = ()

    def columns(self, layouts: Mapping[str, Layout]) -> list[str]:
        if self.only:
            return [c for c in self.only if c in layouts]
        features = [c for c in layouts if c not in SERVICE and c != "prediction"]
        return [*features[:MAX_FEATURES], *(c for c in layouts if c == "prediction")]

    def holds(self, window: LaneWindow) -> bool:
        columns = self.only or [c for c in window.profiles if c not in SERVICE]
        return any(window.profiles[c].rows > 0 for c in columns if c in window.profiles)

    def width(self, hours: Sequence[LaneWindow]) -> int:
        usable = [w for w in hours if self.holds(w)]
        return width_for([w.index for w in usable], [rows_of(self, w) for w in usable])

    def fit(
        self,
        windows: Sequence[LaneWindow],
        layouts: Mapping[str, Layout],
        budget: Budget,
    ) -> DistributionMachine:
        columns = tuple(self.columns(layouts))
        total = {
            c: np.sum([w.profiles[c].counts for w in windows], axis=0) for c in columns
        }
        groups = tuple(
            _categories(layouts[c])
            if layouts[c].kind == "categorical"
            else layouts[c].inner_bins
            if layouts[c].kind == "numeric"
            else grouping(total[c]).astype(float)
            for c in columns
        )
        shares = {"prediction": max(PREDICTION_SHARE, len(columns) / 10)}
        features = [
            DetectorColumn(c, layouts[c].kind, shares.get(c, 1.0), layouts[c].chosen)
            for c in columns
        ]
        hours = [_hour(columns, groups, w) for w in windows]
        return DistributionMachine(columns, groups, machine_of(features, hours, budget))

    def initial(self, machine: DistributionMachine) -> ShiftState:
        return initial_shift(machine.shift)

    def view(self, machine: DistributionMachine, window: LaneWindow) -> Hour:
        return _hour(machine.columns, machine.groups, window)

    def step(
        self, machine: DistributionMachine, state: ShiftState, views: Sequence[Hour]
    ) -> tuple[ShiftState, list[Episode]]:
        return advance_shift(machine.shift, state, views)

    def episodes(self, state: ShiftState) -> tuple[Episode, ...]:
        return state.episodes

    def evidence(self, machine: DistributionMachine, state: ShiftState) -> float:
        return state.evidence / machine.shift.fitted.due

    def detectable(
        self, machine: DistributionMachine, rows: float, hours: int
    ) -> list[tuple[str, str, float]]:
        fitted = machine.shift.fitted
        each = np.full(len(fitted.streams.streams), rows * fitted.settings.width)
        sizes = detectable(fitted, each, max(1, hours // fitted.settings.width))
        return [
            (s.feature, s.contrast, float(d))
            for s, d in zip(fitted.streams.streams, sizes, strict=True)
        ]

    def learned_columns(self, machine: DistributionMachine) -> Sequence[str]:
        """Return the columns that the machine knows."""
        return machine.columns

    def rates(self, machine: DistributionMachine) -> Rates | None:
        """Return None: the signal has no rates."""
        return None

    def trending_columns(self, machine: DistributionMachine) -> list[str]:
        """Return the columns that drift inside what was learned from."""
        fitted = machine.shift.fitted
        pairs = zip(fitted.streams.streams, fitted.trend, strict=True)
        return list(dict.fromkeys(s.feature for s, has_trend in pairs if has_trend))

    def warning(self, state: ShiftState | None) -> Warning | None:
        """Return the newest warning of the sensitive detector; None without one."""
        return None if state is None else state.warned

    def other_weekdays(self, state: ShiftState | None) -> Sequence[Borrowed]:
        """Return the days that followed the pattern of another weekday."""
        return () if state is None else state.borrowed

    def dump(self, value: Any) -> Any:
        return to_plain(value)

    def machine(self, data: Any) -> DistributionMachine:
        return from_plain(DistributionMachine, data)

    def state(self, data: Any) -> ShiftState:
        return from_plain(ShiftState, data)


def machine_of(
    features: Sequence[DetectorColumn], hours: Sequence[Hour], budget: Budget
) -> Shift:
    """The detector that pages and the one that warns, as they are used: the settings that were measured."""
    usual = Settings(
        level=budget.hours,
        tolerance=budget.tolerance,
        width=budget.width,
        slow_jump=SLOW_JUMP,
        pooled=True,
        mixture=SMALL_FIRST,
        weekdays=True,
    )
    return Shift(
        *fit_tolerances(
            features, hours, usual, [budget.tolerance, min(SENSITIVE, budget.tolerance)]
        )
    )


def _categories(layout: Layout) -> np.ndarray:
    """The group of each category bin: each its own, but where chance brings new values they are with the rare ones."""
    groups = np.arange(layout.size)
    if layout.unseen:
        groups[-1] = groups[-2]
    return groups


def _hour(
    columns: Sequence[str], groups: Sequence[np.ndarray], window: LaneWindow
) -> Hour:
    """The window as counts of the groups of each column; an invalid value counts as missing."""
    profiles = [window.profiles[c] for c in columns]
    counts = tuple(
        p.counts
        if g.size == p.counts.size and g[-1] == g.size - 1
        else np.bincount(g.astype(int), p.counts, int(g[-1]) + 1)
        for p, g in zip(profiles, groups, strict=True)
    )
    missing = np.array([p.missing + p.invalid for p in profiles], dtype=float)
    return Hour(window.index, counts, missing, window.special)
