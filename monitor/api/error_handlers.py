"""Responses to exceptions that the routes raise."""

import logging
from typing import cast

import duckdb
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from monitor.api.request_context import server_of
from monitor.api.response import error_response, failure_response
from monitor.errors import DriftdeckError

log = logging.getLogger("driftdeck.api")


def add_error_handlers(app: FastAPI) -> None:
    """Register a handler for every class of exception."""
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(DriftdeckError, _on_driftdeck_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameter)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(duckdb.Error, _on_database_error)
    app.add_exception_handler(Exception, _on_unexpected_error)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; "" without one."""
    lines = str(error).splitlines()
    return lines[0] if lines else ""


async def _on_disconnect(request: Request, error: Exception) -> Response:
    # no fault of the server, and no client is left to read the response
    return error_response("the connection closed in the middle of the body", 400)


async def _on_driftdeck_error(request: Request, error: Exception) -> Response:
    return failure_response(cast(DriftdeckError, error))


async def _on_invalid_parameter(request: Request, error: Exception) -> Response:
    first = cast(RequestValidationError, error).errors()[0]
    location = first["loc"]
    name = ".".join(str(part) for part in location[1:]) or str(location[0])
    return error_response(f"`{name}`: {first['msg']}", 422)


async def _on_http_error(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    # the framework turns what stops the reading of a body into its own 400
    if isinstance(error.__cause__, DriftdeckError):
        return failure_response(error.__cause__)
    if error.status_code == 404:
        return error_response(
            f"there is no {request.url.path[:100]}; GET /docs lists the addresses", 404
        )
    headers = dict(error.headers or {})
    return error_response(str(error.detail), error.status_code, headers)


async def _on_database_error(request: Request, error: Exception) -> Response:
    log.error("%s %s: %s", request.method, request.url.path, first_line(error))
    if isinstance(error, duckdb.FatalException):
        server_of(request).store.note_failure()
    return error_response(
        "the database is busy or being reopened; try again in 2 s",
        503,
        {"retry-after": "2"},
    )


async def _on_unexpected_error(request: Request, error: Exception) -> Response:
    log.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(
        "the server failed on this request; its log has the details", 500
    )
