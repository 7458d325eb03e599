"""The life of an alert: pending, firing, resolved.

Pure: findings and the time go in, alerts and transitions come out.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from monitor.finding import Finding

State = Literal["pending", "firing", "resolved"]
AlertKey = tuple[str, str, str, str, str]

NAMESPACE = uuid.UUID("6f0c2f6e-6f5f-4b43-9d9a-6f2b1f1d7f10")


@dataclass(frozen=True)
class Alert:
    """One episode of one rule on one column: from the first breach until it is over.

    `count` is the number of evaluations in breach, `peak` the worst value of them,
    `clear_since` the first good one after the last breach.
    """

    id: str
    state: State
    finding: Finding
    since: datetime
    last_seen: datetime
    count: int = 1
    peak: float | None = None
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    clear_since: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    silenced_until: datetime | None = None

    @property
    def key(self) -> AlertKey:
        """Model, version, segment, rule and column: each has at most one open alert."""
        return self.finding.key

    def silenced(self, now: datetime) -> bool:
        """True while notifications of this alert are silenced."""
        return self.silenced_until is not None and now < self.silenced_until


@dataclass(frozen=True)
class Transition:
    """One change of an alert's state, stored for good."""

    alert_id: str
    at: datetime
    before: State | None
    after: State
    finding: Finding


@dataclass(frozen=True)
class Hold:
    """The pending period and the recovery period of a rule.

    `fire` before pending becomes firing, `clear` before firing becomes resolved.
    """

    fire: timedelta = timedelta(0)
    clear: timedelta = timedelta(0)


def advance(
    open_alerts: Mapping[AlertKey, Alert],
    findings: Iterable[Finding],
    now: datetime,
    holds: Mapping[str, Hold] | None = None,
) -> tuple[list[Alert], list[Transition]]:
    """Return the alerts that one round of findings changes, and their transitions.

    Only `breach` opens or prolongs an alert, only `ok` and `warn` end one: a window
    with too little data or none proves nothing. An alert without a finding in this
    round stays as it is. `holds` are by rule.
    """
    alerts: list[Alert] = []
    transitions: list[Transition] = []
    for finding in findings:
        hold = (holds or {}).get(finding.rule, Hold())
        before = open_alerts.get(finding.key)
        after = _next(before, finding, now, hold)
        if after is None or after == before:
            continue
        alerts.append(after)
        for old, new in _state_changes(before, after):
            transitions.append(Transition(after.id, now, old, new, finding))
    return alerts, transitions


def _next(
    alert: Alert | None, finding: Finding, now: datetime, hold: Hold
) -> Alert | None:
    """Return the alert after a finding; None while there is none."""
    if finding.verdict == "breach":
        return _breached(alert, finding, now, hold)
    if alert is None or finding.verdict not in ("ok", "warn"):
        return alert
    clear_since = alert.clear_since or now
    alert = replace(alert, clear_since=clear_since)
    if alert.state == "pending" or now - clear_since >= hold.clear:
        return replace(alert, state="resolved", resolved_at=now)
    return alert


def _breached(
    alert: Alert | None, finding: Finding, now: datetime, hold: Hold
) -> Alert:
    if alert is None:
        id_ = _alert_id(finding, now)
        alert = Alert(id_, "pending", finding, now, now, peak=finding.value)
    else:
        alert = replace(
            alert,
            finding=finding,
            last_seen=now,
            clear_since=None,
            count=alert.count + 1,
            peak=_peak(alert.peak, finding),
        )
    if alert.state == "pending" and now - alert.since >= hold.fire:
        return replace(alert, state="firing", fired_at=now)
    return alert


def _state_changes(
    before: Alert | None, after: Alert
) -> list[tuple[State | None, State]]:
    if before is None:
        opened: list[tuple[State | None, State]] = [(None, "pending")]
        if after.state != "pending":
            opened.append(("pending", after.state))
        return opened
    return [] if before.state == after.state else [(before.state, after.state)]


def _peak(peak: float | None, finding: Finding) -> float | None:
    value = finding.value
    if peak is None or value is None:
        return value if peak is None else peak
    return max(peak, value) if finding.direction == "above" else min(peak, value)


def _alert_id(finding: Finding, now: datetime) -> str:
    """Return the same id for the same episode, so that a repeated round adds nothing."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join((*finding.key, now.isoformat()))))
