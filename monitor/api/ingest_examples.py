"""OpenAPI examples and responses of the routes that receive events and labels."""

from typing import Any

from monitor.plugins import sources

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
RESPONSE = {
    "accepted": 499,
    "refused": 1,
    "refusals": [{"line": 17, "event_id": "a-17", "reason": "`ts` is missing"}],
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Durable: on disk before the response.",
        "content": {"application/json": {"example": RESPONSE}},
    },
    400: {"description": "The body as a whole cannot be read."},
    409: {"description": "The Idempotency-Key was used for another body."},
    413: {"description": "More bytes or rows than the limits allow."},
    415: {"description": "No source reads this Content-Type."},
    422: {"description": "A parameter is invalid."},
    503: {
        "description": "The spool or the disk is full, or the server is stopping; "
        "send again after Retry-After seconds."
    },
}


def request_docs(example: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a body: every Content-Type, one JSON example."""
    content: dict[str, Any] = {
        content_type: {"schema": {"type": "string", "format": "binary"}}
        for source in sources().values()
        for content_type in source.MEDIA_TYPES
    }
    content["application/json"] = {
        "schema": {"type": "array", "items": {"type": "object"}},
        "example": [example],
    }
    return {"requestBody": {"required": True, "content": content}}
