"""Alerts: list, acknowledge, silence."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from monitor.api.request_context import caller_of, current_time, server_of
from monitor.api.response import data_response
from monitor.errors import NotFound
from monitor.queries.alert_data import alert_rows

router = APIRouter(prefix="/v1", tags=["alerts"])

MAX_SILENCE_HOURS = 24 * 90


class Acknowledge(BaseModel):
    """The name of the person who acts."""

    model_config = ConfigDict(extra="forbid")
    by: Annotated[str, Field(min_length=1, max_length=100)] = "somebody"


class Silence(Acknowledge):
    """The length of a silence in hours; 0 ends it."""

    hours: Annotated[float, Field(ge=0, le=MAX_SILENCE_HOURS)]


@router.get("/alerts", summary="Alerts")
def get_alerts(
    request: Request,
    model: Annotated[
        str | None, Query(max_length=200, description="one model; default: all")
    ] = None,
    state: Literal["open", "pending", "firing", "resolved", "all"] = "open",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> Response:
    """Alerts with their state changes and deliveries, the firing ones first."""
    store = server_of(request).store
    models = caller_of(request).models
    if model is not None:
        store.model(model)  # NotFound rather than an empty list
        models = frozenset({model})
    alerts = store.alerts.listing(models, state, limit)
    body = {"now": current_time(), "alerts": alert_rows(store.alerts, alerts)}
    return data_response(request, body, "alerts")


@router.post("/alerts/{alert}/acknowledge", summary="Acknowledge an alert")
def acknowledge(request: Request, alert: str, body: Acknowledge) -> Response:
    """Record the person who takes care of the alert, and the time; returns the alert."""
    now = current_time()
    return _change_alert(
        request, alert, body.by, now, acknowledged_by=body.by, acknowledged_at=now
    )


@router.post("/alerts/{alert}/silence", summary="Silence an alert")
def silence(request: Request, alert: str, body: Silence) -> Response:
    """Send no notifications of the alert for some hours; returns the alert.

    It is evaluated as before.
    """
    now = current_time()
    until = now + timedelta(hours=body.hours) if body.hours else None
    return _change_alert(request, alert, body.by, now, silenced_until=until)


def _change_alert(
    request: Request, alert_id: str, by: str, now: datetime, **changes: Any
) -> Response:
    alerts = server_of(request).store.alerts
    if not caller_of(request).sees(alerts.get(alert_id).finding.model):
        # the same sentence as for an alert that does not exist
        raise NotFound(f"there is no alert {alert_id!r}; GET /v1/alerts lists them")
    changed = alerts.change(alert_id, by, now, **changes)
    (row,) = alert_rows(alerts, [changed])
    return data_response(request, row, "transitions")
