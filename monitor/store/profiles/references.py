"""The references of all models: set, read, and made of a model's first events."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from monitor.layout import Layout
from monitor.profile import Profile, Steps
from monitor.schema import ModelSchema
from monitor.store import detector_store
from monitor.store.database import Database
from monitor.store.model import ModelCatalog, ModelSettings
from monitor.store.profiles import reference
from monitor.store.profiles.layout_catalog import LayoutCatalog
from monitor.store.profiles.profiler import Profiler
from monitor.store.profiles.reference import Reference, ReferenceRows
from monitor.store.rows.model_tables import grow_models

# events that a provisional reference needs at least, and has at most
MIN_PROVISIONAL_EVENTS = 1000
MAX_PROVISIONAL_EVENTS = 20_000
MICROSECOND = timedelta(microseconds=1)


class References:
    """Sets references and reads them; their profiles are cached."""

    def __init__(
        self,
        database: Database,
        catalog: ModelCatalog,
        layouts: LayoutCatalog,
        profiler: Profiler,
        settings: Callable[[str], ModelSettings],
    ) -> None:
        self._database, self._catalog, self._layouts = database, catalog, layouts
        self._profiler, self._settings = profiler, settings
        self._profiles: dict[str, dict[str, Profile]] = {}
        # by model, as many as are stored or more: some may have been deleted
        self._events: dict[str, int] = {}
        self.read()

    def read(self) -> None:
        """Count the events of every model again, and forget the cached profiles."""
        rows = self._database.connection.execute(
            'SELECT model, sum("rows")::BIGINT FROM profile_moments '
            "WHERE segment = '' AND \"column\" = 'status' GROUP BY model"
        ).fetchall()
        names = {model.id: name for name, model in self._catalog.all().items()}
        self._events = {names[id_]: n for id_, n in rows if id_ in names}
        self._profiles = {}

    def count_events(self, name: str, events: int) -> None:
        """Count newly stored events of a model."""
        self._events[name] = self._events.get(name, 0) + events

    def set(
        self,
        name: str,
        schema: ModelSchema,
        rows: ReferenceRows,
        about: Reference,
        now: datetime,
    ) -> Reference:
        """Freeze layouts and profile from rows, or from the stored events of a period.

        Rows have the columns of events, and label and number where known. All profiles
        of the model are rebuilt from its raw rows on the new layouts. Raises
        InvalidRequest when there are no rows.
        """
        settings = self._settings(name)
        # no load may run between the commit and the update of what it profiles by
        with self._database.write_lock:
            with self._database.writing() as con, self._profiler.writing():
                models = self._catalog.all()
                model = grow_models(con, models, {name: schema}, now)[name]
                reference.stage_rows(con, model, rows)
                about = reference.describe_rows(con, about, now)
                engine = self._profiler.engine
                model, layouts = reference.freeze(con, engine, model, about, settings)
                self._profiler.rebuild(model, layouts, settings.segments)
                detector_store.delete_detector(con, model.id)
            self._catalog.update({name: model})
            self.replace_layouts(name, layouts)
        return about

    def replace_layouts(self, name: str, layouts: dict[str, Layout]) -> None:
        """Replace the frozen layouts of a model."""
        self._layouts.frozen[name] = layouts
        self._profiles.pop(name, None)

    def make_provisional(self, now: datetime) -> list[str]:
        """Give models with enough events a provisional reference, unless they have one.

        Returns their names. A provisional reference has the model's first events.
        """
        made = []
        for name, model in self._catalog.all().items():
            few = self._events.get(name, 0) < MIN_PROVISIONAL_EVENTS
            if few or self._layouts.frozen.get(name):
                continue
            ((events, first),) = self._database.query(
                f"SELECT count(*), min(ts) FROM {model.events}"
            )
            self._events[name] = events
            if events < MIN_PROVISIONAL_EVENTS:
                continue
            ((last,),) = self._database.query(
                f"SELECT max(ts) FROM (SELECT ts FROM {model.events} "
                f"ORDER BY ts LIMIT {MAX_PROVISIONAL_EVENTS})"
            )
            about = Reference("provisional", "first events")
            period = (first, last + MICROSECOND)
            self.set(name, model.schema, period, about, now)
            made.append(name)
        return made

    def about(self, name: str) -> Reference:
        """Return the origin of a model's reference; status none without one."""
        with self._database.cursor() as cursor:
            return reference.read_about(cursor, self._catalog.get(name))

    def all(self) -> dict[str, Reference]:
        """Return the origin of every model's reference, by name of those that have one."""
        names = {model.id: name for name, model in self._catalog.all().items()}
        rows = self._database.query(
            'SELECT model, status, source, first_ts, last_ts, "rows", labelled, set_at '
            "FROM reference"
        )
        return {names[id_]: Reference(*row) for id_, *row in rows if id_ in names}

    def profiles(self, name: str) -> dict[str, Profile]:
        """Return the reference profile of each column that has one, by key."""
        if not self._layouts.frozen.get(name):
            # without a statement: a thousand new models have no reference yet
            return {}
        if name not in self._profiles:
            model, layouts = self._catalog.get(name), self._layouts.of(name)
            with self._database.cursor() as cursor:
                profiles = reference.read_profiles(cursor, model, layouts)
            self._profiles[name] = profiles
        return self._profiles[name]

    def hours(
        self, name: str, columns: Sequence[str], max_hours: int
    ) -> tuple[datetime, dict[str, Steps]] | None:
        """Return the last `max_hours` hours of a model's reference; None without times.

        They are the first hour (aware UTC), and profiles of some columns by key.
        """
        if not self._layouts.frozen.get(name):
            return None
        layouts = {
            column: layout
            for column, layout in self._layouts.of(name).items()
            if column in set(columns)
        }
        model = self._catalog.get(name)
        with self._database.cursor() as cursor:
            hours = reference.read_hours(cursor, model, layouts, max_hours)
        if hours is None:
            return None
        first, profiles = hours
        return first.replace(tzinfo=UTC), profiles
