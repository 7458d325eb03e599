"""The loop: measure what is new, decide what it means, tell people."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
import httpx

from monitor.alert import Alert, Hold, Transition, advance
from monitor.alerting.delivery import deliver, messages_for
from monitor.config.config import Config
from monitor.detector.runner import DetectorRunner
from monitor.detector.selftest_schedule import SelfTests
from monitor.evaluation.evaluator import RuleEvaluator, column_names
from monitor.ingest.pending import Pending
from monitor.server.loader import load, release
from monitor.spool.spool import Spool
from monitor.store import Store
from monitor.store.alert_store import Message
from monitor.store.detector_store import AcceptedChange
from monitor.store.model import Model

log = logging.getLogger("driftdeck.loop")

# after a bulk load, before its history is evaluated: the rest of it is still coming
SETTLE = timedelta(seconds=8)
CHUNK = 60  # moments of history that are saved together
# features times moments that are: each is three findings or more, of half a kilobyte
MAX_JUDGED = 40_000
LATE = timedelta(hours=3)  # rows older than this make history be evaluated again
MINUTE = timedelta(minutes=1)
MAX_PAUSE_S = 2.0
MAINTAIN_EVERY_S = 60.0
FORGET_EVERY_S = 3600.0
TOGETHER = 100  # models whose windows are read together
FEW = 200  # features of a model whose windows are
PATIENCE_S = 10.0  # that a model's evaluation waits for a load
TEST_EVERY_S = 60.0  # one model's self-test at most


class Scheduler:
    """Moves rows, findings, alerts and notifications forward; each step is safe to run twice."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        store: Store,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pending: Pending | None = None,
    ) -> None:
        self.config, self.spool, self.store, self.clock = config, spool, store, clock
        self.alerts = store.alerts
        self.client = httpx.Client(trust_env=False)
        self.last_load: datetime | None = None
        self.last_tick: datetime | None = None
        self.problem: str | None = None
        self.pending = pending or Pending()
        store.batch_loader.on_stored = lambda rows: self.pending.settle(
            rows, self.clock()
        )
        self.detector_runner = DetectorRunner(store, config)
        self._maintained = self._forgot = 0.0
        self._dirty: dict[str, datetime] = {}
        self.evaluator = RuleEvaluator(store, config)
        self._bulk_at: dict[str, datetime] = {}
        self._lock = threading.Lock()
        self._evaluating = threading.Lock()
        self._stop = threading.Event()
        self._free = threading.Event()  # nothing is being loaded
        self._free.set()
        self._evaluated: dict[int, datetime | None] = {}
        self.tests = SelfTests(
            store, config, self.detector_runner, column_names, self._stop.is_set
        )
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(step, pause),
                name=f"driftdeck-{name}",
                daemon=True,
            )
            for name, step, pause in (
                ("load", self._load_step, 0.2),
                ("evaluate", self.evaluate_due, 1.0),
                ("notify", self.notify_due, 1.0),
                ("test", self.test_due, TEST_EVERY_S),
            )
        ]

    def start(self) -> None:
        """Run the steps in the background until `stop`."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the running steps, load what was acknowledged, and stop."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=30)
        self.load_all()
        self.client.close()

    def tick(self) -> None:
        """One whole round: load, evaluate, tell."""
        self.load_all()
        self.evaluate_due(settle=timedelta(0))
        self.notify_due()

    # load

    def load_all(self) -> int:
        """Load everything that is acknowledged by now; the number of events stored."""
        total = 0
        with self._lock, self._first_of_all():
            more = True
            # what comes meanwhile waits for the next round: a load has a fixed cost,
            # whatever it brings
            while (
                more
                and (loaded := load(self.spool, self.store, self.clock())) is not None
            ):
                more = loaded.more
                total += loaded.events
                if self.store.needs_checkpoint:
                    release(self.spool, self.store, self.clock())
                self.last_load = self.clock()
                for model, earliest in loaded.earliest.items():
                    self._note_rows(model, earliest.replace(tzinfo=UTC))
            for model in self.store.references.make_provisional(self.clock()):
                self.evaluator.forget(model)
                with self._evaluating:
                    self.detector_runner.forget(self.store.model(model).id)
        return total

    @contextmanager
    def _first_of_all(self) -> Iterator[None]:
        """Meanwhile evaluation waits before its next model: both want the same core, and what was acknowledged comes first."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def _load_step(self) -> None:
        self.load_all()
        now = time.monotonic()
        # under heavy load segments that are loaded already would fill the spool within
        # a minute
        if now - self._maintained > MAINTAIN_EVERY_S or self.spool.half_full:
            self._maintained = now
            with self._lock:
                release(self.spool, self.store, self.clock())
        if now - self._forgot > FORGET_EVERY_S:
            self._forgot = now
            self.store.forget(
                self.clock(),
                self.config.retention.raw_days,
                self.config.retention.profile_days,
            )
            self.evaluator.forget_first_events()

    def note_reference(self, model: str) -> None:
        """A model has another reference: its history means something else and is evaluated again."""
        # what is under way would keep what it learned of the old bins
        with self._evaluating:
            self.detector_runner.forget(self.store.model(model).id)
        first = self.store.first_event(model)
        if first is not None:
            self._note_rows(model, first)

    def _note_rows(self, model: str, earliest: datetime) -> None:
        self.evaluator.note_rows(model, earliest)
        if earliest < self.clock() - LATE:
            self._bulk_at[model] = self.clock()
            self._dirty[model] = min(earliest, self._dirty.get(model, earliest))

    # evaluate

    def evaluate_due(self, settle: timedelta = SETTLE) -> None:
        """Evaluate every model's closed windows that were not evaluated yet, in order of time."""
        now = self.clock()
        settled = [
            model
            for name, model in self.store.models().items()
            if now - self._bulk_at.get(name, datetime.min.replace(tzinfo=UTC)) >= settle
        ]
        due = [model for model in settled if self._is_due(model, now)]
        for start in range(0, len(due), TOGETHER):
            some = due[start : start + TOGETHER]
            self.evaluator.ask_first_events([model.name for model in some])
            near = [
                m
                for m in some
                if m.name not in self._dirty and len(m.schema.features) <= FEW
            ]
            newest = [m for m in near if self._moments(m, now) == [_minute(now)]]
            self._free.wait(PATIENCE_S)
            self.evaluator.read_ahead(newest, _minute(now))
            for model in some:
                try:
                    self._evaluate_model(model, now)
                except duckdb.Error:
                    raise
                # the edge of a tick: one model's fault must not silence the others
                except Exception:
                    log.exception("model %s could not be evaluated", model.name)
        self.last_tick = now

    def test_due(self) -> None:
        """The self-test of one model's detector, if one is due."""
        self.tests.next_due(self.clock())

    def evaluate(self, name: str, start: datetime | None = None) -> int:
        """Evaluate a model now, or its history again from `start`; the number of moments."""
        model = self.store.model(name)
        if start is not None:
            with self._evaluating:
                self._rewind(model, start)
            self.detector_runner.again(model.id, start)
        return self._evaluate_model(model, self.clock())

    def accept(self, name: str, who: str, now: datetime) -> AcceptedChange:
        """What is open of the detector is the new normal of a model: it ends, and is learned.

        Raises InvalidRequest.
        """
        return self.detector_runner.accept(self.store.model(name), who, now)

    def _evaluate_model(self, model: Model, now: datetime) -> int:
        with self._evaluating:
            return self._evaluate_alone(model, now)

    def _evaluate_alone(self, model: Model, now: datetime) -> int:
        if self.evaluator.first_event(model.name) is None:
            return 0
        late = self._dirty.pop(model.name, None)
        until = self._until(model)
        if late is not None:
            self.detector_runner.look_again(model.id)
        if until is not None and late is not None and late < until - LATE:
            self._rewind(model, _midnight(late))
        moments = self._moments(model, now)
        at_once = max(1, min(CHUNK, MAX_JUDGED // (1 + len(model.schema.features))))
        for i in range(0, len(moments), at_once):
            if self._stop.is_set() or model.name in self._dirty:
                break  # more of the past has come: begin again from there
            self._free.wait(PATIENCE_S)
            self._evaluate_moments(model, moments[i : i + at_once], now)
        return len(moments)

    def _is_due(self, model: Model, now: datetime) -> bool:
        """Whether a minute has passed since a model was evaluated, or late rows have come."""
        until = self._until(model)
        return until is None or until < _minute(now) or model.name in self._dirty

    def _moments(self, model: Model, now: datetime) -> list[datetime]:
        """The moments to evaluate: after the last one that was, else from the first event on."""
        until, first = self._until(model), self.evaluator.first_event(model.name)
        since = (
            _minute(first) - MINUTE if until is None and first is not None else until
        )
        return [] if since is None else moments_between(since, now)

    def _until(self, model: Model) -> datetime | None:
        """The end of the last window that was evaluated; asked once, for all models, as only this loop moves it."""
        if model.id not in self._evaluated:
            found = self.alerts.evaluated()
            for id_ in [m.id for m in self.store.models().values()]:
                self._evaluated.setdefault(id_, found.get(id_))
        return self._evaluated[model.id]

    def _rewind(self, model: Model, until: datetime) -> None:
        self.alerts.rewind(model.id, model.name, until)
        self._evaluated[model.id] = until.astimezone(UTC)

    def _evaluate_moments(
        self, model: Model, moments: Sequence[datetime], now: datetime
    ) -> None:
        """Evaluate moments in order and save what they changed, in one transaction."""
        holds = {
            rule.name: Hold(rule.hold, rule.clear) for rule in self.config.all_rules
        }
        opened = self.alerts.open_alerts(model.name)
        changed: dict[str, Alert] = {}
        transitions: list[Transition] = []
        messages: list[Message] = []
        watched = self.detector_runner.run(
            model,
            column_names(model),
            self.evaluator.first_event(model.name),
            moments[-1],
        )
        judged = self.evaluator.findings(model, moments)
        rounds = [*watched.reports, *zip(moments, judged, strict=True)]
        for at, findings in sorted(rounds, key=lambda r: r[0]):
            alerts, steps = advance(
                {k: a for k, a in opened.items() if a.since <= at}, findings, at, holds
            )
            transitions += steps
            messages += messages_for(
                alerts, steps, self.config.channels, now, self.config.notify_within
            )
            for alert in alerts:
                earlier = opened.get(alert.key)
                if earlier is not None and earlier.id != alert.id:
                    # history evaluated again found an earlier beginning: the alert that
                    # was told ends in its favour
                    self._end(earlier, now, changed, transitions, messages)
                changed[alert.id] = opened[alert.key] = alert
                if alert.state == "resolved":
                    del opened[alert.key]
        newest = [*judged[-1], *watched.newest]
        going_on = {f.key for f in newest if f.verdict == "breach"}
        for alert in [
            a
            for a in opened.values()
            if a.since <= moments[-1] and a.key not in going_on
        ]:
            if not self._is_asked(alert) or (
                watched.newest
                and alert.finding.rule in self.detector_runner.rules(model.name)
            ):
                # its rule is gone, or what the detector found by another reference is
                # not what it finds now
                self._end(alert, now, changed, transitions, messages)
        self.alerts.save(
            model.id,
            model.name,
            moments[-1],
            newest,
            list(changed.values()),
            transitions,
            messages,
            watched.progress,
        )
        self._evaluated[model.id] = moments[-1]

    def _is_asked(self, alert: Alert) -> bool:
        """Whether anything still asks what an alert is about: its rule may be gone, or its lane switched off."""
        found = alert.finding
        rules = [
            r
            for r in self.config.all_rules
            if r.name == found.rule and r.model in ("*", found.model)
        ]
        return found.rule in self.detector_runner.rules(found.model) or any(
            (r.segment, r.version or "") == (found.segment, found.version)
            for r in rules
        )

    def _end(
        self,
        alert: Alert,
        now: datetime,
        changed: dict[str, Alert],
        steps: list[Transition],
        messages: list[Message],
    ) -> None:
        """Resolve an alert that no finding will end."""
        over = replace(alert, state="resolved", resolved_at=now)
        ended = [Transition(over.id, now, alert.state, "resolved", over.finding)]
        changed[over.id] = over
        steps += ended
        messages += messages_for(
            [over], ended, self.config.channels, now, self.config.notify_within
        )

    # notify

    def notify_due(self) -> None:
        """Send the notifications whose time has come."""
        deliver(self.alerts, self.config.channels, self.client, self.clock())

    # threads

    def _run(self, step: Callable[[], None], pause: float) -> None:
        wait = pause
        while not self._stop.wait(wait):
            begun = time.monotonic()
            try:
                step()
                self.problem = None
            except duckdb.FatalException as error:
                self.problem = f"the database failed and is being reopened: {str(error).splitlines()[0]}"
                log.error(self.problem)
                self.store.reopen()
            except Exception as error:  # the edge of a tick: logged, and tried again
                self.problem = f"{step.__name__.strip('_')}: {(str(error).splitlines() or [type(error).__name__])[0]}"
                log.exception("the %s step failed; it is tried again", step.__name__)
                self._stop.wait(2.0)
            # a step has a fixed cost: under thin traffic it runs less often, so that it
            # takes a fifth of a core at most
            wait = min(max(pause, 4 * (time.monotonic() - begun)), MAX_PAUSE_S)


def moments_between(until: datetime, now: datetime) -> list[datetime]:
    """The moments to evaluate after `until`: days far back, hours within two days, and the newest minute."""
    newest = _minute(now)
    moments = []
    at = until
    while at < newest:
        behind = newest - at
        if behind > timedelta(days=2):
            at = _midnight(at) + timedelta(days=1)
        elif behind > timedelta(hours=1):
            at = at.replace(minute=0) + timedelta(hours=1)
        else:
            at = newest
        moments.append(min(at, newest))
    return moments


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
