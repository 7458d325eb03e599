"""Is the model OK right now: one page of figures, each with its limit."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.alert import Alert, AlertKey
from monitor.config.config import Config
from monitor.evaluation.cause import causes
from monitor.evaluation.verdict import ModelVerdict, decide, group_of
from monitor.finding import Finding
from monitor.finding_text import text_of, title_of
from monitor.plugins import statistics
from monitor.profile import merge
from monitor.queries.drift import DEFAULT_STATISTIC, rule_for
from monitor.queries.feature_importance import importances
from monitor.queries.quality import labelled_columns, prediction_error
from monitor.queries.service import ERROR_RATE, LATENCY, WEEK, error_share, limits
from monitor.queries.time_range import TimeRange
from monitor.schema import NON_FEATURE_COLUMNS
from monitor.store import Store
from monitor.store.database import aware
from monitor.store.profiles.reference import Reference

STALE = timedelta(hours=24)
MAX_CAUSES = 20
SERVICE = ("latency_ms", "status")


def models(store: Store, now: datetime) -> list[dict[str, Any]]:
    """One line for each model."""
    rows = []
    spans, references, named = store.spans(), store.references.all(), store.versions()
    firing, found = store.alerts.open_of_all(), store.alerts.findings_of_all()
    for name, model in sorted(store.models().items()):
        first, last, events, labels = spans.get(name, (None, None, 0, 0))
        about = references.get(name, Reference("none"))
        opened = firing.get(name, {})
        verdict = decide(found.get(name, []), opened)
        rows.append(
            {
                "model": name,
                "task": model.task,
                "prediction": model.schema.prediction,
                "versions": named.get(name, []),
                "first_event": aware(first),
                "last_event": aware(last),
                "events": events,
                "labels": labels,
                "features": len(model.schema.features),
                "reference": {
                    "status": about.status,
                    "source": about.source,
                    "from": aware(about.first),
                    "to": aware(about.last),
                    "rows": about.rows,
                    "set_at": aware(about.set_at),
                },
                "open_alerts": sum(a.state == "firing" for a in opened.values()),
                "status": verdict.status if events else "no_data",
            }
        )
    return rows


def overview(
    store: Store,
    config: Config,
    name: str,
    span: TimeRange,
    version: str | None,
    segment: str,
    now: datetime,
    pending: int,
) -> dict[str, Any]:
    """The verdict with its reasons, and the six figures of the first page."""
    opened = store.alerts.open_alerts(name)
    findings = store.alerts.latest_findings(name)
    verdict = decide(findings, opened)
    start, end = span.naive
    # one read for all figures: a statement costs more than what it reads
    wanted = (*SERVICE, *labelled_columns(store.model(name)))
    steps = store.profiles(name, start, end, span.step, version, segment, wanted)
    current = {c: merge(steps[c], steps[c][0].layout) for c in SERVICE}
    week = {
        c: p[0]
        for c, p in store.profiles(
            name, start - WEEK, end - WEEK, None, version, segment, SERVICE
        ).items()
    }
    by_statistic = {f.statistic: f.verdict for f in findings if not f.segment}
    bounds = limits(config, name)
    freshness = _freshness(store, name, now, pending)
    return {
        "model": name,
        "now": now,
        "from": span.start,
        "to": span.end,
        "evaluated_until": store.alerts.evaluated().get(store.model(name).id),
        "status": verdict.status,
        "since": verdict.since,
        "reasons": [reason(f, opened) for f in verdict.reasons[:50]],
        "causes": _causes(store, config, name, findings),
        "groups": {**verdict.groups, "ingestion": freshness["status"]},
        "predictions": {
            "n": current["status"].rows,
            "previous_week": week["status"].rows or None,
        },
        "latency_p95": {
            "value": current["latency_ms"].quantile(0.95),
            "previous_week": week["latency_ms"].quantile(0.95),
            "limit": bounds["latency_p95"],
            "status": by_statistic.get(
                LATENCY, "ok" if current["latency_ms"].n else "no_data"
            ),
        },
        "error_rate": {
            "value": error_share(current["status"])[1],
            "previous_week": error_share(week["status"])[1],
            "limit": bounds["error_rate"],
            "status": by_statistic.get(ERROR_RATE, "no_data"),
        },
        "prediction_error": prediction_error(
            store, config, name, span, steps, findings
        ),
        "drifted": _drifted(store, config, name, span, findings, verdict),
        "freshness": freshness,
    }


def _causes(
    store: Store, config: Config, name: str, findings: list[Finding]
) -> list[dict[str, Any]]:
    """What is behind all that is in breach, what matters most first; only features have an importance."""
    features, shares = (
        store.model(name).schema.by_name,
        importances(store, config, name),
    )
    found = causes(
        findings,
        lambda column: (
            shares.get(column, 0.0) if shares and column in features else None
        ),
    )
    return [{**asdict(cause), "text": cause.text} for cause in found[:MAX_CAUSES]]


def reason(finding: Finding, opened: Mapping[AlertKey, Alert]) -> dict[str, Any]:
    """A finding as plain data, with the start of its alert."""
    alert = opened.get(finding.key)
    return {**finding_data(finding), "since": alert.since if alert else None}


def finding_data(f: Finding) -> dict[str, Any]:
    """A finding as plain data, its sentence included."""
    names = (
        "model",
        "version",
        "segment",
        "rule",
        "statistic",
        "column",
        "verdict",
        "value",
        "low",
        "high",
        "unit",
    )
    more = (
        "limit",
        "warn",
        "compare",
        "direction",
        "reference_value",
        "n",
        "n_reference",
        "minimum",
        "severity",
        "cause",
        "behind",
        "detectable",
    )
    return {
        **{n: getattr(f, n) for n in (*names, *more)},
        "from": f.window_start,
        "to": f.window_end,
        "moved": [asdict(m) for m in f.moved],
        "title": title_of(f.statistic),
        "group": group_of(f.statistic),
        "distance": is_distance(f.statistic),
        "text": text_of(f),
    }


def is_distance(statistic: str) -> bool:
    """True if a statistic is a distance of two distributions; False for the detector's own."""
    plugin = statistics().get(statistic)
    return plugin is not None and plugin.DISTANCE


def _drifted(
    store: Store,
    config: Config,
    name: str,
    span: TimeRange,
    findings: list[Finding],
    verdict: ModelVerdict,
) -> dict[str, Any]:
    found = [
        f
        for f in findings
        if f.statistic == DEFAULT_STATISTIC
        and not f.segment
        and f.column not in NON_FEATURE_COLUMNS
    ]
    bad = [f for f in found if f.verdict == "breach"]
    weights = importances(store, config, name)
    rule = rule_for(config, name, DEFAULT_STATISTIC)
    alerts = [
        a
        for a in store.alerts.listing([name], "all", 10_000)
        if a.finding.statistic == DEFAULT_STATISTIC and a.fired_at
    ]
    episodes = [(a.since, a.resolved_at or span.end) for a in alerts]
    return {
        "n": len(bad),
        "of": len(found),
        "columns": [f.column for f in bad],
        "importance": sum(weights.get(f.column or "", 0.0) for f in bad)
        if bad and weights
        else None,
        "status": verdict.groups["data"],
        "limit": rule.limit,
        "series": [
            {"t": t, "n": sum(a <= t < b for a, b in episodes)} for t in span.steps
        ],
    }


def _freshness(store: Store, name: str, now: datetime, pending: int) -> dict[str, Any]:
    ((received, stored, duplicate, refused),) = store.query(
        "SELECT coalesce(sum(received), 0)::BIGINT, coalesce(sum(stored), 0)::BIGINT, coalesce(sum(duplicate), 0)::BIGINT, "
        "coalesce(sum(refused), 0)::BIGINT FROM accounting WHERE model = ? AND kind = 'events'",
        [name],
    )
    _, last, _, _ = store.span(name)
    last_event = last.replace(tzinfo=UTC) if last else None
    age = (now - last_event).total_seconds() if last_event else None
    lost = received - stored - duplicate - refused
    status = (
        "no_data"
        if age is None or age > STALE.total_seconds()
        else "warn"
        if lost
        else "ok"
    )
    return {
        "last_event": last_event,
        "age_s": age,
        "received": received,
        "stored": stored,
        "duplicate": duplicate,
        "refused": refused,
        "pending": pending,
        "lost": lost,
        "status": status,
    }
