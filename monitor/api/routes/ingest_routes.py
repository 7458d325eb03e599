"""Ingestion: events, labels, and records that a file's reader refused."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from monitor.api.authorization import scoped_idempotency_key
from monitor.api.durability import wait_until_durable
from monitor.api.fast_path import (
    MAX_IDEMPOTENCY_KEY_LENGTH,
    MAX_INLINE_EVENT_BYTES,
    MAX_INLINE_LABEL_BYTES,
)
from monitor.api.ingest_examples import EVENT, LABEL, RESPONSES, request_docs
from monitor.api.request_body import receive_body
from monitor.api.request_context import (
    caller_of,
    max_body_bytes_of,
    media_type_of,
    rate_limiter_of,
    server_of,
)
from monitor.api.response import data_response
from monitor.event import MAX_NAME, RAW_SAMPLE, Refusal, TimeBounds
from monitor.ingest.ingest_result import IngestResult
from monitor.ingest.json_lines import JSON_TYPES
from monitor.server.server import Server

router = APIRouter(prefix="/v1", tags=["ingest"])

MAX_AGE_DAYS = 36500

IdempotencyKey = Annotated[str | None, Header(max_length=MAX_IDEMPOTENCY_KEY_LENGTH)]
Model = Annotated[
    str | None,
    Query(max_length=200, description="model of the rows that do not name one"),
]
MaxAge = Annotated[
    float | None,
    Query(gt=0, le=MAX_AGE_DAYS, description="accept rows up to this many days old"),
]


@router.post(
    "/events",
    openapi_extra=request_docs(EVENT),
    responses=RESPONSES,
    summary="Log predictions",
)
async def post_events(
    request: Request,
    idempotency_key: IdempotencyKey = None,
    model: Model = None,
    max_age: MaxAge = None,
) -> Response:
    """Accept events as NDJSON, a JSON array, an Arrow stream, Parquet or CSV.

    Valid rows are stored, invalid ones are refused with a reason.
    """
    collector = server_of(request).collector
    return await _ingest(request, collector.events, idempotency_key, model, max_age)


@router.post(
    "/labels",
    openapi_extra=request_docs(LABEL),
    responses=RESPONSES,
    summary="Log labels",
)
async def post_labels(
    request: Request,
    idempotency_key: IdempotencyKey = None,
    model: Model = None,
    max_age: MaxAge = None,
) -> Response:
    """Accept labels, the true outcomes of events, in the same formats.

    A label may arrive before its event. A later label replaces an earlier one.
    """
    collector = server_of(request).collector
    return await _ingest(request, collector.labels, idempotency_key, model, max_age)


class Unreadable(BaseModel):
    """A record of a file that its reader could not read."""

    line: Annotated[int, Field(ge=0, le=2**53)] = 0
    reason: Annotated[str, Field(max_length=500)]
    raw: Annotated[str, Field(max_length=RAW_SAMPLE)] = ""


@router.post(
    "/refused",
    responses={200: RESPONSES[200]},
    summary="Count records that could not be read",
)
async def post_refused(
    request: Request,
    rows: Annotated[list[Unreadable], Field(max_length=10_000)],
    kind: Literal["events", "labels"] = "events",
    model: Annotated[str, Query(max_length=MAX_NAME)] = "",
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Count records that a file's reader could not read, and quarantine them."""
    caller = caller_of(request)
    rate_limiter_of(request).check(caller)
    refusals = [Refusal(row.line, None, row.reason, row.raw, model) for row in rows]
    key = scoped_idempotency_key(caller, idempotency_key)
    result = server_of(request).collector.refuse(kind, refusals, key)
    return await _acknowledge(request, result)


async def _ingest(
    request: Request,
    ingest: Callable[..., IngestResult],
    idempotency_key: str | None,
    model: str | None,
    max_age: float | None,
) -> Response:
    """Hand the body to the collector; respond once all of it is on disk."""
    server = server_of(request)
    caller = caller_of(request)
    rate_limiter_of(request).check(caller)
    # before the body is received, as the work would be in vain
    content_length = request.headers.get("content-length", "")
    server.spool.check_room(int(content_length) if content_length.isdigit() else 0)
    async with receive_body(request, max_body_bytes_of(request)) as body:
        media_type = media_type_of(request)
        arguments = (
            body,
            media_type,
            scoped_idempotency_key(caller, idempotency_key),
            model,
            time_bounds(server, max_age),
            caller.models,
        )
        is_events = ingest == server.collector.events
        max_inline_bytes = (
            MAX_INLINE_EVENT_BYTES if is_events else MAX_INLINE_LABEL_BYTES
        )
        if media_type in JSON_TYPES and len(body) <= max_inline_bytes:
            result = ingest(*arguments)
        else:
            # not on the event loop: ten thousand rows hold up every other request
            result = await asyncio.to_thread(ingest, *arguments)
        return await _acknowledge(request, result)


async def _acknowledge(request: Request, result: IngestResult) -> Response:
    rows = result.accepted + result.refused
    rate_limiter_of(request).charge(caller_of(request), rows)
    await wait_until_durable(result.durable)
    response = data_response(request, result.body(), "refusals")
    if result.replayed:
        response.headers["idempotency-replayed"] = "true"
    return response


def time_bounds(server: Server, max_age: float | None) -> TimeBounds | None:
    """Return the accepted times for a `max_age` in days; None for the configured ones."""
    if max_age is None:
        return None
    return TimeBounds(timedelta(days=max_age), server.bounds.max_ahead)
