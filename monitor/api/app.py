"""The server's HTTP application."""

import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import duckdb
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor import __version__
from monitor.api import admin, cloudevents, ingest, read
from monitor.api.encoding import error, failure
from monitor.deck import Deck
from monitor.errors import DriftdeckError

log = logging.getLogger("driftdeck.api")

ABOUT = """Prediction logs in; latency, errors, quality, drift and alerts out.

Times are RFC 3339 in UTC. Every error is `{"error": "one sentence"}`. Lists are also there as an Arrow stream:
send `Accept: application/vnd.apache.arrow.stream`."""


def create_app(
    deck: Deck,
    on_start: Callable[[], None] = lambda: None,
    on_stop: Callable[[], None] = lambda: None,
    background: bool = True,
    key: str | None = None,
) -> FastAPI:
    """The application over one deck; the deck starts and stops with it. With a `key`, every request must bear it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        deck.start(background)
        on_start()
        try:
            yield
        finally:
            on_stop()
            deck.close()

    app = FastAPI(title="driftdeck", version=__version__, description=ABOUT, lifespan=lifespan, redoc_url=None)
    app.state.deck = deck
    app.add_middleware(ingest.FastLane, deck=deck)
    if key:
        app.add_middleware(RequireKey, key=key)
    app.include_router(ingest.router)
    app.include_router(cloudevents.router)
    app.include_router(read.router)
    app.include_router(admin.router)
    app.add_exception_handler(DriftdeckError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(duckdb.Error, _database)
    app.add_exception_handler(Exception, _unknown)
    return app


class RequireKey:
    """Lets requests pass that bear the key (Authorization: Bearer KEY); health and the description are open to all."""

    OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json")

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app, self.expected = app, f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 in place of the application when the key is missing or wrong."""
        if scope["type"] == "http" and scope["path"] not in self.OPEN:
            given = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
            if not hmac.compare_digest(given, self.expected):
                refused = error(
                    "send the key as `Authorization: Bearer KEY` (DRIFTDECK_KEY)", 401, {"www-authenticate": "Bearer"}
                )
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def _known(request: Request, problem: Exception) -> Response:
    return failure(cast(DriftdeckError, problem))


async def _invalid(request: Request, problem: Exception) -> Response:
    problem = cast(RequestValidationError, problem)
    first = problem.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return error(f"`{where}`: {first['msg']}", 422)


async def _http(request: Request, problem: Exception) -> Response:
    problem = cast(HTTPException, problem)
    if problem.status_code == 404:
        return error(f"there is no {request.url.path[:100]}; GET /docs lists the addresses", 404)
    return error(str(problem.detail), problem.status_code, dict(problem.headers or {}))


async def _database(request: Request, problem: Exception) -> Response:
    log.error("%s %s: %s", request.method, request.url.path, (str(problem).splitlines() or [""])[0])
    return error("the database is busy or being reopened; try again in a moment", 503, {"retry-after": "2"})


async def _unknown(request: Request, problem: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=problem)
    return error("the server failed on this request; its log has the details", 500)


def openapi_text(app: FastAPI) -> str:
    """The OpenAPI description as JSON text."""
    spec: dict[str, Any] = app.openapi()
    return json.dumps(spec, indent=2)
