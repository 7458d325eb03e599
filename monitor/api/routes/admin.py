"""Health, metrics, status, references, evaluation, and what people do to alerts."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import PlainTextResponse, Response

from monitor import __version__
from monitor.api.authorization import caller_of
from monitor.api.prometheus import CONTENT_TYPE, render
from monitor.api.request_body import body_of
from monitor.api.response import answer, error
from monitor.errors import InvalidRequest, NotFound
from monitor.ingest.validation import source_for
from monitor.queries.alerts import alert_rows
from monitor.queries.ingestion import totals
from monitor.queries.time_range import parse_time
from monitor.server.server import Server

router = APIRouter()
MAX_REFERENCE = 512 << 20
STUCK = timedelta(seconds=60)


class Acknowledge(BaseModel):
    """Who takes an alert on."""

    model_config = ConfigDict(extra="forbid")
    by: Annotated[str, Field(min_length=1, max_length=100)] = "somebody"


class Silence(Acknowledge):
    """Quiet for some hours; 0 ends it."""

    hours: Annotated[float, Field(ge=0, le=24 * 90)]


@router.get("/healthz", tags=["health"], summary="The process lives")
def healthz() -> dict[str, str]:
    """Always ok while the process answers."""
    return {"status": "ok"}


@router.get("/readyz", tags=["health"], summary="The server can take and show data")
def readyz(request: Request) -> Response:
    """200 when the spool takes rows and the loop runs, else 503 with the reason."""
    problem = not_ready(request.app.state.server)
    return (
        error(problem, 503)
        if problem
        else answer(request, {"status": "ready"}, "status")
    )


@router.get(
    "/metrics",
    tags=["health"],
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
)
def metrics(request: Request) -> Response:
    """The server's own state and the newest findings, for Prometheus."""
    return Response(
        render(request.app.state.server, caller_of(request)), media_type=CONTENT_TYPE
    )


@router.get("/v1/status", tags=["health"], summary="What the server is doing")
def status(request: Request) -> Response:
    """Version, accounting, loading and evaluation; damage found in the spool."""
    server: Server = request.app.state.server
    own = caller_of(request).models
    return answer(
        request, status_of(server) if own is None else status_for(server, own), "models"
    )


@router.put(
    "/v1/models/{model:name}/reference", tags=["admin"], summary="Set the reference"
)
async def put_reference(
    request: Request,
    model: str,
    from_: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    to: Annotated[str | None, Query(max_length=40)] = None,
    source: Annotated[str, Query(max_length=200)] = "file",
) -> Response:
    """From a body of rows (Parquet, Arrow, CSV; column `label` where known), or from the stored period `from` `to`."""
    server: Server = request.app.state.server
    now = datetime.now(UTC)
    if from_ or to:
        if not (from_ and to):
            raise InvalidRequest("give both `from` and `to`")
        start, end = _times(from_, to, now)
        about = await asyncio.to_thread(
            server.set_reference_period, model, start, end, now
        )
    else:
        async with body_of(request, MAX_REFERENCE) as body:
            kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
            tables = [
                (await asyncio.to_thread(source_for(kind).read_bytes, body)).table
            ]
            columns = set(tables[0].column_names)
            if columns and columns <= {"from", "to", "source"}:
                raise InvalidRequest(
                    "a period goes into the address: PUT ...?from=2026-01-01&to=2026-02-01; a body has rows"
                )
            # or it would be held while its rows are profiled; so would the table, if it
            # were not handed over
            del body
        about = await asyncio.to_thread(
            lambda: server.set_reference_table(model, tables.pop(), source, now)
        )
    return answer(
        request,
        {"model": model, "reference": about, "task": server.store.model(model).task},
        "reference",
    )


@router.post("/v1/evaluate", tags=["admin"], summary="Evaluate now, or history again")
async def post_evaluate(
    request: Request,
    model: Annotated[
        str | None, Query(max_length=200, description="one model; all when left out")
    ] = None,
    from_: Annotated[
        str | None,
        Query(alias="from", max_length=40, description="again from this time on"),
    ] = None,
) -> Response:
    """Apply the rules to every closed window not evaluated yet, or again to all since `from`; moments by model."""
    server: Server = request.app.state.server
    caller = caller_of(request)
    names = (
        [server.store.model(model).name]
        if model
        else [m for m in sorted(server.store.models()) if caller.sees(m)]
    )
    start = parse_time(from_, "from") if from_ else None
    moments = {
        name: await asyncio.to_thread(server.scheduler.evaluate, name, start)
        for name in names
    }
    return answer(request, {"moments": moments}, "moments")


@router.post(
    "/v1/models/{model:name}/accept",
    tags=["admin"],
    summary="What changed is normal now",
)
async def post_accept(request: Request, model: str, body: Acknowledge) -> Response:
    """The changes that the detector has open end, and are learned as the new normal: from when, and by whom."""
    server: Server = request.app.state.server
    accepted = await asyncio.to_thread(
        server.scheduler.accept, model, body.by, datetime.now(UTC)
    )
    return answer(
        request,
        {
            "model": model,
            "at": accepted.at,
            "since": accepted.since,
            "by": accepted.who,
        },
        "accepted",
    )


@router.post("/v1/rebuild", tags=["admin"], summary="Recompute profiles from raw rows")
async def post_rebuild(
    request: Request, model: Annotated[str | None, Query(max_length=200)] = None
) -> Response:
    """The number of raw rows read, by model."""
    server: Server = request.app.state.server
    caller = caller_of(request)
    names = (
        [model]
        if model
        else [m for m in sorted(server.store.models()) if caller.sees(m)]
    )
    rows = await asyncio.to_thread(server.store.rebuild, names) if names else {}
    return answer(request, {"rows": rows}, "rows")


@router.post("/v1/flush", tags=["admin"], summary="Load what is acknowledged now")
async def post_flush(request: Request) -> Response:
    """Returns when everything acknowledged before is stored and profiled."""
    server: Server = request.app.state.server
    return answer(
        request,
        {"events": await asyncio.to_thread(server.scheduler.load_all)},
        "events",
    )


@router.post(
    "/v1/alerts/{alert}/acknowledge", tags=["alerts"], summary="Take an alert on"
)
def acknowledge(request: Request, alert: str, body: Acknowledge) -> Response:
    """The alert, with who acknowledged it and when."""
    now = datetime.now(UTC)
    return _changed(
        request, alert, body.by, now, acknowledged_by=body.by, acknowledged_at=now
    )


@router.post(
    "/v1/alerts/{alert}/silence", tags=["alerts"], summary="Quiet for some hours"
)
def silence(request: Request, alert: str, body: Silence) -> Response:
    """The alert; while silenced it is evaluated as before, but nobody is notified."""
    now = datetime.now(UTC)
    return _changed(
        request,
        alert,
        body.by,
        now,
        silenced_until=now + timedelta(hours=body.hours) if body.hours else None,
    )


def not_ready(server: Server) -> str | None:
    """Why the server cannot do its work; None when it can."""
    scheduler = server.scheduler
    if scheduler.problem:
        return scheduler.problem
    if (
        scheduler.last_tick is not None
        and datetime.now(UTC) - scheduler.last_tick > STUCK
    ):
        return f"the loop has not finished a round for {STUCK.seconds} s"
    return None


def status_of(server: Server) -> dict[str, Any]:
    """The server's state as plain data."""
    return {
        "version": __version__,
        "now": datetime.now(UTC),
        "data": server.folder.name,
        "ready": not_ready(server) or "yes",
        "accounting": totals(server),
        "spool_bytes": server.spool.pending_bytes(server.store.position),
        "spool_damage": server.spool.damage,
        "halves_waiting": server.pairs.alone(),
        "notifications_waiting": server.store.alerts.waiting(),
        "models": sorted(server.store.models()),
        "last_load": server.scheduler.last_load,
        "last_tick": server.scheduler.last_tick,
        "drop": server.drop_folders.status(),
    }


def status_for(server: Server, models: Collection[str]) -> dict[str, Any]:
    """The server's state for a caller of some models: theirs in the ledger, nothing that tells of others."""
    return {
        "version": __version__,
        "now": datetime.now(UTC),
        "ready": not_ready(server) or "yes",
        "accounting": totals(server, models),
        "models": sorted(m for m in server.store.models() if m in models),
        "last_load": server.scheduler.last_load,
        "last_tick": server.scheduler.last_tick,
    }


def _changed(
    request: Request, alert: str, by: str, now: datetime, **changes: Any
) -> Response:
    book = request.app.state.server.store.alerts
    if not caller_of(request).sees(book.get(alert).finding.model):
        # as if it did not exist
        raise NotFound(f"there is no alert {alert!r}; GET /v1/alerts lists them")
    changed = book.change(alert, by, now, **changes)
    return answer(request, alert_rows(book, [changed])[0], "transitions")


def _times(
    start: str | None, end: str | None, now: datetime
) -> tuple[datetime, datetime]:
    first = parse_time(start, "from") if start else now
    last = parse_time(end, "to") if end else now
    if first >= last:
        raise InvalidRequest("`from` must be before `to`")
    return first, last
