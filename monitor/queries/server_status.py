"""State of the server: readiness, row counts, and its newest work."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor import __version__
from monitor.queries.ingestion import read_totals
from monitor.server.server import Server

# The scheduler evaluates every second; one that is overdue for so long is stuck.
MAX_TICK_AGE = timedelta(seconds=60)


def readiness_problem(server: Server) -> str | None:
    """Return why the server cannot do its work; None when it can."""
    scheduler = server.scheduler
    if scheduler.problem:
        return scheduler.problem
    last_tick = scheduler.last_tick
    if last_tick is not None and datetime.now(UTC) - last_tick > MAX_TICK_AGE:
        return (
            f"the rules were not evaluated for {MAX_TICK_AGE.seconds} s; "
            "the log of the server has the details"
        )
    return None


def read_server_status(
    server: Server, models: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the server's state as plain data.

    `models` limits it to these models and leaves out everything of the whole server;
    None is for a caller of every model.
    """
    names = sorted(server.store.models())
    status = {
        "version": __version__,
        "now": datetime.now(UTC),
        "ready": readiness_problem(server) or "yes",
        "accounting": read_totals(server, models),
        "models": [name for name in names if models is None or name in models],
        "last_load": server.scheduler.last_load,
        "last_tick": server.scheduler.last_tick,
    }
    if models is not None:
        return status
    return {
        **status,
        "data": server.folder.name,
        "spool_bytes": server.spool.pending_bytes(server.store.position),
        "spool_damage": server.spool.damage,
        "halves_waiting": server.pairs.unpaired_count(),
        "notifications_waiting": server.store.alerts.waiting(),
        "drop": server.drop_folders.status(),
    }
