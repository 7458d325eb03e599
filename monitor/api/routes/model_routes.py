"""Models and the figures of one model: overview, service, drift, columns, detector."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.figure_parameters import HOUR, Figures
from monitor.api.request_context import caller_of, current_time, server_of
from monitor.api.response import data_response
from monitor.queries import detector_status, drift, overview, service

router = APIRouter(prefix="/v1", tags=["read"])

MINUTE = timedelta(minutes=1)
# columns of a heat map that a screen can show
MAX_DRIFT_POINTS = 60


@router.get("/models", summary="Every model")
def get_models(request: Request) -> Response:
    """Name, versions, counts, reference, open alerts and status of every model."""
    now = current_time()
    caller = caller_of(request)
    rows = [
        row
        for row in overview.models(server_of(request).store, now)
        if caller.sees(row["model"])
    ]
    return data_response(request, {"now": now, "models": rows}, "models")


# before the other routes of a model, because a column may be called `overview`
@router.get(
    "/models/{model:name}/columns/{column:name}", summary="One column in detail"
)
def get_column(request: Request, model: str, column: str, figures: Figures) -> Response:
    """Bins of one column, reference and current, with every statistic and new values.

    Without `from` the time range is the window of the drift rule, so that the figures
    are those of its status.
    """
    server = figures.server
    rule = drift.rule_for(server.config, model, "psi")
    body = drift.column(
        server.store,
        server.config,
        model,
        column,
        figures.window(rule.window),
        figures.version,
        figures.segment,
    )
    return data_response(request, body, "bins")


@router.get("/models/{model:name}/overview", summary="Status of the model")
def get_overview(request: Request, model: str, figures: Figures) -> Response:
    """The model's status with its reasons, and the figures of the overview page."""
    server = figures.server
    pending, _ = server.collector.pending.of(model, "events")
    body = overview.overview(
        server.store,
        server.config,
        model,
        figures.time_range(MINUTE),
        figures.version,
        figures.segment,
        figures.now,
        pending,
    )
    return data_response(request, body, "reasons")


@router.get("/models/{model:name}/service", summary="Traffic, latency, errors")
def get_service(
    request: Request,
    model: str,
    figures: Figures,
    by: Literal["time", "version"] = "time",
) -> Response:
    """Predictions, latency quantiles (within 1%) and request error rate with interval.

    There is a row for every step, also for those without data.
    """
    server = figures.server
    time_range = figures.time_range(MINUTE)
    body = service.service(
        server.store,
        server.config,
        model,
        time_range,
        figures.version,
        figures.segment,
    )
    if by == "version":
        body["rows"] = service.by_version(
            server.store, model, time_range, figures.segment
        )
    return data_response(request, body, "rows")


@router.get("/models/{model:name}/drift", summary="Drift of every column")
def get_drift(
    request: Request,
    model: str,
    figures: Figures,
    statistic: Annotated[str, Query(max_length=40)] = "psi",
    limit: Annotated[
        int, Query(ge=1, le=2_000, description="columns at most")
    ] = drift.MAX_COLUMNS,
) -> Response:
    """Drift against the reference by column and step, highest drift impact first.

    `of` is the number of columns without the `limit`.
    """
    body = drift.drift(
        figures.server.store,
        figures.server.config,
        model,
        figures.time_range(HOUR, MAX_DRIFT_POINTS),
        statistic,
        figures.version,
        figures.segment,
        limit,
    )
    return data_response(request, body, "columns")


@router.get("/models/{model:name}/findings", summary="The newest findings")
def get_findings(request: Request, model: str) -> Response:
    """The newest finding of every rule and column, with its status and interval."""
    store = server_of(request).store
    store.model(model)  # NotFound rather than an empty list
    findings = store.alerts.latest_findings(model)
    body = {"now": current_time(), "findings": findings}
    return data_response(request, body, "findings")


@router.get("/models/{model:name}/detector", summary="State of the detector")
def get_detector(request: Request, model: str, figures: Figures) -> Response:
    """Each signal with its change score by hour, and the minimum detectable change.

    Also what the signal has learned, and the open changes.
    """
    server = figures.server
    body = detector_status.detector(
        server.store,
        server.config,
        server.scheduler.detector_runner,
        model,
        figures.time_range(HOUR),
    )
    return data_response(request, body, "lanes")
