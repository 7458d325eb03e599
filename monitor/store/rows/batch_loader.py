"""Loads: batches from the spool into the database, each in one transaction."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from monitor.spool.record import SpoolPosition
from monitor.store.database import BLOCK_BYTES, Database
from monitor.store.model import ModelCatalog
from monitor.store.profiles.layout_catalog import LayoutCatalog
from monitor.store.profiles.profiler import Profiler
from monitor.store.profiles.references import References
from monitor.store.rows.event_spans import EventSpans
from monitor.store.rows.load_batch import LoadBatch, Loaded
from monitor.store.rows.load_transaction import LoadTransaction
from monitor.store.rows.model_tables import BASE_COLUMNS
from monitor.store.rows.recent_ids import RecentIds
from monitor.store.rows.wide_rows import feature_columns

MAX_BUFFER_BYTES = 64 << 20


class BatchLoader:
    """Loads batches, and remembers what the next load needs.

    `accounting_lock` is locked while rows change from pending to stored; lock it to
    add the two up. `on_stored` is called then with the rows of the load, by model and
    kind.
    """

    def __init__(
        self,
        database: Database,
        catalog: ModelCatalog,
        layouts: LayoutCatalog,
        profiler: Profiler,
        references: References,
        event_spans: EventSpans,
        segments: Callable[[str], Sequence[str]],
    ) -> None:
        self._database, self._catalog, self._layouts = database, catalog, layouts
        self._profiler, self._references = profiler, references
        self._event_spans, self._segments = event_spans, segments
        self.accounting_lock = threading.Lock()
        self.on_stored: Callable[[Mapping[tuple[str, str], int]], None] = _ignore
        self._recent_ids = RecentIds()
        self._unmatched: set[str] = set()
        self._buffered: dict[str, int] = {}
        self.read()

    def read(self) -> None:
        """Read what is remembered from the database."""
        models = self._catalog.all()
        con = self._database.connection
        self._recent_ids.fill(con, list(models.values()), datetime.now(UTC))
        # models that have labels without an event; the first load finds out
        self._unmatched = set(models)
        self._buffered = {}

    def position(self) -> SpoolPosition:
        """Return the spool position up to which everything is loaded."""
        ((segment, offset),) = self._database.query(
            'SELECT segment, "offset" FROM spool_position'
        )
        return SpoolPosition(segment, offset)

    def load(self, batch: LoadBatch, now: datetime) -> Loaded:
        """Store rows, profiles, accounts and position in one transaction, or nothing."""
        with self._database.write_lock:
            load = LoadTransaction(
                self._database.connection,
                self._profiler,
                self._recent_ids,
                self._catalog.all(),
                self._unmatched,
                self._layouts.frozen,
                self._segments,
            )
            with ExitStack() as stored:
                with self._database.writing():
                    with self._profiler.writing():
                        load.run(batch, now)
                    # from before the commit on, so that no sum misses the rows or
                    # counts them twice
                    stored.enter_context(self.accounting_lock)
                self._remember(load, now)
                result = load.result(batch)
                self.on_stored(result.rows)
            return result

    def _remember(self, load: LoadTransaction, now: datetime) -> None:
        """Remember what a committed load changed."""
        new = load.models.keys() - self._catalog.all().keys()
        self._event_spans.note_load(load.last, new, load.labelled)
        self._catalog.update(load.models)
        self._unmatched = load.unmatched
        for name in load.earliest:
            schema = load.models[name].schema
            self._buffered[name] = len(BASE_COLUMNS) + len(feature_columns(schema))
        self._recent_ids.add(load.hashes, now.astimezone(UTC).replace(tzinfo=None))
        for (name, kind), account in load.outcomes.items():
            if kind == "events":
                self._references.count_events(name, account.stored)
        self._profiler.backlog.note_load(load.earliest.values())

    @property
    def needs_checkpoint(self) -> bool:
        """True when too many tables have rows in memory: each of their columns has a block."""
        return sum(self._buffered.values()) * BLOCK_BYTES > MAX_BUFFER_BYTES

    def note_checkpoint(self) -> None:
        """Note that no table has rows in memory any more."""
        self._buffered = {}


def _ignore(_: Mapping[tuple[str, str], int]) -> None:
    """Do nothing: the default of `on_stored`."""
