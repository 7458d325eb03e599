"""The parts of one server put together over one data directory."""

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
from monitor.errors import InvalidRequest, StorageError
from monitor.event import TimeBounds
from monitor.ingest.collector import Collector
from monitor.ingest.drop_folder.watcher import DropFolderWatcher
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
    """Spool, store, collector and loop of one data directory; opening it takes ownership of the database file."""

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
                max_rows=limits.max_rows,
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
        """Replay what a crash left in the spool, apply configured references, then run the loop."""
        self.scheduler.load_at_start()
        for damage in self.spool.damage:
            log.error(
                "the spool is damaged: segment %d, %d bytes from byte %d cannot be read",
                damage.segment,
                damage.bytes,
                damage.offset,
            )
        self._apply_references()
        self.pairs.start(background)
        if background:
            self.scheduler.start()
            self.drop_folders.start()

    def close(self) -> None:
        """Load what was acknowledged and let go of the data directory."""
        self.drop_folders.stop()
        self.pairs.close()
        self.scheduler.stop()
        self.spool.close()
        self.keys.save_uses()
        self.store.close()

    def erase(
        self, entity: str, by: str | None, names: Sequence[str]
    ) -> "ErasureResult":
        """Take a person's rows out of everything that is kept of some models; counts stay.

        `by` is the column that names persons, by default each model's `entity`. Raises
        InvalidRequest when a model has none.
        """
        columns = {name: by or self.config.model(name).entity for name in names}
        unnamed = [name for name, column in columns.items() if column is None]
        if unnamed:
            raise InvalidRequest(
                f"say which column names a person (`by`), or set `entity` under [models.{unnamed[0]}]"
            )
        stored = {
            name: self._policy(name).entity(column or "", entity)
            for name, column in columns.items()
        }
        # what is acknowledged by now is in the database, and so is erased
        self.scheduler.load_all()
        total = Erased()
        for name, column in columns.items():
            total += self.store.erase(name, column or "", entity, stored[name])
        needles = [
            json.dumps(text, ensure_ascii=ascii_)[1:-1].encode()
            for text in {entity, *stored.values()}
            for ascii_ in (True, False)
        ]
        halves = self.pairs.erase(needles)
        rewritten = self.store.rewrite()
        self.spool.roll()
        self.loader.release(datetime.now(UTC))
        left = sorted(
            str(p.relative_to(self.folder))
            for p in self.folder.rglob("*")
            if p.is_file() and holds(p, needles)
        )
        return ErasureResult(total, halves, rewritten, left)

    def set_reference_table(
        self, model: str, table: pa.Table, source: str, now: datetime
    ) -> Reference:
        """A reference from rows in a table with the columns that ingest takes, and `label` where it is known."""
        shaped = self._shape_reference(model, table, now)
        schema, rows = shaped.schema, [shaped.table]
        # ten thousand columns are not held twice: the store empties the list
        del table, shaped
        about = self.store.references.set(
            model, schema, rows.pop, Reference("set", source), now
        )
        self.scheduler.note_reference(model)
        return about

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
        """A reference from the stored events of a period."""
        schema = self.store.model(model).schema
        about = self.store.references.set(
            model, schema, (start, end), Reference("set", "period"), now
        )
        self.scheduler.note_reference(model)
        return about

    def _apply_references(self) -> None:
        for name, section in self.config.models.items():
            wanted = section.reference
            if wanted is None or (
                name in self.store.models()
                and self.store.references.about(name).status == "set"
            ):
                continue
            now = datetime.now(UTC)
            if wanted.file is not None:
                path = self.config.folder / wanted.file
                mapping = {wanted.timestamp: "ts", wanted.prediction: "prediction"}
                mapping |= {wanted.label: "label"} if wanted.label else {}
                self.set_reference_table(name, read_table(path, mapping), "file", now)
            elif (
                wanted.start is not None
                and wanted.end is not None
                and name in self.store.models()
            ):
                self.set_reference_period(name, utc(wanted.start), utc(wanted.end), now)

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
    """All rows of a file whose columns are renamed by `mapping`.

    Raises DriftdeckError in one sentence.
    """
    sources = plugins.sources()
    source = next(
        (s for s in sources.values() if path.name.lower().endswith(s.SUFFIXES)), None
    )
    if source is None:
        known = " ".join(sorted(x for s in sources.values() for x in s.SUFFIXES))
        raise StorageError(
            f"{path.name}: the ending {path.suffix or '(none)'} is not known; known: {known}"
        )
    if not path.is_file():
        raise StorageError(f"{path} does not exist")
    chunks = list(source.read_file(path, 100_000))
    if not chunks:
        raise StorageError(f"{path.name} has no rows")
    table = pa.concat_tables([c.table for c in chunks], promote_options="permissive")
    return table.rename_columns([mapping.get(c, c) for c in table.column_names])


@dataclass(frozen=True)
class ErasureResult:
    """What was taken out, and the files of the data directory that still hold the text: none, unless it is also
    something else's (another model's, or a part of another value)."""

    rows: Erased
    halves: int
    rewritten: bool
    left: Sequence[str]


def holds(path: Path, needles: Sequence[bytes]) -> bool:
    """Whether a file holds any of some texts, read a part at a time."""
    overlap = max(map(len, needles))
    with path.open("rb") as file:
        tail = b""
        while part := file.read(1 << 22):
            window = tail + part
            if any(needle in window for needle in needles):
                return True
            tail = window[-overlap:]
    return False


def hash_key(folder: Path) -> bytes:
    """The secret behind hashed columns, made at the first need and kept beside the data: who has it can try values."""
    path = folder / "hash.key"
    if not path.exists():
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(secrets.token_bytes(32))
        new.rename(path)
    return path.read_bytes()


def open_server(folder: Path, config: Path | None = None) -> Server:
    """The server of a data directory with the configuration of a file.

    Raises DriftdeckError.
    """
    return Server(folder, read_config(config))


def prepare(folder: Path) -> None:
    """The data directory, made if needed, for its owner only.

    Raises StorageError when it cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"the data directory {folder} cannot be used: {error.strerror}; check its owner and mode, or choose another with --data"
        ) from None
