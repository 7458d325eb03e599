"""Status of one model, with the figures of the overview page and their limits."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from monitor.config.config import Config
from monitor.evaluation.cause import causes
from monitor.evaluation.verdict import ModelVerdict, decide
from monitor.finding import Finding
from monitor.profile import Profile, merge
from monitor.queries.alert_data import finding_with_start
from monitor.queries.feature_importance import feature_shares
from monitor.queries.figures.model_rules import (
    ERROR_RATE,
    LATENCY,
    rule_for,
    service_limits,
)
from monitor.queries.figures.quality import labelled_columns, prediction_error
from monitor.queries.figures.selection import Selection
from monitor.queries.figures.service import WEEK, request_error_rate
from monitor.queries.known_statistics import DEFAULT_STATISTIC
from monitor.schema import NON_FEATURE_COLUMNS
from monitor.store import Store
from monitor.store.database import aware

# Without an event for so long a model has no data.
MAX_EVENT_AGE = timedelta(hours=24)
MAX_REASONS = 50
MAX_CAUSES = 20
MAX_ALERTS = 10_000
SERVICE_COLUMNS = ("latency_ms", "status")
EVENT_COUNTS = (
    "SELECT coalesce(sum(received), 0)::BIGINT, coalesce(sum(stored), 0)::BIGINT, "
    "coalesce(sum(duplicate), 0)::BIGINT, coalesce(sum(refused), 0)::BIGINT "
    "FROM accounting WHERE model = ? AND kind = 'events'"
)


def read_overview(
    store: Store, config: Config, selection: Selection, now: datetime, pending: int
) -> dict[str, Any]:
    """Return the status with its reasons, and the six figures of the overview page.

    `pending` is the number of events that are accepted and not in the database yet.
    """
    name = selection.model
    model = store.model(name)
    open_alerts = store.alerts.open_alerts(name)
    findings = store.alerts.latest_findings(name)
    verdict = decide(findings, open_alerts)
    # one read for all figures: a statement costs more than the rows it reads
    columns = (*SERVICE_COLUMNS, *labelled_columns(model))
    steps = selection.read_steps(store, columns)
    current = {
        column: merge(steps[column], steps[column][0].layout)
        for column in SERVICE_COLUMNS
    }
    previous = selection.shifted(-WEEK).read_total(store, SERVICE_COLUMNS)
    freshness = _freshness(store, name, now, pending)
    return {
        "model": name,
        "now": now,
        "from": selection.time_range.start,
        "to": selection.time_range.end,
        "evaluated_until": store.alerts.evaluated().get(model.id),
        "status": verdict.status,
        "since": verdict.since,
        "reasons": [
            finding_with_start(finding, open_alerts)
            for finding in verdict.reasons[:MAX_REASONS]
        ],
        "causes": _causes(store, config, name, findings),
        "groups": {**verdict.groups, "ingestion": freshness["status"]},
        "predictions": {
            "n": current["status"].rows,
            "previous_week": previous["status"].rows or None,
        },
        **_service_figures(config, name, current, previous, findings),
        "prediction_error": prediction_error(store, config, selection, steps, findings),
        "drifted": _drifted(store, config, selection, findings, verdict),
        "freshness": freshness,
    }


def _service_figures(
    config: Config,
    model: str,
    current: dict[str, Profile],
    previous: dict[str, Profile],
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """Return p95 latency and request error rate, with the week before."""
    limits = service_limits(config, model)
    verdicts = {
        finding.statistic: finding.verdict
        for finding in findings
        if not finding.segment
    }
    # latency needs no rule to be shown as OK, but rows
    no_rule = "ok" if current["latency_ms"].n else "no_data"
    return {
        "latency_p95": {
            "value": current["latency_ms"].quantile(0.95),
            "previous_week": previous["latency_ms"].quantile(0.95),
            "limit": limits["latency_p95"],
            "status": verdicts.get(LATENCY, no_rule),
        },
        "error_rate": {
            "value": request_error_rate(current["status"]).rate,
            "previous_week": request_error_rate(previous["status"]).rate,
            "limit": limits["error_rate"],
            "status": verdicts.get(ERROR_RATE, "no_data"),
        },
    }


def _causes(
    store: Store, config: Config, model: str, findings: list[Finding]
) -> list[dict[str, Any]]:
    """Return the likely causes of all breaches, the most important first."""
    importance = _importance_of(store, config, model)
    likely = causes(findings, importance)[:MAX_CAUSES]
    return [{**asdict(cause), "text": cause.text} for cause in likely]


def _importance_of(
    store: Store, config: Config, model: str
) -> Callable[[str], float | None]:
    """Return a function from a column to its importance; None if it has none.

    Only features have an importance.
    """
    features = store.model(model).schema.by_name
    shares = feature_shares(store, config, model)

    def importance(column: str) -> float | None:
        if not shares or column not in features:
            return None
        return shares.get(column, 0.0)

    return importance


def _drifted(
    store: Store,
    config: Config,
    selection: Selection,
    findings: Sequence[Finding],
    verdict: ModelVerdict,
) -> dict[str, Any]:
    """Return the drifted features now, and their number at every step."""
    feature_findings = [
        finding
        for finding in findings
        if finding.statistic == DEFAULT_STATISTIC
        and not finding.segment
        and finding.column not in NON_FEATURE_COLUMNS
    ]
    columns = [
        finding.column for finding in feature_findings if finding.verdict == "breach"
    ]
    shares = feature_shares(store, config, selection.model)
    importance = None
    if columns and shares:
        importance = sum(shares.get(column or "", 0.0) for column in columns)
    return {
        "n": len(columns),
        "of": len(feature_findings),
        "columns": columns,
        "importance": importance,
        "status": verdict.groups["data"],
        "limit": rule_for(config, selection.model, DEFAULT_STATISTIC).limit,
        "series": _drift_series(store, selection),
    }


def _drift_series(store: Store, selection: Selection) -> list[dict[str, Any]]:
    """Return the number of drift alerts that were open at each step."""
    time_range = selection.time_range
    periods = [
        (alert.since, alert.resolved_at or time_range.end)
        for alert in store.alerts.listing([selection.model], "all", MAX_ALERTS)
        if alert.finding.statistic == DEFAULT_STATISTIC and alert.fired_at
    ]
    return [
        {"t": at, "n": sum(start <= at < end for start, end in periods)}
        for at in time_range.steps
    ]


def _freshness(store: Store, model: str, now: datetime, pending: int) -> dict[str, Any]:
    """Return the age of the newest event, and the counts of events; `lost` must be 0."""
    ((received, stored, duplicate, refused),) = store.query(EVENT_COUNTS, [model])
    _, last, _, _ = store.span(model)
    last_event = aware(last)
    age = now - last_event if last_event else None
    unaccounted = received - stored - duplicate - refused
    return {
        "last_event": last_event,
        "age_s": age.total_seconds() if age is not None else None,
        "received": received,
        "stored": stored,
        "duplicate": duplicate,
        "refused": refused,
        "pending": pending,
        "lost": unaccounted,
        "status": _freshness_status(age, unaccounted),
    }


def _freshness_status(age: timedelta | None, unaccounted: int) -> str:
    if age is None or age > MAX_EVENT_AGE:
        return "no_data"
    return "warn" if unaccounted else "ok"
