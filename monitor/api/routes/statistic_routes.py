"""GET /v1/statistics: the statistics that rules can name and findings can have."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from monitor.api.response import data_response
from monitor.queries.known_statistics import statistic_rows

router = APIRouter(prefix="/v1", tags=["read"])


@router.get("/statistics", summary="Every statistic")
def get_statistics(request: Request) -> Response:
    """Title, group, unit, formula and source of every statistic."""
    return data_response(request, {"statistics": statistic_rows()}, "statistics")
