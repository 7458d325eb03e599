"""The course of one lane of one model: learning, watching, starting again when a change is accepted. No input or output."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from monitor.calendar import HOUR
from monitor.detector.lanes.lane import MIN_WINDOWS, Budget, Lane, LaneWindow
from monitor.detector.model.episode import Episode
from monitor.detector.model.rates import Rates
from monitor.layout import Layout
from monitor.profile import Profile, Steps

LEARN = timedelta(days=14)  # of live traffic, before anything is judged
LEARN_DAILY = timedelta(days=28)  # where traffic is so thin that a window is a day
LEARN_AGAIN = timedelta(days=7)  # after a change was accepted
WEEK_HOURS = 168
MIN_CONSTANT = 20  # values, before it means anything that they are the same


@dataclass(frozen=True)
class Machine:
    """A fitted lane: the start of its validity, its window in hours, and its source."""

    starts: datetime
    width: int
    source: str
    since: datetime
    lane: Lane
    learned: Any

    @property
    def columns(self) -> Sequence[str]:
        """The columns that it knows."""
        return self.lane.learned_columns(self.learned)

    @property
    def rates(self) -> Rates | None:
        """The expected rates and their limits; None for signals without rates."""
        return self.lane.rates(self.learned)


@dataclass(frozen=True)
class Step:
    """The result of one closed window of a lane.

    It has the open episodes, the ended ones, the evidence as a share of a page's, and
    the columns that are constant while something is open.
    """

    lane: str
    end: datetime
    machine: Machine
    index: int
    rows: int
    episodes: tuple[Episode, ...]
    ended: Sequence[Episode]
    evidence: float
    constant: frozenset[str] = frozenset()


@dataclass(eq=False)
class LaneRun:
    """One lane in progress.

    `since` is the start of learning; `again` is True when it learns a second time, after
    a change was accepted.
    """

    lane: Lane
    budget_hours: float
    tolerance: float
    machine: Machine | None = None
    state: Any = None
    since: datetime | None = None
    again: bool = False
    views: list[Any] = field(default_factory=list)
    hours: list[LaneWindow] = field(default_factory=list)

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The open episodes."""
        return (
            ()
            if self.machine is None or self.state is None
            else self.lane.episodes(self.state)
        )

    def learn(
        self,
        windows: Sequence[LaneWindow],
        layouts: Mapping[str, Layout],
        starts: datetime,
        source: str,
        since: datetime,
    ) -> bool:
        """Learn from hourly windows; False when they hold too little."""
        usable = [w for w in windows if self.lane.holds(w)]
        if (
            not usable
            or (not self.lane.columns(layouts) and self.lane.name != "traffic")
            or not set(self.lane.columns(layouts)) <= set(usable[0].profiles)
        ):
            return False
        width = self.lane.width(windows)
        merged = [
            w
            for w in put_together(windows, width)
            if self.lane.name == "traffic" or self.lane.holds(w)
        ]
        if len(merged) < MIN_WINDOWS:
            return False
        learned = self.lane.fit(
            merged, layouts, Budget(self.budget_hours, self.tolerance, width)
        )
        self.machine = Machine(starts, width, source, since, self.lane, learned)
        self.state = self.lane.initial(learned)
        self.views, self.hours, self.again = [], [], False
        return True

    def begin_again(self, since: datetime) -> tuple[Episode, ...]:
        """Forget the fit and learn from `since` on; return the episodes that were open."""
        episodes = self.episodes
        self.machine, self.state, self.since, self.again = None, None, since, True
        self.views, self.hours = [], []
        return episodes

    def learning_for(self) -> timedelta:
        """The time that the lane learns from live traffic."""
        return LEARN_AGAIN if self.again else LEARN

    def add_window(
        self, window: LaneWindow, end: datetime, following: int, judge: bool
    ) -> Step | None:
        """Add an hour that ends at `end`, before the hour of index `following`; a step when its window closes.

        Without `judge` the hour only becomes part of the past of the hours to judge.
        """
        machine = self.machine
        if machine is None:
            return None
        self.hours.append(window)
        if window.index // machine.width == following // machine.width:
            return None
        (whole,) = put_together(self.hours, machine.width)
        self.hours = []
        self.views.append(self.lane.view(machine.learned, whole))
        del self.views[: -WEEK_HOURS // machine.width]
        if not judge or end <= machine.starts:
            return None
        self.state, ended = self.lane.step(machine.learned, self.state, self.views)
        evidence = self.lane.evidence(machine.learned, self.state)
        episodes = self.lane.episodes(self.state)
        constant = (
            frozenset(c for c, p in whole.profiles.items() if _is_constant(p))
            if episodes
            else frozenset()
        )
        return Step(
            self.lane.name,
            end,
            machine,
            whole.index,
            whole.rows,
            episodes,
            ended,
            evidence,
            constant,
        )


def _is_constant(profile: Profile) -> bool:
    """Return True when a column that may have several values has only one."""
    if profile.n < MIN_CONSTANT:
        return False
    if profile.layout.kind == "categorical":
        return (
            len(profile.layout.categories) > 1
            and int(profile.counts.max()) == profile.n
        )
    return profile.min == profile.max


def put_together(windows: Sequence[LaneWindow], width: int) -> Iterator[LaneWindow]:
    """Hourly windows added up to windows that begin at a whole number of `width` hours of the clock."""
    group: list[LaneWindow] = []
    for window in windows:
        if group and group[0].index // width != window.index // width:
            yield _sum(group, width)
            group = []
        group.append(window)
    if group:
        yield _sum(group, width)


def _sum(group: Sequence[LaneWindow], width: int) -> LaneWindow:
    if len(group) == 1:
        return LaneWindow(
            group[0].index // width * width, group[0].special, group[0].profiles
        )
    profiles = dict(group[0].profiles)
    for window in group[1:]:
        for column, profile in window.profiles.items():
            profiles[column] = profiles[column] + profile
    return LaneWindow(
        group[0].index // width * width, any(w.special for w in group), profiles
    )


@dataclass(frozen=True, eq=False)
class _Hour(Mapping[str, Profile]):
    """The profiles of one step of all columns."""

    columns: Mapping[str, Steps]
    step: int

    def __getitem__(self, column: str) -> Profile:
        return self.columns[column][self.step]

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def hourly(
    start: datetime,
    columns: Mapping[str, Steps],
    index: Callable[[datetime], int],
    special: Callable[[datetime], bool],
) -> list[tuple[datetime, LaneWindow]]:
    """Hourly profiles by column as windows with their start."""
    hours = range(max(map(len, columns.values()), default=0))
    times = [(start + i * HOUR, i) for i in hours]
    return [
        (at, LaneWindow(index(at), special(at), _Hour(columns, i))) for at, i in times
    ]
