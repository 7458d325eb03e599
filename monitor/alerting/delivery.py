"""Notifications of state changes: queued for each channel, sent, retried, recorded."""

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

# after the first attempt nine retries over about three days, as Standard Webhooks
# recommends
RETRIES = [
    timedelta(seconds=s)
    for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
]
TIMEOUT_S = 15.0
MAX_RETRY_AFTER = timedelta(days=1)  # that a receiver may ask for
RETRY_AFTER_STATUSES = (429, 502, 503, 504)
MAX_MOVED = 20  # columns of a change in one body
MAX_ERROR_LENGTH = 120

# status of a delivery, its detail, its time, and the wait until the next attempt
Outcome = tuple[str, str, datetime, timedelta | None]


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


def deliver(
    book: AlertStore,
    channels: Sequence[ChannelConfig],
    client: httpx.Client,
    now: datetime,
) -> int:
    """Send the messages that are due; return the number of attempts.

    A failed attempt is retried on a later call, with the same id.
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
) -> Outcome:
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
        ) as response:
            status = response.status_code
            retry_after = response.headers.get("retry-after")
    except httpx.HTTPError as error:
        detail = f"{type(error).__name__}: {str(error)[:MAX_ERROR_LENGTH]}"
        return _retry(message, detail, now, None)
    if 200 <= status < 300:
        return "delivered", f"HTTP {status}", now, None
    if status == 410:
        return "failed", "HTTP 410: the receiver is gone", now, None
    wait = None
    if status in RETRY_AFTER_STATUSES:
        wait = _retry_after(retry_after, now)
    return _retry(message, f"HTTP {status}", now, wait)


def _retry(
    message: Message, detail: str, now: datetime, requested: timedelta | None
) -> Outcome:
    """The next attempt, not before `requested`; failed after the last one."""
    attempt = message.tries + 1
    if message.tries >= len(RETRIES):
        return "failed", f"{detail}; failed after {attempt} attempts", now, None
    spread = random.uniform(1.0, 1.2)  # noqa: S311 (spreads load, no secret)
    wait = RETRIES[message.tries] * spread
    log.warning(
        "channel %s: %s, attempt %d, next in %.0f s",
        message.channel,
        detail,
        attempt,
        wait.total_seconds(),
    )
    return "waiting", detail, now, max(wait, requested or timedelta(0))


def _retry_after(header: str | None, now: datetime) -> timedelta | None:
    """The wait that a Retry-After header asks for; None if there is none."""
    if not header:
        return None
    if header.isdigit():
        return timedelta(seconds=min(int(header), MAX_RETRY_AFTER.total_seconds()))
    try:
        at = email.utils.parsedate_to_datetime(header).astimezone(UTC)
    except ValueError:
        return None
    return min(max(at - now, timedelta(0)), MAX_RETRY_AFTER)


def _accepts(channel: ChannelConfig, alert: Alert) -> bool:
    finding = alert.finding
    is_of_model = channel.models == "*" or finding.model in channel.models
    return is_of_model and finding.severity in channel.severities
