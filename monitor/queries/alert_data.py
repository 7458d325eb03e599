"""Alerts and findings as plain data, for pages and programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from monitor.alert import Alert, AlertKey
from monitor.evaluation.verdict import group_of
from monitor.finding import Finding
from monitor.finding_text import text_of, title_of
from monitor.queries.known_statistics import is_distance
from monitor.store.alert_store import AlertStore

FINDING_FIELDS = (
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


def finding_data(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain data, with its title and its sentence."""
    return {
        **{name: getattr(finding, name) for name in FINDING_FIELDS},
        "from": finding.window_start,
        "to": finding.window_end,
        "moved": [asdict(moved) for moved in finding.moved],
        "title": title_of(finding.statistic),
        "group": group_of(finding.statistic),
        "distance": is_distance(finding.statistic),
        "text": text_of(finding),
    }


def finding_with_start(
    finding: Finding, open_alerts: Mapping[AlertKey, Alert]
) -> dict[str, Any]:
    """Return a finding as plain data, `since` the start of its open alert or None."""
    alert = open_alerts.get(finding.key)
    return {**finding_data(finding), "since": alert.since if alert else None}


def alert_rows(
    alert_store: AlertStore, alerts: Sequence[Alert]
) -> list[dict[str, Any]]:
    """Return each alert as plain data, with its state changes and deliveries."""
    ids = [alert.id for alert in alerts]
    transitions = alert_store.transitions(ids)
    deliveries = alert_store.deliveries(ids)
    return [
        {
            **_alert_data(alert),
            "transitions": transitions.get(alert.id, []),
            "deliveries": deliveries.get(alert.id, []),
        }
        for alert in alerts
    ]


def _alert_data(alert: Alert) -> dict[str, Any]:
    finding = alert.finding
    return {
        "id": alert.id,
        "model": finding.model,
        "version": finding.version,
        "segment": finding.segment,
        "rule": finding.rule,
        "statistic": finding.statistic,
        "column": finding.column,
        "severity": finding.severity,
        "state": alert.state,
        "since": alert.since,
        "fired_at": alert.fired_at,
        "resolved_at": alert.resolved_at,
        "last_seen": alert.last_seen,
        "count": alert.count,
        "value": finding.value,
        "peak": alert.peak,
        "limit": finding.limit,
        "unit": finding.unit,
        "text": text_of(finding),
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_at": alert.acknowledged_at,
        "silenced_until": alert.silenced_until,
        "finding": finding_data(finding),
    }
