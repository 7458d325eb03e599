"""Accounts of what came, and the quarantine: list, export, mend, send again, let go."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from monitor.api.authorization import caller_of
from monitor.api.durability import durable
from monitor.api.response import answer
from monitor.api.routes.receive import bounds_of
from monitor.errors import InvalidRequest
from monitor.event import MAX_NAME, TimeBounds
from monitor.ingest.collector import IngestResult
from monitor.queries.ingestion import accounting
from monitor.queries.time_range import span_of
from monitor.server.server import Server
from monitor.store.ledger import QuarantinedRow

router = APIRouter(prefix="/v1", tags=["accounting"])
Number = Annotated[int, Field(ge=1)]
Model = Annotated[
    str | None, Query(max_length=MAX_NAME, description="one model; all when left out")
]


class CorrectedRecords(BaseModel):
    """A record of the quarantine to be sent again: as it is, or with the `raw` that is given."""

    model_config = ConfigDict(extra="ignore")  # lines of an export bear more
    id: Number
    raw: Annotated[str, Field(min_length=1, max_length=1 << 20)] | None = None


class Discard(BaseModel):
    """Records to let go of."""

    model_config = ConfigDict(extra="forbid")
    ids: Annotated[list[Number], Field(min_length=1, max_length=100_000)]


@router.get("/accounting", summary="What came and what became of it")
def get_accounting(
    request: Request,
    model: Model = None,
    from_: Annotated[
        str | None,
        Query(alias="from", max_length=40, description="default: 7 days before `to`"),
    ] = None,
    to: Annotated[str | None, Query(max_length=40)] = None,
    by: Annotated[
        Literal["model", "time"],
        Query(
            description="`hours` by model and hour, or all models together in at most 170 steps of `step_s`"
        ),
    ] = "model",
) -> Response:
    """Accounts that add up: received = stored + duplicate + refused + pending, since the beginning, by model and by hour
    of receipt; reasons for refusals; freshness and lag of each model; spool and
    quarantine."""
    server: Server = request.app.state.server
    caller, now = caller_of(request), datetime.now(UTC)
    models = caller.models if model is None else frozenset([model])
    # hours of receipt: the one that is running counts
    span = span_of(
        from_,
        to or (now + timedelta(hours=1)).isoformat(),
        None,
        now + timedelta(hours=1),
        timedelta(hours=1),
        170,
    )
    return answer(
        request, accounting(server, models, span, now, together=by == "time"), "hours"
    )


@router.get("/quarantine", summary="Refused records")
def get_quarantine(
    request: Request,
    model: Model = None,
    kind: Literal["events", "labels"] | None = None,
    reason: Annotated[
        str | None, Query(max_length=200, description="part of the reason")
    ] = None,
    after: Annotated[int, Query(ge=0, description="records with a higher number")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    newest: Annotated[
        bool,
        Query(description="the newest records, newest first, without a following page"),
    ] = False,
) -> Response:
    """Refused records with their reason, oldest first; `next` is the `after` of the following page, null at the end.

    `raw` is the record as it came; `whole` is false when it was too long to be kept
    whole.
    """
    server: Server = request.app.state.server
    found = server.store.ledger.refused(
        model, kind, reason, None, after, limit, caller_of(request).models, newest
    )
    following = found[-1].id if len(found) == limit and not newest else None
    rows = [
        {
            "id": q.id,
            "noted_at": q.noted_at.replace(tzinfo=UTC),
            "kind": q.kind,
            "model": q.model,
            "line": q.line,
            "event_id": q.event_id,
            "reason": q.reason,
            "raw": q.raw,
            "whole": q.whole,
        }
        for q in found
    ]
    return answer(request, {"records": rows, "next": following}, "records")


@router.post("/quarantine/resend", summary="Send refused records again")
async def post_resend(
    request: Request,
    records: Annotated[list[CorrectedRecords], Field(min_length=1, max_length=10_000)],
    max_age: Annotated[
        float | None,
        Query(gt=0, le=36500, description="accept rows up to this many days old"),
    ] = None,
) -> Response:
    """Take records again, as JSON. What is accepted leaves the quarantine; what is refused again stays, with its new reason.

    Each is counted as received once more.
    """
    server: Server = request.app.state.server
    wanted = {record.id: record for record in records}
    models = caller_of(request).models
    held = server.store.ledger.refused(
        ids=list(wanted), limit=len(wanted), models=models
    )
    if len(held) < len(wanted):
        missing = sorted(wanted.keys() - {q.id for q in held})
        raise InvalidRequest(
            f"there is no record {missing[0]} in the quarantine; GET /v1/quarantine lists them"
        )
    cut = next((q for q in held if not q.whole and wanted[q.id].raw is None), None)
    if cut is not None:
        raise InvalidRequest(
            f"record {cut.id} was too long to be kept whole; give its `raw`"
        )
    accepted, refusals = 0, list[dict[str, Any]]()
    for kind, model in sorted({(q.kind, q.model) for q in held}):
        part = [q for q in held if (q.kind, q.model) == (kind, model)]
        taken = await _resend(server, part, wanted, bounds_of(server, max_age), models)
        accepted += taken.accepted
        refusals += [
            {"id": part[r.line - 1].id, "event_id": r.event_id, "reason": r.reason}
            for r in taken.refusals
        ]
    return answer(
        request,
        {"accepted": accepted, "refused": len(refusals), "refusals": refusals},
        "refusals",
    )


@router.post("/quarantine/discard", summary="Let refused records go")
def post_discard(request: Request, body: Discard) -> Response:
    """Take records out of the quarantine; they stay counted as refused."""
    server: Server = request.app.state.server
    held = server.store.ledger.refused(
        ids=body.ids, limit=len(body.ids), models=caller_of(request).models
    )
    return answer(
        request,
        {"discarded": server.store.ledger.discard([q.id for q in held])},
        "discarded",
    )


async def _resend(
    server: Server,
    held: Sequence[QuarantinedRow],
    wanted: dict[int, CorrectedRecords],
    bounds: TimeBounds | None,
    models: frozenset[str] | None,
) -> IngestResult:
    """Take records of one kind and model again.

    Those refused again come into the quarantine anew, with the reason of now.
    """
    raws = [wanted[q.id].raw or q.raw for q in held]
    body = b"\n".join(" ".join(raw.splitlines()).encode() for raw in raws)
    take = (
        server.collector.events if held[0].kind == "events" else server.collector.labels
    )
    taken = await asyncio.to_thread(
        take, body, "application/x-ndjson", None, held[0].model or None, bounds, models
    )
    await durable(taken.durable)
    await asyncio.to_thread(server.store.ledger.discard, [q.id for q in held])
    return taken
