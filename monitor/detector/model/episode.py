"""Episode: one change that opened an alert, with its streams, until it has ended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

DAY, WEEK = 24, 168  # hours
# a change has ended when, for a day, less than this share of its size remains
CALM_SHARE = 0.5
MIN_CALM = 2  # windows


@dataclass(frozen=True)
class Change:
    """One changed stream of an episode: its mean distance since the onset, with its 95 % interval.

    Units of `size`: reference sd for location, scale, skewness, kurtosis and category; a
    share of rows for missing values and rates; rows / expected rows for traffic.
    `stream` is the index of the stream in the machine that detected it.
    """

    column: str
    contrast: str
    stream: int
    size: float
    low: float
    high: float


@dataclass(frozen=True)
class Episode:
    """One detected change, from its detection until it has been back to normal for a day.

    `opened` is the window of the detection, `onset` the window in which the change most
    likely began; both are hour indices. `lead` is the main column; it is empty when all
    columns shifted a little together. `changes` are the changed streams, those of the
    main column first. `calm` is the number of windows in a row that were back to normal.
    `displaced` is the delay of the daily pattern in hours, where a delay explains the
    change; it is negative when the pattern is early.
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
        """The changed columns, each once, the main column first."""
        columns = [change.column for change in self.changes]
        if self.lead:
            columns.insert(0, self.lead)
        return tuple(dict.fromkeys(columns))

    def after_window(self, is_calm: bool) -> "Episode":
        """Return the episode one window later; `is_calm`: the window was back to normal."""
        return replace(self, calm=self.calm + 1 if is_calm else 0)

    def has_ended(self, width: int) -> bool:
        """Return whether a day of windows of `width` hours has been back to normal."""
        return self.calm >= max(MIN_CALM, DAY // width)

    def is_a_day_old(self, index: int, width: int) -> bool:
        """Return whether a whole day has passed since the detection.

        Before that, the last day holds rows from before the change.
        """
        return index >= self.opened + DAY - width


def split_ended(
    episodes: Sequence[Episode], width: int
) -> tuple[tuple[Episode, ...], list[Episode]]:
    """Return the open episodes, and those that have ended."""
    ended = [episode for episode in episodes if episode.has_ended(width)]
    still_open = [episode for episode in episodes if not episode.has_ended(width)]
    return tuple(still_open), ended
