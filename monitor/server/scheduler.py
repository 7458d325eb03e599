"""Run the steps of the server in the background: load, evaluate, notify, self-test."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import duckdb
import httpx

from monitor.alerting.delivery import deliver
from monitor.config.config import Config
from monitor.detector.selftest_schedule import SelfTests
from monitor.evaluation.evaluator import column_names
from monitor.ingest.pending import Pending
from monitor.server.model_evaluation import SETTLE, ModelEvaluation
from monitor.server.row_loading import RowLoading
from monitor.spool.spool import Spool
from monitor.store import Store
from monitor.store.detector_store import AcceptedChange

log = logging.getLogger("driftdeck.loop")

LOAD_EVERY_S = 0.2
EVALUATE_EVERY_S = 1.0
NOTIFY_EVERY_S = 1.0
TEST_EVERY_S = 60.0  # the self-test of one model at most
MAX_PAUSE_S = 2.0
PAUSE_AFTER_FAILURE_S = 2.0
STOP_TIMEOUT_S = 30.0


class Scheduler:
    """The steps that move rows, findings, alerts and notifications forward.

    Each step is safe to run twice; each has a thread of its own.
    """

    def __init__(
        self,
        config: Config,
        spool: Spool,
        store: Store,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pending: Pending | None = None,
    ) -> None:
        self.config = config
        self.store = store
        self.clock = clock  # tests set another one
        self.pending = pending or Pending()
        self.problem: str | None = None
        self._client = httpx.Client(trust_env=False)
        self._stopping = threading.Event()
        load_idle = threading.Event()
        load_idle.set()
        self.evaluation = ModelEvaluation(
            config, store, self._now, load_idle, self._stopping
        )
        self.loading = RowLoading(
            spool, store, config.retention, self._now, self.evaluation, load_idle
        )
        self.evaluator = self.evaluation.evaluator
        self.detector_runner = self.evaluation.detector_runner
        self.tests = SelfTests(
            store, config, self.detector_runner, column_names, self._stopping.is_set
        )
        store.batch_loader.on_stored = lambda rows: self.pending.settle(
            rows, self.clock()
        )
        self._threads = [
            self._thread("load", self.loading.step, LOAD_EVERY_S),
            self._thread("evaluate", self.evaluate_due, EVALUATE_EVERY_S),
            self._thread("notify", self.notify_due, NOTIFY_EVERY_S),
            self._thread("test", self.test_due, TEST_EVERY_S),
        ]

    @property
    def last_load(self) -> datetime | None:
        """The time of the last load; None before the first."""
        return self.loading.last_load

    @property
    def last_tick(self) -> datetime | None:
        """The time of the last evaluation of all due models; None before the first."""
        return self.evaluation.last_tick

    def start(self) -> None:
        """Run the steps in the background until `stop`."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the running steps, load the accepted rows, and stop."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=STOP_TIMEOUT_S)
        self.load_all()
        self._client.close()

    def tick(self) -> None:
        """Run one whole round: load, evaluate, notify."""
        self.load_all()
        self.evaluate_due(settle=timedelta(0))
        self.notify_due()

    # the steps

    def load_all(self) -> int:
        """Load everything that is accepted by now; return the number of stored events."""
        return self.loading.load_all()

    def evaluate_due(self, settle: timedelta = SETTLE) -> None:
        """Evaluate every model whose closed windows were not evaluated yet."""
        self.evaluation.evaluate_due(settle)

    def notify_due(self) -> None:
        """Send the notifications that are due."""
        deliver(self.store.alerts, self.config.channels, self._client, self.clock())

    def test_due(self) -> None:
        """Run the self-test of one model's detector, if one is due."""
        self.tests.next_due(self.clock())

    # requests of people

    def evaluate(self, name: str, start: datetime | None = None) -> int:
        """Evaluate a model now, or its history again from `start`.

        Returns the number of evaluation times.
        """
        return self.evaluation.evaluate(name, start)

    def accept(self, name: str, who: str, now: datetime) -> AcceptedChange:
        """Set the open changes of a model as its new normal. Raises InvalidRequest."""
        return self.evaluation.accept(name, who, now)

    def note_reference(self, model: str) -> None:
        """A model got another reference: evaluate its history again."""
        self.evaluation.note_reference(model)

    # threads

    def _now(self) -> datetime:
        return self.clock()

    def _thread(
        self, name: str, step: Callable[[], None], pause_s: float
    ) -> threading.Thread:
        return threading.Thread(
            target=self._repeat,
            args=(name, step, pause_s),
            name=f"driftdeck-{name}",
            daemon=True,
        )

    def _repeat(self, name: str, step: Callable[[], None], pause_s: float) -> None:
        wait_s = pause_s
        while not self._stopping.wait(wait_s):
            begun = time.monotonic()
            self._attempt(name, step)
            # a step has a fixed cost: under thin traffic it runs less often, so that it
            # uses a fifth of a core at most
            duration_s = time.monotonic() - begun
            wait_s = min(max(pause_s, 4 * duration_s), MAX_PAUSE_S)

    def _attempt(self, name: str, step: Callable[[], None]) -> None:
        """Run a step; log its failure and note it in `problem`."""
        try:
            step()
            self.problem = None
        except duckdb.FatalException as error:
            reason = _first_line(error)
            self.problem = f"the database failed and is being reopened: {reason}"
            log.error(self.problem)
            self.store.reopen()
        except Exception as error:  # the edge of a tick: logged and retried
            self.problem = f"{name}: {_first_line(error)}"
            log.exception("the step %r failed; it is retried", name)
            self._stopping.wait(PAUSE_AFTER_FAILURE_S)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
