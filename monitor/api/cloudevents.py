"""Parser of CloudEvents that KServe's and Knative's inference loggers send."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_binary, from_structured
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat

from monitor.contracts import BodyLimits
from monitor.errors import PayloadError, UnsupportedMedia
from monitor.event import MAX_NAME, Refused
from monitor.ingest.pairing import PairPart, Part

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
# ending of a CloudEvent's type -> its part of a request-response pair
PARTS: dict[str, Part] = {
    ".inference.request": "request",
    ".inference.response": "response",
}
# a whole HTTP message, or one JSON item of a batch
Message = HTTPMessage | Any


def split_messages(
    media_type: str, headers: Mapping[str, str], body: bytes, limits: BodyLimits
) -> list[Message]:
    """Return the messages in a request: one, or the items of a batch.

    Raises PayloadError when a batch is not a JSON array, TooLarge when it is too long.
    """
    if media_type != BATCH:
        attributes = {
            name: value for name, value in headers.items() if name.startswith("ce-")
        }
        # a web page may send any body as text/plain, but not this type, nor ce- headers
        if media_type != STRUCTURED and "ce-specversion" not in attributes:
            raise UnsupportedMedia(
                f"Content-Type {media_type or '(none)'!r} holds no CloudEvent; use"
                f" {STRUCTURED} or {BATCH}, or send its attributes as ce- headers"
            )
        return [HTTPMessage({"content-type": media_type, **attributes}, body)]
    try:
        items = json.loads(body)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list):
        raise PayloadError(f"the body is not a JSON array, which {BATCH} needs")
    limits.check_rows(len(items))
    return items


def raw_bytes(message: Message) -> bytes:
    """Return a message as it was received, for the quarantine."""
    if isinstance(message, HTTPMessage):
        return message.body
    return json.dumps(message).encode()


def parse_pair_part(message: Message, model: str | None, now: datetime) -> PairPart:
    """Return the request or response in a message.

    `model` replaces the model that the message names; `now` is its time if it has none.
    Raises Refused with the reason.
    """
    return _pair_part(_parse_cloudevent(message), model, now)


def _parse_cloudevent(message: Message) -> BaseCloudEvent:
    try:
        if not isinstance(message, HTTPMessage):
            return JSONFormat().read(None, json.dumps(message))
        if "ce-specversion" not in message.headers:
            return from_structured(message, JSONFormat())
        # The data stay bytes whatever the header says: KServe passes on the
        # Content-Type of its own client.
        headers = {**message.headers, "content-type": "application/octet-stream"}
        return from_binary(HTTPMessage(headers, message.body), JSONFormat())
    except BaseCloudEventException as error:
        raise Refused(f"not a CloudEvent: {_short(error)}") from None
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        OverflowError,
        RecursionError,
    ) as error:
        raise Refused(f"not a CloudEvent in JSON: {_short(error)}") from None


def _pair_part(event: BaseCloudEvent, model: str | None, now: datetime) -> PairPart:
    attributes = {name: str(value) for name, value in event.get_attributes().items()}
    name = model or attributes.get("inferenceservicename") or attributes.get("modelid")
    part = _part_of(event.get_type())
    if not name:
        raise Refused(
            "the CloudEvent names no model: set inferenceservicename, "
            "or add ?model=NAME to the address"
        )
    id_ = attributes.get("requestid") or event.get_id()
    service = [
        attributes.get(key, "") for key in ("namespace", "component", "endpoint")
    ]
    at = event.get_time() or now
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return PairPart(
        pair="\n".join((name, *service, id_)),
        part=part,
        id=id_,
        model=name[:MAX_NAME],
        version=attributes.get("endpoint", "")[:MAX_NAME],
        at=at,
        body=_data_bytes(event.get_data()),
    )


def _part_of(event_type: str) -> Part:
    for ending, part in PARTS.items():
        if event_type.endswith(ending):
            return part
    raise Refused(
        f"type {event_type[:80]!r} is neither an inference request nor a response; "
        f"it must end with {' or '.join(PARTS)}"
    )


def _data_bytes(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    return json.dumps(data).encode()


def _short(error: BaseException) -> str:
    lines = str(error).splitlines()
    text = lines[0] if lines else type(error).__name__
    return text[:200]
