"""The store: the only owner of the DuckDB file. Writes are one at a time; every read has a cursor of its own."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.engines.arrow import bools_of, numpy_of
from monitor.errors import NotFound
from monitor.layout import Layout
from monitor.profile import Profile
from monitor.schema import Feature, ModelSchema
from monitor.spool import Position
from monitor.store import detectors, erasure, events, labels, ledger, mistyped, packed, reading, reference
from monitor.store.alerts import AlertBook
from monitor.store.batch import Batch, Loaded
from monitor.store.compacting import compact, roll_up
from monitor.store.database import BLOCK_BYTES, open_database, transaction
from monitor.store.erasure import Erased
from monitor.store.events import Model
from monitor.store.ledger import Account, Ledger
from monitor.store.newest import Newest
from monitor.store.profiling import (
    SERVICE,
    Profiler,
    judged_columns,
    quality_column,
    segment_features,
)
from monitor.store.recent import RecentIds
from monitor.store.reference import Reference

PROVISIONAL_ROWS = 1000
PROVISIONAL_CAP = 20_000
MINUTES_KEPT = timedelta(hours=48)
COMPACT_AFTER = 300  # loads
COMPACT_ROWS = 2_000_000  # of profiles: a load of ten thousand features writes two hundred thousand
CROWD_BYTES = 64 << 20


@dataclass(frozen=True)
class ModelSettings:
    """What the configuration says of one model, as far as the store needs it."""

    task: str = "auto"
    segments: tuple[str, ...] = ()


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
        self._gate = threading.Condition()  # held while a cursor is made, and while the file is exchanged
        self._reading = 0
        self._open()

    def _open(self) -> None:
        self._con = open_database(self.path, self._memory_limit)
        self._profiler = Profiler(self._con)
        self._models = self._read_models()
        self._layouts = {name: reference.read_layouts(self._con, m) for name, m in self._models.items()}
        self._parts = 0  # loads since profiles were compacted, and the earliest bucket they touched
        self._touched: datetime | None = None
        self._begun: dict[str, int] = {}  # columns of the models that got rows since the last checkpoint
        self._reference_cache: dict[str, dict[str, Profile]] = {}
        self._labels_waiting = set(self._models)
        self._events_of = self._count_events()  # by model, as many as there are or more: some may have been deleted
        self._newest = Newest()
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
                pass  # what is committed is in the write-ahead log and is replayed at the next start
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

    @property
    def ledger(self) -> Ledger:
        """What came and what became of it."""
        return Ledger(self)

    @property
    def alerts(self) -> AlertBook:
        """Findings, alerts, transitions and the outbox."""
        return AlertBook(self)

    # -- models ---------------------------------------------------------------------------------------------------

    def models(self) -> dict[str, Model]:
        """Every model by name."""
        return dict(self._models)

    def model(self, name: str) -> Model:
        """One model. Raises NotFound, naming the known ones."""
        found = self._models.get(name)
        if found is None:
            known = ", ".join(sorted(self._models)[:10]) or "none yet; send an event to POST /v1/events"
            raise NotFound(f"there is no model {name!r}; known: {known}")
        return found

    def layouts(self, name: str) -> dict[str, Layout]:
        """The layout of every column that is profiled for a model."""
        model = self.model(name)
        service = {c.column: c.layout for c in SERVICE}
        quality = quality_column(model)
        return service | self._layouts.get(name, {}) | ({quality.column: quality.layout} if quality else {})

    def column_key(self, name: str, column: str) -> str:
        """The stored key of a column given its own name. Raises NotFound, naming the known ones."""
        model = self.model(name)
        feature = model.schema.by_name.get(column)
        if feature is not None:
            return feature.field
        if column in ("prediction", "latency_ms", "status", "wrong", "absolute_error"):
            return column
        known = ", ".join([*list(model.schema.by_name)[:20], "prediction", "latency_ms", "status"])
        raise NotFound(f"model {name!r} has no column {column!r}; known: {known}")

    # -- loading --------------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """How far the spool has been loaded."""
        with self.cursor() as cursor:
            return Position(*cursor.execute('SELECT segment, "offset" FROM spool_position').fetchall()[0])

    def load(self, batch: Batch, now: datetime) -> Loaded:
        """Rows, profiles, ledger and position in one transaction: all of it or nothing."""
        with self._lock:
            models, waiting = dict(self._models), set(self._labels_waiting)
            earliest: dict[str, datetime] = {}
            last: dict[str, datetime] = {}
            outcome: dict[tuple[str, str], Account] = {}
            remembered: list[np.ndarray] = []
            named = sorted(batch.lines.keys() | batch.tables.keys() | batch.labels.keys())
            with transaction(self._con), self._profiler.writing():
                unknown = {name: ModelSchema(name) for name in named if name not in models}
                models |= self._grow(models, unknown | batch.schemas, now)
                came = self._read(batch, models)
                for name in named:
                    model, fresh = models[name], None
                    if name in came:
                        rows, hashes = came.pop(name)
                        fresh, ids, unchecked = self._new_rows(model, rows, hashes)
                        again = rows.num_rows - fresh.num_rows
                        outcome[name, "events"] = Account(0, fresh.num_rows, again, 0, unchecked)
                        remembered.append(ids)
                        self._store_events(model, fresh, earliest)
                        if fresh.num_rows:
                            last[name] = pc.max(fresh["ts"]).as_py()
                    new_labels = batch.labels.get(name)
                    if new_labels is not None:
                        added = labels.insert(self._con, model, new_labels)
                        outcome[name, "labels"] = Account(0, added, new_labels.num_rows - added)
                        waiting.add(name)
                    if name in waiting:
                        self._join_labels(model, new_labels, fresh, earliest)
                        if not labels.waiting(self._con, model):
                            waiting.discard(name)
                self._record(batch, outcome, now)
            self._newest.note(
                last,
                models.keys() - self._models.keys(),
                [n for n in named if n in self._labels_waiting or n in batch.labels],
            )
            self._models, self._labels_waiting = models, waiting
            self._begun |= {name: len(packed.columns_of(models[name].schema)) for name in earliest}
            if remembered:
                stored = np.sort(np.concatenate(remembered), kind="stable")
                self._recent.add(stored, now.astimezone(UTC).replace(tzinfo=None))
            for name in named:
                stored_now = outcome.get((name, "events"), Account()).stored
                self._events_of[name] = self._events_of.get(name, 0) + stored_now
            self._parts += 1
            self._touched = min([*earliest.values(), *([self._touched] if self._touched else [])], default=None)
            return Loaded(
                sum(a.stored for (_, kind), a in outcome.items() if kind == "events"),
                sum(a.duplicate for (_, kind), a in outcome.items() if kind == "events"),
                sum(a.stored + a.duplicate for (_, kind), a in outcome.items() if kind == "labels"),
                batch.received(),
                earliest=earliest,
            )

    def _read(self, batch: Batch, models: Mapping[str, Model]) -> dict[str, tuple[pa.Table, np.ndarray]]:
        """The events that came, by model, and the hashes of their ids."""
        con, names = self._con, sorted(batch.lines.keys() | batch.tables.keys())
        rows = [events.read(con, models[n].schema, batch.lines.get(n), batch.tables.get(n, [])) for n in names]
        hashes = self._recent.hashes(con, [(models[n], table) for n, table in zip(names, rows, strict=True)])
        return dict(zip(names, zip(rows, hashes, strict=True), strict=True))

    def _new_rows(self, model: Model, rows: pa.Table, hashes: np.ndarray) -> tuple[pa.Table, np.ndarray, int]:
        """The rows whose id is not stored yet, each once; their ids' hashes in order; and how many of them happened
        before what is remembered, so that a repeat with another time would not have been recognised.
        """
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        new = ~self._recent.known(ordered)
        new[1:] &= ordered[1:] != ordered[:-1]
        keep = np.zeros(len(order), bool)
        keep[order[new]] = True
        old = numpy_of(rows["ts"].cast(pa.int64())) < np.datetime64(self._recent.since, "us").astype(np.int64)
        if (keep & old).any():
            stored = events.stored_ids(self._con, model, rows.filter(bools_of(old)))
            if len(stored):
                keep &= ~numpy_of(pc.is_in(rows["event_id"], value_set=stored))
        if not keep.all():
            ordered = np.sort(hashes[keep])
            rows = rows.filter(bools_of(keep))
        return rows, ordered, int((keep & old).sum())

    def _store_events(self, model: Model, fresh: pa.Table, earliest: dict[str, datetime]) -> None:
        if fresh.num_rows:
            events.insert(self._con, model, fresh)
            earliest[model.name] = pc.min(fresh["ts"]).as_py()
            layouts, segments = self._layouts.get(model.name, {}), self.settings(model.name).segments
            self._profiler.add_loaded(model, fresh, layouts, segments)

    def _join_labels(
        self, model: Model, new: pa.Table | None, fresh: pa.Table | None, earliest: dict[str, datetime]
    ) -> None:
        segments = self.settings(model.name).segments
        kept = [name for name, _ in events.BASE] + [f.field for f in segment_features(model, segments)]
        fresh = None if fresh is None else fresh.select(kept)
        if labels.match(self._con, model, judged_columns(model, segments), new, fresh):
            self._profiler.add_matched(model, segments)
            self._note_earliest(earliest, model.name)

    def _note_earliest(self, earliest: dict[str, datetime], name: str) -> None:
        (first,) = self._con.execute("SELECT min(ts) FROM matched").fetchall()[0]
        if first is not None:
            earliest[name] = min(first, earliest.get(name, first))

    def _grow(self, known: Mapping[str, Model], schemas: Mapping[str, ModelSchema], now: datetime) -> dict[str, Model]:
        """The models as the schemas have them, by name, with their tables; new ones made."""
        con, grown = self._con, dict[str, Model]()
        number = max((model.id for model in known.values()), default=0)
        for name, schema in schemas.items():
            model = known.get(name)
            if model is None:
                number += 1
                grown[name] = Model(number, name, "unknown", schema)
                events.create_tables(con, grown[name])
            else:
                grown[name] = replace(model, schema=schema)
                events.add_columns(con, model, schema)
        made = [model for name, model in grown.items() if name not in known]
        ledger.insert(con, "models", [(m.id, m.name, m.task, m.schema.prediction, now) for m in made])
        had = {name: len(known[name].schema.features) if name in known else 0 for name in grown}
        events.note_features(con, ((model, had[name]) for name, model in grown.items()))
        return grown

    def _record(self, batch: Batch, outcome: Mapping[tuple[str, str], Account], now: datetime) -> None:
        """Account for the batch: what came, by hour of receipt, what became of it, the keys, and the position."""
        con = self._con
        accounts = dict(batch.accounts)
        hour = now.replace(minute=0, second=0, microsecond=0)
        for (model, kind), found in outcome.items():
            account = accounts.setdefault((model, kind, hour), Account())
            account.stored, account.duplicate, account.unchecked = found.stored, found.duplicate, found.unchecked
        ledger.record(con, accounts)
        ledger.quarantine(con, batch.refused)
        mistyped.record(con, batch.mistyped)
        ledger.insert(con, "idempotency", batch.keys)
        con.execute('UPDATE spool_position SET segment = ?, "offset" = ?', list(batch.end))

    # -- reference ------------------------------------------------------------------------------------------------

    def set_reference(
        self,
        name: str,
        schema: ModelSchema,
        rows: pa.Table | tuple[datetime, datetime],
        about: Reference,
        now: datetime,
    ) -> Reference:
        """Freeze layouts and profile from `rows` (event columns, and label, number where known) or a stored period.

        What was profiled before is rebuilt from the raw rows on the new layouts.
        """
        with self._lock:
            with transaction(self._con), self._profiler.writing():
                model = self._grow(self._models, {name: schema}, now)[name]
                reference.stage(self._con, model, rows)
                about = reference.describe(self._con, about, now)
                model, layouts = reference.freeze(self._con, model, about, self.settings(name).task)
                self._profiler.rebuild(model, layouts, self.settings(name).segments)
                detectors.forget(self._con, model.id)
            self._models[name], self._layouts[name] = model, layouts
            self._reference_cache.pop(name, None)
            return about

    def make_provisional(self, now: datetime) -> list[str]:
        """Give each model without a reference one from its own first events, once there are enough; their names."""
        made = []
        for name, model in self.models().items():
            if self._layouts.get(name) or self._events_of.get(name, 0) < PROVISIONAL_ROWS:
                continue
            with self.cursor() as cursor:
                count, first = cursor.execute(f"SELECT count(*), min(ts) FROM {model.events}").fetchall()[0]
                self._events_of[name] = count
                if count < PROVISIONAL_ROWS:
                    continue
                last = cursor.execute(
                    f"SELECT max(ts) FROM (SELECT ts FROM {model.events} ORDER BY ts LIMIT {PROVISIONAL_CAP})"
                ).fetchall()[0][0]
            about = Reference("provisional", "first events")
            self.set_reference(name, model.schema, (first, last + timedelta(microseconds=1)), about, now)
            made.append(name)
        return made

    def about_reference(self, name: str) -> Reference:
        """Where the model's reference comes from."""
        with self.cursor() as cursor:
            return reference.read_about(cursor, self.model(name))

    def reference_profiles(self, name: str) -> dict[str, Profile]:
        """The reference profile of each column that has one."""
        if name not in self._reference_cache:
            with self.cursor() as cursor:
                self._reference_cache[name] = reference.read_profiles(cursor, self.model(name), self.layouts(name))
        return self._reference_cache[name]

    def reference_hours(
        self, name: str, columns: Sequence[str], most: int
    ) -> tuple[datetime, dict[str, list[Profile]]] | None:
        """The last `most` hours of the reference: the first of them (aware UTC), and profiles of some columns by key;
        None when it has no times."""
        layouts = {c: layout for c, layout in self.layouts(name).items() if c in set(columns)}
        with self.cursor() as cursor:
            found = reference.read_hours(cursor, self.model(name), layouts, most)
        return (found[0].replace(tzinfo=UTC), found[1]) if found else None

    # -- profiles -------------------------------------------------------------------------------------------------

    def profiles(
        self,
        name: str,
        start: datetime,
        end: datetime,
        step: timedelta | None = None,
        version: str | None = None,
        segment: str = "",
        columns: Sequence[str] | None = None,
    ) -> dict[str, list[Profile]]:
        """Stored profiles by column key, one for each step."""
        layouts: Mapping[str, Layout] = self.layouts(name)
        if columns is not None:
            layouts = {c: layouts[c] for c in columns if c in layouts}
        with self.cursor() as cursor:
            return reading.read_profiles(cursor, self.model(name), layouts, start, end, step, version, segment)

    def rebuild(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """Recompute all profiles from raw rows; rows read, by model."""
        result = {}
        for name in names or sorted(self._models):
            model = self.model(name)
            with self.writing(), self._profiler.writing():
                result[name] = self._profiler.rebuild(model, self._layouts.get(name, {}), self.settings(name).segments)
        return result

    def first_event(self, name: str) -> datetime | None:
        """The bucket of the model's first event, aware UTC; None without events."""
        ((first,),) = self.query(
            "SELECT min(bucket) FROM profile_moments WHERE model = ? AND segment = '' AND \"column\" = 'status'",
            [self.model(name).id],
        )
        return first.replace(tzinfo=UTC) if first else None

    def spans(self) -> dict[str, tuple[datetime | None, datetime | None, int, int]]:
        """`span` of every model that has events, by name."""
        found = self.query(
            'SELECT model, min(bucket) FILTER ("column" = $status), max(bucket) FILTER ("column" = $status), '
            'coalesce(sum("rows") FILTER ("column" = $status), 0)::BIGINT, coalesce(sum("rows") FILTER ("column" <> $status), 0)::BIGINT '
            "FROM profile_moments WHERE segment = '' AND \"column\" IN ($status, 'wrong', 'absolute_error') GROUP BY model",
            {"status": "status"},
        )
        by_id = {row[0]: row[1:] for row in found}
        spans = {}
        for name, model in self._models.items():
            first, newest, n, labels = by_id.get(model.id, (None, None, 0, 0))
            if quality_column(model) is None:  # labels of an unknown task have no profile to count them by
                labels = self._newest.labels(name, partial(self._joined, model))
            last = self._newest.last(name, partial(self._last_event, model, newest)) if newest else None
            if model.id in by_id or labels:
                spans[name] = (first, last or newest, n, labels)
        return spans

    def references(self) -> dict[str, Reference]:
        """Where every model's reference comes from, by name; a model without one is left out."""
        names = {model.id: name for name, model in self._models.items()}
        found = self.query('SELECT model, status, source, first_ts, last_ts, "rows", labelled, set_at FROM reference')
        return {names[row[0]]: Reference(*row[1:]) for row in found if row[0] in names}

    def versions(self) -> dict[str, list[str]]:
        """The versions of every model, in the order of their first event."""
        found = self.query(
            "SELECT m.name, p.version FROM profile_moments p JOIN models m ON m.id = p.model "
            "WHERE p.segment = '' AND p.\"column\" = 'status' GROUP BY ALL ORDER BY min(p.bucket), 2"
        )
        versions: dict[str, list[str]] = {}
        for name, version in found:
            versions.setdefault(name, []).append(version)
        return versions

    def last_events(self) -> dict[str, datetime]:
        """The minute (long ago: the hour) of every model's newest event, by name, aware UTC."""
        found = self.query(
            "SELECT m.name, max(p.bucket) FROM profile_moments p JOIN models m ON m.id = p.model "
            "WHERE p.segment = '' AND p.\"column\" = 'status' GROUP BY ALL"
        )
        return {name: at.replace(tzinfo=UTC) for name, at in found}

    def span(self, name: str) -> tuple[datetime | None, datetime | None, int, int]:
        """First (its minute or hour) and last event time, number of events and of labels that found theirs."""
        model = self.model(name)
        quality = quality_column(model)
        ((first, newest, n, labels),) = self.query(
            'SELECT min(bucket) FILTER ("column" = $status), max(bucket) FILTER ("column" = $status), '
            'coalesce(sum("rows") FILTER ("column" = $status), 0)::BIGINT, coalesce(sum("rows") FILTER ("column" = $quality), 0)::BIGINT '
            "FROM profile_moments WHERE model = $model AND segment = '' AND \"column\" IN ($status, $quality)",
            {"model": model.id, "status": "status", "quality": quality.column if quality else "status"},
        )
        if quality is None:
            labels = self._joined(model)
        if newest is None:
            return None, None, 0, labels
        return first, self._last_event(model, newest) or newest, n, labels

    def _joined(self, model: Model) -> int:
        return int(self.query(f"SELECT count(*) FROM {model.labels} WHERE joined")[0][0])

    def _last_event(self, model: Model, newest: datetime) -> datetime | None:
        ((last,),) = self.query(f"SELECT max(ts) FROM {model.events} WHERE ts >= ?", [newest])
        found: datetime | None = last
        return found

    def forget(self, now: datetime, raw_days: int | None, profile_days: int | None) -> None:
        """Delete raw rows and profiles that are past their retention."""
        with self.writing() as con:
            if raw_days is not None:
                for model in self._models.values():
                    con.execute(
                        f"DELETE FROM {model.labels} WHERE event_id IN (SELECT event_id FROM {model.events} WHERE ts < ?)",
                        [now - timedelta(days=raw_days)],
                    )
                    con.execute(f"DELETE FROM {model.events} WHERE ts < ?", [now - timedelta(days=raw_days)])
            if profile_days is not None:
                for table in ("profile_bins", "profile_moments"):
                    con.execute(f"DELETE FROM {table} WHERE bucket < ?", [now - timedelta(days=profile_days)])
            con.execute("DELETE FROM detector_evidence WHERE hour < ?", [now - detectors.EVIDENCE_KEPT])
            con.execute("DELETE FROM idempotency WHERE noted_at < ?", [now - timedelta(days=7)])
            con.execute("DELETE FROM quarantine WHERE noted_at < ?", [now - timedelta(days=30)])
            con.execute("DELETE FROM mistyped WHERE hour < ?", [now - timedelta(days=30)])
            self.ledger.trim(con, self.quarantine_bytes)
        self._newest.forget()

    def maintain(self, now: datetime) -> bool:
        """Compact profiles when many small loads have come, roll old minutes up, and write the file's log back.

        False when the last must wait for a reader.
        """
        with self._lock:
            with transaction(self._con):
                roll_up(self._con, (now - MINUTES_KEPT).replace(minute=0, second=0, microsecond=0, tzinfo=None))
            many = self._parts > COMPACT_AFTER or self._profiler.rows > COMPACT_ROWS
            if many and self._touched is not None:
                with transaction(self._con):
                    compact(self._con, self._touched.replace(minute=0, second=0, microsecond=0))
                self._parts, self._touched, self._profiler.rows = 0, None, 0
            try:
                self._con.execute("CHECKPOINT")
            except duckdb.TransactionException:
                return False  # a reader is in the way; the next round will do
            self._begun = {}
            return True

    @property
    def crowded(self) -> bool:
        """Whether so many tables have rows in memory that a checkpoint should not wait: each of their columns has a block."""
        return sum(n + len(events.BASE) for n in self._begun.values()) * BLOCK_BYTES > CROWD_BYTES

    def erase(self, name: str, column: str, given: str, stored: str) -> Erased:
        """Take a person's rows out of one model: every event whose `column` holds `stored`, its labels, and what else
        names the value `given`. Profiles and accounts stay."""
        with self._lock:
            model = self.model(name)
            layouts = dict(self._layouts.get(name, {}))
            key = model.schema.by_name[column].field if column in model.schema.by_name else column
            with transaction(self._con):
                erased = erasure.erase(self._con, model, column, stored, given)
                if key in layouts:
                    layouts[key] = erasure.rename_category(self._con, model, key, layouts[key], stored)
            self._layouts[name] = layouts
            self._reference_cache.pop(name, None)
            self._newest.forget()
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

    def _count_events(self) -> dict[str, int]:
        names = {model.id: name for name, model in self._models.items()}
        found = self._con.execute(
            "SELECT model, sum(\"rows\")::BIGINT FROM profile_moments WHERE segment = '' AND \"column\" = 'status' GROUP BY model"
        ).fetchall()
        return {names[number]: n for number, n in found}

    def _read_models(self) -> dict[str, Model]:
        found = self._con.execute("SELECT id, name, task, prediction FROM models ORDER BY id").fetchall()
        models = {}
        for number, name, task, prediction in found:
            rows = self._con.execute(
                "SELECT name, field, kind FROM features WHERE model = ? ORDER BY position", [number]
            ).fetchall()
            schema = ModelSchema(name, tuple(Feature(*row) for row in rows), prediction)
            models[name] = Model(number, name, task, schema)
        return models
