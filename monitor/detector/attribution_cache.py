"""The segments behind an open change, read from stored profiles after a day, then once a day for a week."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.evaluation.attribution import (
    Attribution,
    Profiles,
    SegmentPart,
    explain_change,
)
from monitor.store import Store
from monitor.store.model import Model

DAY, WEEK, YEAR = timedelta(days=1), timedelta(days=7), timedelta(days=364)
MAX_COLUMNS, MAX_PARTS = 30, 20


@dataclass
class AttributionCache:
    """Remembers for each change, by when it was opened, what was found and when: it is kept with the detector's state."""

    store: Store
    model: Model
    segments: Sequence[str]
    first: datetime
    known: dict[int, tuple[datetime, Attribution | None]] = field(default_factory=dict)

    def of(
        self, opened: int, columns: Sequence[str], onset: datetime, end: datetime
    ) -> Attribution | None:
        """Return the segments behind a change of some columns since `onset`, as far as known at `end`.

        Columns are given by key.
        """
        days = min((end - onset) // DAY, WEEK // DAY)
        asked = self.known.get(opened)
        if days < 1 or (
            asked is not None and (end - asked[0] < DAY or end - onset > WEEK + DAY)
        ):
            return asked[1] if asked else None
        attribution = self._read_parts(
            list(columns)[:MAX_COLUMNS], onset, onset + days * DAY
        )
        self.known[opened] = end, attribution
        return attribution

    def _read_parts(
        self, columns: Sequence[str], onset: datetime, end: datetime
    ) -> Attribution | None:
        before = self._read(onset - WEEK, onset, columns)
        after = self._read(onset, end, columns)
        year_ago = (
            self._read(onset - YEAR, end - YEAR, columns)
            if self.first <= onset - YEAR
            else {}
        )
        return explain_change(
            columns, before, after, self._parts(columns, onset, end), year_ago
        )

    def _parts(
        self, columns: Sequence[str], onset: datetime, end: datetime
    ) -> dict[str, list[SegmentPart]]:
        """The largest segments of each feature that makes them."""
        parts: dict[str, list[SegmentPart]] = {}
        all_segments = self.store.segments(self.model.name, self.segments)
        for feature in self.segments:
            feature_column = self.model.schema.by_name.get(feature)
            names = [segment for segment, of in all_segments.items() if of == feature]
            if feature_column is None or len(names) < 2:
                continue
            counted = {
                name: (
                    self._rows(onset - WEEK, onset, name),
                    self._rows(onset, end, name),
                )
                for name in names
            }
            largest = sorted(names, key=lambda name: -max(counted[name]))[:MAX_PARTS]
            parts[feature_column.field] = [
                SegmentPart(
                    name,
                    *counted[name],
                    self._read(onset - WEEK, onset, columns, name),
                    self._read(onset, end, columns, name),
                )
                for name in largest
            ]
        return parts

    def _rows(self, start: datetime, end: datetime, segment: str) -> int:
        return self._read(start, end, ["status"], segment)["status"].rows

    def _read(
        self, start: datetime, end: datetime, columns: Sequence[str], segment: str = ""
    ) -> Profiles:
        first, last = (at.astimezone(UTC).replace(tzinfo=None) for at in (start, end))
        read = self.store.profiles(
            self.model.name, first, last, segment=segment, columns=columns
        )
        return {column: profiles[0] for column, profiles in read.items()}

    def dump(self) -> dict[str, Any]:
        """Return the remembered attributions as plain data."""
        return {
            str(opened): [
                at.isoformat(),
                [attribution.cause, attribution.segment] if attribution else None,
            ]
            for opened, (at, attribution) in self.known.items()
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Remember what `dump` wrote."""
        self.known = {
            int(opened): (
                datetime.fromisoformat(at),
                Attribution(*attribution) if attribution else None,
            )
            for opened, (at, attribution) in data.items()
        }

    def forget(self, opened: set[int]) -> None:
        """Remember nothing but of the changes that are open."""
        self.known = {key: value for key, value in self.known.items() if key in opened}
