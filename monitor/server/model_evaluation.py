"""Evaluate models: which are due, from which time on, and again after late rows."""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import duckdb

from monitor.alert import Alert
from monitor.config.config import Config
from monitor.detector.runner import DetectorRunner
from monitor.evaluation.evaluator import RuleEvaluator, column_names
from monitor.finding import Finding
from monitor.server.alert_changes import AlertChanges
from monitor.store import Store
from monitor.store.detector_store import AcceptedChange
from monitor.store.model import Model

log = logging.getLogger("driftdeck.loop")

# after a bulk load, before its history is evaluated: more of it may still arrive
SETTLE = timedelta(seconds=8)
MAX_TIMES_SAVED_TOGETHER = 60
# evaluation times multiplied by features: each is three findings or more, of half a
# kilobyte
MAX_FINDINGS_IN_MEMORY = 40_000
LATE = timedelta(hours=3)  # rows older than this make history be evaluated again
MINUTE = timedelta(minutes=1)
MAX_MODELS_READ_TOGETHER = 100
MAX_FEATURES_READ_TOGETHER = 200
# that the evaluation of a model waits for a load
MAX_WAIT_FOR_LOAD_S = 10.0


class ModelEvaluation:
    """Rules and detector of every model, evaluated in order of time.

    `load_idle` is set while no rows are loaded: loads and evaluation want the same core,
    and accepted rows have priority.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        clock: Callable[[], datetime],
        load_idle: threading.Event,
        stopping: threading.Event,
    ) -> None:
        self.config = config
        self.store = store
        self.clock = clock
        self.evaluator = RuleEvaluator(store, config)
        self.detector_runner = DetectorRunner(store, config)
        self.last_tick: datetime | None = None
        self._load_idle = load_idle
        self._stopping = stopping
        self._evaluating = threading.Lock()
        self._bulk_load_at: dict[str, datetime] = {}
        # by model, the earliest row that is too old for what was evaluated already
        self._late_rows: dict[str, datetime] = {}
        # by model id, the end of the last evaluated window
        self._evaluated: dict[int, datetime | None] = {}

    # what changes between evaluations

    def note_rows(self, model: str, earliest: datetime) -> None:
        """New rows of a model were stored, the earliest of this time."""
        self.evaluator.note_rows(model, earliest)
        if earliest < self.clock() - LATE:
            self._bulk_load_at[model] = self.clock()
            noted = self._late_rows.get(model, earliest)
            self._late_rows[model] = min(earliest, noted)

    def note_provisional_reference(self, model: str) -> None:
        """A model got a reference of its first events: forget what was read without it."""
        self.evaluator.forget(model)
        self._forget_detector_state(model)

    def note_reference(self, model: str) -> None:
        """A model got another reference: evaluate its history again."""
        self._forget_detector_state(model)
        first = self.store.first_event(model)
        if first is not None:
            self.note_rows(model, first)

    def accept(self, name: str, who: str, now: datetime) -> AcceptedChange:
        """Set the open changes of a model as its new normal. Raises InvalidRequest."""
        return self.detector_runner.accept(self.store.model(name), who, now)

    def _forget_detector_state(self, model: str) -> None:
        # a running evaluation would store what it learned from the old bins
        with self._evaluating:
            self.detector_runner.forget(self.store.model(model).id)

    # which models are due

    def evaluate_due(self, settle: timedelta = SETTLE) -> None:
        """Evaluate every model whose closed windows were not evaluated yet."""
        now = self.clock()
        due = [
            model for model in self._settled(now, settle) if self._is_due(model, now)
        ]
        for start in range(0, len(due), MAX_MODELS_READ_TOGETHER):
            self._evaluate_together(due[start : start + MAX_MODELS_READ_TOGETHER], now)
        self.last_tick = now

    def evaluate(self, name: str, start: datetime | None = None) -> int:
        """Evaluate a model now, or its history again from `start`.

        Returns the number of evaluation times.
        """
        model = self.store.model(name)
        if start is not None:
            with self._evaluating:
                self._rewind(model, start)
            self.detector_runner.again(model.id, start)
        return self._evaluate_model(model, self.clock())

    def _settled(self, now: datetime, settle: timedelta) -> list[Model]:
        """Return the models whose last bulk load is long enough ago."""
        never = datetime.min.replace(tzinfo=UTC)
        return [
            model
            for name, model in self.store.models().items()
            if now - self._bulk_load_at.get(name, never) >= settle
        ]

    def _is_due(self, model: Model, now: datetime) -> bool:
        """Return True a minute after the last evaluation, or when late rows were stored."""
        until = self._until(model)
        if until is None or until < _minute(now) or model.name in self._late_rows:
            return True
        return self._is_ahead(until, now)

    def _evaluate_together(self, models: Sequence[Model], now: datetime) -> None:
        """Evaluate models one by one; the newest windows of narrow ones are read at once."""
        self.evaluator.ask_first_events([model.name for model in models])
        newest_only = [
            model
            for model in models
            if model.name not in self._late_rows
            and len(model.schema.features) <= MAX_FEATURES_READ_TOGETHER
            and self._times_due(model, now) == [_minute(now)]
        ]
        self._load_idle.wait(MAX_WAIT_FOR_LOAD_S)
        self.evaluator.read_ahead(newest_only, _minute(now))
        for model in models:
            try:
                self._evaluate_model(model, now)
            except duckdb.Error:
                raise
            # the edge of a tick: one model's fault must not silence the others
            except Exception:
                log.exception("model %s could not be evaluated", model.name)

    # one model

    def _evaluate_model(self, model: Model, now: datetime) -> int:
        with self._evaluating:
            return self._evaluate_locked(model, now)

    def _evaluate_locked(self, model: Model, now: datetime) -> int:
        if self.evaluator.first_event(model.name) is None:
            return 0
        self._rewind_to_late_rows(model)
        self._rewind_to_clock(model, now)
        times = self._times_due(model, now)
        width = 1 + len(model.schema.features)
        step = max(1, min(MAX_TIMES_SAVED_TOGETHER, MAX_FINDINGS_IN_MEMORY // width))
        for start in range(0, len(times), step):
            if self._stopping.is_set() or model.name in self._late_rows:
                break  # older rows were stored meanwhile: begin again from there
            self._load_idle.wait(MAX_WAIT_FOR_LOAD_S)
            self._evaluate_times(model, times[start : start + step], now)
        return len(times)

    def _rewind_to_late_rows(self, model: Model) -> None:
        late = self._late_rows.pop(model.name, None)
        if late is None:
            return
        until = self._until(model)
        self.detector_runner.look_again(model.id)
        if until is not None and late < until - LATE:
            self._rewind(model, _midnight(late))

    def _rewind_to_clock(self, model: Model, now: datetime) -> None:
        """Evaluate from now on, though the clock was ahead and later times were evaluated."""
        until = self._until(model)
        if until is None or not self._is_ahead(until, now):
            return
        log.warning(
            "the clock was ahead: model %s was evaluated until %s; evaluated from now on",
            model.name,
            until.isoformat(timespec="minutes"),
        )
        start = _minute(now) - MINUTE
        self._rewind(model, start)
        self.detector_runner.again(model.id, start)

    def _is_ahead(self, until: datetime, now: datetime) -> bool:
        return until > _minute(now) + MINUTE

    def _times_due(self, model: Model, now: datetime) -> list[datetime]:
        """Return the evaluation times after the last one, else from the first event on."""
        since = self._until(model)
        if since is None:
            first = self.evaluator.first_event(model.name)
            since = None if first is None else _minute(first) - MINUTE
        return [] if since is None else moments_between(since, now)

    def _until(self, model: Model) -> datetime | None:
        """Return the end of the last evaluated window; None before the first.

        It is read once, for all models: nothing else moves it.
        """
        if model.id not in self._evaluated:
            stored = self.store.alerts.evaluated()
            for each in self.store.models().values():
                self._evaluated.setdefault(each.id, stored.get(each.id))
        return self._evaluated[model.id]

    def _rewind(self, model: Model, until: datetime) -> None:
        self.store.alerts.rewind(model.id, model.name, until)
        self._evaluated[model.id] = until.astimezone(UTC)

    def _evaluate_times(
        self, model: Model, times: Sequence[datetime], now: datetime
    ) -> None:
        """Evaluate times in order and save what they changed, in one transaction."""
        alerts = self.store.alerts
        changes = AlertChanges(self.config, alerts.open_alerts(model.name), now)
        detected = self.detector_runner.run(
            model,
            column_names(model),
            self.evaluator.first_event(model.name),
            times[-1],
        )
        by_rules = self.evaluator.findings(model, times)
        rounds = [*detected.reports, *zip(times, by_rules, strict=True)]
        for at, findings in sorted(rounds, key=lambda pair: pair[0]):
            changes.advance(at, findings)
        newest = [*by_rules[-1], *detected.newest]
        for alert in self._without_finding(changes, newest, times[-1]):
            # after a new reference the detector's finding may be over, too
            replaced = bool(detected.newest) and self._is_of_detector(alert, model.name)
            if replaced or not self._is_still_checked(alert):
                changes.end(alert)
        alerts.save(
            model.id,
            model.name,
            times[-1],
            newest,
            list(changes.changed.values()),
            changes.transitions,
            changes.messages,
            detected.progress,
        )
        self._evaluated[model.id] = times[-1]

    def _without_finding(
        self, changes: AlertChanges, newest: Sequence[Finding], at: datetime
    ) -> list[Alert]:
        """Return the open alerts that no newest finding keeps open."""
        breaches = {finding.key for finding in newest if finding.verdict == "breach"}
        return [
            alert
            for alert in changes.open.values()
            if alert.since <= at and alert.key not in breaches
        ]

    def _is_of_detector(self, alert: Alert, model: str) -> bool:
        return alert.finding.rule in self.detector_runner.rules(model)

    def _is_still_checked(self, alert: Alert) -> bool:
        """Return False when the alert's rule is gone, or its signal is switched off."""
        finding = alert.finding
        if self._is_of_detector(alert, finding.model):
            return True
        return any(
            rule.name == finding.rule
            and rule.model in ("*", finding.model)
            and rule.segment == finding.segment
            and (rule.version or "") == finding.version
            for rule in self.config.all_rules
        )


def moments_between(until: datetime, now: datetime) -> list[datetime]:
    """Return the evaluation times after `until`.

    Days far back, hours within two days, and the newest minute.
    """
    newest = _minute(now)
    times = []
    at = until
    while at < newest:
        age = newest - at
        if age > timedelta(days=2):
            at = _midnight(at) + timedelta(days=1)
        elif age > timedelta(hours=1):
            at = at.replace(minute=0) + timedelta(hours=1)
        else:
            at = newest
        times.append(min(at, newest))
    return times


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
