"""One lane: what every kind of it can do, and the windows and budgets that it is given.

Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from monitor.detector.model.episode import Episode
from monitor.detector.model.rates import Rates
from monitor.detector.model.shifts import Warning
from monitor.detector.model.weekdays import Borrowed
from monitor.layout import Layout
from monitor.profile import Profile
from monitor.schema import LABEL_DELAY, LABELLED_PREDICTION

MAX_FEATURES = 1000  # of a wider model the others have plain limits only
MIN_WINDOWS = 28  # with rows, before anything is usual
SERVICE = frozenset(
    {
        "latency_ms",
        "status",
        "wrong",
        "absolute_error",
        LABEL_DELAY,
        LABELLED_PREDICTION,
    }
)


@dataclass(frozen=True, eq=False)
class LaneWindow:
    """The rows of one window: its first hour, whether it is special, and profiles by column key."""

    index: int
    special: bool
    profiles: Mapping[str, Profile]

    @property
    def rows(self) -> int:
        """The number of events."""
        status = self.profiles.get("status")
        return (
            status.rows
            if status is not None
            else max((p.rows for p in self.profiles.values()), default=0)
        )


@dataclass(frozen=True)
class Budget:
    """The hours to a false page of a lane, the tolerated shift, and the window length in hours."""

    hours: float
    tolerance: float
    width: int

    @property
    def due(self) -> float:
        """The evidence that pages: as many windows."""
        return self.hours / self.width


class Lane(Protocol):
    """One watched aspect of a model. A machine is the fitted lane, a state its position; both go to JSON and back.

    `live`: the lane learns from live traffic even where there is a reference, as a file
    of training rows has nothing of it.
    """

    @property
    def name(self) -> str:
        """Its name, in rules and routes."""

    @property
    def share(self) -> float:
        """Its part of the budget."""

    @property
    def live(self) -> bool:
        """True when the lane learns from live traffic only."""

    def columns(self, layouts: Mapping[str, Layout]) -> list[str]:
        """The stored columns that it looks at, besides the status of each event."""

    def holds(self, window: LaneWindow) -> bool:
        """Return True when the window has rows that the lane can judge."""

    def width(self, hours: Sequence[LaneWindow]) -> int:
        """The length of its windows in hours, from hourly ones."""

    def fit(
        self,
        windows: Sequence[LaneWindow],
        layouts: Mapping[str, Layout],
        budget: Budget,
    ) -> Any:
        """The machine that some windows teach.

        Called with at least MIN_WINDOWS that it holds.
        """

    def initial(self, machine: Any) -> Any:
        """The state at the end of what was learned from."""

    def view(self, machine: Any, window: LaneWindow) -> Any:
        """Return the part of a window that the machine reads."""

    def step(
        self, machine: Any, state: Any, views: Sequence[Any]
    ) -> tuple[Any, list[Episode]]:
        """One more window, the last of the views; the episodes that are over."""

    def episodes(self, state: Any) -> tuple[Episode, ...]:
        """Return the open episodes."""

    def evidence(self, machine: Any, state: Any) -> float:
        """The evidence as a share of what pages."""

    def detectable(
        self, machine: Any, rows: float, hours: int
    ) -> list[tuple[str, str, float]]:
        """(column, contrast, size) of the smallest lasting change that pages half of the time within so many hours."""

    def learned_columns(self, machine: Any) -> Sequence[str]:
        """Return the columns that the machine knows; empty where a signal has no columns."""

    def rates(self, machine: Any) -> Rates | None:
        """Return the expected rates and their limits; None for other signals."""

    def trending_columns(self, machine: Any) -> list[str]:
        """Return the columns that drift inside what was learned from."""

    def warning(self, state: Any) -> Warning | None:
        """Return the newest warning of the sensitive detector; None without one."""

    def other_weekdays(self, state: Any) -> Sequence[Borrowed]:
        """Return the days that followed the pattern of another weekday."""

    def dump(self, value: Any) -> Any:
        """A machine or a state as plain data."""

    def machine(self, data: Any) -> Any:
        """The machine that `dump` wrote."""

    def state(self, data: Any) -> Any:
        """The state that `dump` wrote."""


def rows_of(lane: Lane, window: LaneWindow) -> int:
    """Return the number of rows of a window that the lane can judge."""
    return max(
        (p.n for c, p in window.profiles.items() if c in lane.columns({c: p.layout})),
        default=0,
    )
