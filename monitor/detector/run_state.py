"""The state of one model's detector during a run: where it stands and what is to be stored."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from monitor.calendar import Calendar
from monitor.config.model_section import DetectorConfig
from monitor.detector.attribution_cache import AttributionCache
from monitor.detector.lane_run import LaneRun
from monitor.detector.lanes.lane import MAX_FEATURES, SERVICE
from monitor.detector.lanes.segment_lane import layouts_of
from monitor.detector.lanes.signals import LANES, QUALITY, SEGMENTS, WITH_SEGMENTS
from monitor.detector.machine_cache import MachineCache
from monitor.detector.stored_hours import StoredHours
from monitor.layout import Layout
from monitor.store import Store
from monitor.store.detector_store import DetectorProgress, DetectorStore, StoredFit
from monitor.store.model import Model
from monitor.store.profiles.profiled_columns import quality_column

DAY = timedelta(days=1)


@dataclass
class RunState:
    """One model's signals between two hours, and what the run has to store."""

    model: Model
    settings: DetectorConfig
    names: dict[str, str]  # of columns, as people know them
    first: datetime  # hour of the first event
    layouts: dict[str, Layout]
    segment_layouts: dict[str, Layout]
    hours: StoredHours
    lane_runs: dict[str, LaneRun]
    attributions: AttributionCache
    cursor: datetime  # up to here hours are evaluated
    quality_cursor: datetime  # up to here quality is
    begun: datetime  # where this run began
    days: dict[datetime, int] = field(default_factory=dict)  # evaluated rows by day
    accepted_changes: int = 0  # how many are applied
    again_from: datetime | None = None
    fits: list[StoredFit] = field(default_factory=list)
    states: list[tuple[datetime, str]] = field(default_factory=list)
    evidence: list[tuple[datetime, str, float]] = field(default_factory=list)

    @property
    def calendar(self) -> Calendar:
        """The model's own clock."""
        return self.settings.calendar

    def layouts_of(self, lane_run: LaneRun) -> dict[str, Layout]:
        """Return the layouts of a signal's columns."""
        is_segments = lane_run.lane.name == SEGMENTS.name
        return self.segment_layouts if is_segments else self.layouts

    def save_state(self, at: datetime) -> None:
        """Note the state at the end of the hour `at`, to be stored."""
        self.days = self.hours.rows_by_day(at)
        self.states.append((at, dump(self)))

    def progress(self) -> DetectorProgress:
        """Return what this run has to store."""
        return DetectorProgress(self.again_from, self.fits, self.states, self.evidence)


def new_state(
    store: Store,
    model: Model,
    settings: DetectorConfig,
    names: Mapping[str, str],
    segments: Sequence[str],
    first: datetime,
) -> RunState:
    """Return the state before the first hour of a model."""
    layouts = watched_layouts(dict(store.layouts(model.name)))
    lanes = [*(WITH_SEGMENTS if settings.segments else LANES)]
    quality = quality_column(model)
    if quality:
        lanes.append(QUALITY[quality.column])
        layouts[quality.column] = quality.layout
    values = store.segments(model.name, segments) if settings.segments else []
    segment_layouts = layouts_of(values, layouts)
    budget_hours = settings.days * 24
    return RunState(
        model=model,
        settings=settings,
        names=dict(names),
        first=first,
        layouts=layouts,
        segment_layouts=segment_layouts,
        hours=StoredHours(
            store, model, settings.calendar, {**layouts, **segment_layouts}
        ),
        lane_runs={
            lane.name: LaneRun(lane, budget_hours / lane.share, settings.tolerance)
            for lane in lanes
        },
        attributions=AttributionCache(store, model, segments, first),
        cursor=first,
        quality_cursor=first,
        begun=first,
    )


def watched_layouts(layouts: Mapping[str, Layout]) -> dict[str, Layout]:
    """Return the watched columns: of a very wide model the first features, and all others."""
    features = [c for c in layouts if c not in SERVICE and c != "prediction"]
    unwatched = set(features[MAX_FEATURES:])
    return {c: layout for c, layout in layouts.items() if c not in unwatched}


def resume(
    state: RunState,
    detector_store: DetectorStore,
    machines: MachineCache,
    again: datetime | None = None,
) -> list[StoredFit] | None:
    """Restore the newest stored state that knows nothing of `again` or of late rows.

    Returns None when one was restored; else, at the very beginning, the stored fits of
    the reference.
    """
    model_id = state.model.id
    stored = detector_store.state(model_id)
    if stored is not None:
        late = _late_day(state, json.loads(stored[1]), stored[0])
        if again is not None or late is not None:
            state.again_from = min(at for at in (again, late) if at is not None)
            stored = detector_store.state(model_id, before=state.again_from)
            state.again_from = stored[0] if stored else state.first - DAY
    fits = [
        fit
        for fit in detector_store.fits(model_id)
        if state.again_from is None
        or fit.source == "reference"
        or fit.starts <= state.again_from
    ]
    if stored is None:
        return [fit for fit in fits if fit.source == "reference"]
    _restore(state, stored, fits, machines)
    return None


def _late_day(
    state: RunState, data: dict[str, Any], cursor: datetime
) -> datetime | None:
    """Return the first day with more rows now than when it was evaluated; None without one."""
    evaluated = {datetime.fromisoformat(at): n for at, n in data["days"]}
    stored = state.hours.rows_by_day(cursor)
    late = [at for at, n in stored.items() if n > evaluated.get(at, 0)]
    return min(late, default=None)


def _restore(
    state: RunState,
    stored: tuple[datetime, str],
    fits: Sequence[StoredFit],
    machines: MachineCache,
) -> None:
    state.cursor = state.begun = stored[0]
    data = json.loads(stored[1])
    state.quality_cursor = datetime.fromisoformat(data["quality"])
    state.accepted_changes = data["accepted"]
    state.attributions.restore(data.get("behind", {}))
    for name, lane_run in state.lane_runs.items():
        part = data["lanes"].get(name)
        if part is None:
            continue
        since = part["since"]
        lane_run.since = datetime.fromisoformat(since) if since else None
        lane_run.again = part["again"]
        for fit in fits:
            if fit.lane != name or part["fit"] != [fit.starts.isoformat(), fit.source]:
                continue
            machine = machines.machine(state.model.id, lane_run.lane, fit)
            # without a segment that is no longer watched, its signal learns again
            if set(machine.columns) <= set(state.hours.layouts):
                lane_run.machine = machine
                lane_run.state = lane_run.lane.state(part["state"])
            break


def dump(state: RunState) -> str:
    """Return the state as JSON, as `resume` reads it."""
    lanes = {}
    for name, lane_run in state.lane_runs.items():
        machine = lane_run.machine
        lanes[name] = {
            "since": lane_run.since.isoformat() if lane_run.since else None,
            "again": lane_run.again,
            "fit": [machine.starts.isoformat(), machine.source] if machine else None,
            "state": lane_run.lane.dump(lane_run.state) if machine else None,
        }
    open_episodes = {e.opened for e in state.lane_runs["inputs"].episodes}
    state.attributions.forget(open_episodes)
    data = {
        "quality": state.quality_cursor.isoformat(),
        "accepted": state.accepted_changes,
        "lanes": lanes,
        "days": [[at.isoformat(), n] for at, n in sorted(state.days.items())],
        "behind": state.attributions.dump(),
    }
    return json.dumps(data)
