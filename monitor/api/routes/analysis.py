"""What would have been: rules over the stored history, and the detector on changes that are put into it."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.request_body import body_of
from monitor.api.response import answer
from monitor.config.section import duration
from monitor.detector.selftest import SEED, selftest
from monitor.errors import InvalidRequest, NotFound
from monitor.evaluation.evaluator import column_names
from monitor.queries.feature_importance import FEWEST as MIN_ROWS
from monitor.queries.feature_importance import ROWS as IMPORTANCE_ROWS
from monitor.queries.feature_importance import (
    ModelFile,
    compute_importance,
    kept_importance,
)
from monitor.queries.period_comparison import FEWEST, ROWS, periods_of, told_apart
from monitor.queries.replay import replay, trial
from monitor.queries.time_range import parse_time
from monitor.server.server import Server

router = APIRouter(prefix="/v1", tags=["trial"])

MAX_MODEL_BYTES = 256 << 20

Text = Annotated[str | None, Query(max_length=200)]


@router.get("/models/{model:name}/replay", summary="What a limit would have done")
async def get_replay(
    request: Request,
    model: str,
    statistic: Annotated[
        str | None, Query(max_length=40, description="without it the configured rules")
    ] = None,
    limit: float | None = None,
    warn: float | None = None,
    columns: Annotated[
        list[str] | None, Query(max_length=1000, description="all when left out")
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
            max_length=20, description="1h or longer; by the work to do when left out"
        ),
    ] = None,
    from_: Annotated[
        str | None,
        Query(alias="from", max_length=40, description="default: the first event"),
    ] = None,
    to: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Alerts that a rule would have fired over the stored history, how long, and the share of time.

    Nothing is stored.
    """
    server: Server = request.app.state.server
    given = {
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
    if (statistic is None) != (limit is None):
        raise InvalidRequest(
            "give both `statistic` and `limit`, or neither for the configured rules"
        )
    if statistic is None and any(value is not None for value in given.values()):
        raise InvalidRequest("a rule to try needs `statistic` and `limit`")
    rules = None if statistic is None else [trial(given)]
    start = parse_time(from_, "from") if from_ else None
    end = parse_time(to, "to") if to else datetime.now(UTC)
    try:
        width = duration(step) if step else None
    except ValueError as error:
        raise InvalidRequest(f"`step`: {error}") from None
    body = await asyncio.to_thread(
        replay, server.scheduler, model, rules, start, end, width
    )
    return answer(request, body, "rules")


@router.post(
    "/models/{model:name}/domain-classifier",
    summary="Which features tell two periods apart",
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
        int, Query(ge=FEWEST, le=50_000, description="of each period, drawn at random")
    ] = ROWS,
    seed: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> Response:
    """A model is trained on stored rows to tell the periods apart: its AUC, and what each feature is worth to it."""
    server: Server = request.app.state.server
    given = {
        "from": from_,
        "to": to,
        "before_from": before_from,
        "before_to": before_to,
    }
    at = {
        name: parse_time(text, name) if text else None for name, text in given.items()
    }
    before, after = periods_of(
        (at["before_from"], at["before_to"]), (at["from"], at["to"]), datetime.now(UTC)
    )
    body = await asyncio.to_thread(
        told_apart, server.store, model, before, after, without or (), rows, seed
    )
    return answer(request, body, "features")


@router.post("/models/{model:name}/importance", summary="What each feature is worth")
async def post_importance(
    request: Request,
    model: str,
    of: Annotated[
        Literal["labels", "predictions"] | None,
        Query(description="default: labels, if there are enough"),
    ] = None,
    rows: Annotated[
        int, Query(ge=MIN_ROWS, le=100_000, description="drawn at random")
    ] = IMPORTANCE_ROWS,
    seed: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    features: Annotated[
        list[str] | None,
        Query(
            max_length=1000,
            description="that a model in the body takes, in its order; default: all",
        ),
    ] = None,
    version: Annotated[
        str,
        Query(
            max_length=200,
            description="that a model in the body is; default: the newest",
        ),
    ] = "",
) -> Response:
    """Each feature is shuffled in stored rows: a model that was trained on them tells labels or predictions worse, or the one in
    the body (ONNX, with inputs by name or one matrix) answers otherwise. Kept: drift
    and causes are ranked by it, unless the configuration has an importance."""
    server: Server = request.app.state.server
    async with body_of(request, MAX_MODEL_BYTES) as content:
        file = ModelFile(content, tuple(features or ()), version) if content else None
        body = await asyncio.to_thread(
            compute_importance,
            server.store,
            model,
            of,
            rows,
            seed,
            datetime.now(UTC),
            file,
        )
    return answer(request, body, "features")


@router.get(
    "/models/{model:name}/importance",
    summary="What each feature is worth, as computed last",
)
def get_importance(request: Request, model: str) -> Response:
    """What was computed last, `at` when; 404 before."""
    server: Server = request.app.state.server
    kept = kept_importance(server.store, model)
    if kept is None:
        raise NotFound(
            f"the importance of {model!r} was not computed yet; POST to the same address does that"
        )
    return answer(request, kept, "features")


@router.post("/models/{model:name}/selftest", summary="What the detector would find")
async def post_selftest(
    request: Request, model: str, seed: Annotated[int, Query(ge=0, le=2**32 - 1)] = SEED
) -> Response:
    """Known changes put into a copy of the last week: which are found, after how many hours.

    Nothing is stored.
    """
    server: Server = request.app.state.server
    names = column_names(server.store.model(model))
    body = await asyncio.to_thread(
        selftest, server.store, server.scheduler.detector_runner, model, names, seed
    )
    return answer(request, {**body, "at": datetime.now(UTC)}, "tests")


@router.get("/models/{model:name}/selftest", summary="The newest weekly self-test")
def get_selftest(request: Request, model: str) -> Response:
    """What the self-test that runs by itself found last, `at` when; 404 before the first one."""
    server: Server = request.app.state.server
    kept = server.scheduler.detector_runner.detector_store.selftest(
        server.store.model(model).id
    )
    if kept is None:
        raise NotFound(
            f"{model!r} has had no self-test yet; the first one runs when its detector has learned"
        )
    return answer(request, kept, "tests")
