"""Rights: the scope and models that each route needs, and the caller of a request."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal, NamedTuple, cast

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.access import SCOPES, Caller, bearer_secret, digest, equal_digests
from monitor.api.request_context import caller_of
from monitor.api.response import failure_response
from monitor.errors import DriftdeckError, Unauthorized
from monitor.store.key_store import KeyStore

# of a server without keys, which only listens on the loopback address
ANONYMOUS = Caller("", frozenset(SCOPES))
BOOTSTRAP = Caller("DRIFTDECK_KEY", frozenset(SCOPES))


class Permission(NamedTuple):
    """The scope that a route needs, and how its model is checked.

    `model`: "path" and "query" are checked before the route runs. Without a model in
    the query the route limits itself to the caller's models. "rows" is checked row by
    row and "filter" by the route. "all" refuses callers of some models only; "none"
    means that no model is involved.
    """

    scope: str
    model: Literal["path", "query", "rows", "filter", "all", "none"]


PUBLIC_PATHS = frozenset(
    {"/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/openapi.json"}
)
PERMISSIONS: dict[str, Permission] = {
    "POST /v1/events": Permission("ingest", "rows"),
    "POST /v1/labels": Permission("ingest", "rows"),
    "POST /v1/cloudevents": Permission("ingest", "rows"),
    "POST /v1/refused": Permission("ingest", "query"),
    "POST /v1/flush": Permission("ingest", "none"),
    "GET /v1/statistics": Permission("read", "none"),
    "GET /v1/models": Permission("read", "filter"),
    "GET /v1/models/{model:name}/overview": Permission("read", "path"),
    "GET /v1/models/{model:name}/service": Permission("read", "path"),
    "GET /v1/models/{model:name}/drift": Permission("read", "path"),
    "GET /v1/models/{model:name}/columns/{column:name}": Permission("read", "path"),
    "GET /v1/models/{model:name}/findings": Permission("read", "path"),
    "GET /v1/models/{model:name}/detector": Permission("read", "path"),
    "GET /v1/models/{model:name}/replay": Permission("read", "path"),
    "POST /v1/models/{model:name}/domain-classifier": Permission("read", "path"),
    "GET /v1/models/{model:name}/importance": Permission("read", "path"),
    "POST /v1/models/{model:name}/importance": Permission("admin", "path"),
    "GET /v1/models/{model:name}/selftest": Permission("read", "path"),
    "POST /v1/models/{model:name}/selftest": Permission("read", "path"),
    "POST /v1/models/{model:name}/accept": Permission("admin", "path"),
    "GET /v1/alerts": Permission("read", "query"),
    "POST /v1/erase": Permission("admin", "filter"),
    "GET /v1/status": Permission("read", "filter"),
    "GET /v1/accounting": Permission("read", "query"),
    "GET /v1/quarantine": Permission("admin", "query"),
    "POST /v1/quarantine/resend": Permission("admin", "filter"),
    "POST /v1/quarantine/discard": Permission("admin", "filter"),
    "GET /metrics": Permission("read", "filter"),
    "PUT /v1/models/{model:name}/reference": Permission("admin", "path"),
    "POST /v1/evaluate": Permission("admin", "query"),
    "POST /v1/rebuild": Permission("admin", "query"),
    "POST /v1/alerts/{alert}/acknowledge": Permission("admin", "filter"),
    "POST /v1/alerts/{alert}/silence": Permission("admin", "filter"),
    "POST /v1/keys": Permission("admin", "all"),
    "GET /v1/keys": Permission("admin", "all"),
    "DELETE /v1/keys/{key}": Permission("admin", "all"),
}


class Authenticator:
    """Finds the caller of a request by its key; no key is needed while none exists."""

    def __init__(self, keys: Callable[[], KeyStore], bootstrap: str | None) -> None:
        self.keys = keys
        self.bootstrap = digest(bootstrap.encode()) if bootstrap else None

    def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Return the caller that the headers name. Raises Unauthorized."""
        key_store = self.keys()
        if self.bootstrap is None and not key_store.required:
            return ANONYMOUS
        secret = bearer_secret(headers)
        if self.bootstrap is not None and equal_digests(digest(secret), self.bootstrap):
            return BOOTSTRAP
        return key_store.caller(secret, datetime.now(UTC))


def authenticator_of(request: Request) -> Authenticator:
    """Return what finds the sender of a request by its key."""
    return cast(Authenticator, request.app.state.authenticator)


class AuthenticationMiddleware:
    """Authenticates each request before anything of its body is read."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self.app = app
        self.authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store the caller in the request's state, or respond with 401."""
        if scope["type"] == "http" and scope["path"] not in PUBLIC_PATHS:
            try:
                caller = self.authenticator.authenticate(scope["headers"])
            except Unauthorized as error:
                await failure_response(error)(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
        await self.app(scope, receive, send)


async def authorize(request: Request) -> None:
    """Check the caller's rights before every route.

    Raises Forbidden when the caller lacks the route's scope or its model.
    """
    if request.url.path in PUBLIC_PATHS:
        return
    caller = caller_of(request)
    route = f"{request.method} {request.scope['route'].path}"
    permission = PERMISSIONS.get(route)
    if permission is None:
        raise DriftdeckError(
            f"{route} has no entry in the table of rights, so it cannot be used; "
            "please report it"
        )
    caller.require(permission.scope)
    if caller.models is None:
        return
    match permission.model:
        case "path":
            caller.require_model(request.path_params["model"])
        case "query":
            for name in request.query_params.getlist("model"):
                caller.require_model(name)
        case "all":
            caller.require_all_models()


def scoped_idempotency_key(caller: Caller, key: str | None) -> str | None:
    """Return an Idempotency-Key that holds for callers of the same models only.

    Rows that were refused for lack of a right are so checked again when they are sent
    with another API key.
    """
    if key is None or caller.models is None:
        return key
    models = repr(sorted(caller.models)).encode()
    return f"{key}@{sha256(models).hexdigest()[:16]}"
