"""Row counts by outcome, and how fresh each model's data is."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from monitor.queries.time_range import TimeRange
from monitor.server.server import Server
from monitor.store import type_mismatches
from monitor.store.ledger import OUTCOMES

Models = Collection[str] | None
Rows = list[dict[str, Any]]


def read_totals(server: Server, models: Models = None) -> dict[str, int]:
    """Return the rows since the beginning, of some models or all (None).

    received = stored + duplicate + refused + pending; `unchecked` are among the stored.
    """
    # Both counts are of one moment: rows that are loaded in between would count twice.
    with server.store.batch_loader.accounting_lock:
        pending = server.collector.pending.rows(models)
        totals = server.store.ledger.totals(models)
    totals["received"] += pending
    return {
        **{name: totals[name] for name in OUTCOMES[:4]},
        "pending": pending,
        "unchecked": totals["unchecked"],
    }


def read_accounting(
    server: Server,
    models: Models,
    time_range: TimeRange,
    now: datetime,
    together: bool = False,
) -> dict[str, Any]:
    """Return row counts by model and by hour of receipt, with all that explains them.

    That is: reasons for refusals, type mismatches, freshness and load lag, quarantine
    and spool. `together` adds up the models, in steps of the time range: a page with a
    thousand models would read 100,000 hours.
    """
    start, end = time_range.naive_bounds
    return {
        "now": now,
        "from": time_range.start,
        "to": time_range.end,
        "step_s": time_range.step.total_seconds() if together else 3600.0,
        "totals": read_totals(server, models),
        "models": _model_rows(server, models, start, end, now),
        "hours": _hour_rows(server, models, time_range, together),
        "reasons": server.store.ledger.reasons(models, start, end),
        "mistyped": _type_mismatches(server, models, start, end, by_hour=not together),
        "quarantine": _quarantine(server, models),
        "spool": _spool(server),
        "last_load": server.scheduler.last_load,
        "problem": server.scheduler.problem,
    }


def _hour_rows(
    server: Server, models: Models, time_range: TimeRange, together: bool
) -> Rows:
    start, end = time_range.naive_bounds
    ledger = server.store.ledger
    if together:
        return _with_zone(ledger.by_step(models, start, end, time_range.step))
    return _with_zone(ledger.by_hour(models, start, end))


def _with_zone(rows: Rows) -> Rows:
    return [{**row, "hour": row["hour"].replace(tzinfo=UTC)} for row in rows]


def _quarantine(server: Server, models: Models) -> dict[str, int]:
    rows, size = server.store.ledger.quarantine_size(models)
    return {
        "records": rows,
        "bytes": size,
        "most_bytes": server.store.quarantine_bytes,
    }


def _spool(server: Server) -> dict[str, Any]:
    return {
        "pending_bytes": server.spool.pending_bytes(server.store.position),
        "capacity_bytes": server.spool.capacity,
        "damage": server.spool.damage,
    }


def _type_mismatches(
    server: Server, models: Models, start: datetime, end: datetime, by_hour: bool
) -> Rows:
    """Return the values of the wrong type, the most frequent first."""
    with server.store.cursor() as cursor:
        rows = type_mismatches.list_mismatches(cursor, models, start, end, by_hour)
    for row in rows:
        for key in ("hour", "last_hour"):
            if row[key]:
                row[key] = row[key].replace(tzinfo=UTC)
    return rows


def _model_rows(
    server: Server, models: Models, start: datetime, end: datetime, now: datetime
) -> Rows:
    """Return the counts of each model and kind, with its pending rows and freshness."""
    last_events = server.store.last_events()
    accounts, pending_rows = _accounts(server, models, start, end)
    rows = []
    for (model, kind), account in sorted(accounts.items()):
        pending, pending_since = pending_rows.get((model, kind), (0, None))
        last_event = last_events.get(model) if kind == "events" else None
        last_hour = account["hour"]
        rows.append(
            {
                "model": model,
                "kind": kind,
                **{name: account[name] for name in OUTCOMES},
                "received": account["received"] + pending,
                "pending": pending,
                "last_hour": last_hour.replace(tzinfo=UTC) if last_hour else None,
                "last_event": last_event,
                "age_s": _seconds_since(last_event, now),
                "lag_s": _seconds_since(pending_since, now) or 0.0,
            }
        )
    return rows


def _accounts(
    server: Server, models: Models, start: datetime, end: datetime
) -> tuple[dict[tuple[str, str], Any], dict[tuple[str, str], Any]]:
    """Return the counts and the pending rows, by model and kind, of one moment.

    A model whose rows are all pending has counts of 0.
    """
    pending = server.collector.pending
    with server.store.batch_loader.accounting_lock:
        accounts = {
            (row["model"], row["kind"]): row
            for row in server.store.ledger.by_model(models, start, end)
        }
        pending_rows = {key: pending.of(*key) for key in pending.waiting()}
    for model, kind in pending_rows:
        if models is None or model in models:
            empty = {"hour": None, **dict.fromkeys(OUTCOMES, 0)}
            accounts.setdefault((model, kind), empty)
    return accounts, pending_rows


def _seconds_since(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else (now - at).total_seconds()
