"""Models, and the figures of one model."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.figure_parameters import HOUR, Figures
from monitor.api.request_context import caller_of, current_time, server_of
from monitor.api.response import data_response
from monitor.queries.figures.column_detail import read_column
from monitor.queries.figures.detector_status import read_detector_status
from monitor.queries.figures.drift import MAX_COLUMNS, read_drift
from monitor.queries.figures.model_rules import rule_for
from monitor.queries.figures.overview import read_overview
from monitor.queries.figures.service import read_service, read_service_by_version
from monitor.queries.known_statistics import DEFAULT_STATISTIC
from monitor.queries.model_list import list_models

router = APIRouter(prefix="/v1", tags=["read"])

MINUTE = timedelta(minutes=1)
# columns of a heat map that a screen can show
MAX_DRIFT_POINTS = 60


@router.get("/models", summary="Every model")
def get_models(request: Request) -> Response:
    """Name, versions, counts, reference, open alerts and status of every model."""
    caller = caller_of(request)
    models = list_models(server_of(request).store)
    rows = [row for row in models if caller.sees(row["model"])]
    return data_response(request, {"now": current_time(), "models": rows}, "models")


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
    window = rule_for(server.config, model, DEFAULT_STATISTIC).window
    selection = figures.window(model, window)
    body = read_column(server.store, server.config, selection, column)
    return data_response(request, body, "bins")


@router.get("/models/{model:name}/overview", summary="Status of the model")
def get_overview(request: Request, model: str, figures: Figures) -> Response:
    """The model's status with its reasons, and the figures of the overview page."""
    server = figures.server
    pending, _ = server.collector.pending.of(model, "events")
    selection = figures.selection(model, MINUTE)
    body = read_overview(server.store, server.config, selection, figures.now, pending)
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
    selection = figures.selection(model, MINUTE)
    body = read_service(server.store, server.config, selection)
    if by == "version":
        body["rows"] = read_service_by_version(server.store, selection)
    return data_response(request, body, "rows")


@router.get("/models/{model:name}/drift", summary="Drift of every column")
def get_drift(
    request: Request,
    model: str,
    figures: Figures,
    statistic: Annotated[str, Query(max_length=40)] = DEFAULT_STATISTIC,
    limit: Annotated[
        int, Query(ge=1, le=2_000, description="columns at most")
    ] = MAX_COLUMNS,
) -> Response:
    """Drift against the reference by column and step, highest drift impact first.

    `of` is the number of columns without the `limit`.
    """
    server = figures.server
    selection = figures.selection(model, HOUR, MAX_DRIFT_POINTS)
    body = read_drift(server.store, server.config, selection, statistic, limit)
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
    body = read_detector_status(
        server.store,
        server.config,
        server.scheduler.detector_runner,
        model,
        figures.selection(model, HOUR).time_range,
    )
    return data_response(request, body, "lanes")
