"""Findings, alerts, their transitions and the outbox, as stored."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from monitor.alert import Alert, Key, Transition
from monitor.errors import NotFound
from monitor.finding import Finding, Moved
from monitor.store import detector_store, ledger
from monitor.store.detector_store import Progress

if TYPE_CHECKING:
    from monitor.store.store import Store


@dataclass(frozen=True)
class Message:
    """One notification on its way: the same `id` on every try."""

    id: str
    alert_id: str
    channel: str
    body: dict[str, Any]
    tries: int
    created: datetime


class AlertStore:
    """The stored side of alerting; every method is one read or one transaction."""

    def __init__(self, store: "Store") -> None:
        self.store = store

    def evaluated(self) -> dict[int, datetime]:
        """The end of the last window that was evaluated, by the id of each model that was."""
        found = self.store.query(
            "SELECT model, max(until) FROM evaluated GROUP BY model"
        )
        return {model: until.replace(tzinfo=UTC) for model, until in found}

    def open_alerts(self, model: str) -> dict[Key, Alert]:
        """The alerts of a model that are pending or firing, by what they are about."""
        rows = self.store.query(
            "SELECT body FROM alerts WHERE model = ? AND state <> 'resolved'", [model]
        )
        alerts = [alert_from(json.loads(body)) for (body,) in rows]
        return {alert.key: alert for alert in alerts}

    def open_of_all(self) -> dict[str, dict[Key, Alert]]:
        """The alerts of every model that are pending or firing."""
        found: dict[str, dict[Key, Alert]] = {}
        for model, body in self.store.query(
            "SELECT model, body FROM alerts WHERE state <> 'resolved'"
        ):
            alert = alert_from(json.loads(body))
            found.setdefault(model, {})[alert.key] = alert
        return found

    def findings_of_all(self) -> dict[str, list[Finding]]:
        """The newest finding of every rule and column, by model."""
        found: dict[str, list[Finding]] = {}
        for model, body in self.store.query("SELECT model, body FROM findings"):
            found.setdefault(model, []).append(finding_from(json.loads(body)))
        return found

    def get(self, alert_id: str) -> Alert:
        """One alert. Raises NotFound."""
        rows = self.store.query("SELECT body FROM alerts WHERE id = ?", [alert_id])
        if not rows:
            raise NotFound(f"there is no alert {alert_id!r}; GET /v1/alerts lists them")
        return alert_from(json.loads(rows[0][0]))

    def listing(
        self, models: Collection[str] | None, state: str, limit: int
    ) -> list[Alert]:
        """Alerts of these models, None for all, the firing first, then the newest.

        `state` is open, pending, firing, resolved or all.
        """
        wanted = {
            "open": ["pending", "firing"],
            "all": ["pending", "firing", "resolved"],
        }.get(state, [state])
        rows = self.store.query(
            "SELECT body FROM alerts WHERE state IN (SELECT unnest($states)) "
            "AND ($models IS NULL OR model IN (SELECT unnest($models::VARCHAR[]))) "
            "ORDER BY state = 'firing' DESC, last_seen DESC, id LIMIT $limit",
            {
                "states": wanted,
                "models": None if models is None else list(models),
                "limit": limit,
            },
        )
        return [alert_from(json.loads(body)) for (body,) in rows]

    def transitions(self, alert_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The state changes of alerts, oldest first, by alert."""
        rows = self.store.query(
            "SELECT alert, body FROM transitions WHERE alert IN (SELECT unnest($ids)) ORDER BY noted_at, rowid",
            {"ids": list(alert_ids)},
        )
        return _grouped([(alert, json.loads(body)) for alert, body in rows])

    def deliveries(self, alert_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """What was sent or is waiting, by alert."""
        rows = self.store.query(
            "SELECT alert, channel, status, tries, coalesce(done, created), detail, id FROM outbox "
            "WHERE alert IN (SELECT unnest($ids)) ORDER BY created, id",
            {"ids": list(alert_ids)},
        )
        names = ("channel", "status", "tries", "at", "detail", "message_id")
        return _grouped(
            [
                (r[0], dict(zip(names, (*r[1:4], aware(r[4]), *r[5:]), strict=True)))
                for r in rows
            ]
        )

    def latest_findings(self, model: str) -> list[Finding]:
        """The newest finding of every rule and column."""
        return [
            finding_from(json.loads(body))
            for (body,) in self.store.query(
                "SELECT body FROM findings WHERE model = ?", [model]
            )
        ]

    def save(
        self,
        model_id: int,
        model: str,
        until: datetime,
        findings: Sequence[Finding],
        alerts: Sequence[Alert],
        transitions: Sequence[Transition],
        messages: Sequence[Message],
        watched: Progress | None = None,
    ) -> None:
        """What evaluation up to `until` came to: the newest findings, alert changes, notifications, and where the
        detector stands; all or nothing."""
        with self.store.writing() as con:
            if watched is not None:
                detector_store.save(con, model_id, model, watched)
            _note_evaluated(con, model_id, until)
            con.execute("DELETE FROM findings WHERE model = ?", [model])
            con.execute(
                "INSERT INTO findings SELECT $model, k, $now, b FROM (SELECT unnest($keys) AS k, unnest($bodies) AS b)",
                {
                    "model": model,
                    "now": until,
                    "keys": ["|".join(f.key) for f in findings],
                    "bodies": [dump(f) for f in findings],
                },
            )
            self._put(con, alerts)
            ledger.insert(
                con,
                "transitions",
                [(t.alert_id, t.at, dump(_transition(t))) for t in transitions],
            )
            for m in messages:
                # the same transition evaluated again makes the same id: it is not told
                # twice
                con.execute(
                    "INSERT INTO outbox SELECT $id, $alert, $channel, $body, 'waiting', 0, $now, $now, NULL, NULL "
                    "WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE id = $id AND channel = $channel)",
                    {
                        "id": m.id,
                        "alert": m.alert_id,
                        "channel": m.channel,
                        "body": json.dumps(m.body),
                        "now": m.created,
                    },
                )

    def rewind(self, model_id: int, model: str, to: datetime) -> None:
        """Forget what the rules concluded after `to`, so that it can be evaluated again with rows that came late.

        The detector keeps its own time, and its alerts are not touched. An alert that
        somebody was told of, or has acknowledged, is not forgotten: a finished one
        stays as it is, an open one goes on. Its silence and acknowledgement stay with
        it.
        """
        with self.store.writing() as con:
            _note_evaluated(con, model_id, to)
            con.execute(
                "DELETE FROM alerts WHERE model = $model AND since >= $since AND json_extract_string(body, '$.acknowledged_by') IS NULL "
                "AND id NOT IN (SELECT alert FROM outbox) AND NOT starts_with(json_extract_string(body, '$.finding.rule'), 'detector.')",
                {"model": model, "since": to},
            )
            con.execute(
                "DELETE FROM transitions WHERE alert NOT IN (SELECT id FROM alerts)"
            )

    def change(self, alert_id: str, by: str, now: datetime, **changes: Any) -> Alert:
        """Acknowledge or silence: the alert with `changes`, noted among its transitions."""
        alert = replace(self.get(alert_id), **changes)
        note = {
            "at": now,
            "from": alert.state,
            "to": alert.state,
            "by": by,
            "value": None,
            "change": sorted(changes),
        }
        with self.store.writing() as con:
            self._put(con, [alert])
            con.execute(
                "INSERT INTO transitions VALUES (?, ?, ?)", [alert_id, now, dump(note)]
            )
        return alert

    def due(self, now: datetime, limit: int = 50) -> list[Message]:
        """Waiting notifications whose time has come; of several for one alert and channel only the oldest."""
        rows = self.store.query(
            "SELECT id, alert, channel, body, tries, created FROM (SELECT *, row_number() OVER (PARTITION BY alert, channel ORDER BY created, rowid) AS nth "
            "FROM outbox WHERE status = 'waiting') WHERE nth = 1 AND next_try <= ? ORDER BY created LIMIT ?",
            [now, limit],
        )
        return [
            Message(r[0], r[1], r[2], json.loads(r[3]), r[4], r[5].replace(tzinfo=UTC))
            for r in rows
        ]

    def settle(
        self,
        message: Message,
        status: str,
        detail: str,
        now: datetime,
        wait: timedelta | None = None,
    ) -> None:
        """Record the outcome of a try: delivered, failed for good, or waiting for the next one."""
        with self.store.writing() as con:
            con.execute(
                "UPDATE outbox SET status = ?, tries = tries + 1, detail = ?, next_try = ?, done = ? WHERE id = ? AND channel = ?",
                [
                    status,
                    detail,
                    now + (wait or timedelta(0)),
                    None if status == "waiting" else now,
                    message.id,
                    message.channel,
                ],
            )

    def waiting(self) -> int:
        """How many notifications are not delivered yet."""
        return int(
            self.store.query("SELECT count(*) FROM outbox WHERE status = 'waiting'")[0][
                0
            ]
        )

    def _put(self, con: Any, alerts: Sequence[Alert]) -> None:
        if not alerts:  # as for most models at most minutes
            return
        con.execute(
            "DELETE FROM alerts WHERE id IN (SELECT unnest($ids))",
            {"ids": [a.id for a in alerts]},
        )
        con.execute(
            "INSERT INTO alerts SELECT unnest($ids), unnest($models), unnest($states), unnest($since), unnest($seen), unnest($bodies)",
            {
                "ids": [a.id for a in alerts],
                "models": [a.finding.model for a in alerts],
                "states": [a.state for a in alerts],
                "since": [a.since for a in alerts],
                "seen": [a.last_seen for a in alerts],
                "bodies": [dump(a) for a in alerts],
            },
        )


def dump(value: Any) -> str:
    """A noun as JSON text; times as RFC 3339."""
    # of numpy
    data = msgspec.to_builtins(
        value, builtin_types=(datetime,), enc_hook=lambda number: number.item()
    )
    return json.dumps(data, default=lambda v: v.isoformat(), ensure_ascii=False)


def alert_from(data: dict[str, Any]) -> Alert:
    """The alert that `dump` wrote."""
    times = (
        "since",
        "last_seen",
        "fired_at",
        "resolved_at",
        "clear_since",
        "acknowledged_at",
        "silenced_until",
    )
    return Alert(
        **{
            **data,
            **{k: _time(data[k]) for k in times},
            "finding": finding_from(data["finding"]),
        }
    )


def finding_from(data: dict[str, Any]) -> Finding:
    """The finding that `dump` wrote."""
    moved = tuple(Moved(**m) for m in data.get("moved", ()))
    times = {
        "window_start": _time(data["window_start"]),
        "window_end": _time(data["window_end"]),
    }
    return Finding(**{**data, **times, "moved": moved})


def _note_evaluated(
    con: duckdb.DuckDBPyConnection, model_id: int, until: datetime
) -> None:
    ((known,),) = con.execute(
        "UPDATE evaluated SET until = ? WHERE model = ?", [until, model_id]
    ).fetchall()
    if not known:
        con.execute("INSERT INTO evaluated VALUES (?, ?)", [model_id, until])


def aware(at: datetime | None) -> datetime | None:
    """A stored time as aware UTC."""
    return None if at is None else at.replace(tzinfo=UTC)


def _transition(t: Transition) -> dict[str, Any]:
    return {
        "at": t.at,
        "from": t.before,
        "to": t.after,
        "value": t.finding.value,
        "by": None,
        "text": t.finding.text,
    }


def _time(text: str | None) -> Any:
    return None if text is None else datetime.fromisoformat(text)


def _grouped(
    rows: Sequence[tuple[str, dict[str, Any]]],
) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for key, row in rows:
        groups.setdefault(key, []).append(row)
    return groups
