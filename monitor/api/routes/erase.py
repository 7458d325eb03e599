"""POST /v1/erase: a person's rows, out of everything that is kept."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from monitor.api.authorization import caller_of
from monitor.api.response import answer
from monitor.event import MAX_NAME, MAX_TEXT
from monitor.server.server import Server

router = APIRouter(prefix="/v1", tags=["admin"])


class Erase(BaseModel):
    """Whose rows: the value that names the person, the column it stands in, and the model (all when left out)."""

    model_config = ConfigDict(extra="forbid")
    entity: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    by: Annotated[str | None, Field(max_length=MAX_NAME)] = None
    model: Annotated[str | None, Field(max_length=MAX_NAME)] = None


@router.post("/erase", summary="Erase a person's rows")
async def post_erase(request: Request, body: Erase) -> Response:
    """Events, labels, refused records, stored answers, halves of exchanges and spool; profiles and accounts stay as they are.

    The database is written anew. `left` lists files of the data folder that still hold
    the text.
    """
    server: Server = request.app.state.server
    caller = caller_of(request)
    if body.model is not None:
        caller.require_model(body.model)
    names = (
        [server.store.model(body.model).name]
        if body.model
        else [n for n in sorted(server.store.models()) if caller.sees(n)]
    )
    done = await asyncio.to_thread(server.erase, body.entity, body.by, names)
    return answer(
        request,
        {
            "models": names,
            **vars(done.rows),
            "halves": done.halves,
            "rewritten": done.rewritten,
            "left": done.left,
        },
        "left",
    )
