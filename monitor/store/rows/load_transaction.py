"""One load inside its transaction: store, profile, join labels and account for a batch."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import bools_of, numpy_of
from monitor.layout import Layout
from monitor.schema import ModelSchema
from monitor.store.database import insert_rows
from monitor.store.ledger import Account, record_accounts, store_refused
from monitor.store.model import Model
from monitor.store.profiles.profiled_columns import labelled_fields, select_labelled
from monitor.store.profiles.profiler import Profiler
from monitor.store.rows.events import insert_events, read_events, stored_ids
from monitor.store.rows.labels import has_unmatched, insert_labels, match_labels
from monitor.store.rows.load_batch import LoadBatch, Loaded
from monitor.store.rows.model_tables import grow_models
from monitor.store.rows.recent_ids import RecentIds
from monitor.store.type_mismatches import record_mismatches


class LoadTransaction:
    """The steps of one load, and what is to be remembered once it is committed.

    `unmatched` are the models that have labels without an event.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        profiler: Profiler,
        recent_ids: RecentIds,
        models: Mapping[str, Model],
        unmatched: Collection[str],
        layouts: Mapping[str, Mapping[str, Layout]],
        segments: Callable[[str], Sequence[str]],
    ) -> None:
        self._con, self._profiler, self._recent_ids = con, profiler, recent_ids
        self._layouts, self._segments = layouts, segments
        self.models, self.unmatched = dict(models), set(unmatched)
        # by model, of the rows whose profiles change
        self.earliest: dict[str, datetime] = {}
        self.last: dict[str, datetime] = {}  # by model, of the new events
        self.labelled: set[str] = set()  # models whose labels were joined
        self.outcomes: dict[tuple[str, str], Account] = {}
        self.hashes = np.empty(0, np.uint64)  # of the new events' ids, ascending

    def run(self, batch: LoadBatch, now: datetime) -> None:
        """Store and account for a batch; to be called once, inside a transaction."""
        names = sorted({*batch.event_models(), *batch.labels})
        new = {name: ModelSchema(name) for name in names if name not in self.models}
        schemas = new | batch.schemas
        self.models |= grow_models(self._con, self.models, schemas, now)
        new_events = self._new_events(batch)
        for name in names:
            model = self.models[name]
            events, labels = new_events.pop(name, None), batch.labels.get(name)
            if events is not None:
                self._store_events(model, events)
            if labels is not None:
                self._store_labels(model, labels)
            if name in self.unmatched:
                self._match_labels(model, labels, events)
        self._record(batch, now)

    def result(self, batch: LoadBatch) -> Loaded:
        """Return the result of the load."""
        events, labels = Account(), Account()
        for (_, kind), account in self.outcomes.items():
            total = events if kind == "events" else labels
            total.stored += account.stored
            total.duplicate += account.duplicate
        return Loaded(
            events.stored,
            events.duplicate,
            labels.stored + labels.duplicate,
            batch.received(),
            earliest=self.earliest,
        )

    def _new_events(self, batch: LoadBatch) -> dict[str, pa.Table]:
        """Return the events whose id is not stored yet, each once, by model.

        Duplicates are searched in all models together, as a call costs more than a
        model's few rows.
        """
        models = [self.models[name] for name in batch.event_models()]
        if not models:
            return {}
        tables = []
        for model in models:
            lines = batch.lines.get(model.name)
            received = batch.tables.get(model.name, [])
            tables.append(read_events(self._con, model.schema, lines, received))
        pairs = list(zip(models, tables, strict=True))
        hashes = self._recent_ids.hashes(self._con, pairs)
        del pairs
        new = self._recent_ids.new(hashes)
        events, first = {}, 0
        for model in models:
            rows = tables.pop(0)  # so that it is released once it is filtered
            last = first + rows.num_rows
            events[model.name] = self._without_stored(model, rows, new[first:last])
            first = last
        self.hashes = np.sort(hashes[new], kind="stable")
        return events

    def _without_stored(
        self, model: Model, rows: pa.Table, new: np.ndarray
    ) -> pa.Table:
        """Return the rows of a model whose mask `new` is true and whose id is not stored.

        The mask is updated in place. It is about recent ids; older rows are compared
        with the stored ones of their time. Such a duplicate with another time would
        not be recognised: new rows among them count as unchecked.
        """
        times = numpy_of(rows["ts"].cast(pa.int64()))
        since = np.datetime64(self._recent_ids.since, "us").astype(np.int64)
        old = times < since
        if (new & old).any():
            stored = stored_ids(self._con, model, rows.filter(bools_of(old)))
            if len(stored):
                new &= ~numpy_of(pc.is_in(rows["event_id"], value_set=stored))
        events = rows if new.all() else rows.filter(bools_of(new))
        self.outcomes[model.name, "events"] = Account(
            stored=events.num_rows,
            duplicate=rows.num_rows - events.num_rows,
            unchecked=int((new & old).sum()),
        )
        return events

    def _store_events(self, model: Model, events: pa.Table) -> None:
        if not events.num_rows:
            return
        insert_events(self._con, model, events)
        times = pc.min_max(events["ts"]).as_py()
        self.earliest[model.name], self.last[model.name] = times["min"], times["max"]
        layouts = self._layouts.get(model.name, {})
        segments = self._segments(model.name)
        self._profiler.add_loaded(model, events, layouts, segments)

    def _store_labels(self, model: Model, labels: pa.Table) -> None:
        stored = insert_labels(self._con, model, labels)
        self.outcomes[model.name, "labels"] = Account(
            stored=stored, duplicate=labels.num_rows - stored
        )
        self.unmatched.add(model.name)

    def _match_labels(
        self, model: Model, labels: pa.Table | None, events: pa.Table | None
    ) -> None:
        """Join labels to events, and profile those that match."""
        segments = self._segments(model.name)
        columns = select_labelled(model, segments)
        if events is not None:
            events = events.select(labelled_fields(model, segments))
        if match_labels(self._con, model, columns, labels, events):
            layouts = self._layouts.get(model.name, {})
            self._profiler.add_matched(model, layouts, segments)
            self.labelled.add(model.name)
            self._note_earliest(model.name)
        if not has_unmatched(self._con, model):
            self.unmatched.discard(model.name)

    def _note_earliest(self, name: str) -> None:
        ((first,),) = self._con.execute("SELECT min(ts) FROM matched").fetchall()
        if first is not None:
            self.earliest[name] = min(first, self.earliest.get(name, first))

    def _record(self, batch: LoadBatch, now: datetime) -> None:
        """Record the accounts, refused rows, idempotency keys and spool position."""
        con = self._con
        accounts = dict(batch.accounts)
        hour = now.replace(minute=0, second=0, microsecond=0)
        for (model, kind), outcome in self.outcomes.items():
            account = accounts.setdefault((model, kind, hour), Account())
            account.stored = outcome.stored
            account.duplicate = outcome.duplicate
            account.unchecked = outcome.unchecked
        record_accounts(con, accounts)
        store_refused(con, batch.refused)
        record_mismatches(con, batch.mistyped)
        insert_rows(con, "idempotency", batch.keys)
        con.execute(
            'UPDATE spool_position SET segment = ?, "offset" = ?', list(batch.end)
        )
