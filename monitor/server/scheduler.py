"""Run the steps of the server in the background: load, evaluate, notify, self-test."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from monitor.alerting.channel_sender import ChannelSender, drop_unconfigured
from monitor.config.config import Config
from monitor.detector.selftest_schedule import SelfTests
from monitor.evaluation.evaluator import column_names
from monitor.ingest.pending import Pending
from monitor.server.background_step import BackgroundStep
from monitor.server.loader import Loader
from monitor.server.model_evaluation import SETTLE, ModelEvaluation
from monitor.server.row_loading import RowLoading
from monitor.store.detector_store import AcceptedChange

LOAD_EVERY_S = 0.2
EVALUATE_EVERY_S = 1.0
NOTIFY_EVERY_S = 1.0
TEST_EVERY_S = 60.0  # the self-test of one model at most
STOP_TIMEOUT_S = 30.0


class Scheduler:
    """The steps that move rows, findings, alerts and notifications forward.

    Each step is safe to run twice; each has a thread of its own.
    """

    def __init__(
        self,
        config: Config,
        loader: Loader,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pending: Pending | None = None,
    ) -> None:
        self.config = config
        self.store = store = loader.store
        self.clock = clock  # tests set another one
        self.pending = pending or Pending()
        self._stopping = threading.Event()
        load_idle = threading.Event()
        load_idle.set()
        self.evaluation = ModelEvaluation(
            config, store, self._now, load_idle, self._stopping
        )
        self.loading = RowLoading(
            loader, config.retention, self._now, self.evaluation, load_idle
        )
        self.evaluator = self.evaluation.evaluator
        self.detector_runner = self.evaluation.detector_runner
        self.tests = SelfTests(
            store, config, self.detector_runner, column_names, self._stopping.is_set
        )
        store.batch_loader.on_stored = lambda rows: self.pending.settle(
            rows, self.clock()
        )
        self.steps = [
            self._step("load", self.loading.step, LOAD_EVERY_S),
            self._step("evaluate", self.evaluate_due, EVALUATE_EVERY_S),
            self._step("notify", self._drop_unconfigured, NOTIFY_EVERY_S),
            self._step("self-test", self.test_due, TEST_EVERY_S),
        ]
        self.senders = [
            ChannelSender(channel, store.alerts, self._stopping)
            for channel in config.channels
        ]
        # each channel has a thread of its own: a slow receiver delays no other
        self.steps += [self._sending_step(sender) for sender in self.senders]

    @property
    def problem(self) -> str | None:
        """The problem of the first step that fails; None when every step works."""
        return next((step.problem for step in self.steps if step.problem), None)

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
        self.loading.begin()
        for step in self.steps:
            step.start()

    def stop(self) -> None:
        """Finish the running steps, load the accepted rows, and stop."""
        self._stopping.set()
        for step in self.steps:
            step.join(STOP_TIMEOUT_S)
        self.steps[0].attempt(self.loading.load_all)

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
        """Send the notifications that are due, channel after channel."""
        self._drop_unconfigured()
        for sender in self.senders:
            sender.send_due(self.clock())

    def _drop_unconfigured(self) -> None:
        names = [channel.name for channel in self.config.channels]
        drop_unconfigured(self.store.alerts, names, self.clock())

    def test_due(self) -> None:
        """Run the self-test of one model's detector, if one is due."""
        self.tests.next_due(self.clock())

    def load_at_start(self) -> None:
        """Load what the spool has; a failure is noted, and the load is tried again later."""
        self.steps[0].attempt(self.loading.load_all)

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

    def _sending_step(self, sender: ChannelSender) -> BackgroundStep:
        return self._step(
            f"notify {sender.channel.name}",
            lambda: sender.send_due(self.clock()),
            NOTIFY_EVERY_S,
        )

    def _step(
        self, name: str, action: Callable[[], object], pause_s: float
    ) -> BackgroundStep:
        return BackgroundStep(name, action, pause_s, self.store, self._stopping)
