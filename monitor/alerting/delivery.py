"""Outbox to channel: sign, send, retry, record."""

import email.utils
import logging
import random
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from monitor.alert import NAMESPACE, Alert, Transition
from monitor.config.channel import ChannelConfig
from monitor.finding_text import text_of
from monitor.plugins import channels as channel_types
from monitor.store.alert_store import AlertStore, Message

log = logging.getLogger("driftdeck.notify")

# Standard Webhooks: at once, then ten more tries over about three days
RETRIES = [
    timedelta(seconds=s)
    for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
]
TIMEOUT_S = 15.0
TOLD = {"firing", "resolved"}
MAX_MOVED = 20  # in a body; the sentence says how many more


def messages_for(
    alerts: Iterable[Alert],
    transitions: Sequence[Transition],
    channels: Sequence[ChannelConfig],
    now: datetime,
    within: timedelta,
) -> list[Message]:
    """The notifications that transitions cause.

    What happened longer than `within` ago is history, not news.
    """
    by_id = {alert.id: alert for alert in alerts}
    messages = []
    for t in transitions:
        alert = by_id[t.alert_id]
        news = (t.after in TOLD and t.before != "pending") or t.after == "firing"
        if not news or now - t.at > within or alert.silenced(now):
            continue
        for channel in channels:
            if _wants(channel, alert):
                id_ = str(
                    uuid.uuid5(NAMESPACE, f"{alert.id}/{t.after}/{t.at.isoformat()}")
                )
                messages.append(
                    Message(id_, alert.id, channel.name, body_of(alert, t), 0, now)
                )
    return messages


def body_of(alert: Alert, t: Transition) -> dict[str, Any]:
    """The webhook body: type alert.firing or alert.resolved, and the alert with its finding."""
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


def deliver(
    book: AlertStore,
    channels: Sequence[ChannelConfig],
    client: httpx.Client,
    now: datetime,
) -> int:
    """Send what is due; returns how many were tried.

    A failure is retried on a later call, with the same id.
    """
    by_name = {channel.name: channel for channel in channels}
    due = book.due(now)
    for message in due:
        channel = by_name.get(message.channel)
        if channel is None:
            book.settle(message, "failed", "the channel is no longer configured", now)
        else:
            book.settle(message, *_send(message, channel, client, now))
    return len(due)


def _send(
    message: Message, channel: ChannelConfig, client: httpx.Client, now: datetime
) -> tuple[str, str, datetime, timedelta | None]:
    plugin = channel_types()[channel.type]
    request = plugin.render(channel, message.body, message.id, now)
    try:
        with client.stream(
            "POST",
            request.url,
            content=request.body,
            headers=request.headers,
            timeout=TIMEOUT_S,
            follow_redirects=False,
        ) as answer:
            status, retry_after = answer.status_code, answer.headers.get("retry-after")
    except httpx.HTTPError as error:
        return _again(message, f"{type(error).__name__}: {str(error)[:120]}", now, None)
    if 200 <= status < 300:
        return "delivered", f"HTTP {status}", now, None
    if status == 410:
        return "failed", "HTTP 410: the receiver is gone and wants no more", now, None
    return _again(
        message,
        f"HTTP {status}",
        now,
        _seconds(retry_after, now) if status in (429, 502, 503, 504) else None,
    )


def _again(
    message: Message, detail: str, now: datetime, asked: timedelta | None
) -> tuple[str, str, datetime, timedelta | None]:
    if message.tries >= len(RETRIES):
        return (
            "failed",
            f"{detail}; given up after {message.tries + 1} tries",
            now,
            None,
        )
    wait = RETRIES[message.tries] * random.uniform(1.0, 1.2)  # noqa: S311 (spreads load, keeps no secret)
    log.warning(
        "channel %s: %s, attempt %d, next in %.0f s",
        message.channel,
        detail,
        message.tries + 1,
        wait.total_seconds(),
    )
    return "waiting", detail, now, max(wait, asked or timedelta(0))


def _seconds(header: str | None, now: datetime) -> timedelta | None:
    if not header:
        return None
    if header.isdigit():
        return timedelta(seconds=min(int(header), 86400))
    try:
        return min(
            max(
                email.utils.parsedate_to_datetime(header).astimezone(UTC) - now,
                timedelta(0),
            ),
            timedelta(days=1),
        )
    except ValueError:
        return None


def _wants(channel: ChannelConfig, alert: Alert) -> bool:
    f = alert.finding
    return f.severity in channel.severities and (
        channel.models == "*" or f.model in channel.models
    )
