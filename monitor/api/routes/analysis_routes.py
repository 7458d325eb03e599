"""Analyses on demand: domain classifier and feature importance."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.request_body import receive_body
from monitor.api.request_context import current_time, server_of
from monitor.api.response import data_response
from monitor.errors import NotFound
from monitor.queries import feature_importance, period_comparison
from monitor.queries.feature_importance import (
    ModelFile,
    compute_importance,
    stored_importance,
)
from monitor.queries.period_comparison import compare_periods, periods_of
from monitor.queries.time_range import parse_time

router = APIRouter(prefix="/v1", tags=["analysis"])

MAX_MODEL_BYTES = 256 << 20
MAX_SEED = 2**31 - 1

Seed = Annotated[int, Query(ge=0, le=MAX_SEED)]


@router.post(
    "/models/{model:name}/domain-classifier",
    summary="Features that separate two periods",
)
async def post_domain_classifier(
    request: Request,
    model: str,
    from_: Annotated[
        str | None,
        Query(alias="from", max_length=40, description="default: a day before `to`"),
    ] = None,
    to: Annotated[str | None, Query(max_length=40, description="default: now")] = None,
    before_from: Annotated[
        str | None,
        Query(max_length=40, description="default: as long before `before_to`"),
    ] = None,
    before_to: Annotated[
        str | None, Query(max_length=40, description="default: `from`")
    ] = None,
    without: Annotated[
        list[str] | None, Query(max_length=1000, description="features to leave out")
    ] = None,
    rows: Annotated[
        int,
        Query(
            ge=period_comparison.MIN_ROWS,
            le=50_000,
            description="random sample of each period",
        ),
    ] = period_comparison.DEFAULT_ROWS,
    seed: Seed = 0,
) -> Response:
    """Train a classifier that separates the stored rows of two periods.

    Returns its ROC AUC and the importance of each feature for the separation.
    """
    parameters = {
        "from": from_,
        "to": to,
        "before_from": before_from,
        "before_to": before_to,
    }
    times = {
        name: parse_time(text, name) if text else None
        for name, text in parameters.items()
    }
    before, after = periods_of(
        (times["before_from"], times["before_to"]),
        (times["from"], times["to"]),
        current_time(),
    )
    body = await asyncio.to_thread(
        compare_periods,
        server_of(request).store,
        model,
        before,
        after,
        without or (),
        rows,
        seed,
    )
    return data_response(request, body, "features")


@router.post("/models/{model:name}/importance", summary="Compute feature importance")
async def post_importance(
    request: Request,
    model: str,
    of: Annotated[
        Literal["labels", "predictions"] | None,
        Query(description="default: labels, if there are enough"),
    ] = None,
    rows: Annotated[
        int,
        Query(ge=feature_importance.MIN_ROWS, le=100_000, description="random sample"),
    ] = feature_importance.DEFAULT_ROWS,
    seed: Seed = 0,
    features: Annotated[
        list[str] | None,
        Query(
            max_length=1000,
            description="inputs of the model in the body, in its order; default: all",
        ),
    ] = None,
    version: Annotated[
        str,
        Query(
            max_length=200,
            description="version of the model in the body; default: the newest",
        ),
    ] = "",
) -> Response:
    """Shuffle each feature in stored rows and measure the loss of accuracy.

    The model is in the body (ONNX, with inputs by name or as one matrix). Without a
    body a surrogate model is trained to predict labels or predictions. The result is
    stored: drift and causes are ranked by it, unless importance is configured.
    """
    async with receive_body(request, MAX_MODEL_BYTES) as content:
        file = None
        if content:
            file = ModelFile(content, tuple(features or ()), version)
        body = await asyncio.to_thread(
            compute_importance,
            server_of(request).store,
            model,
            of,
            rows,
            seed,
            current_time(),
            file,
        )
    return data_response(request, body, "features")


@router.get("/models/{model:name}/importance", summary="Newest feature importance")
def get_importance(request: Request, model: str) -> Response:
    """The feature importance that was computed last, at `at`; 404 before."""
    importance = stored_importance(server_of(request).store, model)
    if importance is None:
        raise NotFound(
            f"the importance of {model!r} was not computed yet; "
            "POST to the same address computes it"
        )
    return data_response(request, importance, "features")
