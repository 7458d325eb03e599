"""What came, what became of it, and how fresh each model's data is."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from monitor.queries.time_range import TimeRange
from monitor.server.server import Server
from monitor.store import type_mismatches
from monitor.store.ledger import OUTCOMES


def totals(server: Server, models: Collection[str] | None = None) -> dict[str, int]:
    """Rows since the beginning: received = stored + duplicate + refused + pending; `unchecked` are among the stored.

    All are of one moment: what is loaded while they are read would otherwise count
    twice.
    """
    with server.store.batch_loader.accounting_lock:
        pending = server.collector.pending.rows(models)
        found = server.store.ledger.totals(models)
    found["received"] += pending
    return {
        **{name: found[name] for name in OUTCOMES[:4]},
        "pending": pending,
        "unchecked": found["unchecked"],
    }


def accounting(
    server: Server,
    models: Collection[str] | None,
    span: TimeRange,
    now: datetime,
    together: bool = False,
) -> dict[str, Any]:
    """Accounts by model and by hour of receipt, reasons for refusals, freshness and lag, spool and quarantine.

    `together` adds up the models, in steps of the span: a page with a thousand models
    would read 100,000 hours.
    """
    ledger = server.store.ledger
    start, end = (
        at.astimezone(UTC).replace(tzinfo=None) for at in (span.start, span.end)
    )
    hours = (
        ledger.by_step(models, start, end, span.step)
        if together
        else ledger.by_hour(models, start, end)
    )
    held, size = ledger.quarantine_size(models)
    return {
        "now": now,
        "from": span.start,
        "to": span.end,
        "step_s": span.step.total_seconds() if together else 3600.0,
        "totals": totals(server, models),
        "models": _models(server, models, start, end, now),
        "hours": [{**row, "hour": row["hour"].replace(tzinfo=UTC)} for row in hours],
        "reasons": ledger.reasons(models, start, end),
        "mistyped": _mistyped(server, models, start, end, by_hour=not together),
        "quarantine": {
            "records": held,
            "bytes": size,
            "most_bytes": server.store.quarantine_bytes,
        },
        "spool": {
            "pending_bytes": server.spool.pending_bytes(server.store.position),
            "capacity_bytes": server.spool.capacity,
            "damage": server.spool.damage,
        },
        "last_load": server.scheduler.last_load,
        "problem": server.scheduler.problem,
    }


def _mistyped(
    server: Server,
    models: Collection[str] | None,
    start: datetime,
    end: datetime,
    by_hour: bool,
) -> list[dict[str, Any]]:
    """Values of the wrong type in the span, the most frequent first, times aware."""
    with server.store.cursor() as cursor:
        rows = type_mismatches.list_mismatches(cursor, models, start, end, by_hour)
    return [
        row | {k: row[k].replace(tzinfo=UTC) for k in ("hour", "last_hour") if row[k]}
        for row in rows
    ]


def _models(
    server: Server,
    models: Collection[str] | None,
    start: datetime,
    end: datetime,
    now: datetime,
) -> list[dict[str, Any]]:
    """Each model's accounts of the span by kind, what of it is pending now, and how fresh its events are."""
    last = server.store.last_events()
    waiting = server.collector.pending
    with server.store.batch_loader.accounting_lock:
        rows = {
            (row["model"], row["kind"]): row
            for row in server.store.ledger.by_model(models, start, end)
        }
        waits = {key: waiting.of(*key) for key in waiting.waiting()}
    for model, kind in waits:
        if models is None or model in models:
            rows.setdefault(
                (model, kind),
                {
                    "model": model,
                    "kind": kind,
                    "hour": None,
                    **dict.fromkeys(OUTCOMES, 0),
                },
            )
    listed = []
    for key, row in sorted(rows.items()):
        pending, since = waits.get(key, (0, None))
        event = last.get(key[0]) if key[1] == "events" else None
        listed.append(
            {
                **{k: v for k, v in row.items() if k != "hour"},
                "received": row["received"] + pending,
                "pending": pending,
                "last_hour": row["hour"].replace(tzinfo=UTC) if row["hour"] else None,
                "last_event": event,
                "age_s": (now - event).total_seconds() if event else None,
                "lag_s": (now - since).total_seconds() if since else 0.0,
            }
        )
    return listed
