"""One model's detector on its way through the hours: from its stored state on, to findings and what is to be stored."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from monitor.calendar import HOUR, Calendar
from monitor.config.model_section import DetectorConfig
from monitor.detector import lane_findings
from monitor.detector.attribution_cache import AttributionCache
from monitor.detector.label_delay import overdue_labels, waits_at
from monitor.detector.lane_run import LEARN, LEARN_DAILY, LaneRun, Step, hourly
from monitor.detector.lanes.lane import MAX_FEATURES, MIN_WINDOWS, SERVICE, LaneWindow
from monitor.detector.lanes.segment_lane import layouts_of, parts
from monitor.detector.lanes.signals import LANES, QUALITY, SEGMENTS, WITH_SEGMENTS
from monitor.detector.model.episode import Episode
from monitor.detector.stored_hours import MAX_PROFILES, WEEK, StoredHours
from monitor.evaluation.attribution import Attribution
from monitor.finding import Finding
from monitor.layout import Layout
from monitor.schema import LABEL_DELAY
from monitor.store.detector_store import DetectorProgress, StoredFit
from monitor.store.model import Model
from monitor.store.profiles.profiled_columns import quality_column

if TYPE_CHECKING:
    from monitor.detector.runner import DetectorRunner

MAX_LEARNED = timedelta(days=56)
# of any model: with rows in less than two weeks of hours nobody knows the week
MIN_LEARNED = LEARN + timedelta(days=1)
EVIDENCE_LEAST = 1e-6
CLOSE = 0.1  # of the evidence that pages: a warning
WARNED_FOR = 24  # hours that a warning stands


@dataclass
class RunContext:
    """What a run came to: findings by the end of the hour they were found in, and what is to be saved with them."""

    reports: list[tuple[datetime, list[Finding]]] = field(default_factory=list)
    progress: DetectorProgress | None = None
    newest: list[Finding] = field(default_factory=list)


class ModelRun:
    """One model's detector from its stored state through more hours."""

    def __init__(
        self,
        runner: "DetectorRunner",
        model: Model,
        settings: DetectorConfig,
        names: dict[str, str],
        layouts: dict[str, Layout],
        segments: Sequence[str],
        first: datetime,
    ) -> None:
        self.runner, self.store = runner, runner.store
        self.detector_store = runner.detector_store
        self.model, self.settings, self.names = model, settings, names
        self.calendar: Calendar = settings.calendar
        self.layouts = watched_layouts(layouts)
        quality = quality_column(model)
        lanes = [
            *(WITH_SEGMENTS if settings.segments else LANES),
            *([QUALITY[quality.column]] if quality else []),
        ]
        if quality:
            self.layouts[quality.column] = quality.layout
        known = self.store.segments(model.name, segments) if settings.segments else []
        self.of_segments = layouts_of(known, self.layouts)
        self.hours = StoredHours(
            self.store, model, self.calendar, {**self.layouts, **self.of_segments}
        )
        hours = settings.days * 24
        self.courses = {
            lane.name: LaneRun(lane, hours / lane.share, settings.tolerance)
            for lane in lanes
        }
        self.first = first
        self.explainer = AttributionCache(self.store, model, segments, first)
        self.cursor = first
        self.quality_cursor = first
        self.fits: list[StoredFit] = []
        self.states: list[tuple[datetime, str]] = []
        self.evidence: list[tuple[datetime, str, float]] = []
        self.reports: list[tuple[datetime, list[Finding]]] = []
        self.last: dict[str, Step] = {}
        self.days: dict[datetime, int] = {}
        self.accepted = self.detector_store.accepted(model.id)
        self.begun = first  # where this run began
        self.done = 0  # of what was accepted
        self.begins = False
        self._known: list[StoredFit] = []
        self.again_from: datetime | None = None

    def through(self, end: datetime, again: datetime | None) -> RunContext:
        """Judge the hours up to `end`, those from `again` on once more."""
        self.resume(again)
        if self.begins:
            self._learn_from_reference()
        self._accept_until(self.cursor + HOUR, self.cursor)
        if self.cursor < end:
            self._main(end)
        if "quality" in self.courses:
            self._quality(end)
        self.days = self.hours.rows_by_day(self.cursor)
        self.states.append((self.cursor, self._dump()))
        progress = DetectorProgress(
            self.again_from, self.fits, self.states, self.evidence
        )
        open_now = [
            f
            for c in self.courses.values()
            if c.episodes
            for f in self._said(self._now(c))
        ]
        missing = self._overdue(max(end, self.cursor))
        return RunContext(
            self.reports, progress, [*open_now, *missing, self._standing()]
        )

    # state

    def resume(self, again: datetime | None = None) -> None:
        """Go to where the stored state stands, or the newest one that knows nothing of `again` or of late rows."""
        stored = self.detector_store.state(self.model.id)
        if stored is not None:
            late = self._late(json.loads(stored[1]), stored[0])
            if again is not None or late is not None:
                self.again_from = min(at for at in (again, late) if at is not None)
                stored = self.detector_store.state(
                    self.model.id, before=self.again_from
                )
                self.again_from = (
                    stored[0] if stored else self.first - timedelta(days=1)
                )
        fits = [f for f in self.detector_store.fits(self.model.id) if self._is_valid(f)]
        self.begins = stored is None
        if stored is None:
            self._known = [f for f in fits if f.source == "reference"]
            return
        self.cursor = self.begun = stored[0]
        data = json.loads(stored[1])
        self.quality_cursor = datetime.fromisoformat(data["quality"])
        self.done = data["accepted"]
        self.explainer.restore(data.get("behind", {}))
        for name, course in self.courses.items():
            part = data["lanes"].get(name)
            if part is None:
                continue
            course.since = (
                datetime.fromisoformat(part["since"]) if part["since"] else None
            )
            course.again = part["again"]
            fit = next(
                (
                    f
                    for f in fits
                    if f.lane == name
                    and part["fit"] == [f.starts.isoformat(), f.source]
                ),
                None,
            )
            machine = (
                self.runner.machine(self.model.id, course.lane, fit)
                if fit is not None
                else None
            )
            # segments that are no longer watched take what was learned of them along
            if machine is not None and set(
                getattr(machine.learned, "columns", ())
            ) <= set(self.hours.layouts):
                course.machine, course.state = machine, course.lane.state(part["state"])

    def _is_valid(self, fit: StoredFit) -> bool:
        return (
            self.again_from is None
            or fit.source == "reference"
            or fit.starts <= self.again_from
        )

    def _late(self, data: dict[str, Any], cursor: datetime) -> datetime | None:
        """The first day whose number of rows is no longer what it was when it was judged; None when all are."""
        was = {datetime.fromisoformat(at): n for at, n in data["days"]}
        now = self.hours.rows_by_day(cursor)
        changed = [at for at, n in now.items() if n > was.get(at, 0)]
        return min(changed, default=None)

    def _dump(self) -> str:
        lanes = {
            name: {
                "since": course.since.isoformat() if course.since else None,
                "again": course.again,
                "fit": [course.machine.starts.isoformat(), course.machine.source]
                if course.machine
                else None,
                "state": course.lane.dump(course.state) if course.machine else None,
            }
            for name, course in self.courses.items()
        }
        days = [[at.isoformat(), n] for at, n in sorted(self.days.items())]
        self.explainer.forget({e.opened for e in self.courses["inputs"].episodes})
        data = {
            "quality": self.quality_cursor.isoformat(),
            "accepted": self.done,
            "lanes": lanes,
            "days": days,
        }
        return json.dumps({**data, "behind": self.explainer.dump()})

    # learning

    def _learn_from_reference(self) -> None:
        """At the very beginning: what the reference teaches, if it has a week of hours."""
        for fit in self._known:
            course = self.courses.get(fit.lane)
            if course is not None:
                course.machine = self.runner.machine(self.model.id, course.lane, fit)
                course.state = course.lane.initial(course.machine.learned)
        most = max(MIN_LEARNED // HOUR, MAX_PROFILES // max(1, len(self.layouts)))
        found = (
            None
            if self._known
            else self.store.references.hours(self.model.name, list(self.layouts), most)
        )
        if found is None:
            return
        start, profiles = found
        hours = hourly(start, profiles, self.calendar.index, self.calendar.is_special)
        about = self.store.references.about(self.model.name)
        last = start + len(hours) * HOUR
        # it is a part of the history that is about to be judged
        live = about.source != "file"
        if live:
            hours = hours[1:-1]  # which may have been cut
        if len(hours) < WEEK // HOUR:
            return
        starts = last if live and last > self.first else self.first
        for course in self.courses.values():
            if (live or not course.lane.live) and course.learn(
                [w for _, w in hours], self._layouts(course), starts, "reference", start
            ):
                self._keep(course)

    def _learn(self, course: LaneRun, at: datetime) -> None:
        """Learn from the live hours before `at`, once there are enough."""
        if course.since is None or at - course.since < course.learning_for():
            return
        columns = course.lane.columns(self._layouts(course))
        most = max(MIN_LEARNED, MAX_PROFILES // (len(columns) + 1) * HOUR)
        start = max(course.since, at - min(MAX_LEARNED, most))
        windows = [w for _, w in self.hours.read(columns, start, at)]
        source = "accepted" if course.again else "live"
        if not course.learn(windows, self._layouts(course), at, source, start):
            return
        if (
            course.machine is not None
            and course.machine.width == 24
            and at - course.since < LEARN_DAILY
            and not course.again
        ):
            course.machine = course.state = None  # days are few: two more weeks
            return
        self._keep(course)

    def _keep(self, course: LaneRun) -> None:
        machine = course.machine
        if machine is None:
            return
        body = json.dumps(
            {"width": machine.width, "learned": course.lane.dump(machine.learned)}
        )
        fit = StoredFit(
            course.lane.name, machine.starts, machine.source, machine.since, body
        )
        self.fits.append(fit)
        # what is judged live is judged by the machine as it is stored
        course.machine = self.runner.machine(self.model.id, course.lane, fit)
        course.state = course.lane.initial(course.machine.learned)

    # hours

    def _main(self, end: datetime) -> None:
        courses = [c for c in self.courses.values() if c.lane.name != "quality"]
        columns = list(
            dict.fromkeys(
                c
                for course in courses
                for c in course.lane.columns(self._layouts(course))
            )
        )
        for start, stop in self.hours.parts(columns, self.cursor, end):
            self.cursor = start
            for at, window in self.hours.read(columns, start - WEEK, stop):
                judge = at >= self.cursor
                after = at + HOUR
                following = self.calendar.index(after)
                if judge:
                    self._accept_until(after, at)
                for course in courses:
                    step = course.take(window, after, following, judge)
                    if step is not None:
                        self._note(step)
                    if judge and course.machine is None:
                        self._wait(course, window, at, following)
                if (
                    judge
                    and after.hour == 0
                    and (end - after <= timedelta(days=4) or after.weekday() == 0)
                ):
                    self.cursor = after
                    self.days = self.hours.rows_by_day(after)
                    self.states.append((after, self._dump()))
            self.cursor = stop
            for course in courses:
                # the next part reads its week before again
                course.views, course.hours = [], []
        self.cursor = end

    def _wait(
        self, course: LaneRun, window: LaneWindow, at: datetime, following: int
    ) -> None:
        """A lane without a machine: note when learning began, and try at the end of each day of the clock."""
        if course.since is None and course.lane.holds(window):
            course.since = at
        if window.index // 24 != following // 24:
            self._learn(course, at + HOUR)

    def _accept_until(self, until: datetime, at: datetime) -> None:
        """What was accepted before `until` is applied: what is open at the hour `at` is the new normal."""
        while self.done < len(self.accepted) and self.accepted[self.done].at < until:
            accepted = self.accepted[self.done]
            self.done += 1
            for course in self.courses.values():
                if course.episodes:
                    step = self._now(course)
                    self._note(
                        lane_findings.over(step, course.begin_again(accepted.since), at)
                    )
                    self._learn(course, at)

    def _quality(self, end: datetime) -> None:
        """Quality is judged at the hour of the prediction, once the labels of that hour have come."""
        course = self.courses["quality"]
        columns = [*course.lane.columns(self.layouts), "status", LABEL_DELAY]
        ((first,),) = self.store.query(
            "SELECT min(bucket) FROM profile_moments WHERE model = ? AND segment = '' AND \"column\" = ? AND bucket >= ?",
            [self.model.id, columns[0], self.quality_cursor],
        )
        if first is None:
            return
        for start, stop in self.hours.parts(
            columns, max(self.quality_cursor, first.replace(tzinfo=UTC)), end
        ):
            if not self._judge_quality(course, columns, start, stop, end):
                return
            course.views, course.hours = [], []

    def _judge_quality(
        self,
        course: LaneRun,
        columns: Sequence[str],
        start: datetime,
        stop: datetime,
        now: datetime,
    ) -> bool:
        """Judge the hours of one part; False when the labels of one of them are still to come."""
        hours = self.hours.read(columns, start - WEEK, stop)
        stands = waits_at(hours, columns[0], start, now)
        for at, window in hours[:stands]:
            after = at + HOUR
            following = self.calendar.index(after)
            judge = at >= start
            step = course.take(window, after, following, judge)
            if judge:
                self.quality_cursor = after
                if step is not None:
                    # news as of this run; of history, as of then
                    self._note(step, max(after, self.begun))
                if course.machine is None:
                    self._wait(course, window, at, following)
        return stands == len(hours)

    def _overdue(self, now: datetime) -> list[Finding]:
        """That labels no longer come, as of now."""
        if "quality" not in self.courses or not self.settings.labels:
            return []
        column = self.courses["quality"].lane.columns(self.layouts)[0]
        late = overdue_labels(self.store, self.model, column, now)
        found = (
            [lane_findings.labels_overdue(self.model.name, late, now)] if late else []
        )
        self.reports += [(now, found)] if found else []
        return found

    # what it says

    def _note(self, step: Step, at: datetime | None = None) -> None:
        self.last[step.lane] = step
        if step.evidence >= EVIDENCE_LEAST:
            self.evidence.append((step.end - HOUR, step.lane, step.evidence))
        found = self._said(step)
        if found:
            self.reports.append((at or step.end, found))

    def _now(self, course: LaneRun) -> Step:
        """Where a lane stands between two steps."""
        step = self.last.get(course.lane.name)
        if step is not None:
            return step
        machine = course.machine
        if machine is None:
            raise LookupError(
                f"the lane {course.lane.name} has not learned anything yet"
            )
        return Step(
            course.lane.name, self.cursor, machine, 0, 0, course.episodes, (), 0.0
        )

    def _standing(self) -> Finding:
        """How far the detector is as a whole: learning, watching, or close to a page."""
        inputs = self.courses["inputs"]
        evidence = max(
            (
                c.lane.evidence(c.machine.learned, c.state)
                for c in self.courses.values()
                if c.machine
            ),
            default=0.0,
        )
        warned = getattr(inputs.state, "warned", None)
        recent = (
            warned is not None
            and self.calendar.index(self.cursor) - warned.index <= WARNED_FOR
        )
        learned = (inputs.since or self.first) + inputs.learning_for()
        return lane_findings.standing(
            self.model.name,
            "learning"
            if inputs.machine is None
            else "warn"
            if recent or evidence >= CLOSE
            else "ok",
            evidence if inputs.machine else None,
            (self.first, learned if inputs.machine is None else self.cursor),
            self.names.get(warned.column, warned.column)
            if warned is not None and recent
            else "",
            MIN_WINDOWS if inputs.machine is None and learned < self.cursor else 0,
        )

    def _layouts(self, course: LaneRun) -> dict[str, Layout]:
        return self.of_segments if course.lane.name == SEGMENTS.name else self.layouts

    def _said(self, step: Step) -> list[Finding]:
        if step.lane == SEGMENTS.name:
            width = step.machine.width
            step = replace(
                step,
                episodes=self._own(step.episodes, width),
                ended=self._own(step.ended, width),
            )
        tolerance = self.settings.tolerance
        return lane_findings.findings(
            self.model.name, step, self.calendar, self.names, tolerance, self._behind
        )

    def _own(self, episodes: Sequence[Episode], width: int) -> tuple[Episode, ...]:
        """Those, of windows of `width` hours, that are no part of what the inputs of all rows had paged for by the end of the
        same window: one change is one alert.
        """
        course = self.courses["inputs"]
        inputs, longer = (
            course.episodes,
            width - (course.machine.width if course.machine else width),
        )
        return tuple(
            e
            for e in episodes
            if not any(
                other.opened <= e.opened + longer
                and (
                    not other.lead
                    or {parts(c)[0] for c in e.columns} & set(other.columns)
                )
                for other in inputs
            )
        )

    def _behind(self, step: Step, episode: Episode) -> Attribution | None:
        if step.lane != "inputs":
            return None
        columns = episode.columns or tuple(
            self.courses["inputs"].lane.columns(self.layouts)
        )
        return self.explainer.of(
            episode.opened, columns, self.calendar.start(episode.onset), step.end
        )


def watched_layouts(layouts: Mapping[str, Layout]) -> dict[str, Layout]:
    """The columns that the detector looks at: of a very wide model the first features, and all that are no features."""
    features = [c for c in layouts if c not in SERVICE and c != "prediction"]
    left = set(features[MAX_FEATURES:])
    return {c: layout for c, layout in layouts.items() if c not in left}
