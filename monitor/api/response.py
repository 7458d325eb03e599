"""Responses as JSON or as an Arrow stream, and error responses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from monitor.arrow_columns import to_ipc
from monitor.errors import DriftdeckError, Overloaded, Unauthorized
from monitor.finding import Finding
from monitor.queries.alert_data import finding_data

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"


def to_json_data(value: Any) -> Any:
    """Convert a value to JSON data.

    Times become RFC 3339 in UTC; numbers that are not finite become null.
    """
    if isinstance(value, Finding):
        return to_json_data(finding_data(value))
    if isinstance(value, Mapping):
        return {str(key): to_json_data(item) for key, item in value.items()}
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [to_json_data(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        fields = value.__dataclass_fields__
        return {name: to_json_data(getattr(value, name)) for name in fields}
    return value


def data_response(request: Request, body: Mapping[str, Any], rows: str) -> Response:
    """Return the body as JSON, or its list `rows` as an Arrow stream.

    The Accept header of the request decides. The rest of the body is then in the
    schema metadata of the stream, under `driftdeck`.
    """
    data = to_json_data(body)
    if ARROW not in request.headers.get("accept", ""):
        return Response(msgspec.json.encode(data), media_type=JSON)
    listed = data[rows] if isinstance(data.get(rows), list) else [data]
    table = pa.Table.from_pylist([_flatten(row) for row in listed])
    other_fields = {key: value for key, value in data.items() if key != rows}
    metadata = {"driftdeck": msgspec.json.encode(other_fields)}
    stream = to_ipc(table.replace_schema_metadata(metadata))
    return Response(stream, media_type=ARROW)


def error_response(
    sentence: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error response with one sentence."""
    text = sentence.encode("utf-8", "replace").decode()
    return Response(msgspec.json.encode({"error": text}), status, headers, JSON)


def failure_response(error: DriftdeckError) -> Response:
    """Return the response to an expected error: its status and its sentence.

    Its header is Retry-After or WWW-Authenticate where the client can act on it.
    """
    headers = None
    if isinstance(error, Overloaded):
        headers = {"retry-after": str(error.retry_after)}
    elif isinstance(error, Unauthorized):
        headers = {"www-authenticate": "Bearer"}
    return error_response(str(error), error.status, headers)


def _flatten(row: Any) -> dict[str, Any]:
    """Return a row for a table; nested values become JSON text."""
    if not isinstance(row, Mapping):
        return {"value": row}
    return {name: _flat_value(value) for name, value in row.items()}


def _flat_value(value: Any) -> Any:
    is_nested = isinstance(value, dict) or (
        isinstance(value, list) and value and isinstance(value[0], dict)
    )
    return msgspec.json.encode(value).decode() if is_nested else value
