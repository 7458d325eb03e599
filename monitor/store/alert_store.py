"""Findings, alerts, their state changes and the outbox, as stored."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import duckdb
import msgspec

from monitor.alert import Alert, AlertKey, Transition
from monitor.errors import NotFound
from monitor.finding import Finding
from monitor.finding_text import text_of
from monitor.store import detector_store
from monitor.store.database import Database, aware, insert_rows
from monitor.store.detector_store import DetectorProgress

# by the state that a caller asks for; every other one stands for itself
STATES = {
    "open": ["pending", "firing"],
    "all": ["pending", "firing", "resolved"],
}
# a message that was created later than this from now is due at once
CLOCK_TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True)
class Message:
    """One notification to one channel: every attempt has the same `id`."""

    id: str
    alert_id: str
    channel: str
    body: dict[str, Any]
    tries: int
    created: datetime


class AlertStore:
    """The stored side of alerting; every method is one read or one transaction.

    Times are aware UTC.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def evaluated(self) -> dict[int, datetime]:
        """Return the end of each model's last evaluated window, by model id."""
        rows = self._database.query(
            "SELECT model, max(until) FROM evaluated GROUP BY model"
        )
        return {model: aware(until) for model, until in rows}

    def open_alerts(self, model: str) -> dict[AlertKey, Alert]:
        """Return the pending and firing alerts of a model, by key."""
        rows = self._database.query(
            "SELECT body FROM alerts WHERE model = ? AND state <> 'resolved'", [model]
        )
        alerts = [read_alert(body) for (body,) in rows]
        return {alert.key: alert for alert in alerts}

    def open_of_all(self) -> dict[str, dict[AlertKey, Alert]]:
        """Return the pending and firing alerts of every model that has any, by key."""
        by_model: dict[str, dict[AlertKey, Alert]] = {}
        for model, body in self._database.query(
            "SELECT model, body FROM alerts WHERE state <> 'resolved'"
        ):
            alert = read_alert(body)
            by_model.setdefault(model, {})[alert.key] = alert
        return by_model

    def findings_of_all(self) -> dict[str, list[Finding]]:
        """Return the newest finding of every rule and column, by model."""
        by_model: dict[str, list[Finding]] = {}
        for model, body in self._database.query("SELECT model, body FROM findings"):
            by_model.setdefault(model, []).append(read_finding(body))
        return by_model

    def get(self, alert_id: str) -> Alert:
        """Return one alert. Raises NotFound."""
        rows = self._database.query("SELECT body FROM alerts WHERE id = ?", [alert_id])
        if not rows:
            raise NotFound(f"there is no alert {alert_id!r}; GET /v1/alerts lists them")
        return read_alert(rows[0][0])

    def listing(
        self, models: Collection[str] | None, state: str, limit: int
    ) -> list[Alert]:
        """List alerts of some models (None: of all), the firing first, then the newest.

        `state` is open, pending, firing, resolved or all.
        """
        rows = self._database.query(
            "SELECT body FROM alerts WHERE state IN (SELECT unnest($states)) AND "
            "($models IS NULL OR model IN (SELECT unnest($models::VARCHAR[]))) "
            "ORDER BY state = 'firing' DESC, last_seen DESC, id LIMIT $limit",
            {
                "states": STATES.get(state, [state]),
                "models": None if models is None else list(models),
                "limit": limit,
            },
        )
        return [read_alert(body) for (body,) in rows]

    def transitions(self, alert_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the state changes of alerts, oldest first, by alert."""
        rows = self._database.query(
            "SELECT alert, body FROM transitions "
            "WHERE alert IN (SELECT unnest($ids)) ORDER BY noted_at, rowid",
            {"ids": list(alert_ids)},
        )
        return _group([(alert, json.loads(body)) for alert, body in rows])

    def deliveries(self, alert_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Return the deliveries of alerts, also those to come, oldest first, by alert."""
        rows = self._database.query(
            "SELECT alert, channel, status, tries, coalesce(done, created), detail, id "
            "FROM outbox WHERE alert IN (SELECT unnest($ids)) ORDER BY created, id",
            {"ids": list(alert_ids)},
        )
        deliveries = []
        for alert, channel, status, tries, at, detail, message_id in rows:
            delivery = {
                "channel": channel,
                "status": status,
                "tries": tries,
                "at": aware(at),
                "detail": detail,
                "message_id": message_id,
            }
            deliveries.append((alert, delivery))
        return _group(deliveries)

    def latest_findings(self, model: str) -> list[Finding]:
        """Return the newest finding of every rule and column of a model."""
        rows = self._database.query(
            "SELECT body FROM findings WHERE model = ?", [model]
        )
        return [read_finding(body) for (body,) in rows]

    def save(
        self,
        model_id: int,
        model: str,
        until: datetime,
        findings: Sequence[Finding],
        alerts: Sequence[Alert],
        transitions: Sequence[Transition],
        messages: Sequence[Message],
        progress: DetectorProgress | None = None,
    ) -> None:
        """Save what the evaluation of a model up to `until` changed, all or nothing.

        `findings` replace those before, `alerts` those of the same id; `progress` is
        the detector's.
        """
        changes = [
            (transition.alert_id, transition.at, to_json(_change_of(transition)))
            for transition in transitions
        ]
        with self._database.writing() as con:
            if progress is not None:
                detector_store.save_progress(con, model_id, model, progress)
            _set_evaluated(con, model_id, until)
            _replace_findings(con, model, until, findings)
            _put_alerts(con, alerts)
            insert_rows(con, "transitions", changes)
            for message in messages:
                _put_message(con, message)

    def rewind(self, model_id: int, model: str, to: datetime) -> None:
        """Forget what the rules concluded after `to`, so that it can be evaluated again.

        The detector keeps its own time, and its alerts are not touched. An alert that
        was notified or acknowledged is not forgotten: a resolved one stays as it is, an
        open one goes on. Its silence and acknowledgement stay with it.
        """
        with self._database.writing() as con:
            _set_evaluated(con, model_id, to)
            detector_store.delete_alerts(con, model, to, of_detector=False)

    def change(self, alert_id: str, by: str, now: datetime, **changes: Any) -> Alert:
        """Acknowledge or silence: save the alert with `changes`; return it.

        The change is listed among the alert's state changes.
        """
        alert = replace(self.get(alert_id), **changes)
        change = {
            "at": now,
            "from": alert.state,
            "to": alert.state,
            "by": by,
            "value": None,
            "change": sorted(changes),
        }
        with self._database.writing() as con:
            _put_alerts(con, [alert])
            con.execute(
                "INSERT INTO transitions VALUES (?, ?, ?)",
                [alert_id, now, to_json(change)],
            )
        return alert

    def due(self, now: datetime, channel: str, limit: int = 50) -> list[Message]:
        """Return notifications of a channel whose next attempt is due.

        Of several for one alert, only the oldest.
        """
        return self._due("channel = ?", [channel], now, limit)

    def due_elsewhere(
        self, now: datetime, channels: Sequence[str], limit: int = 50
    ) -> list[Message]:
        """Return due notifications of all channels but some."""
        return self._due("NOT list_contains(?, channel)", [list(channels)], now, limit)

    def _due(
        self, condition: str, parameters: list[Any], now: datetime, limit: int
    ) -> list[Message]:
        rows = self._database.query(
            "SELECT id, alert, channel, body, tries, created FROM ("
            "SELECT *, row_number() OVER "
            "(PARTITION BY alert, channel ORDER BY created, rowid) AS nth "
            f"FROM outbox WHERE status = 'waiting' AND {condition}) "
            # one that was queued while the clock was ahead does not wait until then
            "WHERE nth = 1 AND (next_try <= ? OR created > ?) "
            "ORDER BY created LIMIT ?",
            [*parameters, now, now + CLOCK_TOLERANCE, limit],
        )
        return [
            Message(id_, alert, channel, json.loads(body), tries, aware(created))
            for id_, alert, channel, body, tries, created in rows
        ]

    def settle(
        self,
        message: Message,
        status: str,
        detail: str,
        now: datetime,
        wait: timedelta | None = None,
    ) -> None:
        """Record the outcome of an attempt: delivered, failed, or waiting for the next."""
        next_try = now + (wait or timedelta(0))
        done = None if status == "waiting" else now
        with self._database.writing() as con:
            con.execute(
                "UPDATE outbox SET status = ?, tries = tries + 1, detail = ?, "
                "next_try = ?, done = ? WHERE id = ? AND channel = ?",
                [status, detail, next_try, done, message.id, message.channel],
            )

    def waiting(self) -> int:
        """Count the notifications that are not delivered yet."""
        ((n,),) = self._database.query(
            "SELECT count(*) FROM outbox WHERE status = 'waiting'"
        )
        return int(n)


def to_json(value: Any) -> str:
    """Encode a noun as JSON, as it is stored: times in ISO 8601, numpy's as plain numbers."""
    plain = msgspec.to_builtins(
        value, builtin_types=(datetime,), enc_hook=lambda number: number.item()
    )
    return json.dumps(plain, default=datetime.isoformat, ensure_ascii=False)


# json.loads, because stored numbers may be infinite, which msgspec's decoder refuses


def read_alert(body: str) -> Alert:
    """Decode an alert that `to_json` wrote."""
    return msgspec.convert(json.loads(body), Alert)


def read_finding(body: str) -> Finding:
    """Decode a finding that `to_json` wrote."""
    return msgspec.convert(json.loads(body), Finding)


def _set_evaluated(
    con: duckdb.DuckDBPyConnection, model_id: int, until: datetime
) -> None:
    ((updated,),) = con.execute(
        "UPDATE evaluated SET until = ? WHERE model = ?", [until, model_id]
    ).fetchall()
    if not updated:
        con.execute("INSERT INTO evaluated VALUES (?, ?)", [model_id, until])


def _replace_findings(
    con: duckdb.DuckDBPyConnection,
    model: str,
    now: datetime,
    findings: Sequence[Finding],
) -> None:
    con.execute("DELETE FROM findings WHERE model = ?", [model])
    con.execute(
        "INSERT INTO findings SELECT $model, k, $now, b FROM "
        "(SELECT unnest($keys) AS k, unnest($bodies) AS b)",
        {
            "model": model,
            "now": now,
            "keys": ["|".join(finding.key) for finding in findings],
            "bodies": [to_json(finding) for finding in findings],
        },
    )


def _put_alerts(con: duckdb.DuckDBPyConnection, alerts: Sequence[Alert]) -> None:
    if not alerts:  # as for most models at most evaluations
        return
    ids = [alert.id for alert in alerts]
    con.execute("DELETE FROM alerts WHERE id IN (SELECT unnest($ids))", {"ids": ids})
    rows = [
        (
            alert.id,
            alert.finding.model,
            alert.state,
            alert.since,
            alert.last_seen,
            to_json(alert),
        )
        for alert in alerts
    ]
    insert_rows(con, "alerts", rows)


def _put_message(con: duckdb.DuckDBPyConnection, message: Message) -> None:
    """Put a notification into the outbox, unless it is there.

    A transition that is evaluated again gives the same id: it is not sent twice.
    """
    con.execute(
        "INSERT INTO outbox SELECT $id, $alert, $channel, $body, 'waiting', 0, $now, "
        "$now, NULL, NULL WHERE NOT EXISTS "
        "(SELECT 1 FROM outbox WHERE id = $id AND channel = $channel)",
        {
            "id": message.id,
            "alert": message.alert_id,
            "channel": message.channel,
            "body": json.dumps(message.body),
            "now": message.created,
        },
    )


def _change_of(transition: Transition) -> dict[str, Any]:
    return {
        "at": transition.at,
        "from": transition.before,
        "to": transition.after,
        "value": transition.finding.value,
        "by": None,
        "text": text_of(transition.finding),
    }


def _group(
    rows: Sequence[tuple[str, dict[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for key, row in rows:
        groups.setdefault(key, []).append(row)
    return groups
