"""What the demo tells on the console once the history is evaluated, and how it knows that it is."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from .delay_model import MODEL_NAME
from .receiver import Receiver

# an evaluation that has come so far has all of the history behind it
RECENT = timedelta(hours=2)
EVALUATED_WITHIN = 180.0  # seconds
DELIVERED_WITHIN = 30.0  # seconds after that, for the first alert to reach the webhook
NOT_YET = ("no_data", "learning")


class DemoServer:
    """Reads from a running driftdeck server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=30.0, trust_env=False)

    def read(self, path: str, **query: str) -> dict[str, Any] | None:
        """The answer's JSON; None while the server does not answer or has nothing under that path yet."""
        try:
            answer = self._http.get(path, params=query)
            return dict(answer.json()) if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None

    def wait_until(
        self, done: Callable[[], bool], seconds: float, check: Callable[[], None]
    ) -> bool:
        """True as soon as `done()`; False when the time is over.

        `check` may raise if waiting has become pointless.
        """
        end = time.monotonic() + seconds
        while not done():
            check()
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    def is_ready(self) -> bool:
        """True once the server takes events."""
        return self.read("/readyz") is not None

    def is_evaluated(self) -> bool:
        """True once nothing waits to be stored, the model has a status, and its rules have given findings."""
        overview = self.read(f"/v1/models/{MODEL_NAME}/overview")
        if overview is None or overview["status"] in NOT_YET:
            return False
        pending = (overview.get("freshness") or {}).get("pending") or 0
        findings = (self.read(f"/v1/models/{MODEL_NAME}/findings") or {}).get(
            "findings"
        ) or []
        ends = [
            datetime.fromisoformat(f["to"]) for f in findings if f["rule"] != "detector"
        ]
        return pending == 0 and bool(ends) and datetime.now(UTC) - max(ends) < RECENT

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def tell(console: Console, server: DemoServer, receiver: Receiver) -> None:
    """Print the alerts, the columns that drifted most, and what the webhook received."""
    alerts = (
        server.read("/v1/alerts", model=MODEL_NAME, state="all", limit="100") or {}
    ).get("alerts", [])
    drift = server.read(f"/v1/models/{MODEL_NAME}/drift") or {}
    _tell_alerts(console, alerts)
    _tell_drift(console, drift.get("columns", []))
    _tell_webhook(console, receiver)


def _tell_alerts(console: Console, alerts: list[dict[str, Any]]) -> None:
    if not alerts:
        console.print("No alert has fired yet.")
        return
    table = Table(
        "since",
        "state",
        "what",
        "value",
        "limit",
        "rows",
        title="Alerts",
        title_justify="left",
        box=None,
    )
    for alert in sorted(alerts, key=lambda alert: alert.get("since") or "")[-12:]:
        rows = (alert.get("finding") or {}).get("n")
        what = " ".join(
            str(part) for part in (alert["statistic"], alert.get("column")) if part
        )
        values = (_number(alert.get(name)) for name in ("value", "limit"))
        table.add_row(
            (alert.get("since") or "")[:10], alert["state"], what, *values, _count(rows)
        )
    console.print(table)
    open_alerts = [alert for alert in alerts if alert["state"] == "firing"]
    if open_alerts:
        console.print(open_alerts[0]["text"], markup=False)


def _tell_drift(console: Console, columns: list[dict[str, Any]]) -> None:
    drifted = [column for column in columns if column.get("value") is not None][:5]
    if not drifted:
        return
    table = Table(
        "feature",
        "PSI now",
        "rows",
        "importance",
        title="Most harmful drift now",
        box=None,
    )
    table.title_justify = "left"
    for column in drifted:
        importance = column.get("importance")
        share = "" if importance is None else f"{importance:.0%}"
        table.add_row(
            column["column"], _number(column["value"]), _count(column.get("n")), share
        )
    console.print(table)


def _tell_webhook(console: Console, receiver: Receiver) -> None:
    if receiver.rejected:
        console.print(
            f"{receiver.rejected} webhook messages had a wrong signature and were not kept."
        )
    if not receiver.messages:
        console.print("No webhook message has arrived yet.")
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
