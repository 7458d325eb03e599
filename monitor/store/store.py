"""The store: the parts over one database put together, and the calls that others make."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from monitor.contracts import Engine
from monitor.layout import Layout
from monitor.profile import Profile, Steps
from monitor.spool.record import SpoolPosition
from monitor.store.alert_store import AlertStore
from monitor.store.database import Database
from monitor.store.ledger import Ledger, trim_quarantine
from monitor.store.model import Model, ModelCatalog, ModelSettings
from monitor.store.profiles.compaction import (
    MINUTE_RETENTION,
    CompactionBacklog,
    compact,
    roll_up,
)
from monitor.store.profiles.layout_catalog import LayoutCatalog
from monitor.store.profiles.profile_reader import ProfileReader
from monitor.store.profiles.profiler import Profiler
from monitor.store.profiles.references import References
from monitor.store.retention import (
    delete_old_notes,
    delete_old_profiles,
    delete_old_rows,
)
from monitor.store.rows.batch_loader import BatchLoader
from monitor.store.rows.erasure import Erased, Erasure
from monitor.store.rows.event_spans import EventSpan, EventSpans
from monitor.store.rows.load_batch import LoadBatch, Loaded


class Store:
    """The stored data of one data directory.

    Writes are one at a time; every read has a cursor of its own. `settings` gives those
    of a model by name.
    """

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        settings: Callable[[str], ModelSettings] = lambda _: ModelSettings(),
        memory_limit: str = "256MB",
        quarantine_bytes: int = 64 << 20,
    ) -> None:
        self.settings, self.quarantine_bytes = settings, quarantine_bytes
        self.path = folder / "driftdeck.duckdb"
        self.database = database = Database(self.path, memory_limit)
        self.ledger = Ledger(database)
        self.alerts = AlertStore(database)
        self.catalog = catalog = ModelCatalog(database)
        self.layout_catalog = layouts = LayoutCatalog(database, catalog)
        self.profiler = Profiler(database, engine)
        self.profile_reader = ProfileReader(database, catalog, layouts)
        self.event_spans = EventSpans(database, catalog)
        self.references = References(
            database, catalog, layouts, self.profiler, settings
        )
        self.erasure = Erasure(
            database, catalog, layouts, self.references, self.event_spans
        )
        self.batch_loader = BatchLoader(
            database,
            catalog,
            layouts,
            self.profiler,
            self.references,
            self.event_spans,
            segments=lambda name: settings(name).segments,
        )

    # the database

    def query(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, read with a cursor of its own."""
        return self.database.query(sql, params)

    def cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open a cursor for one read."""
        return self.database.cursor()

    def writing(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Lend the writing connection, inside a transaction."""
        return self.database.writing()

    def note_failure(self) -> None:
        """Note a fatal error of the engine: it answers nothing until it is reopened."""
        self.database.note_failure()

    def reopen_if_failed(self) -> None:
        """Open the database again after a fatal error of the engine. Raises StorageError."""
        if not self.database.has_failed:
            return
        with self.database.write_lock:
            if self.database.reopen_if_failed():
                self._read()

    def rewrite(self, patience_s: float = 30.0) -> bool:
        """Copy the database into a new file, without the free blocks of deleted rows.

        False when readers did not finish in time.
        """
        with self.database.write_lock:
            rewritten = self.database.rewrite(patience_s)
            if rewritten:
                self._read()
            return rewritten

    def close(self) -> None:
        """Checkpoint and release the file."""
        self.database.close()

    def _read(self) -> None:
        """Read what is in memory from the database again."""
        self.catalog.read()
        self.layout_catalog.read()
        self.profiler.reset()
        self.references.read()
        self.event_spans.forget()
        self.batch_loader.read()

    # models

    def models(self) -> dict[str, Model]:
        """Return every model by name."""
        return self.catalog.all()

    def model(self, name: str) -> Model:
        """Return one model. Raises NotFound, which lists the models that exist."""
        return self.catalog.get(name)

    def layouts(self, name: str) -> dict[str, Layout]:
        """Return the layout of every column that is profiled for a model, by key."""
        return self.layout_catalog.of(name)

    def column_key(self, name: str, column: str) -> str:
        """Return the stored key of a model's column; a feature is given by its own name.

        Raises NotFound, which lists the columns that exist.
        """
        return self.catalog.column_key(name, column)

    def segments(self, name: str, features: Sequence[str]) -> dict[str, str]:
        """Return the feature of each segment that some features made, by segment.

        They are in the order of their first rows, of one load the largest first.
        """
        rows = self.query(
            "SELECT segment, feature FROM segments WHERE model = ? ORDER BY rowid",
            [self.model(name).id],
        )
        return {segment: feature for segment, feature in rows if feature in features}

    # events

    @property
    def position(self) -> SpoolPosition:
        """The spool position up to which everything is loaded."""
        return self.batch_loader.position()

    def load(self, batch: LoadBatch, now: datetime) -> Loaded:
        """Store rows, profiles, accounts and position in one transaction, or nothing."""
        return self.batch_loader.load(batch, now)

    def spans(self) -> dict[str, EventSpan]:
        """Return the event span of every model that has events or labels, by name."""
        return self.event_spans.all()

    def span(self, name: str) -> EventSpan:
        """Return first and last event, number of events and of joined labels."""
        return self.event_spans.of(self.model(name))

    def first_event(self, name: str) -> datetime | None:
        """Return the bucket of the model's first event, aware UTC; None without events."""
        return self.first_events([name]).get(name)

    def first_events(self, names: Sequence[str]) -> dict[str, datetime]:
        """Return `first_event` of the models that have events, by name, in one statement."""
        return self.event_spans.first_events([self.model(name) for name in names])

    def last_events(self) -> dict[str, datetime]:
        """Return the bucket of every model's newest event, by name, aware UTC."""
        return self.event_spans.last_events()

    def versions(self) -> dict[str, list[str]]:
        """Return the versions of every model, in the order of their first event."""
        return self.event_spans.versions()

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
        """Return profiles of a model by column key; see ProfileReader."""
        return self.profile_reader.profiles(
            name, start, end, step, version, segment, columns
        )

    def profiles_of(
        self,
        columns: Mapping[str, Collection[str]],
        start: datetime,
        end: datetime,
        segment: str = "",
    ) -> dict[str, dict[str, Profile]]:
        """Return profiles of some columns of many models; see ProfileReader."""
        return self.profile_reader.profiles_of(columns, start, end, segment)

    def rebuild(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """Compute all profiles again from raw rows; return the rows read, by model.

        `names` None means every model.
        """
        rows = {}
        for name in names or sorted(self.models()):
            model = self.model(name)
            layouts = self.layout_catalog.frozen.get(name, {})
            segments = self.settings(name).segments
            with self.writing(), self.profiler.writing():
                rows[name] = self.profiler.rebuild(model, layouts, segments)
        return rows

    # deletion and upkeep

    def forget(
        self, now: datetime, raw_days: int | None, profile_days: int | None
    ) -> None:
        """Delete everything that is past its retention; None keeps rows or profiles."""
        with self.writing() as con:
            if raw_days is not None:
                before = now - timedelta(days=raw_days)
                delete_old_rows(con, self.models().values(), before)
            if profile_days is not None:
                delete_old_profiles(con, now - timedelta(days=profile_days))
            delete_old_notes(con, now)
            trim_quarantine(con, self.quarantine_bytes)
        self.event_spans.forget()

    def erase(self, name: str, column: str, value: str, stored: str) -> Erased:
        """Erase a person's rows from one model; see Erasure."""
        return self.erasure.erase(name, column, value, stored)

    def maintain(self, now: datetime) -> bool:
        """Roll old minutes up, compact profiles when due, and checkpoint.

        False when a reader prevents the checkpoint; the next call tries again.
        """
        with self.database.write_lock:
            before = (now - MINUTE_RETENTION).replace(tzinfo=None)
            with self.writing() as con:
                roll_up(con, _hour(before))
            backlog = self.profiler.backlog
            if backlog.due and backlog.earliest is not None:
                with self.writing() as con:
                    compact(con, _hour(backlog.earliest))
                self.profiler.backlog = CompactionBacklog()
            if not self.database.checkpoint():
                return False
            self.batch_loader.note_checkpoint()
            return True

    @property
    def needs_checkpoint(self) -> bool:
        """True when a checkpoint should not wait, as too many tables have rows in memory."""
        return self.batch_loader.needs_checkpoint


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
