"""Run the detector of every model, and apply what people accept."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from monitor.config.config import Config
from monitor.detector import lane_findings
from monitor.detector.lane_run import LEARN
from monitor.detector.lanes.signals import LANES, QUALITY, WITH_SEGMENTS
from monitor.detector.machine_cache import MachineCache
from monitor.detector.model_run import ModelRun, RunContext
from monitor.detector.run_state import RunState, new_state, resume
from monitor.errors import InvalidRequest
from monitor.finding import Finding
from monitor.store import Store, detector_store
from monitor.store.detector_store import AcceptedChange, DetectorStore
from monitor.store.model import Model

# after an hour has ended: its last rows are still on their way
GRACE = timedelta(minutes=5)
MAX_RESULTS_IN_MEMORY = 10_000


class DetectorRunner:
    """Runs the detector of every model.

    What it needs to go on is in the store, so any run may be the first.
    """

    def __init__(self, store: Store, config: Config) -> None:
        self.store, self.config = store, config
        self.detector_store = DetectorStore(store.database)
        self.machines = MachineCache()
        self._newest: dict[int, tuple[datetime, list[Finding]]] = {}
        self._again: dict[int, datetime] = {}

    def again(self, model_id: int, start: datetime) -> None:
        """Go through the history from `start` once more at the next run."""
        self._again[model_id] = min(start, self._again.get(model_id, start))

    def accept(self, model: Model, who: str, now: datetime) -> AcceptedChange:
        """Note that what is open is normal from now on; the next run ends it and learns. Raises InvalidRequest.

        It is learned from the last two weeks, or from when the newest of the changes
        began if that is later.
        """
        open_now = self.store.alerts.open_alerts(model.name).values()
        begun = [
            a.finding.window_start
            for a in open_now
            if a.finding.rule.startswith(lane_findings.RULE)
        ]
        if not begun:
            raise InvalidRequest(
                f"nothing is open for {model.name!r} that the detector found; there is nothing to accept"
            )
        accepted = AcceptedChange(now, max(*begun, now - LEARN), who)
        self.detector_store.accept(model.id, accepted)
        self._newest.pop(model.id, None)
        return accepted

    def rules(self, name: str) -> set[str]:
        """The names under which the detector of a model may find something."""
        settings = self.config.model(name).detector
        lanes = (
            [*(WITH_SEGMENTS if settings.segments else LANES), *QUALITY.values()]
            if settings.enabled
            else []
        )
        return {lane_findings.RULE + lane.name for lane in lanes} | (
            {lane_findings.LABELS} if settings.enabled and settings.labels else set()
        )

    def look(self, model: Model, names: Mapping[str, str]) -> RunState | None:
        """Return where the detector of a model stands, to be read only.

        None before there are events, or when it is off.
        """
        first = self.store.first_event(model.name)
        if not self.config.model(model.name).detector.enabled or first is None:
            return None
        state = self._new_state(model, names, first)
        resume(state, self.detector_store, self.machines)
        return state

    def look_again(self, model_id: int) -> None:
        """Note late rows: the next run compares its judgements with the stored rows."""
        self._newest.pop(model_id, None)

    def forget(self, model_id: int) -> None:
        """The model's layouts changed: delete its stored and cached detector state."""
        with self.store.writing() as con:
            detector_store.delete_detector(con, model_id)
        self._newest.pop(model_id, None)
        self.machines.forget(model_id)

    def run(
        self,
        model: Model,
        names: Mapping[str, str],
        first: datetime | None,
        until: datetime,
    ) -> RunContext:
        """Evaluate the hours that closed by `until` and were not evaluated before.

        `first`: the time of the first event; None before there is one.
        """
        if not self.config.model(model.name).detector.enabled or first is None:
            return RunContext()
        end = _hour(until - GRACE)
        newest = self._newest.get(model.id)
        if newest is not None and end <= newest[0] and model.id not in self._again:
            return RunContext(newest=newest[1])
        state = self._new_state(model, names, first)
        run = ModelRun(self.store, self.detector_store, self.machines, state)
        result = run.through(end, self._again.pop(model.id, None))
        if len(self._newest) > MAX_RESULTS_IN_MEMORY:
            self._newest.clear()
        self._newest[model.id] = (max(end, state.cursor), result.newest)
        return result

    def _new_state(
        self, model: Model, names: Mapping[str, str], first: datetime
    ) -> RunState:
        section = self.config.model(model.name)
        return new_state(
            self.store, model, section.detector, names, section.segments, _hour(first)
        )


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
