"""The loop: measure what is new, decide what it means, tell people."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import duckdb
import httpx

from monitor.alert import Hold, advance
from monitor.config import Config, RuleConfig
from monitor.finding import Finding
from monitor.loader import load, release
from monitor.notify import deliver, messages_for
from monitor.profile import Profile
from monitor.rules import columns_of, evaluate_all, window_of
from monitor.spool import Spool
from monitor.store import Store
from monitor.store.events import Model

log = logging.getLogger("driftdeck.loop")

SETTLE = timedelta(seconds=8)  # after a bulk load, before its history is evaluated: the rest of it is still coming
LATE = timedelta(hours=3)  # rows older than this make history be evaluated again
MAINTAIN_EVERY_S = 60.0
FORGET_EVERY_S = 3600.0


class Loop:
    """Moves rows, findings, alerts and notifications forward; each step is safe to run twice."""

    def __init__(self, config: Config, spool: Spool, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.config, self.spool, self.store, self.clock = config, spool, store, clock
        self.book = store.alerts
        self.client = httpx.Client(trust_env=False)
        self.last_load: datetime | None = None
        self.last_tick: datetime | None = None
        self.problem: str | None = None
        self.loaded_rows = 0  # of this process's life: accepted and refused rows that reached the store
        self._dirty: dict[str, datetime] = {}
        self._bulk_at: dict[str, datetime] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(step, pause), name=f"driftdeck-{name}", daemon=True)
            for name, step, pause in (("load", self._load_step, 0.2), ("evaluate", self.evaluate_due, 1.0), ("notify", self.notify_due, 1.0))
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

    # -- load -----------------------------------------------------------------------------------------------------

    def load_all(self) -> int:
        """Load everything that is acknowledged; the number of events stored."""
        total = 0
        with self._lock:
            while (loaded := load(self.spool, self.store, self.clock())) is not None:
                total += loaded.events
                self.loaded_rows += loaded.rows
                self.last_load = self.clock()
                for model, earliest in loaded.earliest.items():
                    self._note_late(model, earliest.replace(tzinfo=UTC))
            self.store.make_provisional(self.clock())
        return total

    def _load_step(self) -> None:
        self.load_all()
        now = time.monotonic()
        if now - getattr(self, "_maintained", 0.0) > MAINTAIN_EVERY_S:
            self._maintained = now
            with self._lock:
                release(self.spool, self.store)
        if now - getattr(self, "_forgot", 0.0) > FORGET_EVERY_S:
            self._forgot = now
            self.store.forget(self.clock(), self.config.retention.raw_days, self.config.retention.profile_days)

    def _note_late(self, model: str, earliest: datetime) -> None:
        if earliest < self.clock() - LATE:
            self._bulk_at[model] = self.clock()
            self._dirty[model] = min(earliest, self._dirty.get(model, earliest))

    # -- evaluate -------------------------------------------------------------------------------------------------

    def evaluate_due(self, settle: timedelta = SETTLE) -> None:
        """Evaluate every model's closed windows that were not evaluated yet, in order of time."""
        now = self.clock()
        for name, model in self.store.models().items():
            if now - self._bulk_at.get(name, datetime.min.replace(tzinfo=UTC)) < settle:
                continue
            try:
                self._evaluate_model(model, now)
            except duckdb.Error:
                raise
            except Exception:  # the edge of a tick: one model's fault must not silence the others
                log.exception("model %s could not be evaluated", name)
        self.last_tick = now

    def evaluate_from(self, name: str, start: datetime) -> int:
        """Evaluate a model's history again from `start`; the number of moments."""
        model = self.store.model(name)
        self.book.rewind(model.id, name, start)
        return self._evaluate_model(model, self.clock())

    def _evaluate_model(self, model: Model, now: datetime) -> int:
        first, _, n, _ = self.store.span(model.name)
        if not n or first is None:
            return 0
        late = self._dirty.pop(model.name, None)
        until = self.book.evaluated_until(model.id)
        if until is not None and late is not None and late < until - LATE:
            until = _midnight(late)
            self.book.rewind(model.id, model.name, until)
        moments = moments_between(until or _midnight(first.replace(tzinfo=UTC)), now)
        for i, at in enumerate(moments):
            if self._stop.is_set() or model.name in self._dirty:
                break  # more of the past has come: begin again from there
            self._evaluate_at(model, at, keep=i == len(moments) - 1, now=now)
        return len(moments)

    def _evaluate_at(self, model: Model, at: datetime, keep: bool, now: datetime) -> None:
        findings = self.findings_at(model, at)
        rules = {rule.name: Hold(rule.hold, rule.clear) for rule in self.config.all_rules}
        opened = {key: alert for key, alert in self.book.open_alerts(model.name).items() if alert.since <= at}
        alerts, transitions = advance(opened, findings, at, rules)
        messages = messages_for(alerts, transitions, self.config.channels, now, self.config.notify_within)
        if keep or alerts:
            self.book.save(model.id, model.name, at, findings if keep else None, alerts, transitions, messages)

    def findings_at(self, model: Model, at: datetime) -> list[Finding]:
        """Every rule on every column of a model, over the windows that close at `at`."""
        rules = [r for r in self.config.all_rules if r.model in ("*", model.name)]
        names = column_names(model)
        layouts = self.store.layouts(model.name)
        reference = self.store.reference_profiles(model.name)
        findings: list[Finding] = []
        groups: dict[tuple[str, str | None], list[RuleConfig]] = {}
        for rule in rules:
            groups.setdefault((rule.segment, rule.version), []).append(rule)
        for (segment, version), members in groups.items():
            current: dict[timedelta, dict[str, Profile]] = {}
            for rule in members:
                wanted = columns_of(rule, layouts, names)
                window = window_of(rule, at)
                read = self.store.profiles(model.name, window.start, window.end, None, version, segment, wanted)
                current.setdefault(rule.window, {}).update({c: p[0] for c, p in read.items()})
            findings += evaluate_all(members, model.name, current, reference, names, at)
        return findings

    # -- notify ---------------------------------------------------------------------------------------------------

    def notify_due(self) -> None:
        """Send the notifications whose time has come."""
        deliver(self.book, self.config.channels, self.client, self.clock())

    # -- threads --------------------------------------------------------------------------------------------------

    def _run(self, step: Callable[[], None], pause: float) -> None:
        while not self._stop.wait(pause):
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


def moments_between(until: datetime, now: datetime) -> list[datetime]:
    """The moments to evaluate after `until`: days far back, hours within two days, and the newest minute."""
    newest = now.replace(second=0, microsecond=0)
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


def column_names(model: Model) -> Mapping[str, str]:
    """The own name of each column that drifts: features and the prediction, by stored key."""
    return {f.field: f.name for f in model.schema.features} | {"prediction": "prediction"}


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


