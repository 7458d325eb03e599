"""Maintenance of the stored data: load, evaluate, rebuild, set a new normal."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.request_context import current_time, model_names_of, server_of
from monitor.api.response import data_response
from monitor.api.routes.alert_routes import Acknowledge
from monitor.queries.time_range import parse_time

router = APIRouter(prefix="/v1", tags=["admin"])

ModelParameter = Annotated[
    str | None, Query(max_length=200, description="one model; default: all")
]


@router.post("/flush", summary="Load all accepted rows now")
async def post_flush(request: Request) -> Response:
    """Return once every row accepted before is stored and profiled."""
    events = await asyncio.to_thread(server_of(request).scheduler.load_all)
    return data_response(request, {"events": events}, "events")


@router.post("/evaluate", summary="Evaluate the rules now, or history again")
async def post_evaluate(
    request: Request,
    model: ModelParameter = None,
    from_: Annotated[
        str | None,
        Query(
            alias="from",
            max_length=40,
            description="evaluate again everything since this time",
        ),
    ] = None,
) -> Response:
    """Evaluate every completed window that was not evaluated, or all since `from`.

    Returns the number of evaluations of each model.
    """
    scheduler = server_of(request).scheduler
    names = model_names_of(request, model)
    start = parse_time(from_, "from") if from_ else None
    evaluations = {}
    for name in names:
        evaluations[name] = await asyncio.to_thread(scheduler.evaluate, name, start)
    return data_response(request, {"moments": evaluations}, "moments")


@router.post("/models/{model:name}/accept", summary="Set the change as new normal")
async def post_accept(request: Request, model: str, body: Acknowledge) -> Response:
    """End the detector's open changes and learn the data since then as normal.

    Returns the start of that data, and who set it.
    """
    accepted = await asyncio.to_thread(
        server_of(request).scheduler.accept, model, body.by, current_time()
    )
    response = {
        "model": model,
        "at": accepted.at,
        "since": accepted.since,
        "by": accepted.who,
    }
    return data_response(request, response, "accepted")


@router.post("/rebuild", summary="Compute the profiles again from raw rows")
async def post_rebuild(request: Request, model: ModelParameter = None) -> Response:
    """Compute all profiles again; returns the raw rows read, by model."""
    store = server_of(request).store
    names = model_names_of(request, model)
    # rebuild() without names would be every model, also those of other callers
    rows = await asyncio.to_thread(store.rebuild, names) if names else {}
    return data_response(request, {"rows": rows}, "rows")
