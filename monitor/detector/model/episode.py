"""Episodes: one for each change that paged, named, and ended when the change is over."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

DAY, WEEK = 24, 168  # hours
# of the effect it was called for: within it for a day, a change is over
CALM_SHARE = 0.5
MIN_CALM = 2  # windows


@dataclass(frozen=True)
class Change:
    """One stream of an episode: what moved and how far since the onset, with the 95 % interval.

    `size` is in reference sd for location, scale, skewness, kurtosis and category, a
    share of rows for missing and rates, rows / expected rows for traffic. `stream` is
    its index in the machine that found it.
    """

    column: str
    contrast: str
    stream: int
    size: float
    low: float
    high: float


@dataclass(frozen=True)
class Episode:
    """One change that paged, from `opened` (the window of the page) until it is calm for a day.

    `onset` is the window it most likely began with; both are hour indices. `lead` names
    the column that paged, empty when all moved a little together. `changes` are the
    streams that are named, the lead's first. `calm` counts windows. `displaced`: the
    hours by which the course of the day is late, negative for early, where that
    explains the change.
    """

    opened: int
    onset: int
    lead: str
    rising: bool
    rule: str
    changes: tuple[Change, ...]
    size: float
    calm: int = 0
    displaced: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns named, the lead first, each once."""
        return tuple(
            dict.fromkeys(
                [*([self.lead] if self.lead else []), *(c.column for c in self.changes)]
            )
        )

    def after(self, calm: bool) -> "Episode":
        """The episode one window later, which was calm or not."""
        return replace(self, calm=self.calm + 1 if calm else 0)

    def is_over(self, width: int) -> bool:
        """Return True when the episode was calm for a day, in windows of `width` hours."""
        return self.calm >= max(MIN_CALM, DAY // width)

    def may_be_calm(self, index: int, width: int) -> bool:
        """Return True when a whole day has passed since the page, so that the last day counts."""
        return index >= self.opened + DAY - width


def parted(
    episodes: Sequence[Episode], width: int
) -> tuple[tuple[Episode, ...], list[Episode]]:
    """Those that go on, and those that are over."""
    return tuple(e for e in episodes if not e.is_over(width)), [
        e for e in episodes if e.is_over(width)
    ]
