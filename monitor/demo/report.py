"""The demo's report on the console, once the server has evaluated the history."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from .delay_model import MODEL_NAME
from .receiver import Receiver

# an evaluation with findings of this age has covered all of the history
MAX_FINDING_AGE = timedelta(hours=2)
MAX_EVALUATION_S = 180.0
MAX_DELIVERY_S = 30.0  # after that, until the first alert reaches the webhook
POLL_S = 0.5
MAX_ALERTS, MAX_FEATURES = 12, 5
UNEVALUATED = ("no_data", "learning")


class DemoServer:
    """Reads from a running driftdeck server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=30.0, trust_env=False)

    def read(self, path: str, **query: str) -> dict[str, Any] | None:
        """Read JSON; None while the server does not respond or has nothing at that path."""
        try:
            response = self._http.get(path, params=query)
            return dict(response.json()) if response.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None

    def wait_until(
        self, done: Callable[[], bool], seconds: float, check: Callable[[], None]
    ) -> bool:
        """Wait for `done()`; False when the time is over.

        `check` raises when waiting is pointless.
        """
        end = time.monotonic() + seconds
        while not done():
            check()
            if time.monotonic() > end:
                return False
            time.sleep(POLL_S)
        return True

    def is_ready(self) -> bool:
        """True once the server accepts events."""
        return self.read("/readyz") is not None

    def is_evaluated(self) -> bool:
        """True once no row is pending and the rules have been evaluated to the present."""
        overview = self.read(f"/v1/models/{MODEL_NAME}/overview")
        if overview is None or overview["status"] in UNEVALUATED:
            return False
        pending = (overview.get("freshness") or {}).get("pending") or 0
        body = self.read(f"/v1/models/{MODEL_NAME}/findings") or {}
        ends = [
            datetime.fromisoformat(finding["to"])
            for finding in body.get("findings") or []
            if finding["rule"] != "detector"
        ]
        if pending or not ends:
            return False
        return datetime.now(UTC) - max(ends) < MAX_FINDING_AGE

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def print_report(console: Console, server: DemoServer, receiver: Receiver) -> None:
    """Print the alerts, the columns that drifted most, and what the webhook received."""
    alerts = server.read("/v1/alerts", model=MODEL_NAME, state="all", limit="100") or {}
    drift = server.read(f"/v1/models/{MODEL_NAME}/drift") or {}
    _print_alerts(console, alerts.get("alerts", []))
    _print_drift(console, drift.get("columns", []))
    _print_webhook(console, receiver)


def _print_alerts(console: Console, alerts: list[dict[str, Any]]) -> None:
    if not alerts:
        console.print("No alert has fired yet.")
        return
    table = Table(
        "since",
        "state",
        "check",
        "value",
        "limit",
        "rows",
        title="Alerts",
        title_justify="left",
        box=None,
    )
    alerts = sorted(alerts, key=lambda alert: alert.get("since") or "")
    for alert in alerts[-MAX_ALERTS:]:
        rows = (alert.get("finding") or {}).get("n")
        parts = (alert["statistic"], alert.get("column"))
        table.add_row(
            (alert.get("since") or "")[:10],
            alert["state"],
            " ".join(str(part) for part in parts if part),
            _number(alert.get("value")),
            _number(alert.get("limit")),
            _count(rows),
        )
    console.print(table)
    open_alerts = [alert for alert in alerts if alert["state"] == "firing"]
    if open_alerts:
        console.print(open_alerts[0]["text"], markup=False)


def _print_drift(console: Console, columns: list[dict[str, Any]]) -> None:
    drifted = [column for column in columns if column.get("value") is not None]
    if not drifted:
        return
    table = Table(
        "feature",
        "PSI",
        "rows",
        "importance",
        title="Highest drift impact",
        box=None,
    )
    table.title_justify = "left"
    for column in drifted[:MAX_FEATURES]:
        importance = column.get("importance")
        share = "" if importance is None else f"{importance:.0%}"
        table.add_row(
            column["column"], _number(column["value"]), _count(column.get("n")), share
        )
    console.print(table)


def _print_webhook(console: Console, receiver: Receiver) -> None:
    if receiver.rejected:
        console.print(
            f"{receiver.rejected} webhook messages had a wrong signature"
            " and were rejected."
        )
    if not receiver.messages:
        console.print("No webhook message received yet.")
        return
    count = len(receiver.messages)
    console.print(
        f"Webhook messages received, signature verified: {count}. The first one:"
    )
    console.print_json(data=receiver.messages[0])


def _number(value: Any) -> str:
    return "" if value is None else f"{float(value):.3g}"


def _count(value: Any) -> str:
    return "" if value is None else f"{int(value):,}"
