"""The server, the caller and the headers of a request, with their types."""

from datetime import UTC, datetime
from typing import cast

from fastapi import Request

from monitor.access import Caller
from monitor.api.rate_limit import RateLimiter
from monitor.server.server import Server


def server_of(request: Request) -> Server:
    """Return the server behind the application that received the request."""
    return cast(Server, request.app.state.server)


def caller_of(request: Request) -> Caller:
    """Return the sender of the request, as authentication found it."""
    return cast(Caller, request.state.caller)


def rate_limiter_of(request: Request) -> RateLimiter:
    """Return the rate limiter that all routes share with the fast path."""
    return cast(RateLimiter, request.app.state.rate_limiter)


def media_type_of(request: Request) -> str:
    """Return the Content-Type in lower case, without its parameters; "" without one."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def max_body_bytes_of(request: Request) -> int:
    """Return the configured size limit of a body, in bytes."""
    return int(server_of(request).config.limits.max_body_mb * (1 << 20))


def model_names_of(request: Request, model: str | None) -> list[str]:
    """Return the one model that is named, or every model of the caller.

    Raises NotFound when there is no such model.
    """
    store = server_of(request).store
    if model:
        return [store.model(model).name]
    caller = caller_of(request)
    return [name for name in sorted(store.models()) if caller.sees(name)]


def current_time() -> datetime:
    """Return the time of the request, in UTC."""
    return datetime.now(UTC)
