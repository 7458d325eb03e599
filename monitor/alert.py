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
Key = tuple[str, str, str, str, str]

NAMESPACE = uuid.UUID("6f0c2f6e-6f5f-4b43-9d9a-6f2b1f1d7f10")


@dataclass(frozen=True)
class Alert:
    """One episode of one rule on one column: from the first breach until it is over.

    `count` is the number of evaluations that were in breach, `clear_since` the first
    good one after the last breach.
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
    def key(self) -> Key:
        """The question this alert is about: at most one open alert for each."""
        return self.finding.key

    def silenced(self, now: datetime) -> bool:
        """True while somebody has asked for quiet."""
        return self.silenced_until is not None and now < self.silenced_until


@dataclass(frozen=True)
class Transition:
    """One change of an alert's state, kept for ever."""

    alert_id: str
    at: datetime
    before: State | None
    after: State
    finding: Finding


@dataclass(frozen=True)
class Hold:
    """How long a rule waits: `fire` before pending becomes firing, `clear` before firing becomes resolved."""

    fire: timedelta = timedelta(0)
    clear: timedelta = timedelta(0)


def advance(
    open_alerts: Mapping[Key, Alert],
    findings: Iterable[Finding],
    now: datetime,
    holds: Mapping[str, Hold] | None = None,
) -> tuple[list[Alert], list[Transition]]:
    """The alerts that changed and their transitions, given one round of findings.

    Only `breach` opens or feeds an alert and only `ok` or `warn` lets one end: a window
    with too little data or none neither proves nor clears anything. Findings that
    nobody was asked about leave their alerts as they are.
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
        transitions += [
            Transition(after.id, now, *state, finding) for state in _path(before, after)
        ]
    return alerts, transitions


def _next(
    alert: Alert | None, finding: Finding, now: datetime, hold: Hold
) -> Alert | None:
    if finding.verdict == "breach":
        if alert is None:
            alert = Alert(
                _id(finding, now), "pending", finding, now, now, peak=finding.value
            )
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
            alert = replace(alert, state="firing", fired_at=now)
        return alert
    if alert is None or finding.verdict not in ("ok", "warn"):
        return alert
    clear_since = alert.clear_since or now
    if alert.state == "pending" or now - clear_since >= hold.clear:
        return replace(
            alert, state="resolved", resolved_at=now, clear_since=clear_since
        )
    return replace(alert, clear_since=clear_since)


def _path(before: Alert | None, after: Alert) -> list[tuple[State | None, State]]:
    if before is None:
        steps: list[tuple[State | None, State]] = [(None, "pending")]
        return steps if after.state == "pending" else [*steps, ("pending", after.state)]
    return [] if before.state == after.state else [(before.state, after.state)]


def _peak(peak: float | None, finding: Finding) -> float | None:
    if peak is None or finding.value is None:
        return finding.value if peak is None else peak
    return (
        max(peak, finding.value)
        if finding.direction == "above"
        else min(peak, finding.value)
    )


def _id(finding: Finding, now: datetime) -> str:
    """The same episode always gets the same id, so that a round done twice is done once."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join((*finding.key, now.isoformat()))))
