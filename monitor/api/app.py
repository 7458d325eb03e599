"""The server's HTTP application."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import duckdb
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from monitor import __version__
from monitor.api.authorization import Authenticate, Callers, authorize
from monitor.api.fast_path import FastPath
from monitor.api.rate_limit import Allowance
from monitor.api.response import error, failure
from monitor.api.routes import (
    admin,
    analysis,
    cloudevents,
    erase,
    keys,
    quarantine,
    read,
    receive,
)
from monitor.api.url_names import Naming
from monitor.errors import DriftdeckError
from monitor.server.server import Server
from monitor.store.key_store import KeyStore

log = logging.getLogger("driftdeck.api")

ABOUT = """Prediction logs in; latency, errors, quality, drift and alerts out.

Times are RFC 3339 in UTC. Every error is `{"error": "one sentence"}`. Lists are also there as an Arrow stream:
send `Accept: application/vnd.apache.arrow.stream`."""


class Problem(BaseModel):
    """Every answer to a request that was not served."""

    error: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "model": Problem,
        "description": "The request cannot be served; the sentence says why.",
    },
    "503": {
        "model": Problem,
        "description": "Not now; Retry-After says when to send again.",
    },
}


def create_app(
    server: Server,
    on_start: Callable[[], None] = lambda: None,
    on_stop: Callable[[], None] = lambda: None,
    background: bool = True,
    key: str | None = None,
) -> FastAPI:
    """The application over one server; the server starts and stops with it. `key` is the bootstrap key,
    which may do everything; with it, or with a stored key, every request must bear
    one."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server.start(background)
        on_start()
        uses = asyncio.create_task(_keep_uses(server.keys))
        try:
            yield
        finally:
            uses.cancel()
            on_stop()
            server.close()

    app = FastAPI(
        title="driftdeck",
        version=__version__,
        description=ABOUT,
        lifespan=lifespan,
        redoc_url=None,
        dependencies=[Depends(authorize)],
        responses=PROBLEMS,
    )
    app.state.server = server
    app.state.allowance = Allowance(server.config.limits)
    callers = Callers(lambda: server.keys, key)
    app.state.lane = FastPath(server, callers, app.state.allowance)
    app.add_middleware(Naming)
    app.add_middleware(Authenticate, callers=callers)  # the outermost: it runs first
    app.include_router(receive.router)
    app.include_router(cloudevents.router)
    app.include_router(read.router)
    app.include_router(admin.router)
    app.include_router(quarantine.router)
    app.include_router(erase.router)
    app.include_router(keys.router)
    app.include_router(analysis.router)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(DriftdeckError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(duckdb.Error, _database)
    app.add_exception_handler(Exception, _unknown)
    return app


async def _keep_uses(keys: KeyStore) -> None:
    """Once a minute write down when keys were last used: never while a request waits for it."""
    while True:
        await asyncio.sleep(60)
        try:
            await asyncio.to_thread(keys.save_uses)
        except duckdb.Error as problem:
            log.warning(
                "the last use of keys was not saved: %s",
                (str(problem).splitlines() or [""])[0],
            )


async def _gone(request: Request, problem: Exception) -> Response:
    # nobody hears it; no error of the server
    return error("the connection closed in the middle of the body", 400)


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
        return error(
            f"there is no {request.url.path[:100]}; GET /docs lists the addresses", 404
        )
    return error(str(problem.detail), problem.status_code, dict(problem.headers or {}))


async def _database(request: Request, problem: Exception) -> Response:
    log.error(
        "%s %s: %s",
        request.method,
        request.url.path,
        (str(problem).splitlines() or [""])[0],
    )
    return error(
        "the database is busy or being reopened; try again in a moment",
        503,
        {"retry-after": "2"},
    )


async def _unknown(request: Request, problem: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=problem)
    return error("the server failed on this request; its log has the details", 500)


def openapi_text(app: FastAPI) -> str:
    """The OpenAPI description as JSON text."""
    spec: dict[str, Any] = app.openapi()
    return json.dumps(spec, indent=2)
