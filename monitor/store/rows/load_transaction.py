"""One load: what a batch brings is stored, profiled, joined and accounted for, each in its turn."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import bools_of, numpy_of
from monitor.layout import Layout
from monitor.schema import ModelSchema
from monitor.store import ledger, type_mismatches
from monitor.store.ledger import Account
from monitor.store.profiles.profiler import Profiler, judged_columns, segment_features
from monitor.store.rows import events, labels
from monitor.store.rows.events import Model
from monitor.store.rows.load_batch import LoadBatch, Loaded
from monitor.store.rows.recent_ids import RecentIds


class LoadTransaction:
    """What one load does inside a transaction, and what there is to remember once that is committed."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        profiler: Profiler,
        recent: RecentIds,
        models: Mapping[str, Model],
        waiting: Collection[str],
        layouts: Mapping[str, Mapping[str, Layout]],
        segments: Callable[[str], Sequence[str]],
    ) -> None:
        self._con, self._profiler, self._recent = con, profiler, recent
        self._layouts, self._segments = layouts, segments
        self.models, self.waiting = dict(models), set(waiting)
        # by model, of the rows whose profiles change
        self.earliest: dict[str, datetime] = {}
        self.last: dict[str, datetime] = {}  # by model, of the events that are new
        self.labelled: set[str] = set()  # models whose labels found events
        self.outcome: dict[tuple[str, str], Account] = {}
        # hashes of the new events' ids, ascending
        self.remembered = np.empty(0, np.uint64)

    def run(self, batch: LoadBatch, now: datetime) -> None:
        """Store and account for all of a batch; to be called once, inside a transaction."""
        named = sorted(batch.lines.keys() | batch.tables.keys() | batch.labels.keys())
        unknown = {name: ModelSchema(name) for name in named if name not in self.models}
        self.models |= grow(self._con, self.models, unknown | batch.schemas, now)
        came = self._new_rows(batch)
        for name in named:
            model, fresh = self.models[name], came.pop(name, None)
            if fresh is not None:
                self._store_events(model, fresh)
            new_labels = batch.labels.get(name)
            if new_labels is not None:
                added = labels.insert(self._con, model, new_labels)
                self.outcome[name, "labels"] = Account(
                    0, added, new_labels.num_rows - added
                )
                self.waiting.add(name)
            if name in self.waiting:
                self._join_labels(model, new_labels, fresh)
                if not labels.waiting(self._con, model):
                    self.waiting.discard(name)
        self._record(batch, now)

    def loaded(self, batch: LoadBatch) -> Loaded:
        """What the load did."""
        of = {
            kind: [a for (_, k), a in self.outcome.items() if k == kind]
            for kind in ("events", "labels")
        }
        return Loaded(
            sum(a.stored for a in of["events"]),
            sum(a.duplicate for a in of["events"]),
            sum(a.stored + a.duplicate for a in of["labels"]),
            batch.received(),
            earliest=self.earliest,
        )

    def _new_rows(self, batch: LoadBatch) -> dict[str, pa.Table]:
        """The events that came whose id is not stored yet, each once, by model; repeats are looked for in all of them
        together, as a call costs more than a model's few rows.
        """
        con, models, names = (
            self._con,
            self.models,
            sorted(batch.lines.keys() | batch.tables.keys()),
        )
        rows = [
            events.read(
                con, models[n].schema, batch.lines.get(n), batch.tables.get(n, [])
            )
            for n in names
        ]
        hashes = self._recent.hashes(
            con, [(models[n], table) for n, table in zip(names, rows, strict=True)]
        )
        new, found = self._recent.new(hashes), {}
        ends = np.cumsum([table.num_rows for table in rows])
        for name, end in zip(names, ends, strict=True):
            table = rows.pop(0)  # let go of once it is filtered
            part = slice(end - table.num_rows, end)
            found[name] = self._new_of(models[name], table, new[part])
        if names:
            self.remembered = np.sort(hashes[new], kind="stable")
        return found

    def _new_of(self, model: Model, rows: pa.Table, new: np.ndarray) -> pa.Table:
        """Those of a model's rows that are new, as far as is remembered, and not stored before that; `new` becomes it.

        A repeat of what is new but happened before what is remembered, with another
        time, would not be recognised: unchecked.
        """
        old = numpy_of(rows["ts"].cast(pa.int64())) < np.datetime64(
            self._recent.since, "us"
        ).astype(np.int64)
        if (new & old).any():
            stored = events.stored_ids(self._con, model, rows.filter(bools_of(old)))
            if len(stored):
                new &= ~numpy_of(pc.is_in(rows["event_id"], value_set=stored))
        fresh = rows if new.all() else rows.filter(bools_of(new))
        again = rows.num_rows - fresh.num_rows
        self.outcome[model.name, "events"] = Account(
            0, fresh.num_rows, again, 0, int((new & old).sum())
        )
        return fresh

    def _store_events(self, model: Model, fresh: pa.Table) -> None:
        if fresh.num_rows:
            events.insert(self._con, model, fresh)
            span = pc.min_max(fresh["ts"]).as_py()
            self.earliest[model.name], self.last[model.name] = span["min"], span["max"]
            layouts, segments = (
                self._layouts.get(model.name, {}),
                self._segments(model.name),
            )
            self._profiler.add_loaded(model, fresh, layouts, segments)

    def _join_labels(
        self, model: Model, new: pa.Table | None, fresh: pa.Table | None
    ) -> None:
        segments = self._segments(model.name)
        kept = [name for name, _ in events.BASE] + [
            f.field for f in segment_features(model, segments)
        ]
        fresh = None if fresh is None else fresh.select(kept)
        if labels.match(self._con, model, judged_columns(model, segments), new, fresh):
            self._profiler.add_matched(
                model, self._layouts.get(model.name, {}), segments
            )
            self.labelled.add(model.name)
            self._note_earliest(model.name)

    def _note_earliest(self, name: str) -> None:
        (first,) = self._con.execute("SELECT min(ts) FROM matched").fetchall()[0]
        if first is not None:
            self.earliest[name] = min(first, self.earliest.get(name, first))

    def _record(self, batch: LoadBatch, now: datetime) -> None:
        """Account for the batch: what came, by hour of receipt, what became of it, the keys, and the position."""
        con = self._con
        accounts = dict(batch.accounts)
        hour = now.replace(minute=0, second=0, microsecond=0)
        for (model, kind), found in self.outcome.items():
            account = accounts.setdefault((model, kind, hour), Account())
            account.stored, account.duplicate, account.unchecked = (
                found.stored,
                found.duplicate,
                found.unchecked,
            )
        ledger.record(con, accounts)
        ledger.quarantine(con, batch.refused)
        type_mismatches.record(con, batch.mistyped)
        ledger.insert(con, "idempotency", batch.keys)
        con.execute(
            'UPDATE spool_position SET segment = ?, "offset" = ?', list(batch.end)
        )


def grow(
    con: duckdb.DuckDBPyConnection,
    known: Mapping[str, Model],
    schemas: Mapping[str, ModelSchema],
    now: datetime,
) -> dict[str, Model]:
    """The models as the schemas have them, by name, with their tables; new ones made."""
    grown = dict[str, Model]()
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
    ledger.insert(
        con,
        "models",
        [(m.id, m.name, m.task, m.schema.prediction, now, None) for m in made],
    )
    had = {
        name: len(known[name].schema.features) if name in known else 0 for name in grown
    }
    events.note_features(con, ((model, had[name]) for name, model in grown.items()))
    return grown
