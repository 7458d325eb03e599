"""From when to when each model has events, and how many: what must be asked of a model's own tables is asked once."""

import threading
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from monitor.store.profiles.profiler import quality_column
from monitor.store.rows.events import Model

if TYPE_CHECKING:
    from monitor.store.store import Store

T = TypeVar("T")
# first and last event, events, joined labels
Span: TypeAlias = tuple[datetime | None, datetime | None, int, int]


class EventSpans:
    """Those of all models.

    A thousand have a table each: asking every one of them for a page takes seconds.
    """

    def __init__(self, store: "Store") -> None:
        self.store = store
        self._lock = threading.Lock()
        self._changes = 0
        self._last: dict[str, datetime | None] = {}
        self._labels: dict[str, int] = {}

    def note(
        self,
        last: Mapping[str, datetime],
        new: Collection[str],
        labelled: Collection[str],
    ) -> None:
        """A load stored events until `last`; these models are `new`, and labels of those found their events."""
        with self._lock:
            self._changes += 1
            self._labels |= dict.fromkeys(new, 0)
            for name in labelled:
                self._labels.pop(name, None)
            # a model may be made by one load and get its first event with a later one
            self._last |= dict.fromkeys(new)
            for name, at in last.items():
                if name in self._last:
                    self._last[name] = max(at, self._last[name] or at)

    def forget(self) -> None:
        """Rows were deleted: everything is asked again."""
        with self._lock:
            self._changes += 1
            self._last.clear()
            self._labels.clear()

    def all(self) -> dict[str, Span]:
        """Those of every model that has events, by name."""
        found = self.store.query(
            'SELECT model, min(bucket) FILTER ("column" = $status), max(bucket) FILTER ("column" = $status), '
            'coalesce(sum("rows") FILTER ("column" = $status), 0)::BIGINT, coalesce(sum("rows") FILTER ("column" <> $status), 0)::BIGINT '
            "FROM profile_moments WHERE segment = '' AND \"column\" IN ($status, 'wrong', 'absolute_error') GROUP BY model",
            {"status": "status"},
        )
        by_id = {row[0]: row[1:] for row in found}
        spans = {}
        for name, model in self.store.models().items():
            first, newest, n, labels = by_id.get(model.id, (None, None, 0, 0))
            # labels of an unknown task have no profile to count them by
            if quality_column(model) is None:
                labels = self._kept(self._labels, name, partial(self._joined, model))
            last = (
                self._kept(self._last, name, partial(self._last_event, model, newest))
                if newest
                else None
            )
            if model.id in by_id or labels:
                spans[name] = (first, last or newest, n, labels)
        return spans

    def of(self, model: Model) -> Span:
        """First (its minute or hour) and last event time, number of events and of labels that found theirs."""
        quality = quality_column(model)
        ((first, newest, n, labels),) = self.store.query(
            'SELECT min(bucket) FILTER ("column" = $status), max(bucket) FILTER ("column" = $status), '
            'coalesce(sum("rows") FILTER ("column" = $status), 0)::BIGINT, coalesce(sum("rows") FILTER ("column" = $quality), 0)::BIGINT '
            "FROM profile_moments WHERE model = $model AND segment = '' AND \"column\" IN ($status, $quality)",
            {
                "model": model.id,
                "status": "status",
                "quality": quality.column if quality else "status",
            },
        )
        if quality is None:
            labels = self._joined(model)
        if newest is None:
            return None, None, 0, labels
        return first, self._last_event(model, newest) or newest, n, labels

    def _joined(self, model: Model) -> int:
        return int(
            self.store.query(f"SELECT count(*) FROM {model.labels} WHERE joined")[0][0]
        )

    def _last_event(self, model: Model, newest: datetime) -> datetime | None:
        ((last,),) = self.store.query(
            f"SELECT max(ts) FROM {model.events} WHERE ts >= ?", [newest]
        )
        found: datetime | None = last
        return found

    def firsts(self, models: Collection[Model]) -> dict[str, datetime]:
        """The bucket of the first event of those models that have any, by name, aware UTC."""
        names = {model.id: model.name for model in models}
        found = self.store.query(
            "SELECT model, min(bucket) FROM profile_moments WHERE model IN (SELECT unnest($ids)) AND segment = '' AND \"column\" = 'status' "
            "GROUP BY model",
            {"ids": list(names)},
        )
        return {names[id_]: first.replace(tzinfo=UTC) for id_, first in found}

    def versions(self) -> dict[str, list[str]]:
        """The versions of every model, in the order of their first event."""
        found = self.store.query(
            "SELECT m.name, p.version FROM profile_moments p JOIN models m ON m.id = p.model "
            "WHERE p.segment = '' AND p.\"column\" = 'status' GROUP BY ALL ORDER BY min(p.bucket), 2"
        )
        versions: dict[str, list[str]] = {}
        for name, version in found:
            versions.setdefault(name, []).append(version)
        return versions

    def last_events(self) -> dict[str, datetime]:
        """The minute (long ago: the hour) of every model's newest event, by name, aware UTC."""
        found = self.store.query(
            "SELECT m.name, max(p.bucket) FROM profile_moments p JOIN models m ON m.id = p.model "
            "WHERE p.segment = '' AND p.\"column\" = 'status' GROUP BY ALL"
        )
        return {name: at.replace(tzinfo=UTC) for name, at in found}

    def _kept(self, kept: dict[str, T], name: str, ask: Callable[[], T]) -> T:
        with self._lock:
            if name in kept:
                return kept[name]
            before = self._changes
        found = ask()
        with self._lock:
            # else a load may have stored what the answer does not know
            if self._changes == before:
                kept[name] = found
        return found
