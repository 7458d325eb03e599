"""Collect what one evaluation changes: alerts, their state changes and notifications."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from monitor.alert import Alert, AlertKey, Hold, Transition, advance
from monitor.alerting.delivery import messages_for
from monitor.config.config import Config
from monitor.finding import Finding
from monitor.store.alert_store import Message


class AlertChanges:
    """The alerts of one model, moved forward evaluation by evaluation; nothing is stored."""

    def __init__(
        self, config: Config, open_alerts: Mapping[AlertKey, Alert], now: datetime
    ) -> None:
        self.config = config
        self.now = now
        self.open = dict(open_alerts)
        self.changed: dict[str, Alert] = {}  # by id
        self.transitions: list[Transition] = []
        self.messages: list[Message] = []
        self._holds = {
            rule.name: Hold(rule.hold, rule.clear) for rule in config.all_rules
        }

    def advance(self, at: datetime, findings: Sequence[Finding]) -> None:
        """Open, move and resolve alerts by the findings of one evaluation time."""
        begun = {key: alert for key, alert in self.open.items() if alert.since <= at}
        alerts, transitions = advance(begun, findings, at, self._holds)
        self._note(alerts, transitions)
        for alert in alerts:
            earlier = self.open.get(alert.key)
            if earlier is not None and earlier.id != alert.id:
                # history evaluated again found an earlier start: the alert that was
                # sent before ends in favour of this one
                self.end(earlier)
            self.changed[alert.id] = self.open[alert.key] = alert
            if alert.state == "resolved":
                del self.open[alert.key]

    def end(self, alert: Alert) -> None:
        """Resolve an alert that no finding will end."""
        resolved = replace(alert, state="resolved", resolved_at=self.now)
        transition = Transition(
            resolved.id, self.now, alert.state, "resolved", resolved.finding
        )
        self.changed[resolved.id] = resolved
        self._note([resolved], [transition])

    def _note(self, alerts: Sequence[Alert], transitions: Sequence[Transition]) -> None:
        self.transitions += transitions
        self.messages += messages_for(
            alerts,
            transitions,
            self.config.channels,
            self.now,
            self.config.notify_within,
        )
