"""First and last event, number of events and labels, and versions of each model."""

import threading
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import TypeAlias, TypeVar

from monitor.store.database import Database, aware
from monitor.store.model import Model, ModelCatalog
from monitor.store.profiles.profiled_columns import quality_column

T = TypeVar("T")
# first and last event (naive UTC, None without events), events, joined labels
EventSpan: TypeAlias = tuple[datetime | None, datetime | None, int, int]
# of the service column that every event has, and of one that every joined label has
COUNTS = (
    "min(bucket) FILTER (\"column\" = 'status'), "
    "max(bucket) FILTER (\"column\" = 'status'), "
    'coalesce(sum("rows") FILTER ("column" = \'status\'), 0)::BIGINT, '
    'coalesce(sum("rows") FILTER ("column" <> \'status\'), 0)::BIGINT'
)
STATUS = "segment = '' AND \"column\" = 'status'"


class EventSpans:
    """The event spans of all models.

    Counts are those of the profiles, as a statement on each of a thousand events tables
    needs seconds. What only these tables have is asked once and remembered.
    """

    def __init__(self, database: Database, catalog: ModelCatalog) -> None:
        self._database, self._catalog = database, catalog
        self._lock = threading.Lock()
        self._changes = 0
        self._last: dict[str, datetime | None] = {}
        self._labels: dict[str, int] = {}

    def note_load(
        self,
        last: Mapping[str, datetime],
        new: Collection[str],
        labelled: Collection[str],
    ) -> None:
        """Note a load: the last event of each model, new models, models with joined labels."""
        with self._lock:
            self._changes += 1
            self._labels |= dict.fromkeys(new, 0)
            for name in labelled:
                self._labels.pop(name, None)
            # the first event of a new model may be of a later load
            self._last |= dict.fromkeys(new)
            for name, at in last.items():
                if name in self._last:
                    self._last[name] = max(at, self._last[name] or at)

    def forget(self) -> None:
        """Forget everything, as rows were deleted."""
        with self._lock:
            self._changes += 1
            self._last.clear()
            self._labels.clear()

    def all(self) -> dict[str, EventSpan]:
        """Return the event span of every model that has events or labels, by name."""
        rows = self._database.query(
            f"SELECT model, {COUNTS} FROM profile_moments WHERE segment = '' "
            "AND \"column\" IN ('status', 'wrong', 'absolute_error') GROUP BY model"
        )
        by_id = {row[0]: row[1:] for row in rows}
        spans = {}
        for name, model in self._catalog.all().items():
            first, bucket, events, labels = by_id.get(model.id, (None, None, 0, 0))
            # labels of an unknown task have no profile that counts them
            if quality_column(model) is None:
                count = partial(self._count_labels, model)
                labels = self._remembered(self._labels, name, count)
            last = None
            if bucket is not None:
                read = partial(self._last_event, model, bucket)
                last = self._remembered(self._last, name, read)
            if model.id in by_id or labels:
                spans[name] = (first, last or bucket, events, labels)
        return spans

    def of(self, model: Model) -> EventSpan:
        """Return the event span of one model; its first event is that of its bucket."""
        quality = quality_column(model)
        column = quality.column if quality else "status"
        ((first, bucket, events, labels),) = self._database.query(
            f"SELECT {COUNTS} FROM profile_moments WHERE model = ? AND segment = '' "
            "AND \"column\" IN ('status', ?)",
            [model.id, column],
        )
        if quality is None:
            labels = self._count_labels(model)
        if bucket is None:
            return None, None, 0, labels
        return first, self._last_event(model, bucket) or bucket, events, labels

    def _count_labels(self, model: Model) -> int:
        ((n,),) = self._database.query(
            f"SELECT count(*) FROM {model.labels} WHERE joined"
        )
        return int(n)

    def _last_event(self, model: Model, bucket: datetime) -> datetime | None:
        ((last,),) = self._database.query(
            f"SELECT max(ts) FROM {model.events} WHERE ts >= ?", [bucket]
        )
        time: datetime | None = last
        return time

    def first_events(self, models: Collection[Model]) -> dict[str, datetime]:
        """Return the bucket of each model's first event, by name, aware UTC.

        Models without events are left out.
        """
        names = {model.id: model.name for model in models}
        rows = self._database.query(
            "SELECT model, min(bucket) FROM profile_moments "
            f"WHERE model IN (SELECT unnest($ids)) AND {STATUS} GROUP BY model",
            {"ids": list(names)},
        )
        return {names[id_]: aware(first) for id_, first in rows}

    def versions(self) -> dict[str, list[str]]:
        """Return the versions of every model, in the order of their first event."""
        rows = self._database.query(
            "SELECT m.name, p.version FROM profile_moments p "
            f"JOIN models m ON m.id = p.model WHERE {STATUS} "
            "GROUP BY ALL ORDER BY min(p.bucket), 2"
        )
        versions: dict[str, list[str]] = {}
        for name, version in rows:
            versions.setdefault(name, []).append(version)
        return versions

    def last_events(self) -> dict[str, datetime]:
        """Return the bucket of every model's newest event, by name, aware UTC.

        That is its minute, of old events its hour.
        """
        rows = self._database.query(
            "SELECT m.name, max(p.bucket) FROM profile_moments p "
            f"JOIN models m ON m.id = p.model WHERE {STATUS} GROUP BY ALL"
        )
        return {name: aware(at) for name, at in rows}

    def _remembered(self, values: dict[str, T], name: str, read: Callable[[], T]) -> T:
        """Return a remembered value; read and remember it when there is none."""
        with self._lock:
            if name in values:
                return values[name]
            before = self._changes
        value = read()
        with self._lock:
            # else a load may have stored rows that the value does not count
            if self._changes == before:
                values[name] = value
        return value
