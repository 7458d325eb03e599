"""The schedule of self-tests: each model's detector in turn, as often as its section sets."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from monitor.config.config import Config
from monitor.detector.runner import DetectorRunner
from monitor.detector.selftest import selftest
from monitor.errors import InvalidRequest, TooMany
from monitor.store import Store
from monitor.store.model import Model

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
AGAIN = timedelta(hours=6)  # when a detector that still learned is asked again
SOON = timedelta(minutes=5)  # when one is that goes through its history
BEHIND = timedelta(days=1)


class SelfTests:
    """Runs the self-tests that are due and keeps what they found."""

    def __init__(
        self,
        store: Store,
        config: Config,
        runner: DetectorRunner,
        names: Callable[[Model], Mapping[str, str]],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store, self.config, self.runner, self.names, self.stopping = (
            store,
            config,
            runner,
            names,
            stopping,
        )
        # models that could not be tested, and until when they are let alone
        self._waits: dict[str, datetime] = {}

    def next_due(self, now: datetime) -> str | None:
        """Run the self-test of the model that waits longest for it; its name, None when none is due."""
        last, book = (
            self.runner.detector_store.selftest_times(),
            self.runner.detector_store,
        )
        waiting = []
        for name, model in self.store.models().items():
            settings = self.config.model(name).detector
            if not settings.enabled or not settings.selftest_days:
                continue
            due = last.get(model.id, NEVER) + timedelta(days=settings.selftest_days)
            if due <= now and self._waits.get(name, NEVER) <= now:
                waiting.append((due, name, model))
        if not waiting:
            return None
        _, name, model = min(waiting, key=lambda w: w[:2])
        if self._is_behind(model):
            self._waits[name] = now + SOON
            return None
        try:
            results = selftest(
                self.store, self.runner, name, self.names(model), stopping=self.stopping
            )
            book.save_selftest(model.id, now, results)
        except InvalidRequest:
            self._waits[name] = now + AGAIN
        except TooMany:  # one by hand is under way
            return None
        return name

    def _is_behind(self, model: Model) -> bool:
        """Return True when the detector has a day or more of stored rows left to judge.

        Then the week to test it on is not the newest.
        """
        going, last = (
            self.runner.look(model, self.names(model)),
            self.store.spans().get(model.name, (None, None))[1],
        )
        return (
            going is not None
            and last is not None
            and going.cursor < last.replace(tzinfo=UTC) - BEHIND
        )
