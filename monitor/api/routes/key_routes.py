"""API keys: create, list, revoke."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from monitor.access import ApiKey
from monitor.api.authorization import BOOTSTRAP
from monitor.api.request_context import caller_of, current_time, server_of
from monitor.api.response import data_response
from monitor.config.section import duration
from monitor.errors import InvalidRequest
from monitor.event import MAX_NAME
from monitor.store.key_store import check_first

router = APIRouter(prefix="/v1/keys", tags=["admin"])


class NewKey(BaseModel):
    """Name, scopes and models of a new key.

    Without `models` it is for every model; without `expires_in` it does not expire.
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


@router.post("", summary="Create a key")
def post_key(request: Request, body: NewKey) -> Response:
    """Create a key; its `secret` is in this response only and is stored nowhere."""
    key_store = server_of(request).keys
    now = current_time()
    if caller_of(request) is not BOOTSTRAP:
        check_first(key_store, body.scopes, body.models)
    scopes = list(dict.fromkeys(body.scopes))
    models = list(dict.fromkeys(body.models)) if body.models else None
    expires = _parse_expiry(body.expires_in, now)
    key, secret = key_store.create(body.name, scopes, models, expires, now)
    return data_response(request, {**_key_row(key, now), "secret": secret}, "scopes")


@router.get("", summary="Every key")
def get_keys(request: Request) -> Response:
    """Name, scopes, models, expiry, state and last use of every key; never a secret.

    Revoked and expired keys are listed too.
    """
    now = current_time()
    keys = [_key_row(key, now) for key in server_of(request).keys.listing()]
    return data_response(request, {"now": now, "keys": keys}, "keys")


@router.delete("/{key}", summary="Revoke a key")
def delete_key(request: Request, key: str) -> Response:
    """Revoke a key by its id or its name; requests with it get a 401 from now on."""
    now = current_time()
    revoked = server_of(request).keys.revoke(key, now)
    return data_response(request, _key_row(revoked, now), "scopes")


def _key_row(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "models": key.models,
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "last_used": key.last_used,
        "state": key.state(now),
    }


def _parse_expiry(text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        length = duration(text)
        if length.total_seconds() <= 0:
            raise ValueError("a key must be valid for longer than 0 s, e.g. 90d")
        return now + length
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"`expires_in`: {error}") from None
