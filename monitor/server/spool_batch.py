"""Spool records to the batch of one load; a record that cannot be read is set aside."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from monitor.arrow_columns import from_ipc
from monitor.event import MAX_NAME, RAW_SAMPLE, Refusal
from monitor.schema import ModelSchema
from monitor.spool.record import Record
from monitor.spool.set_aside import SetAside
from monitor.store.ledger import generalize
from monitor.store.rows.line_reader import MAX_INLINE_BYTES
from monitor.store.rows.load_batch import Lines, LoadBatch
from monitor.store.type_mismatches import count_mismatches
from monitor.type_mismatch import TypeMismatch

log = logging.getLogger("driftdeck.loader")

MAX_LINE_BYTES_IN_MEMORY = 4 << 20  # of all models, before they go to files
# of one load: what a transaction adds to many tables is in memory until it ends
MAX_MODELS = 100
MAX_LINE_NUMBER = 2**63 - 1
NO_SCHEMA = "no schema of this model is in the spool; send the row again"
# what reading a record raises when its bytes are not what was written
UNREADABLE = (
    AttributeError,
    IndexError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
    pa.ArrowException,
)
QUARANTINE = pa.schema(
    [
        ("noted_at", pa.timestamp("us")),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("line", pa.int64()),
        ("event_id", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
    ]
)


class BatchReader:
    """Reads records into a batch, record by record, each as a whole or not at all.

    `folder` gets the files of long raw lines. `schemas` are those of the database.
    """

    def __init__(
        self,
        start: Record,
        folder: Path,
        schemas: Mapping[str, ModelSchema],
        set_aside: SetAside,
    ) -> None:
        self.batch = LoadBatch(start.end)
        self._schemas = schemas
        self._set_aside = set_aside
        self._lines = RawLines(folder)
        self._labels: dict[str, list[pa.Table]] = {}
        self._models: set[Any] = set()

    def add(self, record: Record) -> bool:
        """Add a record; False, and nothing is added, when it is of one model too many."""
        model = record.header.get("model")
        if model is not None and model not in self._models:
            if len(self._models) == MAX_MODELS:
                self.batch.more = True
                return False
            self._models.add(model)
        try:
            self._add_content(record)
        except UNREADABLE as error:
            reason = f"the record cannot be read ({type(error).__name__}: {error})"
            put_aside(self.batch, record, self._set_aside, reason)
        self.batch.end = record.end
        self.batch.bytes += len(record.payload)
        return True

    def finish(self) -> LoadBatch:
        """Return the batch, with the raw lines and the labels of all records."""
        batch = self.batch
        batch.lines = self._lines.by_model()
        batch.labels = {
            model: pa.concat_tables(tables) for model, tables in self._labels.items()
        }
        return batch

    def _add_content(self, record: Record) -> None:
        """Add what a record has. Raises one of UNREADABLE, before anything is added."""
        header, batch = record.header, self.batch
        at = datetime.fromisoformat(header["at"])
        match header["kind"]:
            case "schema":
                note_schema(record, batch.schemas, self._schemas)
            case "events" if header["format"] == "lines":
                self._add_lines(header["model"], header["rows"], record.payload, at)
            case "events":
                model, rows = header["model"], int(header["rows"])
                table = from_ipc(record.payload)
                mismatches = [TypeMismatch(*m) for m in header.get("mistyped", ())]
                batch.tables.setdefault(model, []).append(table)
                count_mismatches(batch.mistyped, model, at, mismatches)
                batch.account(model, "events", at).received += rows
            case "labels":
                model, rows = header["model"], int(header["rows"])
                table = from_ipc(record.payload)
                self._labels.setdefault(model, []).append(table)
                batch.account(model, "labels", at).received += rows
            case "refused":
                self._add_refused(json.loads(record.payload), header["of"], at)
            case "key":
                batch.keys.append((header["key"], header["hash"], header["answer"], at))
            case kind:
                raise ValueError(f"records of kind {kind!r} are not known")

    def _add_lines(self, model: str, rows: int, payload: bytes, at: datetime) -> None:
        account = self.batch.account(model, "events", at)
        if model in self._schemas or model in self.batch.schemas:
            self._lines.add(model, payload)
            account.received += rows
            return
        # a version before 2026-12 could lose a schema when the disk was full
        for number, line in enumerate(payload.splitlines(), 1):
            raw = line[:RAW_SAMPLE].decode("utf-8", "replace")
            account.received += 1
            refuse(self.batch, Refusal(number, None, NO_SCHEMA, raw, model), at)

    def _add_refused(self, rows: list[list[Any]], kind: str, at: datetime) -> None:
        table = quarantine_table(rows, kind, at)
        batch = self.batch
        batch.refused = _concatenated(batch.refused, table)
        for model, _, _, reason, _ in rows:
            account = batch.account(model, kind, at)
            account.received += 1
            account.refused += 1
            account.reasons[generalize(reason)] += 1


class RawLines:
    """The raw lines of each model, in a file of its own unless they are few."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: dict[str, Path] = {}
        self._in_memory: dict[str, list[bytes]] = {}
        self._bytes = 0

    def add(self, model: str, payload: bytes) -> None:
        """Add lines that end in a line break."""
        self._in_memory.setdefault(model, []).append(payload)
        self._bytes += len(payload)
        if self._bytes >= MAX_LINE_BYTES_IN_MEMORY:
            self._write(self._in_memory)
            self._in_memory, self._bytes = {}, 0

    def by_model(self) -> dict[str, Lines]:
        """Return the added lines of each model, or the file that has them."""
        few = {
            model: parts
            for model, parts in self._in_memory.items()
            if model not in self.paths and sum(map(len, parts)) <= MAX_INLINE_BYTES
        }
        many = {m: parts for m, parts in self._in_memory.items() if m not in few}
        self._write(many)
        self._in_memory, self._bytes = {}, 0
        inline = {model: b"".join(parts) for model, parts in few.items()}
        return inline | self.paths

    def _write(self, lines: Mapping[str, Sequence[bytes]]) -> None:
        for model, parts in lines.items():
            name = f"{len(self.paths)}.jsonl"
            path = self.paths.setdefault(model, self.folder / name)
            with path.open("ab") as file:
                file.writelines(parts)


def read_batch(
    records: Iterable[Record],
    folder: Path,
    schemas: Mapping[str, ModelSchema],
    set_aside: SetAside,
) -> LoadBatch | None:
    """Return what some records bring, long raw lines in files; None without records."""
    reader: BatchReader | None = None
    for record in records:
        reader = reader or BatchReader(record, folder, schemas, set_aside)
        if not reader.add(record):
            break
    return None if reader is None else reader.finish()


def note_schema(
    record: Record,
    schemas: dict[str, ModelSchema],
    stored: Mapping[str, ModelSchema],
) -> None:
    """Keep in `schemas` the schema that a record makes of the one there, or `stored`."""
    header = record.header
    # older spools have the whole schema in the header
    data = header["schema"] if "schema" in header else json.loads(record.payload)
    name = data["model"]
    schema = schemas.get(name) or stored.get(name) or ModelSchema(name)
    schemas[name] = schema.updated(data)


def put_aside(
    batch: LoadBatch, record: Record, set_aside: SetAside, reason: str
) -> None:
    """Keep a record that cannot be loaded in a file; its rows count as refused."""
    name = set_aside.keep(record)
    header = record.header
    rows, model, kind = (header.get(key) for key in ("rows", "model", "kind"))
    count = rows if isinstance(rows, int) and rows > 0 else 0
    log.error("%s; it is kept as set_aside/%s, with %d rows", reason, name, count)
    if not count:
        return
    account = batch.account(
        model[:MAX_NAME] if isinstance(model, str) else "",
        "labels" if kind == "labels" else "events",
        received_at(record),
    )
    account.received += count
    account.refused += count
    account.reasons[generalize(f"{reason}; see set_aside/")] += count


def received_at(record: Record) -> datetime:
    """Return when a record was received; now when it does not say so."""
    try:
        return datetime.fromisoformat(record.header["at"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return datetime.now(UTC)


def refuse(
    batch: LoadBatch, refusal: Refusal, at: datetime, kind: str = "events"
) -> None:
    """Put a received row into the quarantine: it was acknowledged, so it is counted."""
    row = [refusal.model, refusal.line, refusal.event_id, refusal.reason, refusal.raw]
    batch.refused = _concatenated(batch.refused, quarantine_table([row], kind, at))
    account = batch.account(refusal.model, kind, at)
    account.refused += 1
    account.reasons[generalize(refusal.reason)] += 1


def quarantine_table(
    rows: Sequence[Sequence[object]], kind: str, at: datetime
) -> pa.Table:
    """Return rows of (model, line, event id, reason, raw) as the quarantine has them."""
    naive = at.astimezone(UTC).replace(tzinfo=None)
    # whatever was acknowledged must load
    lines = [min(int(str(row[1])), MAX_LINE_NUMBER) for row in rows]
    columns = [[naive] * len(rows), [kind] * len(rows), [row[0] for row in rows], lines]
    columns += [[row[i] for row in rows] for i in (2, 3, 4)]
    arrays = [
        pa.array(column, field.type)
        for column, field in zip(columns, QUARANTINE, strict=True)
    ]
    return pa.table(arrays, schema=QUARANTINE)


def _concatenated(first: pa.Table | None, second: pa.Table) -> pa.Table:
    return second if first is None else pa.concat_tables([first, second])
