"""Fit the signals of one model: from its reference at the beginning, later from live hours."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from monitor.calendar import HOUR
from monitor.detector.lane_run import LEARN, LEARN_DAILY, LaneRun, hourly
from monitor.detector.lanes.lane import LaneWindow
from monitor.detector.machine_cache import MachineCache
from monitor.detector.run_state import RunState
from monitor.detector.stored_hours import MAX_PROFILES, WEEK
from monitor.store import Store
from monitor.store.detector_store import StoredFit

MAX_LEARNED = timedelta(days=56)
# of any model: rows in less than two weeks of hours do not show the week
MIN_LEARNED = LEARN + timedelta(days=1)
DAILY_WIDTH_HOURS = 24


class Learning:
    """Learns what is expected of each signal, and keeps the fits to be stored."""

    def __init__(self, store: Store, machines: MachineCache, state: RunState) -> None:
        self.store = store
        self.machines = machines
        self.state = state

    def from_reference(self, stored_fits: Sequence[StoredFit]) -> None:
        """Fit every signal on the reference's hours, if it has a week of them.

        `stored_fits` of the same reference are used instead.
        """
        state = self.state
        for fit in stored_fits:
            lane_run = state.lane_runs.get(fit.lane)
            if lane_run is not None:
                self._use(lane_run, fit)
        if stored_fits:
            return
        columns = list(state.layouts)
        max_hours = max(MIN_LEARNED // HOUR, MAX_PROFILES // max(1, len(columns)))
        model = state.model.name
        reference = self.store.references.hours(model, columns, max_hours)
        if reference is None:
            return
        start, profiles = reference
        calendar = state.calendar
        hours = hourly(start, profiles, calendar.index, calendar.is_special)
        last = start + len(hours) * HOUR
        # a reference of stored rows is a part of the history that will be evaluated
        is_live = self.store.references.about(model).source != "file"
        if is_live:
            hours = hours[1:-1]  # which may be incomplete
        if len(hours) < WEEK // HOUR:
            return
        starts = last if is_live and last > state.first else state.first
        windows = [window for _, window in hours]
        for lane_run in state.lane_runs.values():
            if lane_run.lane.live and not is_live:
                continue
            layouts = state.layouts_of(lane_run)
            if lane_run.learn(windows, layouts, starts, "reference", start):
                self._keep(lane_run)

    def from_live_hours(self, lane_run: LaneRun, at: datetime) -> None:
        """Fit a signal on the hours before `at`, once there are enough."""
        since = lane_run.since
        if since is None or at - since < lane_run.learning_for():
            return
        layouts = self.state.layouts_of(lane_run)
        columns = lane_run.lane.columns(layouts)
        readable = MAX_PROFILES // (len(columns) + 1) * HOUR
        start = max(since, at - min(MAX_LEARNED, max(MIN_LEARNED, readable)))
        windows = [window for _, window in self.state.hours.read(columns, start, at)]
        source = "accepted" if lane_run.again else "live"
        if not lane_run.learn(windows, layouts, at, source, start):
            return
        machine = lane_run.machine
        is_daily = machine is not None and machine.width == DAILY_WIDTH_HOURS
        if is_daily and at - since < LEARN_DAILY and not lane_run.again:
            # days are few: two more weeks
            lane_run.machine = lane_run.state = None
            return
        self._keep(lane_run)

    def wait(
        self, lane_run: LaneRun, window: LaneWindow, at: datetime, following: int
    ) -> None:
        """Note when a signal without a machine began; try to learn at the end of each day."""
        if lane_run.since is None and lane_run.lane.holds(window):
            lane_run.since = at
        if window.index // 24 != following // 24:
            self.from_live_hours(lane_run, at + HOUR)

    def _keep(self, lane_run: LaneRun) -> None:
        machine = lane_run.machine
        if machine is None:
            return
        lane = lane_run.lane
        body = {"width": machine.width, "learned": lane.dump(machine.learned)}
        fit = StoredFit(
            lane.name, machine.starts, machine.source, machine.since, json.dumps(body)
        )
        self.state.fits.append(fit)
        # live hours are evaluated by the machine as it is stored
        self._use(lane_run, fit)

    def _use(self, lane_run: LaneRun, fit: StoredFit) -> None:
        machine = self.machines.machine(self.state.model.id, lane_run.lane, fit)
        lane_run.machine = machine
        lane_run.state = lane_run.lane.initial(machine.learned)
