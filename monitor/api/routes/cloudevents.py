"""POST /v1/cloudevents: requests and answers as KServe's and Knative's inference loggers send them."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.authorization import caller_of
from monitor.api.durability import durable
from monitor.api.request_body import body_of
from monitor.api.response import answer as respond
from monitor.api.routes.receive import RESPONSES
from monitor.errors import PayloadError
from monitor.event import MAX_NAME, Refusal, Refused
from monitor.ingest.accepted import refusal
from monitor.ingest.pairing import PairPart, Part
from monitor.server.server import Server

router = APIRouter(prefix="/v1", tags=["ingest"])

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
PARTS: dict[str, Part] = {
    ".inference.request": "request",
    ".inference.response": "response",
}
EXAMPLE = {
    "specversion": "1.0",
    "type": "org.kubeflow.serving.inference.request",
    "source": "http://localhost:9081/",
    "id": "689b15e7-84a1-4e89-9805-20809efc216d",
    "time": "2026-11-22T09:30:00Z",
    "inferenceservicename": "sklearn-iris",
    "data": {"instances": [[6.8, 2.8, 4.8, 1.4]]},
}
DOCS = {
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
    openapi_extra=DOCS,
    responses=RESPONSES,
    summary="Log requests and answers apart",
)
async def post_cloudevents(
    request: Request,
    model: Annotated[
        str | None,
        Query(
            max_length=MAX_NAME,
            description="model of all CloudEvents, whatever they name",
        ),
    ] = None,
) -> Response:
    """Take CloudEvents of inference requests and responses (binary, structured or batched), in any order.

    A pair with one id becomes one event for each of its rows. The half of a pair waits
    on disk for the other.
    """
    server: Server = request.app.state.server
    caller = caller_of(request)
    request.app.state.allowance.check(caller)
    async with body_of(
        request, int(server.config.limits.max_body_mb * (1 << 20))
    ) as body:
        given = await asyncio.to_thread(_split, request.headers, body)
    accepted, refusals = 0, []
    now = datetime.now(UTC)
    for line, item in enumerate(given, 1):
        try:
            half = _half(_parsed(item), model, now)
            if not caller.sees(half.model):
                raise Refused(
                    f"this key is not for the model {half.model!r}; it is for: {caller.named_models}"
                )
            for written in await asyncio.to_thread(server.pairs.take, half):
                await durable(written)
            accepted += 1
        except Refused as reason:
            raw = (
                item.body
                if isinstance(item, HTTPMessage)
                else json.dumps(item).encode()
            )
            refusals.append(refusal(line, None, str(reason), raw))
    request.app.state.allowance.charge(caller, len(given))
    if refusals:
        await durable(server.collector.refuse("events", refusals).durable)
    return respond(
        request,
        {"accepted": accepted, "refused": len(refusals), "refusals": _shown(refusals)},
        "refusals",
    )


def _shown(refusals: list[Refusal]) -> list[dict[str, Any]]:
    return [
        {"line": r.line, "event_id": r.event_id, "reason": r.reason}
        for r in refusals[:100]
    ]


def _split(headers: Mapping[str, str], body: bytes) -> list[Any]:
    """The messages in a request: one, or the items of a batch. Raises PayloadError."""
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != BATCH:
        return [HTTPMessage({"content-type": kind, **_attributes(headers)}, body)]
    try:
        items = json.loads(body)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list):
        raise PayloadError(f"the body is not a JSON array, as {BATCH} says")
    return items


def _attributes(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("ce-")}


def _parsed(item: Any) -> BaseCloudEvent:
    """The CloudEvent. Raises Refused."""
    try:
        if not isinstance(item, HTTPMessage):
            return JSONFormat().read(None, json.dumps(item))
        if "ce-specversion" not in item.headers:
            return from_structured(item, JSONFormat())
        # the data stay bytes, whatever they are said to be: KServe passes on the
        # caller's own Content-Type
        given = {**item.headers, "content-type": "application/octet-stream"}
        return from_binary(HTTPMessage(given, item.body), JSONFormat())
    except BaseCloudEventException as error:
        raise Refused(f"not a CloudEvent: {_first_line(error)}") from None
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        OverflowError,
        RecursionError,
    ) as error:
        raise Refused(f"not a CloudEvent in JSON: {_first_line(error)}") from None


def _half(event: BaseCloudEvent, model: str | None, now: datetime) -> PairPart:
    kind = event.get_type()
    part = next((part for ending, part in PARTS.items() if kind.endswith(ending)), None)
    if part is None:
        raise Refused(
            f"type {kind[:80]!r} is neither an inference request nor a response"
        )
    attributes = {name: str(value) for name, value in event.get_attributes().items()}
    name = model or attributes.get("inferenceservicename") or attributes.get("modelid")
    if not name:
        raise Refused(
            "the CloudEvent names no model: set inferenceservicename, or add ?model=NAME to the address"
        )
    id_ = attributes.get("requestid") or event.get_id()
    names = [
        attributes.get(name, "") for name in ("namespace", "component", "endpoint")
    ]
    data = event.get_data()
    at = event.get_time() or now
    return PairPart(
        "\n".join((name, *names, id_)),
        part,
        id_,
        name[:MAX_NAME],
        attributes.get("endpoint", "")[:MAX_NAME],
        at.replace(tzinfo=UTC) if at.tzinfo is None else at,
        data
        if isinstance(data, bytes)
        else data.encode()
        if isinstance(data, str)
        else json.dumps(data).encode(),
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
