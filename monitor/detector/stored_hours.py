"""The stored hours of a model as the detector reads them: in parts that fit in memory, and only where there are rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from monitor.calendar import HOUR, Calendar
from monitor.detector.lane_run import hourly
from monitor.detector.lanes.lane import LaneWindow
from monitor.detector.lanes.segment_lane import key, parts
from monitor.layout import Layout
from monitor.profile import Steps
from monitor.store import Store
from monitor.store.model import Model

DAY, WEEK = timedelta(days=1), timedelta(days=7)
MAX_COUNTS = 3_000_000  # of one read, so that a wide model is read in parts
MAX_PROFILES = 200_000  # of one read: columns times hours


@dataclass(frozen=True)
class StoredHours:
    """Reads the hours of one model."""

    store: Store
    model: Model
    calendar: Calendar
    layouts: Mapping[str, Layout]

    def rows_by_day(self, before: datetime) -> dict[datetime, int]:
        """Return the number of rows of each day before a moment."""
        rows = self.store.query(
            "SELECT date_trunc('day', bucket), sum(\"rows\")::BIGINT FROM profile_moments WHERE model = ? AND segment = '' "
            "AND \"column\" = 'status' AND bucket < ? GROUP BY ALL",
            [self.model.id, before],
        )
        return {at.replace(tzinfo=UTC): n for at, n in rows}

    def parts(
        self, columns: Sequence[str], start: datetime, end: datetime
    ) -> list[tuple[datetime, datetime]]:
        """The span in parts that fit in memory together with the week before."""
        bins = sum(self.layouts[c].size for c in columns) + 1
        hours = max(
            24,
            min(MAX_COUNTS // bins, MAX_PROFILES // (len(columns) + 1)) - WEEK // HOUR,
        )
        parts = []
        for begin, until in self._busy(start, end):
            at = begin
            while at < until:
                stop = min(until, at + hours * HOUR)
                parts.append((at, stop))
                at = stop
        return parts

    def _busy(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Return the time ranges with rows, and a week after each, in which silence is noticed.

        The time between them adds no information.
        """
        rows = self.store.query(
            "SELECT date_trunc('day', bucket) AS day, date_trunc('hour', min(bucket)) FROM profile_moments WHERE model = ? "
            "AND segment = '' AND \"column\" = 'status' AND bucket < ? GROUP BY day ORDER BY day",
            [self.model.id, end],
        )
        spans: list[tuple[datetime, datetime]] = []
        for day, first in rows:
            begin, until = (
                max(first.replace(tzinfo=UTC), start),
                min(day.replace(tzinfo=UTC) + DAY + WEEK, end),
            )
            if begin >= until:
                continue
            if spans and begin <= spans[-1][1]:
                spans[-1] = (spans[-1][0], until)
            else:
                spans.append((begin, until))
        return spans

    def read(
        self, columns: Sequence[str], start: datetime, end: datetime
    ) -> list[tuple[datetime, LaneWindow]]:
        """Each hour of a span with its start; an hour without rows too."""
        begin, until = (
            start.astimezone(UTC).replace(tzinfo=None),
            end.replace(tzinfo=None),
        )
        columns_of: dict[str, list[str]] = {"": ["status"]}
        for column, segment in map(parts, dict.fromkeys(columns)):
            columns_of.setdefault(segment, []).append(column)
        read: dict[str, Steps] = {}
        for segment, fields in columns_of.items():
            profiles = self.store.profiles(
                self.model.name, begin, until, HOUR, segment=segment, columns=fields
            )
            read |= (
                {key(c, segment): p for c, p in profiles.items()}
                if segment
                else profiles
            )
        return hourly(start, read, self.calendar.index, self.calendar.is_special)
