"""State of a model's detector: signals, change scores, open changes, sensitivity."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from monitor.alert import Alert, AlertKey
from monitor.calendar import HOUR, Calendar
from monitor.config.config import Config
from monitor.detector.lane_findings import RULE
from monitor.detector.lane_run import LaneRun, Machine
from monitor.detector.model.episode import DAY, WEEK
from monitor.detector.runner import DetectorRunner
from monitor.evaluation.evaluator import column_names
from monitor.finding import Finding
from monitor.finding_text import text_of
from monitor.queries.alert_data import finding_with_start
from monitor.queries.time_range import TimeRange
from monitor.store import Store

# within which the minimum detectable change is found half of the time
DETECTION_HOURS = 24
RECENT = timedelta(days=7)
# after a change of the inputs began, the values that are expected are revised
REVISION = timedelta(hours=WEEK)
INPUTS_CHANGE = "inputs_change"


def read_detector_status(
    store: Store,
    config: Config,
    runner: DetectorRunner,
    name: str,
    time_range: TimeRange,
) -> dict[str, Any]:
    """Return what each signal has learned, its change score by hour, and open changes.

    Also the minimum detectable change of each column.
    """
    model = store.model(name)
    settings = config.model(name).detector
    names = column_names(model)
    run = runner.look(model, names)
    rule = RULE.removesuffix(".")
    findings = [
        finding
        for finding in store.alerts.latest_findings(name)
        if finding.rule.startswith(rule)
    ]
    overall = next((finding for finding in findings if finding.rule == rule), None)
    open_alerts = store.alerts.open_alerts(name)
    evidence = runner.detector_store.evidence(
        model.id, time_range.start, time_range.end
    )
    lanes = []
    if run is not None:
        rows = _hourly_rows(store, name, run.cursor)
        lanes = [
            _lane_row(lane_run, names, run.first, rows, run.calendar)
            for lane_run in run.lane_runs.values()
        ]
    return {
        "model": name,
        "enabled": settings.enabled,
        "status": overall.verdict if overall else "no_data",
        "text": text_of(overall) if overall else None,
        "days": settings.days,
        "tolerance": settings.tolerance,
        "judged_until": run.cursor if run else None,
        "clock": settings.timezone,
        "holidays": settings.country,
        "lanes": lanes,
        "open": [
            _open_change(finding, open_alerts)
            for finding in findings
            if finding.verdict == "breach"
        ],
        "evidence": [
            {"t": at, "lane": lane, "value": value} for at, lane, value in evidence
        ],
        "accepted": [
            {"at": change.at, "since": change.since, "by": change.who}
            for change in runner.detector_store.accepted(model.id)
        ],
        "from": time_range.start,
        "to": time_range.end,
    }


def _open_change(
    finding: Finding, open_alerts: Mapping[AlertKey, Alert]
) -> dict[str, Any]:
    """Return an open change, with the end of the revision of its columns."""
    data = finding_with_start(finding, open_alerts)
    revised_until = None
    if data["since"] and finding.statistic == INPUTS_CHANGE:
        revised_until = data["since"] + REVISION
    return {**data, "revised_until": revised_until}


def _lane_row(
    run: LaneRun,
    names: Mapping[str, str],
    first: datetime,
    rows: float,
    calendar: Calendar,
) -> dict[str, Any]:
    """Return the state of one signal; `rows` are those of an average hour."""
    lane = run.lane
    row: dict[str, Any] = {"lane": lane.name, "share": lane.share}
    if run.machine is None:
        learned_from = run.since or first
        row |= {
            "status": "learning",
            "source": None,
            "learned_from": learned_from,
            "watches_from": learned_from + run.learning_for(),
            "window_hours": None,
            "evidence": None,
            "trending": [],
            "detectable": [],
        }
    else:
        row |= _learned_row(run, run.machine, names, rows)
    row["other_weekdays"] = [
        {"day": calendar.date(borrowed.day * DAY), "weekday": borrowed.weekday}
        for borrowed in lane.other_weekdays(run.state)
    ]
    return row


def _learned_row(
    run: LaneRun, machine: Machine, names: Mapping[str, str], rows: float
) -> dict[str, Any]:
    lane = run.lane
    detectable = lane.detectable(machine.learned, rows, DETECTION_HOURS)
    return {
        "status": "open" if run.episodes else "watching",
        "source": machine.source,
        "learned_from": machine.since,
        "watches_from": machine.starts,
        "window_hours": machine.width,
        "evidence": lane.evidence(machine.learned, run.state),
        "trending": [
            names.get(column, column)
            for column in lane.trending_columns(machine.learned)
        ],
        "detectable": [
            {"column": names.get(key, key), "contrast": contrast, "size": size}
            for key, contrast, size in detectable
        ],
    }


def _hourly_rows(store: Store, name: str, until: datetime) -> float:
    """Return the rows of an average hour of the last week."""
    end = until.replace(tzinfo=None)
    (profile,) = store.profiles(name, end - RECENT, end, None, columns=["status"])[
        "status"
    ]
    return profile.rows / (RECENT / HOUR)
