"""Answers as JSON or Arrow."""

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
from monitor.queries.overview import finding_data

ARROW = "application/vnd.apache.arrow.stream"


def plain(value: Any) -> Any:
    """The value as JSON data: times as RFC 3339 in UTC, what is not finite as null."""
    if isinstance(value, Finding):
        return plain(finding_data(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {f: plain(getattr(value, f)) for f in value.__dataclass_fields__}
    return value


def answer(
    request: Request, body: Mapping[str, Any], rows: str, status: int = 200
) -> Response:
    """JSON of the whole body, or an Arrow stream of its list `rows` where the request's Accept asks for it."""
    data = plain(body)
    if ARROW in request.headers.get("accept", ""):
        listed = data[rows] if isinstance(data.get(rows), list) else [data]
        table = pa.Table.from_pylist([_flat(row) for row in listed])
        rest = {k: v for k, v in data.items() if k != rows}
        return Response(
            to_ipc(
                table.replace_schema_metadata({"driftdeck": msgspec.json.encode(rest)})
            ),
            status,
            media_type=ARROW,
        )
    return Response(msgspec.json.encode(data), status, media_type="application/json")


def error(
    sentence: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    """An error answer: one sentence."""
    return Response(
        msgspec.json.encode({"error": sentence.encode("utf-8", "replace").decode()}),
        status,
        headers,
        "application/json",
    )


def failure(problem: DriftdeckError) -> Response:
    """The answer to an expected failure: its sentence, its status, and when to come again or what to come with."""
    headers = None
    if isinstance(problem, Overloaded):
        headers = {"retry-after": str(problem.retry_after)}
    elif isinstance(problem, Unauthorized):
        headers = {"www-authenticate": "Bearer"}
    return error(str(problem), problem.status, headers)


def _flat(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        return {"value": row}
    return {
        k: msgspec.json.encode(v).decode()
        if isinstance(v, dict) or (isinstance(v, list) and v and isinstance(v[0], dict))
        else v
        for k, v in row.items()
    }
