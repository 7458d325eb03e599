"""Row counts and the quarantine: list, resend, discard refused rows."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from monitor.api.request_context import caller_of, current_time, server_of
from monitor.api.response import data_response
from monitor.api.routes.ingest_routes import MaxAge, time_bounds
from monitor.errors import InvalidRequest
from monitor.event import MAX_NAME, TimeBounds, derived_id
from monitor.ingest.ingest_result import IngestResult
from monitor.queries.ingestion import read_accounting
from monitor.queries.time_range import parse_time_range
from monitor.server.server import Server
from monitor.store.ledger import QuarantinedRow

router = APIRouter(prefix="/v1", tags=["accounting"])

HOUR = timedelta(hours=1)
NDJSON = "application/x-ndjson"
RowId = Annotated[int, Field(ge=1)]
Model = Annotated[
    str | None, Query(max_length=MAX_NAME, description="one model; default: all")
]


class CorrectedRecords(BaseModel):
    """A quarantined row to send again: unchanged, or with a corrected `raw`."""

    model_config = ConfigDict(extra="ignore")  # the lines of an export have more fields
    id: RowId
    raw: Annotated[str, Field(min_length=1, max_length=1 << 20)] | None = None


class Discard(BaseModel):
    """The quarantined rows to delete."""

    model_config = ConfigDict(extra="forbid")
    ids: Annotated[list[RowId], Field(min_length=1, max_length=100_000)]


@router.get("/accounting", summary="Rows received, stored, duplicate and refused")
def get_accounting(
    request: Request,
    model: Model = None,
    from_: Annotated[
        str | None,
        Query(alias="from", max_length=40, description="default: 7 days before `to`"),
    ] = None,
    to: Annotated[str | None, Query(max_length=40, description="default: now")] = None,
    by: Annotated[
        Literal["model", "time"],
        Query(
            description="`hours` by model and hour, or the sum of all models "
            "in at most 170 steps of `step_s`"
        ),
    ] = "model",
) -> Response:
    """Row counts, where received = stored + duplicate + refused + pending.

    They are totals, by model, and by hour of receipt; with the reasons for refusals,
    data freshness and load lag of each model, spool and quarantine.
    """
    now = current_time()
    models = caller_of(request).models if model is None else frozenset([model])
    # rows are counted by the hour of receipt, and the current hour is to be included
    end = now + HOUR
    time_range = parse_time_range(from_, to or end.isoformat(), None, end, HOUR)
    body = read_accounting(
        server_of(request), models, time_range, now, together=by == "time"
    )
    return data_response(request, body, "hours")


@router.get("/quarantine", summary="Quarantined rows")
def get_quarantine(
    request: Request,
    model: Model = None,
    kind: Literal["events", "labels"] | None = None,
    reason: Annotated[
        str | None, Query(max_length=200, description="part of the reason")
    ] = None,
    after: Annotated[int, Query(ge=0, description="rows with a higher `id` only")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    newest: Annotated[
        bool, Query(description="the newest rows, newest first; `next` is then null")
    ] = False,
) -> Response:
    """Refused rows with their reason, oldest first.

    `next` is the `after` of the following page, null on the last one. `raw` is the row
    as received; `whole` is false when `raw` is only its beginning.
    """
    rows = server_of(request).store.ledger.refused(
        model, kind, reason, None, after, limit, caller_of(request).models, newest
    )
    following = rows[-1].id if len(rows) == limit and not newest else None
    body = {"records": [_record(row) for row in rows], "next": following}
    return data_response(request, body, "records")


@router.post("/quarantine/resend", summary="Send quarantined rows again")
def post_resend(
    request: Request,
    records: Annotated[list[CorrectedRecords], Field(min_length=1, max_length=10_000)],
    max_age: MaxAge = None,
) -> Response:
    """Check quarantined rows again, as JSON.

    An accepted row leaves the quarantine; a row that is refused again stays with its
    new reason. Each row is counted as received once more. However often a row is sent
    again, it is stored once: without an `event_id` it gets one from its number.
    """
    server = server_of(request)
    models = caller_of(request).models
    corrections = {record.id: record.raw for record in records}
    accepted = 0
    refusals: list[dict[str, Any]] = []
    with server.resending:
        rows = server.store.ledger.refused(
            ids=list(corrections), limit=len(corrections), models=models
        )
        _check_resendable(rows, corrections)
        for kind, model in sorted({(row.kind, row.model) for row in rows}):
            group = [row for row in rows if (row.kind, row.model) == (kind, model)]
            result = _resend(
                server, group, corrections, time_bounds(server, max_age), models
            )
            accepted += result.accepted
            refusals += [
                {
                    "id": group[refusal.line - 1].id,
                    "event_id": refusal.event_id,
                    "reason": refusal.reason,
                }
                for refusal in result.refusals
            ]
    body = {"accepted": accepted, "refused": len(refusals), "refusals": refusals}
    return data_response(request, body, "refusals")


@router.post("/quarantine/discard", summary="Delete quarantined rows")
def post_discard(request: Request, body: Discard) -> Response:
    """Delete rows from the quarantine; the refused count does not change."""
    ledger = server_of(request).store.ledger
    models = caller_of(request).models
    rows = ledger.refused(ids=body.ids, limit=len(body.ids), models=models)
    discarded = ledger.discard([row.id for row in rows])
    return data_response(request, {"discarded": discarded}, "discarded")


def _record(row: QuarantinedRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "noted_at": row.noted_at.replace(tzinfo=UTC),
        "kind": row.kind,
        "model": row.model,
        "line": row.line,
        "event_id": row.event_id,
        "reason": row.reason,
        "raw": row.raw,
        "whole": row.whole,
    }


def _check_resendable(
    rows: Sequence[QuarantinedRow], corrections: Mapping[int, str | None]
) -> None:
    """Raise InvalidRequest when a row is missing, or incomplete and not corrected."""
    missing = sorted(corrections.keys() - {row.id for row in rows})
    if missing:
        raise InvalidRequest(
            f"there is no record {missing[0]} in the quarantine; "
            "GET /v1/quarantine lists them"
        )
    for row in rows:
        if not row.whole and corrections[row.id] is None:
            raise InvalidRequest(
                f"record {row.id} is longer than the quarantine stores; give its `raw`"
            )


def _resend(
    server: Server,
    rows: Sequence[QuarantinedRow],
    corrections: Mapping[int, str | None],
    bounds: TimeBounds | None,
    models: frozenset[str] | None,
) -> IngestResult:
    """Ingest rows of one kind and model again, then delete them from the quarantine.

    The collector quarantines those that are refused again, with their new reason.
    """
    kind, model = rows[0].kind, rows[0].model
    lines = [_line(row, corrections[row.id] or row.raw) for row in rows]
    collector = server.collector
    ingest = collector.events if kind == "events" else collector.labels
    body = b"\n".join(lines)
    result = ingest(body, NDJSON, None, model or None, bounds, models)
    result.durable.result()
    server.store.ledger.discard([row.id for row in rows])
    return result


def _line(row: QuarantinedRow, text: str) -> bytes:
    """Return a row as one line; an event without an id gets one from the row's number."""
    line = " ".join(text.splitlines()).encode()
    if row.kind != "events":
        return line
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(record, dict) or record.get("event_id") is not None:
        return line
    record["event_id"] = derived_id("quarantine", row.id, b"")
    return json.dumps(record).encode()
