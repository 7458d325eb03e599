"""The lanes of shares that should not rise: server errors, wrong predictions, values never seen.

Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from monitor.detector.lanes.lane import (
    MAX_FEATURES,
    SERVICE,
    Budget,
    LaneWindow,
    rows_of,
)
from monitor.detector.model.episode import Episode
from monitor.detector.model.rates import (
    Rate,
    RateCounts,
    Rates,
    RateState,
    advance_rates,
    detectable_rates,
    expected_new_categories,
    expected_out_of_range,
    fit_rates,
    initial_rates,
)
from monitor.detector.model.serialization import from_plain, to_plain
from monitor.detector.model.shifts import Warning
from monitor.detector.model.weekdays import Borrowed
from monitor.detector.model.windows import independent_width, width_for
from monitor.layout import Layout
from monitor.profile import Profile

FIRST_SERVER_ERROR = 500
WRONG_BIN = 1
UNSEEN = "unseen"
MAX_UNSEEN = 0.3
HIGHER_FLOOR = 0.002  # of unseen values where the reference has many rare ones
RATE_COLUMNS = {"errors": ("status",), "quality": ("wrong",)}


@dataclass(frozen=True, eq=False)
class RateMachine:
    """The machine of a lane of rates: the usual rates, and the budget they were made for."""

    rates: Rates
    due: float
    width: int


@dataclass(frozen=True)
class RateLane:
    """Shares of rows that should not rise: server errors, wrong predictions, values the reference never had."""

    name: str
    share: float
    live: bool
    contrast: str

    def columns(self, layouts: Mapping[str, Layout]) -> list[str]:
        if self.name == UNSEEN:
            columns = [c for c, layout in layouts.items() if _has_unseen(layout)]
            return columns[:MAX_FEATURES]
        return [c for c in RATE_COLUMNS[self.name] if c in layouts]

    def holds(self, window: LaneWindow) -> bool:
        columns = [
            p
            for c, p in window.profiles.items()
            if c in RATE_COLUMNS.get(self.name, ()) or self._is_unseen(p, c)
        ]
        return any(p.n > 0 for p in columns)

    def _is_unseen(self, profile: Profile, column: str) -> bool:
        return (
            self.name == UNSEEN
            and _has_unseen(profile.layout)
            and column not in SERVICE
        )

    def width(self, hours: Sequence[LaneWindow]) -> int:
        usable = [w for w in hours if self.holds(w)]
        index, rows = [w.index for w in usable], [rows_of(self, w) for w in usable]
        width = width_for(index, rows)
        if self.name == UNSEEN:
            return width
        column = RATE_COLUMNS[self.name][0]
        hits = [
            float(_counted([Rate(column, self.contrast, 1.0)], w).hits[0])
            for w in usable
        ]
        return independent_width(index, hits, rows, width)

    def fit(
        self,
        windows: Sequence[LaneWindow],
        layouts: Mapping[str, Layout],
        budget: Budget,
    ) -> RateMachine:
        columns = self.columns(layouts)
        rates = [
            Rate(c, self.contrast, 1 / len(columns), self._floor(layouts[c]))
            for c in columns
        ]
        window_counts = [_counted(rates, w) for w in windows]
        hits, rows = (
            np.array([s.hits for s in window_counts]),
            np.array([s.rows for s in window_counts]),
        )
        clumped = np.zeros(len(columns))
        for i, column in enumerate(columns if self.name == UNSEEN else ()):
            counts, layout = (
                np.array([w.profiles[column].counts for w in windows]),
                layouts[column],
            )
            if layout.kind == "numeric":
                clumped[i], floor = expected_out_of_range(counts)
            elif layout.unseen:
                clumped[i], floor = expected_new_categories(
                    counts[:, layout.other_bin], counts.sum(axis=1), layout.unseen
                )
            else:
                continue
            rates[i] = replace(rates[i], floor=max(rates[i].floor, floor))
        fitted = fit_rates(rates, hits, rows)
        fitted = replace(
            fitted, overdispersion=np.maximum(fitted.overdispersion, clumped)
        )
        return RateMachine(fitted, budget.due, budget.width)

    def _floor(self, layout: Layout) -> float:
        # where the reference itself was still bringing rare values, more of them are to
        # be expected
        return HIGHER_FLOOR if layout.others else Rate("", "", 1.0).floor

    def initial(self, machine: RateMachine) -> RateState:
        return initial_rates(machine.rates)

    def view(self, machine: RateMachine, window: LaneWindow) -> RateCounts:
        return _counted(machine.rates.rates, window)

    def step(
        self, machine: RateMachine, state: RateState, views: Sequence[RateCounts]
    ) -> tuple[RateState, list[Episode]]:
        return advance_rates(machine.rates, machine.due, machine.width, state, views)

    def episodes(self, state: RateState) -> tuple[Episode, ...]:
        return state.episodes

    def evidence(self, machine: RateMachine, state: RateState) -> float:
        return state.total / machine.due

    def detectable(
        self, machine: RateMachine, rows: float, hours: int
    ) -> list[tuple[str, str, float]]:
        windows = max(1, hours // machine.width)
        sizes = detectable_rates(
            machine.rates, rows * machine.width, windows, machine.due
        )
        return [
            (r.column, r.contrast, float(d))
            for r, d in zip(machine.rates.rates, sizes, strict=True)
        ]

    def learned_columns(self, machine: RateMachine) -> Sequence[str]:
        """Return nothing: the signal has no columns."""
        return ()

    def rates(self, machine: RateMachine) -> Rates | None:
        """Return the expected rates and their limits."""
        return machine.rates

    def trending_columns(self, machine: RateMachine) -> list[str]:
        """Return nothing: no column has a trend of its own."""
        return []

    def warning(self, state: RateState | None) -> Warning | None:
        """Return None: the signal has no sensitive detector."""
        return None

    def other_weekdays(self, state: RateState | None) -> Sequence[Borrowed]:
        """Return nothing: the signal borrows no weekday."""
        return ()

    def dump(self, value: Any) -> Any:
        return to_plain(value)

    def machine(self, data: Any) -> RateMachine:
        return from_plain(RateMachine, data)

    def state(self, data: Any) -> RateState:
        return from_plain(RateState, data)


def _counted(rates: Sequence[Rate], window: LaneWindow) -> RateCounts:
    hits, rows = np.zeros(len(rates)), np.zeros(len(rates))
    for i, rate in enumerate(rates):
        profile = window.profiles.get(rate.column)
        if profile is None:
            continue
        rows[i] = profile.n
        if rate.column == "status":
            hits[i] = profile.counts[FIRST_SERVER_ERROR:].sum()
        elif rate.column == "wrong":
            hits[i] = profile.counts[WRONG_BIN]
        else:
            hits[i] = _unseen(profile)
    return RateCounts(window.index, hits, rows)


def _has_unseen(layout: Layout) -> bool:
    """Return True when a value that the reference never had is informative.

    Where a third of the values are new anyway, as with ids, it is not.
    """
    if layout.kind == "categorical":
        return layout.unseen <= MAX_UNSEEN
    return layout.range is not None


def _unseen(profile: Profile) -> int:
    """Values that the reference never had: new categories, numbers beyond its range."""
    if profile.layout.kind == "categorical":
        return int(profile.counts[profile.layout.new_bin])
    return int(profile.counts[0] + profile.counts[-1])
