"""Lanes: what the detector watches of a model side by side, each with its share of the one budget of false pages. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from monitor.detector import Feature, Hour, Settings, fit
from monitor.detector.episode import Episode
from monitor.detector.naming import detectable
from monitor.detector.plain import from_plain, to_plain
from monitor.detector.rates import (
    Counted,
    Rate,
    Rates,
    RateState,
    advance_rates,
    beyond_range,
    detectable_rates,
    fit_rates,
    initial_rates,
)
from monitor.detector.shifts import Shift, ShiftState, advance_shift, initial_shift
from monitor.detector.traffic import Traffic, VolumeState, advance_traffic, fit_traffic, initial_traffic
from monitor.detector.windows import independent_width, steady_width, width_for
from monitor.layout import Layout
from monitor.profile import Profile, grouping

FIRST_SERVER_ERROR = 500
WRONG_BIN = 1
MOST_FEATURES = 1000  # of a wider model the others have plain limits only
SLOW_JUMP = 3.0  # against pages for shocks that decay over half a day; measured, see docs/detector.md
SENSITIVE = 0.03  # the tolerance, in sd, of the detector that only warns
PREDICTION_SHARE = 2.0  # features that the prediction counts for, at least a tenth of all
LEAST_WINDOWS = 28  # with rows, before anything is usual
UNSEEN = "unseen"
HIGHER_FLOOR = 0.002  # of unseen values where the reference has many rare ones


@dataclass(frozen=True, eq=False)
class Window:
    """What came in one window: its first hour, whether it is special, and the profile of every column by key."""

    index: int
    special: bool
    profiles: Mapping[str, Profile]

    @property
    def rows(self) -> int:
        """The number of events."""
        status = self.profiles.get("status")
        return status.rows if status is not None else max((p.rows for p in self.profiles.values()), default=0)


@dataclass(frozen=True)
class Budget:
    """How many hours should pass to a false page of a lane, what shift is tolerated, and the length of a window in hours."""

    hours: float
    tolerance: float
    width: int

    @property
    def due(self) -> float:
        """The evidence that pages: as many windows."""
        return self.hours / self.width


class Lane(Protocol):
    """One thing that is watched. A machine is what was learned of it, a state where it stands; both go to JSON and back.

    `live`: learned from live traffic even where there is a reference, as a file of training rows says nothing of it.
    """

    @property
    def name(self) -> str:
        """Its name, in rules and routes."""

    @property
    def share(self) -> float:
        """Its part of the budget."""

    @property
    def live(self) -> bool:
        """Whether it learns from live traffic only."""

    def columns(self, layouts: Mapping[str, Layout]) -> list[str]:
        """The stored columns that it looks at, besides the status of each event."""

    def holds(self, window: Window) -> bool:
        """Whether the window says anything about it."""

    def width(self, hours: Sequence[Window]) -> int:
        """The length of its windows in hours, from hourly ones."""

    def fit(self, windows: Sequence[Window], layouts: Mapping[str, Layout], budget: Budget) -> Any:
        """The machine that some windows teach. Called with at least LEAST_WINDOWS that it holds."""

    def initial(self, machine: Any) -> Any:
        """The state at the end of what was learned from."""

    def view(self, machine: Any, window: Window) -> Any:
        """What the machine sees of a window."""

    def step(self, machine: Any, state: Any, views: Sequence[Any]) -> tuple[Any, list[Episode]]:
        """One more window, the last of the views; the episodes that are over."""

    def episodes(self, state: Any) -> tuple[Episode, ...]:
        """What is open."""

    def evidence(self, machine: Any, state: Any) -> float:
        """The evidence as a share of what pages."""

    def detectable(self, machine: Any, rows: float, hours: int) -> list[tuple[str, str, float]]:
        """(column, contrast, size) of the smallest lasting change that pages half of the time within so many hours."""

    def dump(self, value: Any) -> Any:
        """A machine or a state as plain data."""

    def machine(self, data: Any) -> Any:
        """The machine that `dump` wrote."""

    def state(self, data: Any) -> Any:
        """The state that `dump` wrote."""


@dataclass(frozen=True, eq=False)
class Watched:
    """The machine of a lane of distributions: its columns, which bins of each are put together (F,), and the detectors."""

    columns: tuple[str, ...]
    groups: tuple[np.ndarray, ...]
    shift: Shift


@dataclass(frozen=True)
class Distributions:
    """Location, spread, shape, category shares and missing values of some columns."""

    name: str
    share: float
    live: bool
    only: tuple[str, ...] = ()

    def columns(self, layouts: Mapping[str, Layout]) -> list[str]:
        if self.only:
            return [c for c in self.only if c in layouts]
        features = [c for c in layouts if c not in SERVICE and c != "prediction"]
        return [*features[:MOST_FEATURES], *(c for c in layouts if c == "prediction")]

    def holds(self, window: Window) -> bool:
        wanted = self.only or [c for c in window.profiles if c not in SERVICE]
        return any(window.profiles[c].rows > 0 for c in wanted if c in window.profiles)

    def width(self, hours: Sequence[Window]) -> int:
        held = [w for w in hours if self.holds(w)]
        return width_for([w.index for w in held], [_rows_of(self, w) for w in held])

    def fit(self, windows: Sequence[Window], layouts: Mapping[str, Layout], budget: Budget) -> Watched:
        columns = tuple(self.columns(layouts))
        total = {c: np.sum([w.profiles[c].counts for w in windows], axis=0) for c in columns}
        groups = tuple(
            np.arange(layouts[c].size)
            if layouts[c].kind == "categorical"
            else layouts[c].inner_bins
            if layouts[c].kind == "numeric"
            else grouping(total[c]).astype(float)
            for c in columns
        )
        shares = {"prediction": max(PREDICTION_SHARE, len(columns) / 10)}
        features = [Feature(c, layouts[c].kind, shares.get(c, 1.0)) for c in columns]
        hours = [_hour(columns, groups, w) for w in windows]
        return Watched(columns, groups, machine_of(features, hours, budget))

    def initial(self, machine: Watched) -> ShiftState:
        return initial_shift(machine.shift)

    def view(self, machine: Watched, window: Window) -> Hour:
        return _hour(machine.columns, machine.groups, window)

    def step(self, machine: Watched, state: ShiftState, views: Sequence[Hour]) -> tuple[ShiftState, list[Episode]]:
        return advance_shift(machine.shift, state, views)

    def episodes(self, state: ShiftState) -> tuple[Episode, ...]:
        return state.episodes

    def evidence(self, machine: Watched, state: ShiftState) -> float:
        return state.evidence / machine.shift.fitted.due

    def detectable(self, machine: Watched, rows: float, hours: int) -> list[tuple[str, str, float]]:
        fitted = machine.shift.fitted
        each = np.full(len(fitted.streams.streams), rows * fitted.settings.width)
        sizes = detectable(fitted, each, max(1, hours // fitted.settings.width))
        return [(s.feature, s.contrast, float(d)) for s, d in zip(fitted.streams.streams, sizes, strict=True)]

    def dump(self, value: Any) -> Any:
        return to_plain(value)

    def machine(self, data: Any) -> Watched:
        return from_plain(Watched, data)

    def state(self, data: Any) -> ShiftState:
        return from_plain(ShiftState, data)


def machine_of(features: Sequence[Feature], hours: Sequence[Hour], budget: Budget) -> Shift:
    """The detector that pages and the one that warns, as they are used: the settings that were measured."""
    usual = Settings(level=budget.hours, tolerance=budget.tolerance, width=budget.width, slow_jump=SLOW_JUMP)
    sensitive = replace(usual, tolerance=min(SENSITIVE, budget.tolerance))
    return Shift(fit(features, hours, usual), fit(features, hours, sensitive))


def _hour(columns: Sequence[str], groups: Sequence[np.ndarray], window: Window) -> Hour:
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


@dataclass(frozen=True, eq=False)
class Rated:
    """The machine of a lane of rates: the usual rates, and the budget they were made for."""

    rates: Rates
    due: float
    width: int


@dataclass(frozen=True)
class Rises:
    """Shares of rows that should not rise: server errors, wrong predictions, values the reference never had."""

    name: str
    share: float
    live: bool
    contrast: str

    def columns(self, layouts: Mapping[str, Layout]) -> list[str]:
        if self.name == UNSEEN:
            found = [c for c, layout in layouts.items() if _has_unseen(layout)]
            return found[:MOST_FEATURES]
        return [c for c in RATE_COLUMNS[self.name] if c in layouts]

    def holds(self, window: Window) -> bool:
        found = [p for c, p in window.profiles.items() if c in RATE_COLUMNS.get(self.name, ()) or self._is_unseen(p, c)]
        return any(p.n > 0 for p in found)

    def _is_unseen(self, profile: Profile, column: str) -> bool:
        return self.name == UNSEEN and _has_unseen(profile.layout) and column not in SERVICE

    def width(self, hours: Sequence[Window]) -> int:
        held = [w for w in hours if self.holds(w)]
        index, rows = [w.index for w in held], [_rows_of(self, w) for w in held]
        width = width_for(index, rows)
        if self.name == UNSEEN:
            return width
        column = RATE_COLUMNS[self.name][0]
        hits = [float(_counted([Rate(column, self.contrast, 1.0)], w).hits[0]) for w in held]
        return independent_width(index, hits, rows, width)

    def fit(self, windows: Sequence[Window], layouts: Mapping[str, Layout], budget: Budget) -> Rated:
        columns = self.columns(layouts)
        rates = [Rate(c, self.contrast, 1 / len(columns), self._floor(layouts[c])) for c in columns]
        seen = [_counted(rates, w) for w in windows]
        hits, rows = np.array([s.hits for s in seen]), np.array([s.rows for s in seen])
        ranged = [i for i, c in enumerate(columns) if layouts[c].kind == "numeric" and self.name == UNSEEN]
        clumped = np.zeros(len(columns))
        for i in ranged:
            clumped[i], floor = beyond_range(np.array([w.profiles[columns[i]].counts for w in windows]))
            rates[i] = replace(rates[i], floor=max(rates[i].floor, floor))
        fitted = fit_rates(rates, hits, rows)
        fitted = replace(fitted, overdispersion=np.maximum(fitted.overdispersion, clumped))
        return Rated(fitted, budget.due, budget.width)

    def _floor(self, layout: Layout) -> float:
        # where the reference itself was still bringing rare values, more of them are to be expected
        return HIGHER_FLOOR if layout.others else Rate("", "", 1.0).floor

    def initial(self, machine: Rated) -> RateState:
        return initial_rates(machine.rates)

    def view(self, machine: Rated, window: Window) -> Counted:
        return _counted(machine.rates.rates, window)

    def step(self, machine: Rated, state: RateState, views: Sequence[Counted]) -> tuple[RateState, list[Episode]]:
        return advance_rates(machine.rates, machine.due, machine.width, state, views)

    def episodes(self, state: RateState) -> tuple[Episode, ...]:
        return state.episodes

    def evidence(self, machine: Rated, state: RateState) -> float:
        return state.total / machine.due

    def detectable(self, machine: Rated, rows: float, hours: int) -> list[tuple[str, str, float]]:
        windows = max(1, hours // machine.width)
        sizes = detectable_rates(machine.rates, rows * machine.width, windows, machine.due)
        return [(r.column, r.contrast, float(d)) for r, d in zip(machine.rates.rates, sizes, strict=True)]

    def dump(self, value: Any) -> Any:
        return to_plain(value)

    def machine(self, data: Any) -> Rated:
        return from_plain(Rated, data)

    def state(self, data: Any) -> RateState:
        return from_plain(RateState, data)


def _counted(rates: Sequence[Rate], window: Window) -> Counted:
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
    return Counted(window.index, hits, rows)


def _has_unseen(layout: Layout) -> bool:
    return layout.kind == "categorical" or layout.range is not None


def _unseen(profile: Profile) -> int:
    """Values that the reference never had: new categories, numbers beyond its range."""
    if profile.layout.kind == "categorical":
        return int(profile.counts[profile.layout.new_bin])
    return int(profile.counts[0] + profile.counts[-1])


@dataclass(frozen=True, eq=False)
class Counting:
    """The machine of the lane of traffic."""

    traffic: Traffic
    due: float


@dataclass(frozen=True)
class Volume:
    """The number of events: a lasting change, or silence."""

    name: str
    share: float
    live: bool

    def columns(self, layouts: Mapping[str, Layout]) -> list[str]:
        return []

    def holds(self, window: Window) -> bool:
        return window.rows > 0

    def width(self, hours: Sequence[Window]) -> int:
        return steady_width([w.index for w in hours], [w.rows for w in hours])

    def fit(self, windows: Sequence[Window], layouts: Mapping[str, Layout], budget: Budget) -> Counting:
        usual = [w for w in windows if not w.special]
        fitted = fit_traffic([w.index for w in usual], [w.rows for w in usual], budget.width)
        return Counting(fitted, budget.due)

    def initial(self, machine: Counting) -> VolumeState:
        return VolumeState(initial_traffic(machine.traffic))

    def view(self, machine: Counting, window: Window) -> Window:
        return window

    def step(self, machine: Counting, state: VolumeState, views: Sequence[Window]) -> tuple[VolumeState, list[Episode]]:
        if views[-1].special:
            return state, []
        recent = [(w.index, float(w.rows)) for w in views if not w.special]
        return advance_traffic(machine.traffic, machine.due, state, recent)

    def episodes(self, state: VolumeState) -> tuple[Episode, ...]:
        return state.episodes

    def evidence(self, machine: Counting, state: VolumeState) -> float:
        return state.total / machine.due

    def detectable(self, machine: Counting, rows: float, hours: int) -> list[tuple[str, str, float]]:
        return []

    def dump(self, value: Any) -> Any:
        return to_plain(value)

    def machine(self, data: Any) -> Counting:
        return from_plain(Counting, data)

    def state(self, data: Any) -> VolumeState:
        return from_plain(VolumeState, data)


def _rows_of(lane: Distributions | Rises, window: Window) -> int:
    """How many rows of a window a lane can judge."""
    return max((p.n for c, p in window.profiles.items() if c in lane.columns({c: p.layout})), default=0)


SERVICE = frozenset({"latency_ms", "status", "wrong", "absolute_error"})
RATE_COLUMNS = {"errors": ("status",), "quality": ("wrong",)}
INPUTS = Distributions("inputs", 0.72, False)
UNSEEN_VALUES = Rises(UNSEEN, 0.04, False, "unseen")
LATENCY = Distributions("latency", 0.06, True, ("latency_ms",))
ERRORS = Rises("errors", 0.06, True, "error rate")
TRAFFIC = Volume("traffic", 0.04, True)
WRONG = Rises("quality", 0.08, False, "wrong share")
ERROR_SIZE = Distributions("quality", 0.08, False, ("absolute_error",))
# the shares of all, with one of quality, are 1
LANES: tuple[Lane, ...] = (INPUTS, UNSEEN_VALUES, LATENCY, ERRORS, TRAFFIC)
QUALITY: Mapping[str, Lane] = {"wrong": WRONG, "absolute_error": ERROR_SIZE}
