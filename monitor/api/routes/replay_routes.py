"""Replay: the alerts that a rule would have fired over the stored history."""

import asyncio
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.request_context import current_time, server_of
from monitor.api.response import data_response
from monitor.config.section import duration
from monitor.errors import InvalidRequest
from monitor.queries.replay import replay_rules, rule_of_parameters
from monitor.queries.time_range import parse_time

router = APIRouter(prefix="/v1", tags=["replay"])

Text = Annotated[str | None, Query(max_length=200)]


@router.get(
    "/models/{model:name}/replay", summary="Replay a rule over the stored history"
)
async def get_replay(
    request: Request,
    model: str,
    statistic: Annotated[
        str | None, Query(max_length=40, description="default: the configured rules")
    ] = None,
    limit: float | None = None,
    warn: float | None = None,
    columns: Annotated[
        list[str] | None, Query(max_length=1000, description="default: all")
    ] = None,
    window: Text = None,
    align: Text = None,
    up_to: Text = None,
    hold: Text = None,
    clear: Text = None,
    minimum: int | None = None,
    compare: Text = None,
    direction: Text = None,
    quantile: float | None = None,
    segment: Annotated[str | None, Query(max_length=500)] = None,
    version: Text = None,
    against: Text = None,
    step: Annotated[
        str | None,
        Query(
            max_length=20,
            description="1h or longer; default: the shortest that is not too much work",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        Query(alias="from", max_length=40, description="default: the first event"),
    ] = None,
    to: Annotated[str | None, Query(max_length=40, description="default: now")] = None,
) -> Response:
    """Alerts that the rule would have fired, their length, and the share of time firing.

    Nothing is stored.
    """
    parameters = {
        "statistic": statistic,
        "limit": limit,
        "warn": warn,
        "columns": tuple(columns) if columns else None,
        "window": window,
        "align": align,
        "up_to": up_to,
        "hold": hold,
        "clear": clear,
        "minimum": minimum,
        "compare": compare,
        "direction": direction,
        "quantile": quantile,
        "segment": segment,
        "version": version,
        "against": against,
    }
    rule_parameters = {
        name: value for name, value in parameters.items() if value is not None
    }
    _check_rule_parameters(rule_parameters)
    rules = [rule_of_parameters(rule_parameters)] if rule_parameters else None
    start = parse_time(from_, "from") if from_ else None
    end = parse_time(to, "to") if to else current_time()
    body = await asyncio.to_thread(
        replay_rules,
        server_of(request).scheduler,
        model,
        rules,
        start,
        end,
        _parse_step(step),
    )
    return data_response(request, body, "rules")


def _check_rule_parameters(parameters: dict[str, Any]) -> None:
    """Raise InvalidRequest unless there are none, or both `statistic` and `limit`."""
    if ("statistic" in parameters) != ("limit" in parameters):
        raise InvalidRequest(
            "give both `statistic` and `limit`, or neither for the configured rules"
        )
    if parameters and "statistic" not in parameters:
        raise InvalidRequest("a rule to replay needs `statistic` and `limit`")


def _parse_step(text: str | None) -> timedelta | None:
    if not text:
        return None
    try:
        return duration(text)
    except ValueError as error:
        raise InvalidRequest(f"`step`: {error}") from None
