"""Report what the signals of one model found: findings by hour, evidence, and the detector's own status."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from monitor.calendar import HOUR
from monitor.detector import lane_findings
from monitor.detector.label_delay import overdue_labels
from monitor.detector.lane_run import LaneRun, Step
from monitor.detector.lanes.lane import MIN_WINDOWS
from monitor.detector.lanes.segment_lane import parts
from monitor.detector.lanes.signals import SEGMENTS
from monitor.detector.model.episode import Episode
from monitor.detector.run_state import RunState
from monitor.evaluation.attribution import Attribution
from monitor.finding import Finding
from monitor.store import Store

MIN_EVIDENCE_STORED = 1e-6
WARNING_EVIDENCE = 0.1  # of the evidence that opens an alert
WARNING_HOURS = 24  # that a warning stands


class Reports:
    """The findings of one run, by the end of the hour they belong to."""

    def __init__(self, store: Store, state: RunState) -> None:
        self.store = store
        self.state = state
        self.findings: list[tuple[datetime, list[Finding]]] = []
        self._last_steps: dict[str, Step] = {}

    def note(self, step: Step, at: datetime | None = None) -> None:
        """Note the step of a signal; its findings belong to `at`, else to its end."""
        self._last_steps[step.lane] = step
        if step.evidence >= MIN_EVIDENCE_STORED:
            self.state.evidence.append((step.end - HOUR, step.lane, step.evidence))
        findings = self._findings_of(step)
        if findings:
            self.findings.append((at or step.end, findings))

    def last_step(self, lane_run: LaneRun) -> Step:
        """Return where a signal stands between two steps. Raises LookupError before it learned."""
        name = lane_run.lane.name
        step = self._last_steps.get(name)
        if step is not None:
            return step
        machine = lane_run.machine
        if machine is None:
            raise LookupError(f"the signal {name} has not learned anything yet")
        return Step(name, self.state.cursor, machine, 0, 0, lane_run.episodes, (), 0.0)

    def newest(self, now: datetime) -> list[Finding]:
        """Return the findings that hold now: open changes, labels overdue, and the status."""
        open_changes = [
            finding
            for lane_run in self.state.lane_runs.values()
            if lane_run.episodes
            for finding in self._findings_of(self.last_step(lane_run))
        ]
        return [*open_changes, *self._overdue(now), self._status()]

    def _overdue(self, now: datetime) -> list[Finding]:
        """Return the finding that labels are overdue; it is noted, too."""
        state = self.state
        quality = state.lane_runs.get("quality")
        if quality is None or not state.settings.labels:
            return []
        column = quality.lane.columns(state.layouts)[0]
        overdue = overdue_labels(self.store, state.model, column, now)
        if not overdue:
            return []
        findings = [lane_findings.labels_overdue(state.model.name, overdue, now)]
        self.findings.append((now, findings))
        return findings

    def _status(self) -> Finding:
        """Return how far the detector is as a whole: learning, watching, or near an alert."""
        state = self.state
        inputs = state.lane_runs["inputs"]
        warned = inputs.lane.warning(inputs.state)
        hours_ago = None
        if warned is not None:
            hours_ago = state.calendar.index(state.cursor) - warned.index
        is_recent = hours_ago is not None and hours_ago <= WARNING_HOURS
        learned_at = (inputs.since or state.first) + inputs.learning_for()
        if inputs.machine is None:
            needed = MIN_WINDOWS if learned_at < state.cursor else 0
            period = (state.first, learned_at)
            return lane_findings.progress_finding(
                state.model.name, "learning", None, period, "", needed
            )
        evidence = max(
            (
                lane_run.lane.evidence(lane_run.machine.learned, lane_run.state)
                for lane_run in state.lane_runs.values()
                if lane_run.machine
            ),
            default=0.0,
        )
        column = ""
        if warned is not None and is_recent:
            column = state.names.get(warned.column, warned.column)
        return lane_findings.progress_finding(
            state.model.name,
            "warn" if is_recent or evidence >= WARNING_EVIDENCE else "ok",
            evidence,
            (state.first, state.cursor),
            column,
            0,
        )

    # findings of one step

    def _findings_of(self, step: Step) -> list[Finding]:
        state = self.state
        if step.lane == SEGMENTS.name:
            width = step.machine.width
            step = replace(
                step,
                episodes=self._of_segments_alone(step.episodes, width),
                ended=self._of_segments_alone(step.ended, width),
            )
        return lane_findings.findings(
            state.model.name,
            step,
            state.calendar,
            state.names,
            state.settings.tolerance,
            self._attribution,
        )

    def _of_segments_alone(
        self, episodes: Sequence[Episode], width: int
    ) -> tuple[Episode, ...]:
        """Return the episodes of segments, in windows of `width` hours, that all rows do not show.

        One change is one alert: the inputs of all rows had opened one by the end of the
        same window.
        """
        inputs = self.state.lane_runs["inputs"]
        input_width = inputs.machine.width if inputs.machine else width
        longer = width - input_width

        def is_part_of(episode: Episode, change: Episode) -> bool:
            if change.opened > episode.opened + longer:
                return False
            columns = {parts(column)[0] for column in episode.columns}
            return not change.lead or bool(columns & set(change.columns))

        return tuple(
            episode
            for episode in episodes
            if not any(is_part_of(episode, change) for change in inputs.episodes)
        )

    def _attribution(self, step: Step, episode: Episode) -> Attribution | None:
        if step.lane != "inputs":
            return None
        state = self.state
        inputs = state.lane_runs["inputs"].lane
        columns = episode.columns or tuple(inputs.columns(state.layouts))
        return state.attributions.of(
            episode.opened, columns, state.calendar.start(episode.onset), step.end
        )
