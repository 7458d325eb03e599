"""What the detector knows of a model: its lanes, its evidence, what is open, what it would see."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from monitor.alert import Alert, AlertKey
from monitor.calendar import HOUR, Calendar
from monitor.config.config import Config
from monitor.detector.lane_findings import RULE
from monitor.detector.lane_run import LaneRun
from monitor.detector.model.episode import DAY, WEEK
from monitor.detector.runner import DetectorRunner
from monitor.evaluation.evaluator import column_names
from monitor.finding import Finding
from monitor.finding_text import text_of
from monitor.queries.overview import reason
from monitor.queries.time_range import TimeRange
from monitor.store import Store

POWER_HOURS = 24  # within which the smallest change is to be found
RECENT = timedelta(days=7)
REVISED_FOR = timedelta(hours=WEEK)


def detector(
    store: Store, config: Config, runner: DetectorRunner, name: str, span: TimeRange
) -> dict[str, Any]:
    """Each lane with what it learned, the evidence of each hour as a share of what pages, open changes, and power."""
    model, settings = store.model(name), config.model(name).detector
    names = column_names(model)
    going = runner.look(model, names)
    findings = [
        f
        for f in store.alerts.latest_findings(name)
        if f.rule.startswith(RULE.removesuffix("."))
    ]
    standing = next((f for f in findings if f.rule == RULE.removesuffix(".")), None)
    opened = store.alerts.open_alerts(name)
    evidence = runner.detector_store.evidence(model.id, span.start, span.end)
    accepted = runner.detector_store.accepted(model.id)
    rows = _usual_rows(store, name, going.cursor) if going else 0.0
    return {
        "model": name,
        "enabled": settings.enabled,
        "status": standing.verdict if standing else "no_data",
        "text": text_of(standing) if standing else None,
        "days": settings.days,
        "tolerance": settings.tolerance,
        "judged_until": going.cursor if going else None,
        "clock": settings.timezone,
        "holidays": settings.country,
        "lanes": [
            _lane(course, names, going.first, rows, going.calendar)
            for course in going.courses.values()
        ]
        if going
        else [],
        "open": [_open(f, opened) for f in findings if f.verdict == "breach"],
        "evidence": [
            {"t": at, "lane": lane, "value": value} for at, lane, value in evidence
        ],
        "accepted": [{"at": a.at, "since": a.since, "by": a.who} for a in accepted],
        "from": span.start,
        "to": span.end,
    }


def _open(finding: Finding, opened: Mapping[AlertKey, Alert]) -> dict[str, Any]:
    """An open change, with the start of its alert, and until when the columns that it names are revised."""
    data = reason(finding, opened)
    revised = (
        data["since"] + REVISED_FOR
        if data["since"] and finding.statistic == "inputs_change"
        else None
    )
    return {**data, "revised_until": revised}


def _lane(
    course: LaneRun,
    names: Mapping[str, str],
    first: datetime,
    rows: float,
    calendar: Calendar,
) -> dict[str, Any]:
    machine, lane = course.machine, course.lane
    begun = course.since or first
    found = lane.detectable(machine.learned, rows, POWER_HOURS) if machine else []
    return {
        "lane": lane.name,
        "share": lane.share,
        "status": "learning"
        if machine is None
        else "open"
        if course.episodes
        else "watching",
        "source": machine.source if machine else None,
        "learned_from": machine.since if machine else begun,
        "watches_from": machine.starts if machine else begun + course.learning_for(),
        "window_hours": machine.width if machine else None,
        "evidence": lane.evidence(machine.learned, course.state) if machine else None,
        "trending": _trending(machine.learned, names) if machine else [],
        "other_weekdays": [
            {"day": calendar.date(b.day * DAY), "weekday": b.weekday}
            for b in getattr(course.state, "borrowed", ())
        ],
        "detectable": [
            {"column": names.get(c, c), "contrast": k, "size": size}
            for c, k, size in found
        ],
    }


def _trending(learned: object, names: Mapping[str, str]) -> list[str]:
    """The columns whose reference drifts itself: there a change has to be larger to be found."""
    shift = getattr(learned, "shift", None)
    if shift is None:
        return []
    fitted = shift.fitted
    found = [
        s.feature
        for s, moved in zip(fitted.streams.streams, fitted.trend, strict=True)
        if moved
    ]
    return list(dict.fromkeys(names.get(c, c) for c in found))


def _usual_rows(store: Store, name: str, until: datetime) -> float:
    """Rows in a usual hour of the last week."""
    end = until.replace(tzinfo=None)
    (profile,) = store.profiles(name, end - RECENT, end, None, columns=["status"])[
        "status"
    ]
    return profile.rows / (RECENT / HOUR)
