"""POST /v1/events and /v1/labels."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from monitor.api.authorization import caller_of, own_key
from monitor.api.durability import durable
from monitor.api.fast_path import MAX_KEY, SMALL
from monitor.api.request_body import body_of
from monitor.api.response import answer as respond
from monitor.event import MAX_NAME, RAW_SAMPLE, Refusal, TimeBounds
from monitor.ingest.collector import IngestResult
from monitor.ingest.json_lines import JSON_TYPES
from monitor.server.server import Server

router = APIRouter(prefix="/v1", tags=["ingest"])

TYPES = (
    "application/x-ndjson",
    "application/json",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
    "text/csv",
)
EVENT = {
    "event_id": "0198f0a2-6f5b-7c1e-9d57-2f6f6f2a7b10",
    "model": "churn",
    "version": "v8",
    "ts": "2026-11-22T09:30:00Z",
    "features": {"age": 41, "country": "TW", "premium": True},
    "prediction": 0.83,
    "latency_ms": 12.5,
    "status": 200,
    "tags": {"region": "east"},
}
LABEL = {
    "event_id": EVENT["event_id"],
    "model": "churn",
    "label": 1,
    "ts": "2026-11-23T09:30:00Z",
}
ANSWER = {
    "accepted": 499,
    "refused": 1,
    "refusals": [{"line": 17, "event_id": "a-17", "reason": "`ts` is missing"}],
}


def _docs(example: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {
        t: {"schema": {"type": "string", "format": "binary"}} for t in TYPES
    }
    content["application/json"] = {
        "schema": {"type": "array", "items": {"type": "object"}},
        "example": [example],
    }
    return {"requestBody": {"required": True, "content": content}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Durable: on disk before the answer.",
        "content": {"application/json": {"example": ANSWER}},
    },
    400: {"description": "The body as a whole cannot be read."},
    409: {"description": "The Idempotency-Key was used for another body."},
    413: {"description": "More bytes or rows than the limits allow."},
    415: {"description": "No source reads this Content-Type."},
    422: {"description": "A parameter makes no sense."},
    503: {
        "description": "The spool or the disk is full, or the server is stopping; Retry-After says when to send again."
    },
}


@router.post(
    "/events",
    openapi_extra=_docs(EVENT),
    responses=RESPONSES,
    summary="Log predictions",
)
async def post_events(
    request: Request,
    idempotency_key: Annotated[str | None, Header(max_length=MAX_KEY)] = None,
    model: Annotated[
        str | None,
        Query(max_length=200, description="model of rows that do not name one"),
    ] = None,
    max_age: Annotated[
        float | None,
        Query(gt=0, le=36500, description="accept rows up to this many days old"),
    ] = None,
) -> Response:
    """Take events as NDJSON, a JSON array, an Arrow stream, Parquet or CSV; good rows are kept, bad ones answered."""
    server: Server = request.app.state.server
    return await _take(
        request,
        server.collector.events,
        idempotency_key,
        model,
        bounds_of(server, max_age),
    )


@router.post(
    "/labels",
    openapi_extra=_docs(LABEL),
    responses=RESPONSES,
    summary="Log true outcomes",
)
async def post_labels(
    request: Request,
    idempotency_key: Annotated[str | None, Header(max_length=MAX_KEY)] = None,
    model: Annotated[str | None, Query(max_length=200)] = None,
    max_age: Annotated[
        float | None,
        Query(gt=0, le=36500, description="accept labels up to this many days old"),
    ] = None,
) -> Response:
    """Take labels in the same formats; a label may come before its event, and a later one replaces an earlier one."""
    server: Server = request.app.state.server
    return await _take(
        request,
        server.collector.labels,
        idempotency_key,
        model,
        bounds_of(server, max_age),
    )


class Unreadable(BaseModel):
    """One record of a file that its reader could not make sense of."""

    line: Annotated[int, Field(ge=0, le=2**53)] = 0
    reason: Annotated[str, Field(max_length=500)]
    raw: Annotated[str, Field(max_length=RAW_SAMPLE)] = ""


@router.post(
    "/refused",
    responses={200: RESPONSES[200]},
    summary="Account for records that could not be read",
)
async def post_refused(
    request: Request,
    rows: list[Unreadable],
    kind: Literal["events", "labels"] = "events",
    model: Annotated[str, Query(max_length=MAX_NAME)] = "",
    idempotency_key: Annotated[str | None, Header(max_length=MAX_KEY)] = None,
) -> Response:
    """Count records that a file's reader could not make sense of, and keep them in the quarantine with the reason."""
    server: Server = request.app.state.server
    caller = caller_of(request)
    request.app.state.allowance.check(caller)
    refusals = [Refusal(r.line, None, r.reason, r.raw, model) for r in rows]
    return await _acknowledge(
        request,
        server.collector.refuse(kind, refusals, own_key(caller, idempotency_key)),
    )


async def _take(
    request: Request,
    take: Callable[..., IngestResult],
    key: str | None,
    model: str | None,
    bounds: TimeBounds | None,
) -> Response:
    """Hand a request's body to the collector; the answer once all of it is on disk."""
    server: Server = request.app.state.server
    caller = caller_of(request)
    key = own_key(caller, key)
    request.app.state.allowance.check(caller)
    # a full spool is said before a body is taken: receiving and checking it would be
    # for nothing
    announced = request.headers.get("content-length", "")
    server.spool.check_room(int(announced) if announced.isdigit() else 0)
    async with body_of(
        request, int(server.config.limits.max_body_mb * (1 << 20))
    ) as body:
        kind = _media_type(request)
        if kind in JSON_TYPES and (
            take == server.collector.events or len(body) < SMALL
        ):
            return await _acknowledge(
                request, take(body, kind, key, model, bounds, caller.models)
            )
        # columns are checked at C speed, but by the ten thousand: not on the event loop
        return await _acknowledge(
            request,
            await asyncio.to_thread(
                take, body, kind, key, model, bounds, caller.models
            ),
        )


async def _acknowledge(request: Request, answer: IngestResult) -> Response:
    request.app.state.allowance.charge(
        caller_of(request), answer.accepted + answer.refused
    )
    await durable(answer.durable)
    response = respond(request, answer.body(), "refusals")
    if answer.replayed:
        response.headers["idempotency-replayed"] = "true"
    return response


def bounds_of(server: Server, max_age: float | None) -> TimeBounds | None:
    """The times that are accepted with a `max_age` in days; None for those of the configuration."""
    return (
        None
        if max_age is None
        else TimeBounds(timedelta(days=max_age), server.bounds.max_ahead)
    )


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()
