"""Alerts with their history, for pages and robots."""

from collections.abc import Sequence
from typing import Any

from monitor.alert import Alert
from monitor.finding_text import text_of
from monitor.queries.overview import finding_data
from monitor.store.alert_store import AlertStore


def alert_rows(book: AlertStore, alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Each alert as plain data, with its transitions and deliveries."""
    ids = [alert.id for alert in alerts]
    transitions, deliveries = book.transitions(ids), book.deliveries(ids)
    return [
        _row(alert, transitions.get(alert.id, []), deliveries.get(alert.id, []))
        for alert in alerts
    ]


def _row(
    alert: Alert, transitions: list[dict[str, Any]], deliveries: list[dict[str, Any]]
) -> dict[str, Any]:
    f = alert.finding
    return {
        "id": alert.id,
        **{
            n: getattr(f, n)
            for n in (
                "model",
                "version",
                "segment",
                "rule",
                "statistic",
                "column",
                "severity",
            )
        },
        "state": alert.state,
        **{
            n: getattr(alert, n)
            for n in ("since", "fired_at", "resolved_at", "last_seen", "count")
        },
        "value": f.value,
        "peak": alert.peak,
        "limit": f.limit,
        "unit": f.unit,
        "text": text_of(f),
        **{
            n: getattr(alert, n)
            for n in ("acknowledged_by", "acknowledged_at", "silenced_until")
        },
        "finding": finding_data(f),
        "transitions": transitions,
        "deliveries": deliveries,
    }
