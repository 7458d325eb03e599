"""Spool to DuckDB in bulk, exactly once; no record stops the ones behind it."""

import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import duckdb

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
from monitor.server.row_parts import NOT_LOADABLE, PartLoader, schema_of
from monitor.server.spool_batch import (
    UNREADABLE,
    note_schema,
    put_aside,
    read_batch,
    refuse,
)
from monitor.spool.record import Record
from monitor.spool.set_aside import SetAside
from monitor.spool.spool import Spool
from monitor.store import Store
from monitor.store.rows.load_batch import LoadBatch, Loaded
from monitor.store.type_mismatches import count_mismatches

log = logging.getLogger("driftdeck.loader")

LOAD_BYTES = 32 << 20


class Loader:
    """Moves the records of a spool into the store; each load is one transaction."""

    def __init__(self, spool: Spool, store: Store) -> None:
        self.spool = spool
        self.store = store
        folder = store.path.parent
        self.set_aside = SetAside(folder / "set_aside")
        self._staging = folder / "staging"

    def clear_staging(self) -> None:
        """Delete the raw lines that a killed server left behind; the spool has them."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def schemas_after(self) -> dict[str, ModelSchema]:
        """Return the schema of every model once the whole spool is loaded."""
        schemas = {name: model.schema for name, model in self.store.models().items()}
        for record in self.spool.records(self.store.position, limit_bytes=1 << 62):
            if record.header.get("kind") == "schema":
                try:
                    note_schema(record, schemas, schemas)
                except UNREADABLE:
                    continue  # the load sets it aside
        return schemas

    def load(self, now: datetime, limit_bytes: int = LOAD_BYTES) -> Loaded | None:
        """Load the next records, with their profiles; None when there are none.

        When the engine runs out of memory, smaller loads follow, at last the rows of
        one record in parts. Rows that cannot be stored go to the quarantine.
        """
        try:
            return self._load(now, limit_bytes)
        except duckdb.OutOfMemoryException:
            # a thousand tables have their newest rows in memory until the checkpoint
            log.warning("the engine is out of memory; smaller loads follow")
            self.store.maintain(now)
        except NOT_LOADABLE as error:
            log.warning(
                "a load failed (%s); its first record is loaded alone",
                error,
                exc_info=True,
            )
            limit_bytes = 1
        while limit_bytes > 1:
            limit_bytes //= 4
            try:
                loaded = self._load(now, max(1, limit_bytes))
            except duckdb.OutOfMemoryException:
                continue
            return None if loaded is None else replace(loaded, more=True)
        return self._load_record_in_parts(now)

    def release(self, now: datetime) -> None:
        """Delete the spool files whose rows are in the checkpointed database."""
        position = self.store.position
        if self.store.maintain(now):
            self.spool.release(position)

    def _load(self, now: datetime, limit_bytes: int) -> Loaded | None:
        with self._temporary_folder() as folder:
            batch = self._read(folder, self._records(limit_bytes))
            if batch is None:
                return None
            # lines that were accepted before a name came that differs from another only
            # in case: the engine cannot read them
            ambiguous = [
                model
                for model in batch.lines
                if not schema_of(batch, self.store, model).plain
            ]
            parse_lines(batch, self.store, now, ambiguous)
            try:
                loaded = self.store.load(batch, now)
            except NOT_LOADABLE as error:
                if not batch.lines:
                    raise
                # the engine's JSON reader is stricter than the decoder in corners (a
                # repeated key, a lower-case t): the same lines are parsed one by one
                log.warning("lines are loaded one by one: %s", error)
                parse_lines(batch, self.store, now, list(batch.lines))
                loaded = self.store.load(batch, now)
        return replace(loaded, more=batch.more or batch.bytes >= limit_bytes)

    def _load_record_in_parts(self, now: datetime) -> Loaded | None:
        """Load the next record: its rows in parts; aside when even that fails."""
        start = self.store.position
        try:
            with self._temporary_folder() as folder:
                batch = self._read(folder, islice(self._records(1), 1))
                if batch is None:
                    return None
                parse_lines(batch, self.store, now, list(batch.lines))
                loaded = PartLoader(batch, self.store, start, now).run()
        except NOT_LOADABLE as error:
            record = next(self._records(1))
            batch = LoadBatch(record.end)
            put_aside(batch, record, self.set_aside, f"a record failed ({error})")
            loaded = self.store.load(batch, now)
        return replace(loaded, more=True)

    def _temporary_folder(self) -> "tempfile.TemporaryDirectory[str]":
        self._staging.mkdir(mode=0o700, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=self._staging)

    def _records(self, limit_bytes: int) -> Iterator[Record]:
        return self.spool.records(self.store.position, limit_bytes)

    def _read(self, folder: str, records: Iterable[Record]) -> LoadBatch | None:
        schemas = {name: model.schema for name, model in self.store.models().items()}
        return read_batch(records, Path(folder), schemas, self.set_aside)


def parse_lines(
    batch: LoadBatch, store: Store, now: datetime, models: Sequence[str]
) -> None:
    """Parse the raw lines of some models one by one; what is no event is quarantined."""
    for model in models:
        schema = schema_of(batch, store, model)
        lines = batch.lines.pop(model)
        text = lines if isinstance(lines, bytes) else lines.read_bytes()
        events, refusals = _parse(text.split(b"\n")[:-1])
        shaped = from_events(events, schema)
        batch.tables.setdefault(model, []).append(shaped.table)
        count_mismatches(batch.mistyped, model, now, shaped.mistyped)
        for refusal in [*refusals, *shaped.refusals]:
            refuse(batch, replace(refusal, model=model), now)
        if isinstance(lines, Path):
            lines.unlink()


def _parse(lines: Iterable[bytes]) -> tuple[list[tuple[int, Event]], list[Refusal]]:
    events, refusals = [], []
    now = datetime.now(UTC)
    any_time = TimeBounds(
        max_age=now - datetime(2000, 1, 1, tzinfo=UTC),
        max_ahead=datetime(9999, 1, 1, tzinfo=UTC) - now,
    )
    for number, line in enumerate(lines, 1):
        try:
            events.append((number, parse_event(decode(line), now, any_time)))
        except Refused as reason:
            raw = line[:RAW_SAMPLE].decode("utf-8", "replace")
            refusals.append(Refusal(number, None, str(reason), raw))
    return events, refusals
