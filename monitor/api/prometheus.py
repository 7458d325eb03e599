"""GET /metrics: the server's state and the newest findings in Prometheus' text format."""

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

__all__ = ["CONTENT_TYPE", "render_metrics"]

FINDING_LABELS = ["model", "rule", "column", "statistic", "segment"]


def render_metrics(server: Server, caller: Caller) -> bytes:
    """Return all metrics as text.

    A caller of some models gets those of its models, none of the whole server.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_ServerMetrics(server, caller))
    return generate_latest(registry)


class _ServerMetrics:
    """A collector in the sense of the Prometheus client."""

    def __init__(self, server: Server, caller: Caller) -> None:
        self.server = server
        self.caller = caller

    def collect(self) -> Iterator[Metric]:
        yield from self._row_metrics()
        yield self._event_ages()
        yield self._refusals()
        yield from self._finding_metrics()
        if self.caller.models is None:
            yield from self._server_metrics()

    def _server_metrics(self) -> Iterator[Metric]:
        store = self.server.store
        waiting = GaugeMetricFamily(
            "driftdeck_notifications_waiting", "Notifications not delivered yet"
        )
        waiting.add_metric([], store.alerts.waiting())
        yield waiting
        spool = GaugeMetricFamily(
            "driftdeck_spool_bytes", "Bytes accepted and not in the database yet"
        )
        spool.add_metric([], self.server.spool.pending_bytes(store.position))
        yield spool

    def _row_metrics(self) -> Iterator[Metric]:
        rows = CounterMetricFamily(
            "driftdeck_rows",
            "Rows by model, kind and outcome",
            labels=["model", "kind", "outcome"],
        )
        # before the pending rows are read, or rows that are loaded meanwhile would
        # count twice
        accounts = self.server.store.ledger.by_model(
            self.caller.models, datetime.min, datetime.max
        )
        pending_rows = GaugeMetricFamily(
            "driftdeck_rows_pending",
            "Rows accepted and not in the database yet",
            labels=["model", "kind"],
        )
        for account in accounts:
            key = [account["model"], account["kind"]]
            pending, _ = self.server.collector.pending.of(*key)
            pending_rows.add_metric(key, pending)
            for outcome in OUTCOMES:
                count = float(account[outcome])
                if outcome == "received":
                    count += pending
                rows.add_metric([*key, outcome], count)
        yield rows
        yield pending_rows

    def _event_ages(self) -> Metric:
        ages = GaugeMetricFamily(
            "driftdeck_newest_event_age_seconds",
            "Age of the newest event",
            labels=["model"],
        )
        for model, newest in self.server.store.last_events().items():
            if self.caller.sees(model):
                age = datetime.now(UTC) - newest
                ages.add_metric([model], age.total_seconds())
        return ages

    def _refusals(self) -> Metric:
        refusals = CounterMetricFamily(
            "driftdeck_refusals",
            "Refused rows by reason",
            labels=["model", "kind", "reason"],
        )
        reasons = self.server.store.ledger.reasons(
            self.caller.models, datetime.min, datetime.max
        )
        for row in reasons:
            key = [row["model"], row["kind"], row["reason"]]
            refusals.add_metric(key, float(row["rows"]))
        return refusals

    def _finding_metrics(self) -> Iterator[Metric]:
        value = GaugeMetricFamily(
            "driftdeck_finding_value",
            "Newest measured value of a rule on a column",
            labels=FINDING_LABELS,
        )
        breach = GaugeMetricFamily(
            "driftdeck_finding_breach",
            "1 when the newest finding is a breach",
            labels=FINDING_LABELS,
        )
        firing = GaugeMetricFamily(
            "driftdeck_alerts_firing", "Firing alerts", labels=["model"]
        )
        alerts = self.server.store.alerts
        for model in filter(self.caller.sees, sorted(self.server.store.models())):
            for finding in alerts.latest_findings(model):
                key = [
                    model,
                    finding.rule,
                    finding.column or "",
                    finding.statistic,
                    finding.segment,
                ]
                if finding.value is not None:
                    value.add_metric(key, finding.value)
                breach.add_metric(key, float(finding.verdict == "breach"))
            states = [alert.state for alert in alerts.open_alerts(model).values()]
            firing.add_metric([model], states.count("firing"))
        yield value
        yield breach
        yield firing
