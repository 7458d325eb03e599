"""Every route with the scope it needs and where its model comes from; who a request is from, and whether it may."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal, NamedTuple, cast

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.access import SCOPES, Caller, bearer_secret, digest, equal_digests
from monitor.api.response import failure
from monitor.errors import DriftdeckError, Unauthorized
from monitor.store.key_store import KeyStore

# of a server without keys, which only listens on the loopback address
EVERYBODY = Caller("", frozenset(SCOPES))
BOOTSTRAP = Caller("DRIFTDECK_KEY", frozenset(SCOPES))


class Needs(NamedTuple):
    """What a route asks of a caller. `model`: "path" and "query" are checked before the route runs ("query" may be
    absent: then the route keeps to the caller's models), "rows" row by row, "filter" by
    the route, "all" means a caller limited to some models is refused, "none" that no
    model is involved."""

    scope: str
    model: Literal["path", "query", "rows", "filter", "all", "none"]


OPEN = frozenset(
    {"/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/openapi.json"}
)
ROUTES: dict[str, Needs] = {
    "POST /v1/events": Needs("ingest", "rows"),
    "POST /v1/labels": Needs("ingest", "rows"),
    "POST /v1/cloudevents": Needs("ingest", "rows"),
    "POST /v1/refused": Needs("ingest", "query"),
    "POST /v1/flush": Needs("ingest", "none"),
    "GET /v1/statistics": Needs("read", "none"),
    "GET /v1/models": Needs("read", "filter"),
    "GET /v1/models/{model:name}/overview": Needs("read", "path"),
    "GET /v1/models/{model:name}/service": Needs("read", "path"),
    "GET /v1/models/{model:name}/drift": Needs("read", "path"),
    "GET /v1/models/{model:name}/columns/{column:name}": Needs("read", "path"),
    "GET /v1/models/{model:name}/findings": Needs("read", "path"),
    "GET /v1/models/{model:name}/detector": Needs("read", "path"),
    "GET /v1/models/{model:name}/replay": Needs("read", "path"),
    "POST /v1/models/{model:name}/domain-classifier": Needs("read", "path"),
    "GET /v1/models/{model:name}/importance": Needs("read", "path"),
    "POST /v1/models/{model:name}/importance": Needs("admin", "path"),
    "GET /v1/models/{model:name}/selftest": Needs("read", "path"),
    "POST /v1/models/{model:name}/selftest": Needs("read", "path"),
    "POST /v1/models/{model:name}/accept": Needs("admin", "path"),
    "GET /v1/alerts": Needs("read", "query"),
    "POST /v1/erase": Needs("admin", "filter"),
    "GET /v1/status": Needs("read", "filter"),
    "GET /v1/accounting": Needs("read", "query"),
    "GET /v1/quarantine": Needs("admin", "query"),
    "POST /v1/quarantine/resend": Needs("admin", "filter"),
    "POST /v1/quarantine/discard": Needs("admin", "filter"),
    "GET /metrics": Needs("read", "filter"),
    "PUT /v1/models/{model:name}/reference": Needs("admin", "path"),
    "POST /v1/evaluate": Needs("admin", "query"),
    "POST /v1/rebuild": Needs("admin", "query"),
    "POST /v1/alerts/{alert}/acknowledge": Needs("admin", "filter"),
    "POST /v1/alerts/{alert}/silence": Needs("admin", "filter"),
    "POST /v1/keys": Needs("admin", "all"),
    "GET /v1/keys": Needs("admin", "all"),
    "DELETE /v1/keys/{key}": Needs("admin", "all"),
}


class Callers:
    """Finds out who sends a request; what is not OPEN needs a key once there is one."""

    def __init__(self, keys: Callable[[], KeyStore], bootstrap: str | None) -> None:
        self.keys = keys
        self.bootstrap = digest(bootstrap.encode()) if bootstrap else None

    def caller(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Who the headers say it is. Raises Unauthorized."""
        book = self.keys()
        if self.bootstrap is None and not book.required:
            return EVERYBODY
        secret = bearer_secret(headers)
        if self.bootstrap is not None and equal_digests(digest(secret), self.bootstrap):
            return BOOTSTRAP
        return book.caller(secret, datetime.now(UTC))


class Authenticate:
    """Asks who sends a request before anything of its body is read."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self.app, self.callers = app, callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave the caller in the request's state, or answer 401 in place of the application."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            try:
                scope.setdefault("state", {})["caller"] = self.callers.caller(
                    scope["headers"]
                )
            except Unauthorized as problem:
                await failure(problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def authorize(request: Request) -> None:
    """Runs before every route.

    Raises Forbidden when the caller lacks the route's scope or its model.
    """
    if request.url.path in OPEN:
        return
    caller = caller_of(request)
    needs = ROUTES.get(f"{request.method} {request.scope['route'].path}")
    if needs is None:
        raise DriftdeckError(
            "this address has no entry in the table of rights, so nobody may use it; please report it"
        )
    caller.require(needs.scope)
    if caller.models is None:
        return
    match needs.model:
        case "path":
            caller.require_model(request.path_params["model"])
        case "query":
            for name in request.query_params.getlist("model"):
                caller.require_model(name)
        case "all":
            caller.require_all_models()


def caller_of(request: Request) -> Caller:
    """Who sent the request."""
    return cast(Caller, request.state.caller)


def own_key(caller: Caller, key: str | None) -> str | None:
    """An Idempotency-Key as a caller's own: what was refused for lack of a right is judged anew with another key."""
    if key is None or caller.models is None:
        return key
    return f"{key}@{sha256(repr(sorted(caller.models)).encode()).hexdigest()[:16]}"
