"""Health, metrics and status of the server."""

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from monitor.api.authorization import authenticator_of
from monitor.api.prometheus import CONTENT_TYPE, render_metrics
from monitor.api.request_context import caller_of, server_of
from monitor.api.response import data_response, error_response
from monitor.errors import Unauthorized
from monitor.queries.server_status import read_server_status, why_not_ready

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="The process runs")
def healthz() -> dict[str, str]:
    """Return ok while the process responds."""
    return {"status": "ok"}


@router.get("/readyz", summary="The server can accept and show data")
def readyz(request: Request) -> Response:
    """200 when the spool accepts rows and every step works, else 503.

    The body names the part that fails. The reason, which may name models and files, is
    there for callers with a key, and for everyone on a server without keys.
    """
    problem = why_not_ready(server_of(request))
    if problem is None:
        return data_response(request, {"status": "ready"}, "status")
    try:
        authenticator_of(request).authenticate(request.scope["headers"])
    except Unauthorized:
        return error_response(f"not ready: {problem.part}", 503)
    return error_response(f"not ready: {problem.part}: {problem.reason}", 503)


@router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """The server's state and the newest findings, for Prometheus."""
    text = render_metrics(server_of(request), caller_of(request))
    return Response(text, media_type=CONTENT_TYPE)


@router.get("/v1/status", summary="State of the server")
def status(request: Request) -> Response:
    """Version, row counts, loading and evaluation; damage found in the spool.

    A key for some models sees these models only.
    """
    body = read_server_status(server_of(request), caller_of(request).models)
    return data_response(request, body, "models")
