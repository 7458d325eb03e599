"""/metrics: the server's own state and the newest findings, in Prometheus' text format."""

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)

from monitor.access import Caller
from monitor.server.server import Server
from monitor.store.ledger import OUTCOMES

__all__ = ["CONTENT_TYPE", "render"]


def render(server: Server, caller: Caller) -> bytes:
    """All metrics as text; a caller of some models gets theirs and nothing of the server as a whole."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_ServerMetrics(server, caller))
    return generate_latest(registry)


class _ServerMetrics:
    def __init__(self, server: Server, caller: Caller) -> None:
        self.server, self.caller = server, caller

    def collect(self) -> Iterator[Metric]:
        yield from self._rows()
        yield from self._findings()
        if self.caller.models is None:
            yield from self._server()

    def _server(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "driftdeck_notifications_waiting", "Notifications not delivered yet"
        )
        waiting.add_metric([], self.server.store.alerts.waiting())
        yield waiting
        spool = GaugeMetricFamily(
            "driftdeck_spool_bytes", "Bytes acknowledged and not loaded yet"
        )
        spool.add_metric(
            [], self.server.spool.pending_bytes(self.server.store.position)
        )
        yield spool

    def _rows(self) -> Iterator[Metric]:
        rows = CounterMetricFamily(
            "driftdeck_rows",
            "Rows by model, kind and outcome",
            labels=["model", "kind", "outcome"],
        )
        found = self.server.store.ledger.by_model(
            self.caller.models, datetime.min, datetime.max
        )
        waiting, pending = (
            self.server.collector.pending,
            GaugeMetricFamily(
                "driftdeck_rows_pending",
                "Rows taken and not loaded yet",
                labels=["model", "kind"],
            ),
        )
        for row in found:
            n, _ = waiting.of(row["model"], row["kind"])
            pending.add_metric([row["model"], row["kind"]], n)
            for outcome in OUTCOMES:
                rows.add_metric(
                    [row["model"], row["kind"], outcome],
                    float(row[outcome]) + (n if outcome == "received" else 0),
                )
        yield from (rows, pending)
        age = GaugeMetricFamily(
            "driftdeck_newest_event_age_seconds",
            "Age of the newest event",
            labels=["model"],
        )
        for model, at in self.server.store.last_events().items():
            if self.caller.sees(model):
                age.add_metric([model], (datetime.now(UTC) - at).total_seconds())
        yield age
        reasons = CounterMetricFamily(
            "driftdeck_refusals",
            "Refused rows by reason",
            labels=["model", "kind", "reason"],
        )
        for row in self.server.store.ledger.reasons(
            self.caller.models, datetime.min, datetime.max
        ):
            reasons.add_metric(
                [row["model"], row["kind"], row["reason"]], float(row["rows"])
            )
        yield reasons

    def _findings(self) -> Iterator[Metric]:
        labels = ["model", "rule", "column", "statistic", "segment"]
        value = GaugeMetricFamily(
            "driftdeck_finding_value",
            "Newest measured value of a rule on a column",
            labels=labels,
        )
        breach = GaugeMetricFamily(
            "driftdeck_finding_breach",
            "1 when the newest finding is a breach",
            labels=labels,
        )
        firing = GaugeMetricFamily(
            "driftdeck_alerts_firing", "Firing alerts", labels=["model"]
        )
        for name in filter(self.caller.sees, sorted(self.server.store.models())):
            for f in self.server.store.alerts.latest_findings(name):
                key = [name, f.rule, f.column or "", f.statistic, f.segment]
                if f.value is not None:
                    value.add_metric(key, f.value)
                breach.add_metric(key, float(f.verdict == "breach"))
            opened = self.server.store.alerts.open_alerts(name).values()
            firing.add_metric([name], sum(a.state == "firing" for a in opened))
        yield from (value, breach, firing)
