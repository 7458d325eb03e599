"""Reference of a model: set from a body of rows or from a stored period."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.request_body import receive_body
from monitor.api.request_context import current_time, media_type_of, server_of
from monitor.api.response import data_response
from monitor.contracts import BodyLimits
from monitor.errors import InvalidRequest
from monitor.ingest.validation import source_for
from monitor.queries.time_range import parse_time
from monitor.server.server import Server
from monitor.store.profiles.reference import Reference

router = APIRouter(prefix="/v1", tags=["admin"])

# a reference is one file, so it may be larger than a body of events
MAX_REFERENCE_BYTES = 512 << 20
REFERENCE_LIMITS = BodyLimits(max_rows=100_000_000, max_bytes=8 * MAX_REFERENCE_BYTES)


@router.put("/models/{model:name}/reference", summary="Set the reference")
async def put_reference(
    request: Request,
    model: str,
    from_: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    to: Annotated[str | None, Query(max_length=40)] = None,
    source: Annotated[
        str, Query(max_length=200, description="name of the reference on the pages")
    ] = "file",
) -> Response:
    """Set the reference from a body of rows, or from the stored period `from` `to`.

    The body is Parquet, Arrow or CSV; its column `label` is optional.
    """
    server = server_of(request)
    now = current_time()
    if from_ or to:
        start, end = _parse_period(from_, to)
        reference = await asyncio.to_thread(
            server.set_reference_period, model, start, end, now
        )
    else:
        reference = await _set_reference_body(request, server, model, source, now)
    body = {
        "model": model,
        "reference": reference,
        "task": server.store.model(model).task,
    }
    return data_response(request, body, "reference")


async def _set_reference_body(
    request: Request, server: Server, model: str, source: str, now: datetime
) -> Reference:
    async with receive_body(request, MAX_REFERENCE_BYTES) as body:
        reader = source_for(media_type_of(request))
        chunk = await asyncio.to_thread(reader.read_bytes, body, REFERENCE_LIMITS)
        tables = [chunk.table]
        del chunk
        columns = set(tables[0].column_names)
        if columns and columns <= {"from", "to", "source"}:
            raise InvalidRequest(
                "a period is a parameter, not a body: "
                "PUT ...?from=2026-01-01&to=2026-02-01; a body has rows"
            )
        # The body and the table would stay in memory while the rows are profiled:
        # the body is deleted and the table handed over.
        del body
    return await asyncio.to_thread(
        lambda: server.set_reference_table(model, tables.pop(), source, now)
    )


def _parse_period(from_: str | None, to: str | None) -> tuple[datetime, datetime]:
    if not (from_ and to):
        raise InvalidRequest("a period needs both `from` and `to`")
    start, end = parse_time(from_, "from"), parse_time(to, "to")
    if start >= end:
        raise InvalidRequest("`from` must be before `to`")
    return start, end
