"""Load accepted rows from the spool into the database, and keep both small."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from monitor.config.limits import Retention
from monitor.server.loader import Loader
from monitor.server.model_evaluation import ModelEvaluation

RELEASE_EVERY_S = 60.0
DELETE_EXPIRED_EVERY_S = 3600.0


class RowLoading:
    """Loads of one server, one at a time; each round loads what was there at its start."""

    def __init__(
        self,
        loader: Loader,
        retention: Retention,
        clock: Callable[[], datetime],
        evaluation: ModelEvaluation,
        load_idle: threading.Event,
    ) -> None:
        self.loader = loader
        self.spool = loader.spool
        self.store = loader.store
        self.retention = retention
        self.clock = clock
        self.evaluation = evaluation
        self.last_load: datetime | None = None
        self._load_idle = load_idle
        self._lock = threading.Lock()
        self._progress_at: float | None = None
        self._released_at = 0.0
        self._deleted_at = 0.0

    def begin(self) -> None:
        """Note that a thread loads from now on, so that a standstill is noticed."""
        self._progress_at = time.monotonic()

    @property
    def standstill_s(self) -> float:
        """Seconds since rows were loaded, or since nothing was left to load."""
        if self._progress_at is None:
            return 0.0
        return time.monotonic() - self._progress_at

    def load_all(self) -> int:
        """Load everything that is accepted by now; return the number of stored events."""
        events = 0
        with self._lock, self.before_evaluation():
            # rows that arrive meanwhile wait for the next round: a load has a fixed
            # cost, however few its rows are
            more = True
            while more:
                loaded = self.loader.load(self.clock())
                if loaded is None:
                    break
                self._note_progress()
                more = loaded.more
                events += loaded.events
                if self.store.needs_checkpoint:
                    self.loader.release(self.clock())
                self.last_load = self.clock()
                for model, earliest in loaded.earliest.items():
                    self.evaluation.note_rows(model, earliest.replace(tzinfo=UTC))
            for model in self.store.references.make_provisional(self.clock()):
                self.evaluation.note_provisional_reference(model)
            self._note_progress()
        return events

    def _note_progress(self) -> None:
        if self._progress_at is not None:
            self._progress_at = time.monotonic()

    def step(self) -> None:
        """Load, then release loaded spool files and delete expired rows when it is time."""
        self.load_all()
        now = time.monotonic()
        # under heavy load loaded files would fill the spool within a minute
        if now - self._released_at > RELEASE_EVERY_S or self.spool.half_full:
            self._released_at = now
            with self._lock:
                self.loader.release(self.clock())
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
