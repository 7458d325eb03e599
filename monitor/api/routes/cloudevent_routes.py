"""POST /v1/cloudevents: inference requests and responses as CloudEvents."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.cloudevents import (
    BATCH,
    STRUCTURED,
    Message,
    parse_pair_part,
    raw_bytes,
    split_messages,
)
from monitor.api.durability import wait_until_durable
from monitor.api.ingest_examples import RESPONSES
from monitor.api.request_body import receive_body
from monitor.api.request_context import (
    caller_of,
    current_time,
    max_body_bytes_of,
    media_type_of,
    rate_limiter_of,
    server_of,
)
from monitor.api.response import data_response
from monitor.event import MAX_NAME, Refusal, Refused
from monitor.ingest.accepted import refusal
from monitor.ingest.ingest_result import MAX_REFUSALS_SHOWN

router = APIRouter(prefix="/v1", tags=["ingest"])

EXAMPLE = {
    "specversion": "1.0",
    "type": "org.kubeflow.serving.inference.request",
    "source": "http://localhost:9081/",
    "id": "689b15e7-84a1-4e89-9805-20809efc216d",
    "time": "2026-11-22T09:30:00Z",
    "inferenceservicename": "sklearn-iris",
    "data": {"instances": [[6.8, 2.8, 4.8, 1.4]]},
}
REQUEST_DOCS = {
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED: {"schema": {"type": "object"}, "example": EXAMPLE},
            BATCH: {"schema": {"type": "array"}},
        },
    }
}


@router.post(
    "/cloudevents",
    openapi_extra=REQUEST_DOCS,
    responses=RESPONSES,
    summary="Log requests and responses separately",
)
async def post_cloudevents(
    request: Request,
    model: Annotated[
        str | None,
        Query(
            max_length=MAX_NAME,
            description="model of all CloudEvents; default: the model that each names",
        ),
    ] = None,
) -> Response:
    """Accept CloudEvents of inference requests and responses, in any order.

    They may be binary, structured or batched. A pair with one id becomes one event for
    each of its rows. An unpaired request or response waits on disk for the other.
    """
    caller = caller_of(request)
    rate_limiter_of(request).check(caller)
    async with receive_body(request, max_body_bytes_of(request)) as body:
        messages = await asyncio.to_thread(
            split_messages,
            media_type_of(request),
            request.headers,
            body,
            server_of(request).collector.limits,
        )
    now = current_time()
    refusals: list[Refusal] = []
    for line, message in enumerate(messages, 1):
        try:
            await _ingest(request, message, model, now)
        except Refused as error:
            refusals.append(refusal(line, None, str(error), raw_bytes(message)))
    rate_limiter_of(request).charge(caller, len(messages))
    if refusals:
        result = server_of(request).collector.refuse("events", refusals)
        await wait_until_durable(result.durable)
    response = {
        "accepted": len(messages) - len(refusals),
        "refused": len(refusals),
        "refusals": [
            {"line": row.line, "event_id": row.event_id, "reason": row.reason}
            for row in refusals[:MAX_REFUSALS_SHOWN]
        ],
    }
    return data_response(request, response, "refusals")


async def _ingest(
    request: Request, message: Message, model: str | None, now: datetime
) -> None:
    """Return once the request or response in a message is on disk. Raises Refused."""
    caller = caller_of(request)
    part = parse_pair_part(message, model, now)
    if not caller.sees(part.model):
        raise Refused(
            f"this key is not for the model {part.model!r}; "
            f"it is for: {caller.named_models}"
        )
    pairs = server_of(request).pairs
    for write in await asyncio.to_thread(pairs.add, part):
        await wait_until_durable(write)
