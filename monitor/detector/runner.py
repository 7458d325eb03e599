"""The detector of every model: what is remembered between its runs, and what people tell it."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta

from monitor.config.config import Config
from monitor.detector import lane_findings
from monitor.detector.lane_run import LEARN, Machine
from monitor.detector.lanes.lane import Lane
from monitor.detector.lanes.signals import LANES, QUALITY, WITH_SEGMENTS
from monitor.detector.model_run import ModelRun, RunContext
from monitor.errors import InvalidRequest
from monitor.finding import Finding
from monitor.store import Store, detector_store
from monitor.store.detector_store import AcceptedChange, DetectorStore, StoredFit
from monitor.store.model import Model

# after an hour has ended: its last rows are still on their way
GRACE = timedelta(minutes=5)
CACHED_MACHINES = 64


class DetectorRunner:
    """Runs the detector of every model.

    What it needs to go on is in the store, so any run may be the first.
    """

    def __init__(self, store: Store, config: Config) -> None:
        self.store, self.config = store, config
        self.detector_store = DetectorStore(store.database)
        self._machines: OrderedDict[tuple[int, str, datetime, str], Machine] = (
            OrderedDict()
        )
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

    def look(self, model: Model, names: Mapping[str, str]) -> ModelRun | None:
        """Where the detector of a model stands, to be read only; None before there are events or when it is off."""
        section = self.config.model(model.name)
        settings = section.detector
        first = self.store.first_event(model.name)
        if not settings.enabled or first is None:
            return None
        layouts = dict(self.store.layouts(model.name))
        going = ModelRun(
            self, model, settings, dict(names), layouts, section.segments, _hour(first)
        )
        going.resume()
        return going

    def look_again(self, model_id: int) -> None:
        """Rows came late: the next run compares what it judged with what is there now."""
        self._newest.pop(model_id, None)

    def forget(self, model_id: int) -> None:
        """A model's bins mean something else: what is stored and remembered of it no longer counts."""
        with self.store.writing() as con:
            detector_store.delete_detector(con, model_id)
        self._newest.pop(model_id, None)
        for key in [key for key in self._machines if key[0] == model_id]:
            del self._machines[key]

    def run(
        self,
        model: Model,
        names: Mapping[str, str],
        first: datetime | None,
        until: datetime,
    ) -> RunContext:
        """Judge every hour since the `first` event that has closed by `until` and was not judged before, in order."""
        section = self.config.model(model.name)
        settings = section.detector
        if not settings.enabled or first is None:
            return RunContext()
        end = _hour(until - GRACE)
        known = self._newest.get(model.id)
        if known is not None and end <= known[0] and model.id not in self._again:
            return RunContext(newest=known[1])
        layouts = dict(self.store.layouts(model.name))
        going = ModelRun(
            self, model, settings, dict(names), layouts, section.segments, _hour(first)
        )
        run = going.through(end, self._again.pop(model.id, None))
        if len(self._newest) > 10_000:
            self._newest.clear()
        self._newest[model.id] = (max(end, going.cursor), run.newest)
        return run

    def machine(self, model_id: int, lane: Lane, fit: StoredFit) -> Machine:
        """A stored machine, read once."""
        key = (model_id, lane.name, fit.starts, fit.source)
        machine = self._machines.get(key)
        if machine is None:
            stored = json.loads(fit.body)
            machine = Machine(
                fit.starts,
                stored["width"],
                fit.source,
                fit.since,
                lane.machine(stored["learned"]),
            )
            self._machines[key] = machine
            while len(self._machines) > CACHED_MACHINES:
                self._machines.popitem(last=False)
        self._machines.move_to_end(key)
        return machine


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
