"""The references of all models: which there are, their frozen layouts and profiles, and those made of a model's first events."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from monitor.layout import Layout
from monitor.profile import Profile, Steps
from monitor.schema import ModelSchema
from monitor.store import detector_store
from monitor.store.profiles import reference
from monitor.store.profiles.reference import Reference
from monitor.store.rows.load_transaction import grow

if TYPE_CHECKING:
    from monitor.store.store import Store

PROVISIONAL_ROWS = 1000
PROVISIONAL_CAP = 20_000


class References:
    """Sets and reads them; `layouts` are those of each model's features and prediction, by name."""

    def __init__(self, store: "Store", con: duckdb.DuckDBPyConnection) -> None:
        self.store = store
        models = store.models()
        self.layouts: dict[str, dict[str, Layout]] = reference.read_layouts(
            con, models.values()
        )
        self._profiles: dict[str, dict[str, Profile]] = {}
        rows = con.execute(
            "SELECT model, sum(\"rows\")::BIGINT FROM profile_moments WHERE segment = '' AND \"column\" = 'status' GROUP BY model"
        ).fetchall()
        by_id = dict(rows)
        # by model, as many events as there are or more: some may have been deleted
        self._events_of: dict[str, int] = {
            n: by_id[m.id] for n, m in models.items() if m.id in by_id
        }

    def note(self, name: str, events: int) -> None:
        """So many events of a model were stored."""
        self._events_of[name] = self._events_of.get(name, 0) + events

    def set(
        self,
        name: str,
        schema: ModelSchema,
        rows: Callable[[], pa.Table] | tuple[datetime, datetime],
        about: Reference,
        now: datetime,
    ) -> Reference:
        """Freeze layouts and profile from `rows` (event columns, and label, number where known) or a stored period.

        What was profiled before is rebuilt from the raw rows on the new layouts.
        """
        store, settings = self.store, self.store.settings(name)
        # no load may come between what is committed and what it is profiled by
        with store.alone():
            with store.writing() as con, store.profiler.writing():
                model = grow(con, store.models(), {name: schema}, now)[name]
                reference.stage(con, model, rows)
                about = reference.describe(con, about, now)
                model, layouts = reference.freeze(
                    con, model, about, settings.task, settings.reconstruction
                )
                store.profiler.rebuild(model, layouts, settings.segments)
                detector_store.forget(con, model.id)
            store.put(model)
            self.replace(name, layouts)
        return about

    def replace(self, name: str, layouts: dict[str, Layout]) -> None:
        """A model's layouts are others now."""
        self.layouts[name] = layouts
        self._profiles.pop(name, None)

    def make_provisional(self, now: datetime) -> list[str]:
        """Give each model without a reference one from its own first events, once there are enough; their names."""
        made = []
        for name, model in self.store.models().items():
            if (
                self.layouts.get(name)
                or self._events_of.get(name, 0) < PROVISIONAL_ROWS
            ):
                continue
            ((count, first),) = self.store.query(
                f"SELECT count(*), min(ts) FROM {model.events}"
            )
            self._events_of[name] = count
            if count < PROVISIONAL_ROWS:
                continue
            ((last,),) = self.store.query(
                f"SELECT max(ts) FROM (SELECT ts FROM {model.events} ORDER BY ts LIMIT {PROVISIONAL_CAP})"
            )
            about = Reference("provisional", "first events")
            self.set(
                name,
                model.schema,
                (first, last + timedelta(microseconds=1)),
                about,
                now,
            )
            made.append(name)
        return made

    def about(self, name: str) -> Reference:
        """Where the model's reference comes from."""
        with self.store.cursor() as cursor:
            return reference.read_about(cursor, self.store.model(name))

    def all(self) -> dict[str, Reference]:
        """Where every model's reference comes from, by name; a model without one is left out."""
        names = {model.id: name for name, model in self.store.models().items()}
        found = self.store.query(
            'SELECT model, status, source, first_ts, last_ts, "rows", labelled, set_at FROM reference'
        )
        return {names[row[0]]: Reference(*row[1:]) for row in found if row[0] in names}

    def profiles(self, name: str) -> dict[str, Profile]:
        """The reference profile of each column that has one."""
        if not self.layouts.get(name):
            # without a statement: a thousand new models have no reference yet
            return {}
        if name not in self._profiles:
            with self.store.cursor() as cursor:
                self._profiles[name] = reference.read_profiles(
                    cursor, self.store.model(name), self.store.layouts(name)
                )
        return self._profiles[name]

    def hours(
        self, name: str, columns: Sequence[str], most: int
    ) -> tuple[datetime, dict[str, Steps]] | None:
        """The last `most` hours of the reference: the first of them (aware UTC), and profiles of some columns by key;
        None when it has no times."""
        if not self.layouts.get(name):
            return None
        layouts = {
            c: layout
            for c, layout in self.store.layouts(name).items()
            if c in set(columns)
        }
        with self.store.cursor() as cursor:
            found = reference.read_hours(cursor, self.store.model(name), layouts, most)
        return (found[0].replace(tzinfo=UTC), found[1]) if found else None
