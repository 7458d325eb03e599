"""State of the server: readiness, row counts, and its newest work."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from monitor import __version__
from monitor.queries.ingestion import read_totals
from monitor.server.server import Server

# The scheduler evaluates every second; one that is overdue for so long is stuck.
MAX_TICK_AGE = timedelta(seconds=60)
MAX_STANDSTILL_S = 60  # without a loaded row while rows wait


class NotReady(NamedTuple):
    """Why the server cannot do its work: the part in a word, and the reason."""

    part: str
    reason: str


def why_not_ready(server: Server) -> NotReady | None:
    """Return the first problem of the server's parts; None when it is ready."""
    reason = server.spool.problem()
    if reason is not None:
        return NotReady("spool", reason)
    reason = server.pairs.problem()
    if reason is not None:
        return NotReady("pairs", reason)
    for step in server.scheduler.steps:
        if step.problem is not None:
            return NotReady(step.name, step.problem)
    standstill_s = server.scheduler.loading.standstill_s
    if standstill_s > MAX_STANDSTILL_S:
        reason = f"no row was loaded for {standstill_s:.0f} s, though rows may wait"
        return NotReady("load", f"{reason}; the log of the server has the details")
    last_tick = server.scheduler.last_tick
    if last_tick is not None and datetime.now(UTC) - last_tick > MAX_TICK_AGE:
        reason = f"the rules were not evaluated for {MAX_TICK_AGE.seconds} s"
        return NotReady("evaluate", f"{reason}; the log of the server has the details")
    return None


def read_server_status(
    server: Server, models: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the server's state as plain data.

    `models` limits it to these models and leaves out everything of the whole server;
    None is for a caller of every model.
    """
    names = sorted(server.store.models())
    problem = why_not_ready(server)
    status = {
        "version": __version__,
        "now": datetime.now(UTC),
        "ready": "yes" if problem is None else problem.reason,
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
        "set_aside": server.loader.set_aside.names(),
        "halves_waiting": server.pairs.unpaired_count(),
        "notifications_waiting": server.store.alerts.waiting(),
        "drop": server.drop_folders.status(),
    }
