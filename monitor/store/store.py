"""The store: the only owner of the DuckDB file.

Writes are one at a time; every read has a cursor of its own.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from monitor.errors import NotFound
from monitor.layout import Layout
from monitor.profile import Profile, Steps
from monitor.schema import RECONSTRUCTION_ERROR
from monitor.spool.record import SpoolPosition
from monitor.store.alert_store import AlertStore
from monitor.store.database import BLOCK_BYTES, open_database, transaction
from monitor.store.ledger import Ledger
from monitor.store.profiles import profile_reader
from monitor.store.profiles.compaction import compact, roll_up
from monitor.store.profiles.profiler import SERVICE, Profiler, labelled_columns
from monitor.store.profiles.references import References
from monitor.store.rows import erasure, events, wide_rows
from monitor.store.rows.erasure import Erased
from monitor.store.rows.event_spans import EventSpans, Span
from monitor.store.rows.events import Model
from monitor.store.rows.load_batch import LoadBatch, Loaded
from monitor.store.rows.load_transaction import LoadTransaction
from monitor.store.rows.recent_ids import RecentIds

MINUTES_KEPT = timedelta(hours=48)
COMPACT_AFTER = 300  # loads
# of profiles: a load of ten thousand features writes two hundred thousand
COMPACT_ROWS = 2_000_000
CROWD_BYTES = 64 << 20
OWN_COLUMNS = (
    "prediction",
    RECONSTRUCTION_ERROR,
    "latency_ms",
    "status",
    "wrong",
    "absolute_error",
)


@dataclass(frozen=True)
class ModelSettings:
    """What the configuration says of one model, as far as the store needs it."""

    task: str = "auto"
    segments: tuple[str, ...] = ()
    reconstruction: bool = True


class Store:
    """One data directory's database."""

    def __init__(
        self,
        folder: Path,
        settings: Callable[[str], ModelSettings] = lambda _: ModelSettings(),
        memory_limit: str = "256MB",
        quarantine_bytes: int = 64 << 20,
    ) -> None:
        self.path = folder / "driftdeck.duckdb"
        self.settings = settings
        self._memory_limit, self.quarantine_bytes = memory_limit, quarantine_bytes
        self._lock = threading.RLock()
        # held while a cursor is made, and while the file is exchanged
        self._gate = threading.Condition()
        self._reading = 0
        # held while rows go from what waits to what is stored, and while they are added
        # up
        self.accounts = threading.Lock()
        # told of the rows of each load
        self.landed: Callable[[Mapping[tuple[str, str], int]], None] = _nobody
        self._open()

    def _open(self) -> None:
        self._con = open_database(self.path, self._memory_limit)
        self.profiler = Profiler(self._con)
        self._models = events.read_models(self._con)
        self.references = References(self, self._con)
        # loads since profiles were compacted, and the earliest bucket they touched
        self._parts = 0
        self._touched: datetime | None = None
        # columns of the models that got rows since the last checkpoint
        self._begun: dict[str, int] = {}
        self._labels_waiting = set(self._models)
        self._spans = EventSpans(self)
        self._recent = RecentIds()
        self._recent.fill(self._con, list(self._models.values()), datetime.now(UTC))

    def reopen(self) -> None:
        """Close every handle and open again: the way back after a fatal error of the engine."""
        with self._lock:
            self._con.close()
            self._open()

    def close(self) -> None:
        """Checkpoint and let go of the file."""
        with self._lock:
            try:
                self._con.execute("CHECKPOINT")
            except duckdb.Error:
                # what is committed is in the write-ahead log and is replayed at the
                # next start
                pass
            finally:
                self._con.close()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A handle for one read: a shared one gave wrong results under threads."""
        with self._gate:
            cursor = self._con.cursor()
            self._reading += 1
        try:
            yield cursor
        finally:
            cursor.close()
            with self._gate:
                self._reading -= 1
                self._gate.notify_all()

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The one writing handle, inside a transaction."""
        with self._lock, transaction(self._con):
            yield self._con

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold writes back, for what has to follow a commit at once."""
        with self._lock:
            yield

    @property
    def ledger(self) -> Ledger:
        """What came and what became of it."""
        return Ledger(self)

    @property
    def alerts(self) -> AlertStore:
        """Findings, alerts, transitions and the outbox."""
        return AlertStore(self)

    # models

    def models(self) -> dict[str, Model]:
        """Every model by name."""
        return dict(self._models)

    def model(self, name: str) -> Model:
        """One model. Raises NotFound, naming the known ones."""
        found = self._models.get(name)
        if found is None:
            known = (
                ", ".join(sorted(self._models)[:10])
                or "none yet; send an event to POST /v1/events"
            )
            raise NotFound(f"there is no model {name!r}; known: {known}")
        return found

    def put(self, model: Model) -> None:
        """A model is another one now."""
        self._models[model.name] = model

    def layouts(self, name: str) -> dict[str, Layout]:
        """The layout of every column that is profiled for a model."""
        model = self.model(name)
        frozen = self.references.layouts.get(name, {})
        labelled = {c.column: c.layout for c in labelled_columns(model, frozen)}
        return {c.column: c.layout for c in SERVICE} | frozen | labelled

    def column_key(self, name: str, column: str) -> str:
        """The stored key of a column given its own name.

        Raises NotFound, naming the known ones.
        """
        model = self.model(name)
        feature = model.schema.by_name.get(column)
        if feature is not None:
            return feature.field
        if column in OWN_COLUMNS:
            return column
        known = ", ".join([*list(model.schema.by_name)[:20], *OWN_COLUMNS[:4]])
        raise NotFound(f"model {name!r} has no column {column!r}; known: {known}")

    @property
    def position(self) -> SpoolPosition:
        """How far the spool has been loaded."""
        with self.cursor() as cursor:
            return SpoolPosition(
                *cursor.execute(
                    'SELECT segment, "offset" FROM spool_position'
                ).fetchall()[0]
            )

    def load(self, batch: LoadBatch, now: datetime) -> Loaded:
        """Rows, profiles, ledger and position in one transaction: all of it or nothing."""
        with self._lock:
            load = LoadTransaction(
                self._con,
                self.profiler,
                self._recent,
                self._models,
                self._labels_waiting,
                self.references.layouts,
                lambda name: self.settings(name).segments,
            )
            with ExitStack() as landing:
                with transaction(self._con):
                    with self.profiler.writing():
                        load.run(batch, now)
                    # whoever adds up what waits and what is stored sees the rows in one
                    # of them
                    landing.enter_context(self.accounts)
                self._remember(load, now)
                loaded = load.loaded(batch)
                self.landed(loaded.rows)
            return loaded

    def _remember(self, load: LoadTransaction, now: datetime) -> None:
        """Keep what a committed load changed."""
        self._spans.note(
            load.last, load.models.keys() - self._models.keys(), load.labelled
        )
        self._models, self._labels_waiting = load.models, load.waiting
        self._begun |= {
            name: len(wide_rows.columns_of(load.models[name].schema))
            for name in load.earliest
        }
        self._recent.add(load.remembered, now.astimezone(UTC).replace(tzinfo=None))
        for (name, kind), account in load.outcome.items():
            if kind == "events":
                self.references.note(name, account.stored)
        self._parts += 1
        self._touched = min(
            [*load.earliest.values(), *([self._touched] if self._touched else [])],
            default=None,
        )

    # profiles

    def profiles(
        self,
        name: str,
        start: datetime,
        end: datetime,
        step: timedelta | None = None,
        version: str | None = None,
        segment: str = "",
        columns: Sequence[str] | None = None,
    ) -> dict[str, Steps]:
        """Stored profiles by column key, one for each step."""
        layouts: Mapping[str, Layout] = self.layouts(name)
        if columns is not None:
            layouts = {c: layouts[c] for c in columns if c in layouts}
        with self.cursor() as cursor:
            return profile_reader.read_profiles(
                cursor, self.model(name), layouts, start, end, step, version, segment
            )

    def profiles_of(
        self,
        columns: Mapping[str, Collection[str]],
        start: datetime,
        end: datetime,
        segment: str = "",
    ) -> dict[str, dict[str, Profile]]:
        """Stored profiles of the whole span by model and column key, for some columns of each of many models."""
        ids = {name: self.model(name).id for name in columns}
        layouts = {
            ids[n]: {c: one for c, one in self.layouts(n).items() if c in some}
            for n, some in columns.items()
        }
        with self.cursor() as cursor:
            found = profile_reader.read_profiles_of(
                cursor, layouts, start, end, segment
            )
        return {name: found[id_] for name, id_ in ids.items()}

    def segments(self, name: str, features: Sequence[str]) -> dict[str, str]:
        """The feature of each segment that some features made, in the order in which they came, the largest ones first."""
        rows = self.query(
            "SELECT segment, feature FROM segments WHERE model = ? ORDER BY rowid",
            [self.model(name).id],
        )
        return {segment: feature for segment, feature in rows if feature in features}

    def rebuild(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """Recompute all profiles from raw rows; rows read, by model."""
        result = {}
        for name in names or sorted(self._models):
            model = self.model(name)
            with self.writing(), self.profiler.writing():
                result[name] = self.profiler.rebuild(
                    model,
                    self.references.layouts.get(name, {}),
                    self.settings(name).segments,
                )
        return result

    def spans(self) -> dict[str, Span]:
        """`span` of every model that has events, by name."""
        return self._spans.all()

    def span(self, name: str) -> Span:
        """First (its minute or hour) and last event time, number of events and of labels that found theirs."""
        return self._spans.of(self.model(name))

    def first_event(self, name: str) -> datetime | None:
        """The bucket of the model's first event, aware UTC; None without events."""
        return self.first_events([name]).get(name)

    def first_events(self, names: Sequence[str]) -> dict[str, datetime]:
        """`first_event` of those models that have events, by name, in one statement."""
        return self._spans.firsts([self.model(name) for name in names])

    def versions(self) -> dict[str, list[str]]:
        """The versions of every model, in the order of their first event."""
        return self._spans.versions()

    def last_events(self) -> dict[str, datetime]:
        """The minute (long ago: the hour) of every model's newest event, by name, aware UTC."""
        return self._spans.last_events()

    def forget(
        self, now: datetime, raw_days: int | None, profile_days: int | None
    ) -> None:
        """Delete raw rows and profiles that are past their retention."""
        with self.writing() as con:
            erasure.forget(
                con, list(self._models.values()), now, raw_days, profile_days
            )
            self.ledger.trim(con, self.quarantine_bytes)
        self._spans.forget()

    def maintain(self, now: datetime) -> bool:
        """Compact profiles when many small loads have come, roll old minutes up, and write the file's log back.

        False when the last must wait for a reader.
        """
        with self._lock:
            with transaction(self._con):
                roll_up(
                    self._con,
                    (now - MINUTES_KEPT).replace(
                        minute=0, second=0, microsecond=0, tzinfo=None
                    ),
                )
            many = self._parts > COMPACT_AFTER or self.profiler.rows > COMPACT_ROWS
            if many and self._touched is not None:
                with transaction(self._con):
                    compact(
                        self._con,
                        self._touched.replace(minute=0, second=0, microsecond=0),
                    )
                self._parts, self._touched, self.profiler.rows = 0, None, 0
            try:
                self._con.execute("CHECKPOINT")
            except duckdb.TransactionException:
                return False  # a reader is in the way; the next round will do
            self._begun = {}
            return True

    @property
    def crowded(self) -> bool:
        """Whether so many tables have rows in memory that a checkpoint should not wait: each of their columns has a block."""
        return (
            sum(n + len(events.BASE) for n in self._begun.values()) * BLOCK_BYTES
            > CROWD_BYTES
        )

    def erase(self, name: str, column: str, given: str, stored: str) -> Erased:
        """Take a person's rows out of one model: every event whose `column` holds `stored`, its labels, and what else
        names the value `given`. Profiles and accounts stay."""
        with self._lock:
            model = self.model(name)
            layouts = dict(self.references.layouts.get(name, {}))
            key = (
                model.schema.by_name[column].field
                if column in model.schema.by_name
                else column
            )
            with transaction(self._con):
                erased = erasure.erase(self._con, model, column, stored, given)
                if key in layouts:
                    layouts[key] = erasure.rename_category(
                        self._con, model, key, layouts[key], stored
                    )
            self.references.replace(name, layouts)
            self._spans.forget()
            return erased

    def rewrite(self, patience_s: float = 30.0) -> bool:
        """Write the whole database to a new file, so that no free block holds what was deleted; False when readers did
        not leave in time."""
        fresh = self.path.with_suffix(".rewritten")
        fresh.unlink(missing_ok=True)
        with self._lock, self._gate:
            if not self._gate.wait_for(lambda: self._reading == 0, patience_s):
                return False
            literal = str(fresh.resolve()).replace("'", "''")
            self._con.execute("CHECKPOINT")
            self._con.execute(f"ATTACH '{literal}' AS rewritten")
            self._con.execute("COPY FROM DATABASE driftdeck TO rewritten")
            self._con.execute("DETACH rewritten")
            self._con.close()
            fresh.replace(self.path)
            self._open()
            return True

    def query(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """The rows of one fixed statement, on a cursor of its own."""
        with self.cursor() as cursor:
            return cursor.execute(sql, params).fetchall()


def _nobody(_: Mapping[tuple[str, str], int]) -> None:
    """Who is told where nobody wants to know."""
