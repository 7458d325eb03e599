"""GET: models, figures, findings, alerts."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from monitor.api.authorization import caller_of
from monitor.api.response import answer
from monitor.queries import detector_status, drift, overview, service
from monitor.queries.alerts import alert_rows
from monitor.queries.known_statistics import statistic_rows
from monitor.queries.time_range import TimeRange, parse_time, span_of
from monitor.server.server import Server
from monitor.store.profiles.compaction import MINUTE_RETENTION

router = APIRouter(prefix="/v1", tags=["read"])

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
Time = Annotated[
    str | None, Query(max_length=40, description="RFC 3339, e.g. 2026-11-22T09:30:00Z")
]
Step = Annotated[
    str | None,
    Query(
        max_length=20, description="e.g. 15m, 1h, 1d; chosen by the span when left out"
    ),
]
Version = Annotated[
    str | None, Query(max_length=200, description="one version; all when left out")
]
Segment = Annotated[
    str,
    Query(
        max_length=500,
        description="FEATURE=VALUE of a configured segment; empty for all rows",
    ),
]


class Scope:
    """The parameters that every figure takes."""

    def __init__(
        self,
        request: Request,
        from_: Annotated[
            str | None,
            Query(
                alias="from", max_length=40, description="default: 7 days before `to`"
            ),
        ] = None,
        to: Time = None,
        step: Step = None,
        version: Version = None,
        segment: Segment = "",
    ) -> None:
        self.server: Server = request.app.state.server
        self.now = datetime.now(UTC)
        self.version, self.segment = version, segment
        self._given = (from_, to, step)

    def span(self, finest: timedelta, points: int = 170) -> TimeRange:
        """The span asked for. Raises InvalidRequest."""
        span = span_of(*self._given, self.now, finest, points)
        if finest < HOUR and span.start < self.now - MINUTE_RETENTION:
            # what is older is kept by the hour
            return span_of(*self._given, self.now, HOUR, points)
        return span

    def window(self, length: timedelta) -> TimeRange:
        """The span asked for; without `from` the `length` before its end.

        Raises InvalidRequest.
        """
        start, end, step = self._given
        if start is None:
            last = parse_time(end, "to") if end else self.now
            start = (last - length).isoformat()
        return span_of(start, end, step, self.now, HOUR)


InScope = Annotated[Scope, Depends()]


@router.get("/statistics", summary="Every statistic")
def get_statistics(request: Request) -> Response:
    """Title, group, unit, formula and source of every statistic that rules or findings can have."""
    return answer(request, {"statistics": statistic_rows()}, "statistics")


@router.get("/models", summary="Every model")
def get_models(request: Request) -> Response:
    """Name, versions, counts, reference, open alerts and verdict of every model."""
    server: Server = request.app.state.server
    now = datetime.now(UTC)
    caller = caller_of(request)
    rows = [
        row for row in overview.models(server.store, now) if caller.sees(row["model"])
    ]
    return answer(request, {"now": now, "models": rows}, "models")


# first, because a column may be called overview
@router.get(
    "/models/{model:name}/columns/{column:name}", summary="One column in detail"
)
def get_column(request: Request, model: str, column: str, scope: InScope) -> Response:
    """Shares of every bin, reference and current, each statistic with its interval, and values never seen before.

    Without `from` over the window of the drift rule, so that the figures are those of
    the verdict.
    """
    span = scope.window(drift.rule_for(scope.server.config, model, "psi").window)
    body = drift.column(
        scope.server.store,
        scope.server.config,
        model,
        column,
        span,
        scope.version,
        scope.segment,
    )
    return answer(request, body, "bins")


@router.get("/models/{model:name}/overview", summary="Is the model OK")
def get_overview(request: Request, model: str, scope: InScope) -> Response:
    """One verdict with its reasons, and the figures of the dashboard's first page."""
    server = scope.server
    pending, _ = server.collector.pending.of(model, "events")
    span = scope.span(MINUTE)
    body = overview.overview(
        server.store,
        server.config,
        model,
        span,
        scope.version,
        scope.segment,
        scope.now,
        pending,
    )
    return answer(request, body, "reasons")


@router.get("/models/{model:name}/service", summary="Traffic, latency, errors")
def get_service(
    request: Request,
    model: str,
    scope: InScope,
    by: Literal["time", "version"] = "time",
) -> Response:
    """Predictions, latency quantiles (within 1 %) and error rate with interval, on a full time grid."""
    span = scope.span(MINUTE)
    body: dict[str, Any] = service.service(
        scope.server.store,
        scope.server.config,
        model,
        span,
        scope.version,
        scope.segment,
    )
    if by == "version":
        body["rows"] = service.by_version(
            scope.server.store, model, span, scope.segment
        )
    return answer(request, body, "rows")


@router.get("/models/{model:name}/drift", summary="Drift of every column")
def get_drift(
    request: Request,
    model: str,
    scope: InScope,
    statistic: Annotated[str, Query(max_length=40)] = "psi",
    limit: Annotated[int, Query(ge=1, le=2_000)] = drift.MAX_COLUMNS,
) -> Response:
    """Drift against the reference for each column and step, the most harmful first; `of` says how many there are."""
    span = scope.span(HOUR, points=60)
    server = scope.server
    body = drift.drift(
        server.store,
        server.config,
        model,
        span,
        statistic,
        scope.version,
        scope.segment,
        limit,
    )
    return answer(request, body, "columns")


@router.get("/models/{model:name}/findings", summary="The newest findings")
def get_findings(request: Request, model: str) -> Response:
    """The newest finding of every rule and column, with its verdict and interval."""
    server: Server = request.app.state.server
    server.store.model(model)
    found = server.store.alerts.latest_findings(model)
    return answer(request, {"now": datetime.now(UTC), "findings": found}, "findings")


@router.get("/models/{model:name}/detector", summary="What the detector knows")
def get_detector(request: Request, model: str, scope: InScope) -> Response:
    """What each lane has learned, its evidence hour by hour, what is open, and the smallest change it would find."""
    span = scope.span(HOUR)
    body = detector_status.detector(
        scope.server.store,
        scope.server.config,
        scope.server.scheduler.detector_runner,
        model,
        span,
    )
    return answer(request, body, "lanes")


@router.get("/alerts", summary="Alerts")
def get_alerts(
    request: Request,
    model: Annotated[str | None, Query(max_length=200)] = None,
    state: Literal["open", "pending", "firing", "resolved", "all"] = "open",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> Response:
    """Alerts with their transitions and deliveries, the firing first."""
    server: Server = request.app.state.server
    if model is not None:
        server.store.model(model)
    own = caller_of(request).models if model is None else frozenset({model})
    alerts = alert_rows(
        server.store.alerts, server.store.alerts.listing(own, state, limit)
    )
    return answer(request, {"now": datetime.now(UTC), "alerts": alerts}, "alerts")
