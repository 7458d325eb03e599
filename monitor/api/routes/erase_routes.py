"""POST /v1/erase: delete the rows of one person."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from monitor.api.request_context import caller_of, model_names_of, server_of
from monitor.api.response import data_response
from monitor.event import MAX_NAME, MAX_TEXT

router = APIRouter(prefix="/v1", tags=["admin"])


class Erase(BaseModel):
    """The person whose rows are erased.

    `entity` is the value that names the person and `by` the column that holds it, by
    default the model's `entity`. Without `model` the rows of every model are erased.
    """

    model_config = ConfigDict(extra="forbid")
    entity: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    by: Annotated[str | None, Field(max_length=MAX_NAME)] = None
    model: Annotated[str | None, Field(max_length=MAX_NAME)] = None


@router.post("/erase", summary="Erase a person's rows")
async def post_erase(request: Request, body: Erase) -> Response:
    """Erase a person's rows from the database, the quarantine and the spool.

    Events, labels, refused rows, stored responses and unpaired requests are deleted and
    the database file is rewritten; profiles and row counts stay. `left` lists files of
    the data folder that still contain the text.
    """
    if body.model is not None:
        caller_of(request).require_model(body.model)
    names = model_names_of(request, body.model)
    result = await asyncio.to_thread(
        server_of(request).erase, body.entity, body.by, names
    )
    response = {
        "models": names,
        **vars(result.rows),
        "halves": result.unpaired,
        "rewritten": result.rewritten,
        "left": result.remaining,
    }
    return data_response(request, response, "left")
