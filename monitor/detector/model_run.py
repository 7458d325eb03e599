"""Run one model's detector through its stored hours: resume, learn, evaluate, report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from monitor.calendar import HOUR
from monitor.detector import lane_findings
from monitor.detector.label_delay import waits_at
from monitor.detector.lane_run import LaneRun
from monitor.detector.learning import Learning
from monitor.detector.machine_cache import MachineCache
from monitor.detector.reports import Reports
from monitor.detector.run_state import RunState, resume
from monitor.detector.stored_hours import WEEK
from monitor.finding import Finding
from monitor.schema import LABEL_DELAY
from monitor.store import Store
from monitor.store.detector_store import DetectorProgress, DetectorStore

DAILY_STATES_FOR = timedelta(days=4)  # older states are kept for Mondays only
MONDAY = 0


@dataclass
class RunContext:
    """The result of a run: findings by the end of their hour, and what is to be saved."""

    reports: list[tuple[datetime, list[Finding]]] = field(default_factory=list)
    progress: DetectorProgress | None = None
    newest: list[Finding] = field(default_factory=list)


class ModelRun:
    """One model's detector from its stored state through the hours after it."""

    def __init__(
        self,
        store: Store,
        detector_store: DetectorStore,
        machines: MachineCache,
        state: RunState,
    ) -> None:
        self.store = store
        self.detector_store = detector_store
        self.machines = machines
        self.state = state
        self.learning = Learning(store, machines, state)
        self.reports = Reports(store, state)
        self._accepted = detector_store.accepted(state.model.id)

    def through(self, end: datetime, again: datetime | None) -> RunContext:
        """Evaluate the hours up to `end`, those from `again` on once more."""
        state = self.state
        reference_fits = resume(state, self.detector_store, self.machines, again)
        if reference_fits is not None:
            self.learning.from_reference(reference_fits)
        self._apply_accepted(state.cursor + HOUR, state.cursor)
        if state.cursor < end:
            self._evaluate_until(end)
        if "quality" in state.lane_runs:
            self._evaluate_quality(end)
        state.save_state(state.cursor)
        newest = self.reports.newest(max(end, state.cursor))
        return RunContext(self.reports.findings, state.progress(), newest)

    # every signal but quality

    def _evaluate_until(self, end: datetime) -> None:
        state = self.state
        lane_runs = [r for r in state.lane_runs.values() if r.lane.name != "quality"]
        columns = list(
            dict.fromkeys(
                column
                for lane_run in lane_runs
                for column in lane_run.lane.columns(state.layouts_of(lane_run))
            )
        )
        for start, stop in state.hours.parts(columns, state.cursor, end):
            state.cursor = start
            self._evaluate_part(lane_runs, columns, (start, stop), end)
            state.cursor = stop
            for lane_run in lane_runs:
                # the next part reads its week before again
                lane_run.views, lane_run.hours = [], []
        state.cursor = end

    def _evaluate_part(
        self,
        lane_runs: Sequence[LaneRun],
        columns: Sequence[str],
        part: tuple[datetime, datetime],
        end: datetime,
    ) -> None:
        """Evaluate the hours of one part; the week before it is read, not evaluated."""
        state = self.state
        start, stop = part
        for at, window in state.hours.read(columns, start - WEEK, stop):
            is_new = at >= state.cursor
            after = at + HOUR
            following = state.calendar.index(after)
            if is_new:
                self._apply_accepted(after, at)
            for lane_run in lane_runs:
                step = lane_run.add_window(window, after, following, is_new)
                if step is not None:
                    self.reports.note(step)
                if is_new and lane_run.machine is None:
                    self.learning.wait(lane_run, window, at, following)
            is_recent = end - after <= DAILY_STATES_FOR
            is_kept = is_recent or after.weekday() == MONDAY
            if is_new and after.hour == 0 and is_kept:
                state.cursor = after
                state.save_state(after)

    def _apply_accepted(self, until: datetime, at: datetime) -> None:
        """Apply what people accepted before `until`: open changes are normal from now on."""
        state = self.state
        while state.accepted_changes < len(self._accepted):
            accepted = self._accepted[state.accepted_changes]
            if accepted.at >= until:
                return
            state.accepted_changes += 1
            for lane_run in state.lane_runs.values():
                if lane_run.episodes:
                    step = self.reports.last_step(lane_run)
                    ended = lane_run.begin_again(accepted.since)
                    self.reports.note(
                        lane_findings.step_after_acceptance(step, ended, at)
                    )
                    self.learning.from_live_hours(lane_run, at)

    # quality, which waits for labels

    def _evaluate_quality(self, end: datetime) -> None:
        """Evaluate quality at the hour of the prediction, once its labels have arrived."""
        state = self.state
        lane_run = state.lane_runs["quality"]
        columns = [*lane_run.lane.columns(state.layouts), "status", LABEL_DELAY]
        ((first,),) = self.store.query(
            "SELECT min(bucket) FROM profile_moments WHERE model = ? AND segment = '' "
            'AND "column" = ? AND bucket >= ?',
            [state.model.id, columns[0], state.quality_cursor],
        )
        if first is None:
            return
        begin = max(state.quality_cursor, first.replace(tzinfo=UTC))
        for start, stop in state.hours.parts(columns, begin, end):
            if not self._evaluate_labelled(lane_run, columns, (start, stop), end):
                return
            lane_run.views, lane_run.hours = [], []

    def _evaluate_labelled(
        self,
        lane_run: LaneRun,
        columns: Sequence[str],
        part: tuple[datetime, datetime],
        now: datetime,
    ) -> bool:
        """Evaluate the hours of one part; False when labels of one of them are missing."""
        state = self.state
        start, stop = part
        hours = state.hours.read(columns, start - WEEK, stop)
        complete = waits_at(hours, columns[0], start, now)
        for at, window in hours[:complete]:
            after = at + HOUR
            following = state.calendar.index(after)
            is_new = at >= start
            step = lane_run.add_window(window, after, following, is_new)
            if not is_new:
                continue
            state.quality_cursor = after
            if step is not None:
                # news as of this run; of history, as of then
                self.reports.note(step, max(after, state.begun))
            if lane_run.machine is None:
                self.learning.wait(lane_run, window, at, following)
        return complete == len(hours)
