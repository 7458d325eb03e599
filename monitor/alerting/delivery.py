"""Notifications of state changes: which message goes to which channel."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from monitor.alert import NAMESPACE, Alert, Transition
from monitor.config.channel import ChannelConfig
from monitor.finding_text import text_of
from monitor.store.alert_store import Message

MAX_MOVED = 20  # columns of a change in one body


def messages_for(
    alerts: Iterable[Alert],
    transitions: Sequence[Transition],
    channels: Sequence[ChannelConfig],
    now: datetime,
    within: timedelta,
) -> list[Message]:
    """The notifications of state changes, one for each channel that accepts the alert.

    State changes longer than `within` ago are recorded, not sent.
    """
    by_id = {alert.id: alert for alert in alerts}
    messages = []
    for transition in transitions:
        alert = by_id[transition.alert_id]
        is_old = now - transition.at > within
        if not _is_news(transition) or is_old or alert.silenced(now):
            continue
        body = body_of(alert, transition)
        change = f"{alert.id}/{transition.after}/{transition.at.isoformat()}"
        id_ = str(uuid.uuid5(NAMESPACE, change))
        messages += [
            Message(id_, alert.id, channel.name, body, 0, now)
            for channel in channels
            if _accepts(channel, alert)
        ]
    return messages


def _is_news(transition: Transition) -> bool:
    """True for an alert that fires, and for one that resolves after it fired."""
    if transition.after == "firing":
        return True
    return transition.after == "resolved" and transition.before != "pending"


def body_of(alert: Alert, t: Transition) -> dict[str, Any]:
    """The body of a notification: its type, alert.firing or alert.resolved, and the alert."""
    f = t.finding
    return {
        "type": f"alert.{t.after}",
        "timestamp": t.at.isoformat(),
        "data": {
            "alert_id": alert.id,
            "state": t.after,
            "model": f.model,
            "version": f.version,
            "segment": f.segment,
            "rule": f.rule,
            "severity": f.severity,
            "statistic": f.statistic,
            "column": f.column,
            "value": f.value,
            "low": f.low,
            "high": f.high,
            "limit": f.limit,
            "unit": f.unit,
            "n": f.n,
            "window": {
                "from": f.window_start.isoformat(),
                "to": f.window_end.isoformat(),
            },
            "since": alert.since.isoformat(),
            "cause": f.cause,
            "behind": f.behind,
            "moved": [asdict(m) for m in f.moved[:MAX_MOVED]],
            "text": text_of(f),
        },
    }


def _accepts(channel: ChannelConfig, alert: Alert) -> bool:
    finding = alert.finding
    is_of_model = channel.models == "*" or finding.model in channel.models
    return is_of_model and finding.severity in channel.severities
