"""Selection of the profiles that a figure is computed from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from monitor.profile import Profile, Steps
from monitor.queries.time_range import TimeRange
from monitor.store import Store


@dataclass(frozen=True)
class Selection:
    """A model in a time range, of one version (None: all) and one segment ("": none)."""

    model: str
    time_range: TimeRange
    version: str | None = None
    segment: str = ""

    def read_steps(self, store: Store, columns: Sequence[str]) -> dict[str, Steps]:
        """Return a profile for each step of the time range, by column key."""
        start, end = self.time_range.naive_bounds
        return store.profiles(
            self.model,
            start,
            end,
            self.time_range.step,
            self.version,
            self.segment,
            columns,
        )

    def read_total(self, store: Store, columns: Sequence[str]) -> dict[str, Profile]:
        """Return one profile of the whole time range, by column key."""
        start, end = self.time_range.naive_bounds
        steps = store.profiles(
            self.model, start, end, None, self.version, self.segment, columns
        )
        return {key: profiles[0] for key, profiles in steps.items()}

    def shifted(self, by: timedelta) -> "Selection":
        """Return the same selection `by` later."""
        return replace(self, time_range=self.time_range.shifted(by))

    def of_version(self, version: str) -> "Selection":
        """Return the same selection of one version."""
        return replace(self, version=version)
