"""Load one record's rows in ever smaller parts: what cannot be stored goes to the quarantine."""

import json
import logging
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import msgspec
import pyarrow as pa

from monitor.errors import NotFound
from monitor.event import RAW_SAMPLE, Refusal, Refused
from monitor.schema import ModelSchema
from monitor.server.spool_batch import UNREADABLE, refuse
from monitor.spool.record import SpoolPosition
from monitor.store import Store
from monitor.store.rows.load_batch import LoadBatch, Loaded

log = logging.getLogger("driftdeck.loader")

TOO_LARGE = "the engine has not enough memory for this row alone; raise limits.memory"
MAX_SINGLE_FAILURES = 100  # rows that are tried alone; then the others are not
# what is raised because of the rows, not because of the disk or the database file
NOT_LOADABLE = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.InvalidInputException,
    duckdb.InvalidTypeException,
    duckdb.NotSupportedError,
    duckdb.ParserException,
    duckdb.SyntaxException,
    msgspec.MsgspecError,
    NotFound,
    Refused,
    *UNREADABLE,
)


class Part(NamedTuple):
    """Rows of one model that are loaded together."""

    model: str
    kind: str  # "events" or "labels"
    rows: pa.Table


class PartLoader:
    """Loads the rows of one batch, whose lines are parsed, in parts and in their order.

    Each part is received and stored in one transaction. So a crash in between leaves
    the accounts true: the others come again, and what is stored is recognised.
    """

    def __init__(
        self, batch: LoadBatch, store: Store, start: SpoolPosition, now: datetime
    ) -> None:
        self.batch = batch
        self.store = store
        self.start = start  # the position before the batch
        self.now = now
        self._loads: list[Loaded] = []
        self._single_failures = 0

    def run(self) -> Loaded:
        """Load all rows, then what else the batch has."""
        batch = self.batch
        parts = [
            Part(model, "events", pa.concat_tables(tables))
            for model, tables in batch.tables.items()
        ]
        parts += [Part(m, "labels", table) for m, table in batch.labels.items()]
        batch.tables, batch.labels = {}, {}
        for part in parts:
            self._load(part)
        self._loads.append(self.store.load(batch, self.now))
        return _sum(self._loads)

    def _load(self, whole: Part) -> None:
        waiting = [whole]
        while waiting:
            part = waiting.pop()
            reason = self._try(part)
            if reason is None:
                continue
            middle = part.rows.num_rows // 2
            if middle and self._single_failures < MAX_SINGLE_FAILURES:
                waiting.append(part._replace(rows=part.rows.slice(middle)))
                waiting.append(part._replace(rows=part.rows.slice(0, middle)))
            else:
                self._single_failures += 1
                self._refuse(part, reason)

    def _try(self, part: Part) -> str | None:
        """Store a part; return the reason when it cannot be stored."""
        model, kind, rows = part
        schemas = {n: s for n, s in self.batch.schemas.items() if n == model}
        load = LoadBatch(self.start, schemas=schemas)
        if kind == "events":
            load.tables = {model: [rows]}
        else:
            load.labels = {model: rows}
        load.account(model, kind, self.now).received = rows.num_rows
        self._move_received(part, -rows.num_rows)
        try:
            self._loads.append(self.store.load(load, self.now))
        except duckdb.OutOfMemoryException:
            reason = TOO_LARGE
        except NOT_LOADABLE as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            reason = f"the row cannot be stored ({text})"
        else:
            return None
        self._move_received(part, rows.num_rows)
        return reason

    def _move_received(self, part: Part, rows: int) -> None:
        """Count rows as received with the batch, or, if negative, with another load."""
        for (model, kind, _), account in self.batch.accounts.items():
            if (model, kind) == (part.model, part.kind):
                account.received += rows
                return

    def _refuse(self, part: Part, reason: str) -> None:
        log.error("%s: %d rows of the model %r", reason, part.rows.num_rows, part.model)
        schema = schema_of(self.batch, self.store, part.model)
        for row in part.rows.to_pylist():
            is_event = part.kind == "events"
            record = event_of(row, schema) if is_event else {"model": part.model, **row}
            raw = _json_of(record)
            refusal = Refusal(0, row["event_id"], reason, raw, part.model)
            refuse(self.batch, refusal, self.now, part.kind)


def schema_of(batch: LoadBatch, store: Store, model: str) -> ModelSchema:
    """Return a model's schema once the batch is loaded; an empty one for a new model."""
    if model in batch.schemas:
        return batch.schemas[model]
    stored = store.models().get(model)
    return stored.schema if stored is not None else ModelSchema(model)


def event_of(row: dict[str, Any], schema: ModelSchema) -> dict[str, Any]:
    """Return a stored row as the event that could be sent in its place.

    Class probabilities are not stored, so they are left out.
    """
    fields = ("event_id", "ts", "version", "latency_ms", "status", "error")
    event = {"model": schema.model} | {name: row[name] for name in fields}
    columns = {"number": "prediction", "class": "predicted_class"}
    column = columns.get(schema.prediction)
    event["prediction"] = row[column] if column else None
    event["tags"] = json.loads(row["tags"]) if row["tags"] else None
    event["features"] = {
        feature.name: row[feature.field]
        for feature in schema.features
        if row.get(feature.field) is not None
    }
    return {name: value for name, value in event.items() if value is not None}


def _json_of(record: dict[str, Any]) -> str:
    text = json.dumps(
        record, default=lambda time: f"{time.isoformat()}Z", ensure_ascii=False
    )
    return text[:RAW_SAMPLE]


def _sum(loads: list[Loaded]) -> Loaded:
    rows = Counter[tuple[str, str]]()
    earliest: dict[str, datetime] = {}
    for loaded in loads:
        rows.update(loaded.rows)
        for model, at in loaded.earliest.items():
            earliest[model] = min(at, earliest.get(model, at))
    return replace(
        loads[-1],
        events=sum(loaded.events for loaded in loads),
        duplicates=sum(loaded.duplicates for loaded in loads),
        labels=sum(loaded.labels for loaded in loads),
        rows=dict(rows),
        earliest=earliest,
    )
