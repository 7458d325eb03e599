"""Load accepted rows from the spool into the database, and keep both small."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from monitor.config.limits import Retention
from monitor.server.loader import load, release
from monitor.server.model_evaluation import ModelEvaluation
from monitor.spool.spool import Spool
from monitor.store import Store

RELEASE_EVERY_S = 60.0
DELETE_EXPIRED_EVERY_S = 3600.0


class RowLoading:
    """Loads of one server, one at a time; each round loads what was there at its start."""

    def __init__(
        self,
        spool: Spool,
        store: Store,
        retention: Retention,
        clock: Callable[[], datetime],
        evaluation: ModelEvaluation,
        load_idle: threading.Event,
    ) -> None:
        self.spool = spool
        self.store = store
        self.retention = retention
        self.clock = clock
        self.evaluation = evaluation
        self.last_load: datetime | None = None
        self._load_idle = load_idle
        self._lock = threading.Lock()
        self._released_at = 0.0
        self._deleted_at = 0.0

    def load_all(self) -> int:
        """Load everything that is accepted by now; return the number of stored events."""
        events = 0
        with self._lock, self.before_evaluation():
            # rows that arrive meanwhile wait for the next round: a load has a fixed
            # cost, however few its rows are
            more = True
            while more:
                loaded = load(self.spool, self.store, self.clock())
                if loaded is None:
                    break
                more = loaded.more
                events += loaded.events
                if self.store.needs_checkpoint:
                    release(self.spool, self.store, self.clock())
                self.last_load = self.clock()
                for model, earliest in loaded.earliest.items():
                    self.evaluation.note_rows(model, earliest.replace(tzinfo=UTC))
            for model in self.store.references.make_provisional(self.clock()):
                self.evaluation.note_provisional_reference(model)
        return events

    def step(self) -> None:
        """Load, then release loaded spool files and delete expired rows when it is time."""
        self.load_all()
        now = time.monotonic()
        # under heavy load loaded files would fill the spool within a minute
        if now - self._released_at > RELEASE_EVERY_S or self.spool.half_full:
            self._released_at = now
            with self._lock:
                release(self.spool, self.store, self.clock())
        if now - self._deleted_at > DELETE_EXPIRED_EVERY_S:
            self._deleted_at = now
            self.store.forget(
                self.clock(), self.retention.raw_days, self.retention.profile_days
            )
            self.evaluation.evaluator.forget_first_events()

    @contextmanager
    def before_evaluation(self) -> Iterator[None]:
        """Make evaluation wait before its next model while rows are loaded."""
        self._load_idle.clear()
        try:
            yield
        finally:
            self._load_idle.set()
