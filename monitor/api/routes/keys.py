"""/v1/keys: make, list and revoke keys."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from monitor.access import ApiKey
from monitor.api.authorization import BOOTSTRAP, caller_of
from monitor.api.response import answer
from monitor.config.section import duration
from monitor.errors import InvalidRequest
from monitor.event import MAX_NAME
from monitor.server.server import Server
from monitor.store.key_store import check_first

router = APIRouter(prefix="/v1/keys", tags=["admin"])


class NewKey(BaseModel):
    """What a key may do.

    Without `models` it is for all of them; without `expires_in` it does not expire.
    """

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    scopes: Annotated[
        list[Literal["ingest", "read", "admin"]], Field(min_length=1, max_length=3)
    ]
    models: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_NAME)]] | None,
        Field(min_length=1, max_length=1000),
    ] = None
    expires_in: Annotated[str | None, Field(max_length=20, examples=["90d"])] = None


@router.post("", summary="Make a key")
def post_key(request: Request, body: NewKey) -> Response:
    """The key with its `secret`, which is shown this once and kept nowhere."""
    server: Server = request.app.state.server
    now = datetime.now(UTC)
    if caller_of(request) is not BOOTSTRAP:
        check_first(server.keys, body.scopes, body.models)
    scopes, models = (
        list(dict.fromkeys(body.scopes)),
        body.models and list(dict.fromkeys(body.models)),
    )
    key, secret = server.keys.create(
        body.name, scopes, models, _expiry(body.expires_in, now), now
    )
    return answer(request, {**_row(key, now), "secret": secret}, "scopes")


@router.get("", summary="Every key")
def get_keys(request: Request) -> Response:
    """Name, scopes, models, expiry, state and last use of every key ever made; never a secret."""
    server: Server = request.app.state.server
    now = datetime.now(UTC)
    return answer(
        request,
        {"now": now, "keys": [_row(k, now) for k in server.keys.listing()]},
        "keys",
    )


@router.delete("/{key}", summary="Revoke a key")
def delete_key(request: Request, key: str) -> Response:
    """The key, by its id or its name, which is refused from now on."""
    server: Server = request.app.state.server
    now = datetime.now(UTC)
    return answer(request, _row(server.keys.revoke(key, now), now), "scopes")


def _row(key: ApiKey, now: datetime) -> dict[str, Any]:
    names = (
        "id",
        "name",
        "scopes",
        "models",
        "created",
        "expires",
        "revoked",
        "last_used",
    )
    return {**{n: getattr(key, n) for n in names}, "state": key.state(now)}


def _expiry(text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        length = duration(text)
        if length.total_seconds() <= 0:
            raise ValueError("a key must live for some time")
        return now + length
    except (ValueError, OverflowError) as problem:
        raise InvalidRequest(f"`expires_in`: {problem}") from None
