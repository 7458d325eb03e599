"""Self-test of the detector: run it now, or read the weekly one."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from monitor.api.request_context import current_time, server_of
from monitor.api.response import data_response
from monitor.detector.selftest import SEED, selftest
from monitor.errors import NotFound
from monitor.evaluation.evaluator import column_names

router = APIRouter(prefix="/v1", tags=["selftest"])


@router.post("/models/{model:name}/selftest", summary="Run a self-test")
async def post_selftest(
    request: Request, model: str, seed: Annotated[int, Query(ge=0, le=2**32 - 1)] = SEED
) -> Response:
    """Inject known changes into a copy of the last week.

    Returns the changes that were detected, with their detection delay in hours. Nothing
    is stored.
    """
    server = server_of(request)
    names = column_names(server.store.model(model))
    runner = server.scheduler.detector_runner
    result = await asyncio.to_thread(selftest, server.store, runner, model, names, seed)
    return data_response(request, {**result, "at": current_time()}, "tests")


@router.get("/models/{model:name}/selftest", summary="The newest weekly self-test")
def get_selftest(request: Request, model: str) -> Response:
    """Result of the newest weekly self-test, run at `at`; 404 before the first one."""
    server = server_of(request)
    detector_store = server.scheduler.detector_runner.detector_store
    result = detector_store.selftest(server.store.model(model).id)
    if result is None:
        raise NotFound(
            f"{model!r} has had no self-test yet; "
            "the first one runs when its detector has learned"
        )
    return data_response(request, result, "tests")
