"""Query parameters that the routes of a model's figures share."""

from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Query, Request

from monitor.api.request_context import current_time, server_of
from monitor.queries.figures.selection import Selection
from monitor.queries.time_range import (
    DEFAULT_POINTS,
    TimeRange,
    parse_time,
    parse_time_range,
)
from monitor.store.profiles.compaction import MINUTE_RETENTION

HOUR = timedelta(hours=1)
From = Annotated[
    str | None,
    Query(alias="from", max_length=40, description="default: 7 days before `to`"),
]
To = Annotated[
    str | None, Query(max_length=40, description="RFC 3339, e.g. 2026-11-22T09:30:00Z")
]
Step = Annotated[
    str | None,
    Query(max_length=20, description="e.g. 15m, 1h, 1d; default: by the time range"),
]
Version = Annotated[
    str | None, Query(max_length=200, description="one version; default: all")
]
Segment = Annotated[
    str,
    Query(
        max_length=500,
        description="FEATURE=VALUE of a configured segment; empty for all rows",
    ),
]


class FigureParameters:
    """Time range, version and segment of a model's figures."""

    def __init__(
        self,
        request: Request,
        from_: From = None,
        to: To = None,
        step: Step = None,
        version: Version = None,
        segment: Segment = "",
    ) -> None:
        self.server = server_of(request)
        self.now = current_time()
        self.version = version
        self.segment = segment
        self._from = from_
        self._to = to
        self._step = step

    def selection(
        self, model: str, min_step: timedelta, max_points: int = DEFAULT_POINTS
    ) -> Selection:
        """Return the requested selection of a model. Raises InvalidRequest.

        Where profiles are only stored by the hour, the step is at least an hour.
        """
        time_range = self._parse(self._from, min_step, max_points)
        if min_step < HOUR and time_range.start < self.now - MINUTE_RETENTION:
            time_range = self._parse(self._from, HOUR, max_points)
        return Selection(model, time_range, self.version, self.segment)

    def window(self, model: str, length: timedelta) -> Selection:
        """Return the requested selection; without `from`, the `length` before its end.

        Raises InvalidRequest.
        """
        start = self._from
        if start is None:
            end = parse_time(self._to, "to") if self._to else self.now
            start = (end - length).isoformat()
        time_range = self._parse(start, HOUR, DEFAULT_POINTS)
        return Selection(model, time_range, self.version, self.segment)

    def _parse(
        self, start: str | None, min_step: timedelta, max_points: int
    ) -> TimeRange:
        return parse_time_range(
            start, self._to, self._step, self.now, min_step, max_points
        )


Figures = Annotated[FigureParameters, Depends()]
