"""The server: its parts over one data directory, put together."""

import json
import logging
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from monitor import plugins
from monitor.config.columns import Policy
from monitor.config.config import Config, utc
from monitor.config.config_file import read_config
from monitor.config.model_section import ReferenceConfig
from monitor.contracts import BodyLimits
from monitor.errors import InvalidRequest, StorageError
from monitor.event import TimeBounds
from monitor.ingest.collector import Collector
from monitor.ingest.drop_folder.watcher import DropFolderWatcher
from monitor.ingest.file_batches import source_of
from monitor.ingest.pairing import PairBuffer
from monitor.ingest.quota import Quota
from monitor.ingest.tables import EventTable, reference_from_table
from monitor.schema import ModelSchema
from monitor.server.loader import Loader
from monitor.server.scheduler import Scheduler
from monitor.spool.spool import Spool
from monitor.store import Store
from monitor.store.key_store import KeyStore
from monitor.store.model import ModelSettings
from monitor.store.profiles.reference import Reference
from monitor.store.rows.erasure import Erased

log = logging.getLogger("driftdeck.server")


class Server:
    """Spool, store, collector and scheduler of one data directory.

    An open server owns the database file.
    """

    def __init__(self, folder: Path, config: Config | None = None) -> None:
        plugins.load_all()
        self.folder, self.config = folder, config or Config()
        self._policies: dict[str, Policy] = {}
        # locked while quarantined rows are sent again, so that each is sent once
        self.resending = threading.Lock()
        prepare(folder)
        self.store = Store(
            folder,
            plugins.engines()[self.config.engine],
            self._settings,
            self.config.limits.memory,
            self.config.limits.max_quarantine_mb << 20,
        )
        try:
            self.keys = KeyStore(self.store.database)
            limits = self.config.limits
            self.spool = Spool(
                folder / "spool", limits.max_spool_mb << 20, self.store.position.segment
            )
            self.loader = Loader(self.spool, self.store)
            self.loader.clear_staging()
            self.bounds = TimeBounds(
                timedelta(days=limits.max_age_days),
                timedelta(minutes=limits.max_ahead_minutes),
            )
            self.collector = Collector(
                self.spool,
                self.loader.schemas_after(),
                bounds=self.bounds,
                limits=BodyLimits(limits.max_rows, int(limits.max_body_mb * (1 << 20))),
                quota=Quota(
                    limits.max_features, limits.max_models, limits.new_names_per_hour
                ),
                stored_results=self._stored_results,
                policy=self._policy,
            )
            self.drop_folders = DropFolderWatcher(
                self.config.drop, self.config.folder, self.collector
            )
            self.scheduler = Scheduler(
                self.config, self.loader, pending=self.collector.pending
            )
            wait = timedelta(minutes=limits.half_minutes)
            self.pairs = PairBuffer(
                folder / "halves", self.collector, wait, limits.max_halves_mb << 20
            )
        except BaseException:
            self.store.close()
            raise

    def start(self, background: bool = True) -> None:
        """Load the rows in the spool, apply configured references, then start the scheduler."""
        self.scheduler.load_at_start()
        for damage in self.spool.damage:
            log.error(
                "the spool is damaged: %d bytes of file %d cannot be read, from byte %d on; "
                "accepted rows may be lost",
                damage.bytes,
                damage.segment,
                damage.offset,
            )
        self._apply_references()
        self.pairs.start(background)
        if background:
            self.scheduler.start()
            self.drop_folders.start()

    def close(self) -> None:
        """Load the accepted rows and release the data directory."""
        self.drop_folders.stop()
        self.pairs.close()
        self.scheduler.stop()
        self.spool.close()
        self.keys.save_uses()
        self.store.close()

    def erase(
        self, entity: str, by: str | None, names: Sequence[str]
    ) -> "ErasureResult":
        """Delete the rows of one person from all stored data of some models; counts stay.

        `by` is the column that names persons, by default each model's `entity`. Raises
        InvalidRequest when a model has none.
        """
        columns = {name: by or self.config.model(name).entity for name in names}
        unnamed = [name for name, column in columns.items() if column is None]
        if unnamed:
            raise InvalidRequest(
                f"give the column that names a person (`by`), "
                f"or set `entity` under [models.{unnamed[0]}]"
            )
        stored = {
            name: self._policy(name).entity(column or "", entity)
            for name, column in columns.items()
        }
        # rows accepted by now are in the database then, and so are erased
        self.scheduler.load_all()
        total = Erased()
        for name, column in columns.items():
            total += self.store.erase(name, column or "", entity, stored[name])
        texts = [
            json.dumps(text, ensure_ascii=is_ascii)[1:-1].encode()
            for text in {entity, *stored.values()}
            for is_ascii in (True, False)
        ]
        unpaired = self.pairs.erase(texts)
        rewritten = self.store.rewrite()
        self.spool.roll()
        self.loader.release(datetime.now(UTC))
        files = (path for path in self.folder.rglob("*") if path.is_file())
        remaining = sorted(
            str(path.relative_to(self.folder))
            for path in files
            if contains_any(path, texts)
        )
        return ErasureResult(total, unpaired, rewritten, remaining)

    def set_reference_table(
        self, model: str, table: pa.Table, source: str, now: datetime
    ) -> Reference:
        """Set a reference from a table with the columns of an event, and `label` where known."""
        shaped = self._shape_reference(model, table, now)
        schema, rows = shaped.schema, [shaped.table]
        # one copy of ten thousand columns in memory: the store pops the rows and frees
        # them
        del table, shaped
        reference = self.store.references.set(
            model, schema, rows.pop, Reference("set", source), now
        )
        self.scheduler.note_reference(model)
        return reference

    def _shape_reference(
        self, model: str, table: pa.Table, now: datetime
    ) -> EventTable:
        """Return the rows of a reference in the model's columns, new ones included.

        The new columns are on disk then: events that arrive meanwhile get other ones.
        """
        table = self._policy(model).table(table)
        while True:
            before = self.collector.schemas.get(model)
            schema = before or ModelSchema(model)
            allowance = self.collector.quota.allowance(schema, now)
            shaped = reference_from_table(table, schema, now, allowance)
            if self.collector.grow_schema(before, shaped.schema):
                return shaped

    def set_reference_period(
        self, model: str, start: datetime, end: datetime, now: datetime
    ) -> Reference:
        """Set a reference from the stored events of a period."""
        schema = self.store.model(model).schema
        reference = self.store.references.set(
            model, schema, (start, end), Reference("set", "period"), now
        )
        self.scheduler.note_reference(model)
        return reference

    def _apply_references(self) -> None:
        for name, section in self.config.models.items():
            if section.reference is not None and not self._has_reference(name):
                self._apply_reference(name, section.reference, datetime.now(UTC))

    def _has_reference(self, name: str) -> bool:
        if name not in self.store.models():
            return False
        return self.store.references.about(name).status == "set"

    def _apply_reference(
        self, name: str, section: ReferenceConfig, now: datetime
    ) -> None:
        if section.file is not None:
            path = self.config.folder / section.file
            mapping = {section.timestamp: "ts", section.prediction: "prediction"}
            if section.label:
                mapping[section.label] = "label"
            self.set_reference_table(name, read_table(path, mapping), "file", now)
        elif section.start and section.end and name in self.store.models():
            start, end = utc(section.start), utc(section.end)
            self.set_reference_period(name, start, end, now)

    def _settings(self, name: str) -> ModelSettings:
        section = self.config.model(name)
        return ModelSettings(
            section.task, section.segments, section.reconstruction_error
        )

    def _policy(self, name: str) -> Policy:
        if name not in self._policies:
            section = self.config.model(name)
            hashes = any(column.keep == "hash" for column in section.columns.values())
            secret = hash_key(self.folder) if hashes else b""
            self._policies[name] = Policy(section.columns, section.undeclared, secret)
        return self._policies[name]

    def _stored_results(self, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return (fingerprint, response) of those Idempotency-Keys that are stored."""
        rows = self.store.query(
            'SELECT "key", body_hash, answer FROM idempotency WHERE "key" IN (?, ?)',
            keys,
        )
        return {key: (fingerprint, answer) for key, fingerprint, answer in rows}


def read_table(path: Path, mapping: dict[str, str]) -> pa.Table:
    """Return all rows of a file, its columns renamed by `mapping`. Raises DriftdeckError."""
    source = source_of(path)
    if not path.is_file():
        raise StorageError(f"{path} does not exist")
    chunks = list(source.read_file(path, 100_000))
    if not chunks:
        raise StorageError(f"{path.name} has no rows")
    table = pa.concat_tables([c.table for c in chunks], promote_options="permissive")
    return table.rename_columns([mapping.get(c, c) for c in table.column_names])


@dataclass(frozen=True)
class ErasureResult:
    """The deleted rows, and the remaining files of the data directory that contain the text.

    A file remains only when another model, or a part of another value, has the same text.
    """

    rows: Erased
    unpaired: int
    rewritten: bool
    remaining: Sequence[str]


def contains_any(path: Path, texts: Sequence[bytes]) -> bool:
    """Return True when a file contains any of some texts; it is read in parts."""
    overlap = max(map(len, texts))
    with path.open("rb") as file:
        tail = b""
        while part := file.read(1 << 22):
            window = tail + part
            if any(text in window for text in texts):
                return True
            tail = window[-overlap:]
    return False


def hash_key(folder: Path) -> bytes:
    """Return the secret of hashed columns, from a file beside the data.

    It is created at the first use. With it, hashes can be compared with guessed values.
    """
    path = folder / "hash.key"
    if not path.exists():
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(secrets.token_bytes(32))
        new.rename(path)
    return path.read_bytes()


def open_server(folder: Path, config: Path | None = None) -> Server:
    """Open the server of a data directory with the configuration of a file.

    Raises DriftdeckError.
    """
    return Server(folder, read_config(config))


def prepare(folder: Path) -> None:
    """Create the data directory if it is absent, for its owner only.

    Raises StorageError when it cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"the data directory {folder} cannot be used: {error.strerror}; "
            "check its owner and mode, or choose another with --data"
        ) from None
