"""The lane of traffic. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.detector.lanes.lane import Budget, LaneWindow
from monitor.detector.model.episode import Episode
from monitor.detector.model.rates import Rates
from monitor.detector.model.serialization import from_plain, to_plain
from monitor.detector.model.shifts import Warning
from monitor.detector.model.traffic import (
    TrafficModel,
    VolumeState,
    advance_traffic,
    fit_traffic,
    initial_traffic,
)
from monitor.detector.model.weekdays import Borrowed
from monitor.detector.model.windows import steady_width
from monitor.layout import Layout


@dataclass(frozen=True, eq=False)
class TrafficMachine:
    """The machine of the lane of traffic."""

    traffic: TrafficModel
    due: float


@dataclass(frozen=True)
class TrafficLane:
    """The number of events: a lasting change, or silence."""

    name: str
    share: float
    live: bool

    def columns(self, layouts: Mapping[str, Layout]) -> list[str]:
        return []

    def holds(self, window: LaneWindow) -> bool:
        return window.rows > 0

    def width(self, hours: Sequence[LaneWindow]) -> int:
        return steady_width([w.index for w in hours], [w.rows for w in hours])

    def fit(
        self,
        windows: Sequence[LaneWindow],
        layouts: Mapping[str, Layout],
        budget: Budget,
    ) -> TrafficMachine:
        usual = [w for w in windows if not w.special]
        fitted = fit_traffic(
            [w.index for w in usual], [w.rows for w in usual], budget.width
        )
        return TrafficMachine(fitted, budget.due)

    def initial(self, machine: TrafficMachine) -> VolumeState:
        return VolumeState(initial_traffic(machine.traffic))

    def view(self, machine: TrafficMachine, window: LaneWindow) -> LaneWindow:
        return window

    def step(
        self, machine: TrafficMachine, state: VolumeState, views: Sequence[LaneWindow]
    ) -> tuple[VolumeState, list[Episode]]:
        if views[-1].special:
            return state, []
        recent = [(w.index, float(w.rows)) for w in views if not w.special]
        return advance_traffic(machine.traffic, machine.due, state, recent)

    def episodes(self, state: VolumeState) -> tuple[Episode, ...]:
        return state.episodes

    def evidence(self, machine: TrafficMachine, state: VolumeState) -> float:
        return state.total / machine.due

    def detectable(
        self, machine: TrafficMachine, rows: float, hours: int
    ) -> list[tuple[str, str, float]]:
        return []

    def learned_columns(self, machine: TrafficMachine) -> Sequence[str]:
        """Return nothing: the signal has no columns."""
        return ()

    def rates(self, machine: TrafficMachine) -> Rates | None:
        """Return None: the signal has no rates."""
        return None

    def trending_columns(self, machine: TrafficMachine) -> list[str]:
        """Return nothing: no column has a trend of its own."""
        return []

    def warning(self, state: VolumeState | None) -> Warning | None:
        """Return None: the signal has no sensitive detector."""
        return None

    def other_weekdays(self, state: VolumeState | None) -> Sequence[Borrowed]:
        """Return nothing: the signal borrows no weekday."""
        return ()

    def dump(self, value: Any) -> Any:
        return to_plain(value)

    def machine(self, data: Any) -> TrafficMachine:
        return from_plain(TrafficMachine, data)

    def state(self, data: Any) -> VolumeState:
        return from_plain(VolumeState, data)
