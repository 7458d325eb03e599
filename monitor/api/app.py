"""The HTTP application over one server: its middleware, routes and lifespan."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import duckdb
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.responses import HTMLResponse

from monitor import __version__
from monitor.api.authorization import (
    AuthenticationMiddleware,
    Authenticator,
    authorize,
)
from monitor.api.body_limit import BodyLimitMiddleware
from monitor.api.browser_guard import BrowserGuard, BrowserGuardMiddleware
from monitor.api.docs_page import docs_page
from monitor.api.error_handlers import add_error_handlers, first_line
from monitor.api.fast_path import FastPath
from monitor.api.rate_limit import RateLimiter
from monitor.api.routes import (
    alert_routes,
    analysis_routes,
    cloudevent_routes,
    erase_routes,
    health_routes,
    ingest_routes,
    key_routes,
    maintenance_routes,
    model_routes,
    quarantine_routes,
    reference_routes,
    replay_routes,
    selftest_routes,
    statistic_routes,
)
from monitor.api.url_names import EncodedSlashMiddleware
from monitor.server.server import Server
from monitor.store.key_store import KeyStore

log = logging.getLogger("driftdeck.api")

KEY_USE_SECONDS = 60
DESCRIPTION = """Receives prediction logs; reports latency, errors, quality, drift and alerts.

Times are RFC 3339 in UTC. Every error is `{"error": "one sentence"}`. Lists are also
available as an Arrow stream: send `Accept: application/vnd.apache.arrow.stream`."""
ROUTERS = (
    ingest_routes.router,
    cloudevent_routes.router,
    statistic_routes.router,
    model_routes.router,
    alert_routes.router,
    health_routes.router,
    reference_routes.router,
    maintenance_routes.router,
    quarantine_routes.router,
    erase_routes.router,
    key_routes.router,
    replay_routes.router,
    selftest_routes.router,
    analysis_routes.router,
)


class Problem(BaseModel):
    """The response to every request that failed."""

    error: str


PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "model": Problem,
        "description": "The request is wrong; the sentence names the error.",
    },
    "503": {
        "model": Problem,
        "description": "Not possible now; send again after Retry-After seconds.",
    },
}


def create_app(
    server: Server,
    on_start: Callable[[], None] = lambda: None,
    on_stop: Callable[[], None] = lambda: None,
    background: bool = True,
    key: str | None = None,
    host: str = "127.0.0.1",
) -> FastAPI:
    """Return the application over one server; the server starts and stops with it.

    `host` is the address that it listens on. `key` is the bootstrap key, which has every right. With it, or with a stored key,
    every request needs a key.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server.start(background)
        on_start()
        key_uses = asyncio.create_task(_save_key_uses(server.keys))
        try:
            yield
        finally:
            key_uses.cancel()
            on_stop()
            server.close()

    app = FastAPI(
        title="driftdeck",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(authorize)],
        responses=PROBLEM_RESPONSES,
    )
    rate_limiter = RateLimiter(server.config.limits)
    authenticator = Authenticator(lambda: server.keys, key)
    app.state.server = server
    app.state.authenticator = authenticator
    app.state.rate_limiter = rate_limiter
    guard = BrowserGuard(host, server.config.allowed_hosts)
    app.state.fast_path = FastPath(server, authenticator, rate_limiter, guard)
    app.add_middleware(EncodedSlashMiddleware)
    app.add_middleware(
        BodyLimitMiddleware,
        max_row_bytes=int(server.config.limits.max_body_mb * (1 << 20)),
    )
    # the last one added is the outermost and runs first
    app.add_middleware(AuthenticationMiddleware, authenticator=authenticator)
    app.add_middleware(BrowserGuardMiddleware, guard=guard)
    app.add_api_route("/docs", _docs_route(app), include_in_schema=False)
    for router in ROUTERS:
        app.include_router(router)
    add_error_handlers(app)
    return app


def _docs_route(app: FastAPI) -> Callable[[], HTMLResponse]:
    def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app))

    return docs


async def _save_key_uses(keys: KeyStore) -> None:
    """Save once a minute when keys were last used, apart from the requests."""
    while True:
        await asyncio.sleep(KEY_USE_SECONDS)
        try:
            await asyncio.to_thread(keys.save_uses)
        except duckdb.Error as error:
            log.warning("the last use of keys was not saved: %s", first_line(error))


def openapi_text(app: FastAPI) -> str:
    """Return the OpenAPI description as JSON text."""
    description: dict[str, Any] = app.openapi()
    return json.dumps(description, indent=2)
