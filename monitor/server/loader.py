"""Spool to DuckDB in bulk, exactly once."""

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from monitor.arrow_columns import from_ipc
from monitor.event import (
    RAW_SAMPLE,
    Event,
    Refusal,
    Refused,
    TimeBounds,
    decode,
    parse_event,
)
from monitor.ingest.tables import from_events
from monitor.schema import ModelSchema
from monitor.spool.record import Record, SpoolPosition
from monitor.spool.spool import Spool
from monitor.store import Store
from monitor.store.ledger import generalize
from monitor.store.rows.line_reader import MAX_INLINE_BYTES
from monitor.store.rows.load_batch import Lines, LoadBatch, Loaded
from monitor.store.type_mismatches import count_mismatches
from monitor.type_mismatch import TypeMismatch

log = logging.getLogger("driftdeck.loader")

LOAD_BYTES = 32 << 20
HELD_BYTES = 4 << 20
# of one load: what a transaction adds to many tables is held in memory until it ends
MAX_MODELS = 100
MAX_LINE = 2**63 - 1
TOO_LARGE = "the engine has not enough memory for this row alone; raise limits.memory"
QUARANTINE = pa.schema(
    [
        ("noted_at", pa.timestamp("us")),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("line", pa.int64()),
    ]
    + [(name, pa.string()) for name in ("event_id", "reason", "raw")]
)


def schemas_after(store: Store, spool: Spool) -> dict[str, ModelSchema]:
    """The schema of every model once the whole spool is loaded: what a starting collector must know."""
    schemas = {name: model.schema for name, model in store.models().items()}
    for frame in spool.records(store.position, limit_bytes=1 << 62):
        if frame.header["kind"] == "schema":
            _note_schema(frame, schemas, schemas)
    return schemas


def _note_schema(
    frame: Record, schemas: dict[str, ModelSchema], known: Mapping[str, ModelSchema]
) -> None:
    """Keep in `schemas` what a model's schema, as it is there or `known`, has grown to."""
    # older spools have the whole schema in the header
    data = (
        frame.header["schema"]
        if "schema" in frame.header
        else json.loads(frame.payload)
    )
    name = data["model"]
    schemas[name] = (schemas.get(name) or known.get(name) or ModelSchema(name)).updated(
        data
    )


def load(
    spool: Spool, store: Store, now: datetime, limit_bytes: int = LOAD_BYTES
) -> Loaded | None:
    """Move the next frames into the store, with their profiles, in one transaction; None when there are none.

    When the engine runs out of memory fewer are taken, at last the rows of one frame in
    parts.
    """
    try:
        return _load(spool, store, now, limit_bytes)
    except duckdb.OutOfMemoryException:
        # a thousand tables hold what they got last in memory until it is written back
        log.warning(
            "the engine is out of memory; writing back, then loading less at once"
        )
        store.maintain(now)
    while limit_bytes > 1:
        limit_bytes //= 4
        try:
            loaded = _load(spool, store, now, max(1, limit_bytes))
        except duckdb.OutOfMemoryException:
            continue
        return None if loaded is None else replace(loaded, more=True)
    log.warning(
        "the engine is out of memory with one request; its rows are loaded in parts"
    )
    return _load(spool, store, now, 1, in_parts=True)


def _load(
    spool: Spool, store: Store, now: datetime, limit_bytes: int, in_parts: bool = False
) -> Loaded | None:
    start = store.position
    staging = store.path.parent / "staging"
    staging.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=staging) as folder:
        known = {name: model.schema for name, model in store.models().items()}
        batch = _batch(spool.records(start, limit_bytes), Path(folder), known)
        if batch is None:
            return None
        if in_parts:
            return replace(
                _load_in_parts(_thoroughly(batch, store, now), store, start, now),
                more=True,
            )
        # lines that were taken before a name came that differs from another only in
        # case: the engine cannot read them
        awkward = [
            model for model in batch.lines if not _schema(batch, store, model).plain
        ]
        batch = _thoroughly(batch, store, now, awkward)
        try:
            loaded = store.load(batch, now)
        except (
            duckdb.InvalidInputException,
            duckdb.ConversionException,
            msgspec.MsgspecError,
        ) as error:
            # the engine's JSON reader is stricter than the decoder in corners (a
            # repeated key, a lower-case t): the same lines one by one, so that only the
            # odd ones leave the fast path
            log.warning("loading lines one by one: %s", str(error).splitlines()[0])
            loaded = store.load(_thoroughly(batch, store, now), now)
    return replace(loaded, more=batch.more or batch.bytes >= limit_bytes)


def _load_in_parts(
    batch: LoadBatch, store: Store, start: SpoolPosition, now: datetime
) -> Loaded:
    """Load the rows of one frame in ever smaller parts, in their order, then what else it brings; a row that does not fit
    alone goes to the quarantine. Each part is received and stored in one transaction,
    so that a crash in between leaves the accounts true: the rest comes again, and what
    is stored is recognised.
    """
    loads = []
    brought = [
        (model, "events", pa.concat_tables(tables))
        for model, tables in batch.tables.items()
    ]
    brought += [(model, "labels", table) for model, table in batch.labels.items()]
    batch.tables, batch.labels = {}, {}
    for model, kind, table in brought:
        parts = [table]
        while parts:
            rows = parts.pop()
            schemas = {
                name: schema for name, schema in batch.schemas.items() if name == model
            }
            part = LoadBatch(start, schemas=schemas)
            if kind == "events":
                part.tables = {model: [rows]}
            else:
                part.labels = {model: rows}
            part.account(model, kind, now).received = rows.num_rows
            _take(batch, model, kind, rows.num_rows)
            try:
                loads.append(store.load(part, now))
            except duckdb.OutOfMemoryException:
                _take(batch, model, kind, -rows.num_rows)
                middle = rows.num_rows // 2
                if middle:
                    parts += [rows.slice(middle), rows.slice(0, middle)]
                else:
                    row = rows.slice(0, 1).to_pylist()[0]
                    raw = (
                        _as_event(row, _schema(batch, store, model))
                        if kind == "events"
                        else {"model": model, **row}
                    )
                    refusal = Refusal(
                        0, row["event_id"], TOO_LARGE, _text_of(raw), model
                    )
                    _refuse(batch, refusal, now, kind)
    loads.append(store.load(batch, now))
    events, duplicates, joined = (
        sum(getattr(one, name) for one in loads)
        for name in ("events", "duplicates", "labels")
    )
    rows_of = Counter[tuple[str, str]]()
    earliest: dict[str, datetime] = {}
    for one in loads:
        rows_of.update(one.rows)
        earliest = {
            m: min(at, earliest.get(m, at))
            for m, at in (earliest | one.earliest).items()
        }
    return replace(
        loads[-1],
        events=events,
        duplicates=duplicates,
        labels=joined,
        rows=dict(rows_of),
        earliest=earliest,
    )


def _take(batch: LoadBatch, model: str, kind: str, rows: int) -> None:
    """Count rows of a model as received with another batch instead."""
    for (name, of, _), account in batch.accounts.items():
        if name == model and of == kind:
            account.received -= rows
            return


def _as_event(row: dict[str, Any], schema: ModelSchema) -> dict[str, Any]:
    """A stored row as the event that could be sent in its place; class probabilities are not stored, so they are left out."""
    own = {
        name: row[name]
        for name in ("event_id", "ts", "version", "latency_ms", "status", "error")
    }
    prediction = {"number": row["prediction"], "class": row["predicted_class"]}.get(
        schema.prediction
    )
    tags = json.loads(row["tags"]) if row["tags"] else None
    values = {"model": schema.model, **own, "prediction": prediction, "tags": tags}
    features = {
        f.name: row[f.field] for f in schema.features if row.get(f.field) is not None
    }
    return {name: value for name, value in values.items() if value is not None} | {
        "features": features
    }


def _text_of(record: dict[str, Any]) -> str:
    return json.dumps(
        record, default=lambda time: f"{time.isoformat()}Z", ensure_ascii=False
    )[:RAW_SAMPLE]


class _RawLines:
    """The raw lines of each model, in a file of its own unless they are few."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: dict[str, Path] = {}
        self._held: dict[str, list[bytes]] = {}
        self._bytes = 0

    def add(self, model: str, payload: bytes) -> None:
        """Add lines that end in a line break."""
        self._held.setdefault(model, []).append(payload)
        self._bytes += len(payload)
        if self._bytes >= HELD_BYTES:
            self._write(self._held)
            self._held, self._bytes = {}, 0

    def all(self) -> dict[str, Lines]:
        """What was added, by model."""
        few = {
            m: parts
            for m, parts in self._held.items()
            if m not in self.paths and sum(map(len, parts)) <= MAX_INLINE_BYTES
        }
        self._write(
            {model: parts for model, parts in self._held.items() if model not in few}
        )
        self._held, self._bytes = {}, 0
        return {model: b"".join(parts) for model, parts in few.items()} | self.paths

    def _write(self, held: Mapping[str, Sequence[bytes]]) -> None:
        for model, parts in held.items():
            path = self.paths.setdefault(
                model, self.folder / f"{len(self.paths)}.jsonl"
            )
            with path.open("ab") as file:
                file.writelines(parts)


def _batch(
    frames: Iterable[Record], folder: Path, known: Mapping[str, ModelSchema]
) -> LoadBatch | None:
    """What some frames bring, their raw lines in files; None when there are none."""
    batch: LoadBatch | None = None
    refused: list[pa.Table] = []
    labels: dict[str, list[pa.Table]] = {}
    lines = _RawLines(folder)
    models: set[str | None] = set()
    for frame in frames:
        header = frame.header
        model = header.get("model")
        if (
            batch is not None
            and model is not None
            and model not in models
            and len(models) == MAX_MODELS
        ):
            batch.more = True
            break
        models.add(model)
        at = datetime.fromisoformat(header["at"])
        batch = batch or LoadBatch(frame.end)
        batch.end, batch.bytes = frame.end, batch.bytes + len(frame.payload)
        match header["kind"]:
            case "schema":
                _note_schema(frame, batch.schemas, known)
            case "events" if header["format"] == "lines":
                lines.add(header["model"], frame.payload)
                batch.account(header["model"], "events", at).received += header["rows"]
            case "events":
                batch.tables.setdefault(header["model"], []).append(
                    from_ipc(frame.payload)
                )
                count_mismatches(
                    batch.mistyped,
                    header["model"],
                    at,
                    (TypeMismatch(*m) for m in header.get("mistyped", ())),
                )
                batch.account(header["model"], "events", at).received += header["rows"]
            case "labels":
                labels.setdefault(header["model"], []).append(from_ipc(frame.payload))
                batch.account(header["model"], "labels", at).received += header["rows"]
            case "refused":
                rows = json.loads(frame.payload)
                refused.append(_quarantine(rows, header["of"], at))
                for model, _, _, reason, _ in rows:
                    account = batch.account(model, header["of"], at)
                    account.received += 1
                    account.refused += 1
                    account.reasons[generalize(reason)] += 1
            case "key":
                batch.keys.append((header["key"], header["hash"], header["answer"], at))
    if batch is None:
        return None
    batch.lines = lines.all()
    batch.labels = {model: pa.concat_tables(tables) for model, tables in labels.items()}
    batch.refused = pa.concat_tables(refused) if refused else None
    return batch


def _schema(batch: LoadBatch, store: Store, model: str) -> ModelSchema:
    return batch.schemas.get(model) or store.model(model).schema


def _thoroughly(
    batch: LoadBatch, store: Store, now: datetime, models: Sequence[str] | None = None
) -> LoadBatch:
    """The same batch with lines (of some models, or all) parsed one by one; what cannot be stored goes to the quarantine."""
    for model in list(batch.lines) if models is None else models:
        given, schema = batch.lines.pop(model), _schema(batch, store, model)
        lines = given if isinstance(given, bytes) else given.read_bytes()
        events, refusals = _parse(lines.split(b"\n")[:-1])
        shaped = from_events(events, schema)
        batch.tables.setdefault(model, []).append(shaped.table)
        count_mismatches(batch.mistyped, model, now, shaped.mistyped)
        for refusal in [*refusals, *shaped.refusals]:
            _refuse(batch, replace(refusal, model=model), now)
        if isinstance(given, Path):
            given.unlink()
    return batch


def _refuse(
    batch: LoadBatch, refusal: Refusal, now: datetime, kind: str = "events"
) -> None:
    """Keep a row in the quarantine after all: it was acknowledged, so it is counted, not lost."""
    row = [[refusal.model, refusal.line, refusal.event_id, refusal.reason, refusal.raw]]
    late = _quarantine(row, kind, now)
    batch.refused = (
        late if batch.refused is None else pa.concat_tables([batch.refused, late])
    )
    account = batch.account(refusal.model, kind, now)
    account.refused += 1
    account.reasons[generalize(refusal.reason)] += 1


def _parse(lines: Iterable[bytes]) -> tuple[list[tuple[int, Event]], list[Refusal]]:
    events, refusals = [], []
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    bounds = TimeBounds(
        max_age=datetime.now(UTC) - epoch,
        max_ahead=datetime(9999, 1, 1, tzinfo=UTC) - datetime.now(UTC),
    )
    for number, line in enumerate(lines, 1):
        try:
            events.append(
                (number, parse_event(decode(line), datetime.now(UTC), bounds))
            )
        except Refused as reason:
            refusals.append(
                Refusal(
                    number,
                    None,
                    str(reason),
                    line[:RAW_SAMPLE].decode("utf-8", "replace"),
                )
            )
    return events, refusals


def _quarantine(rows: Sequence[Sequence[object]], kind: str, at: datetime) -> pa.Table:
    naive = at.astimezone(UTC).replace(tzinfo=None)
    # whatever was acknowledged must load
    lines = [min(int(str(row[1])), MAX_LINE) for row in rows]
    columns = [[naive] * len(rows), [kind] * len(rows), [row[0] for row in rows], lines]
    columns += [[row[i] for row in rows] for i in (2, 3, 4)]
    return pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, QUARANTINE, strict=True)],
        schema=QUARANTINE,
    )


def release(spool: Spool, store: Store, now: datetime) -> None:
    """Let go of segments whose rows are in the checkpointed file."""
    position: SpoolPosition = store.position
    if store.maintain(now):
        spool.release(position)
    staging = store.path.parent / "staging"
    if staging.exists():
        for leftover in staging.iterdir():
            if leftover.is_dir() and not any(leftover.iterdir()):
                leftover.rmdir()
