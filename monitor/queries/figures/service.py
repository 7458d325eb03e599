"""Traffic, latency and errors of a model over time."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np

from monitor.config.config import Config
from monitor.profile import Profile, merge
from monitor.queries.figures.model_rules import service_limits
from monitor.queries.figures.selection import Selection
from monitor.statistics._proportion import clopper_pearson
from monitor.statistics.service.error_rate import FIRST_SERVER_ERROR
from monitor.store import Store

WEEK = timedelta(days=7)
COLUMNS = ("latency_ms", "status")
VERSIONS = (
    "SELECT version FROM profile_moments "
    "WHERE model = ? AND segment = '' AND \"column\" = 'status' "
    "GROUP BY 1 ORDER BY min(bucket), 1"
)


class ErrorRate(NamedTuple):
    """Failed requests, their share, and its 95% interval; None without requests."""

    errors: int
    rate: float | None = None
    low: float | None = None
    high: float | None = None


def read_service(store: Store, config: Config, selection: Selection) -> dict[str, Any]:
    """Return a row for every step, the totals, the week before, and each version."""
    time_range = selection.time_range
    steps = selection.read_steps(store, COLUMNS)
    previous = selection.shifted(-WEEK).read_steps(store, ("status",))
    return {
        "model": selection.model,
        "from": time_range.start,
        "to": time_range.end,
        "step_s": time_range.step.total_seconds(),
        "limits": service_limits(config, selection.model),
        "totals": _total_figures(steps),
        "rows": _step_rows(selection, steps),
        "previous_week": [
            {"t": at, "n": profile.rows}
            for at, profile in zip(time_range.steps, previous["status"], strict=False)
        ],
        "versions": _version_rows(store, selection),
    }


def read_service_by_version(store: Store, selection: Selection) -> list[dict[str, Any]]:
    """Return the rows of `read_service` for each version separately."""
    rows = []
    for version in _versions(store, selection.model):
        steps = selection.of_version(version).read_steps(store, COLUMNS)
        rows += [{"version": version, **row} for row in _step_rows(selection, steps)]
    return rows


def request_error_rate(status: Profile) -> ErrorRate:
    """Return the request error rate of a profile of status codes."""
    errors = int(status.counts[FIRST_SERVER_ERROR:].sum())
    if not status.n:
        return ErrorRate(errors)
    low, high = clopper_pearson(errors, status.n)
    return ErrorRate(errors, errors / status.n, low, high)


def _versions(store: Store, model: str) -> list[str]:
    """Return the versions of a model, in the order of their first event."""
    rows = store.query(VERSIONS, [store.model(model).id])
    return [version for (version,) in rows]


def _version_rows(store: Store, selection: Selection) -> list[dict[str, Any]]:
    """Return the totals of each version that has rows in the time range."""
    time_range = selection.time_range
    rows = []
    for version in _versions(store, selection.model):
        steps = selection.of_version(version).read_steps(store, COLUMNS)
        used = np.flatnonzero([profile.rows for profile in steps["status"]])
        if used.size:
            first = time_range.steps[int(used[0])]
            last = time_range.steps[int(used[-1])] + time_range.step
            rows.append(
                {
                    "version": version,
                    **_total_figures(steps),
                    "first_event": first,
                    "last_event": min(last, time_range.requested_end),
                }
            )
    return rows


def _step_rows(
    selection: Selection, steps: Mapping[str, Sequence[Profile]]
) -> list[dict[str, Any]]:
    profiles = zip(
        selection.time_range.steps, steps["latency_ms"], steps["status"], strict=False
    )
    return [{"t": at, **_figures(latency, status)} for at, latency, status in profiles]


def _total_figures(steps: Mapping[str, Sequence[Profile]]) -> dict[str, Any]:
    latency, status = (
        merge(steps[column], steps[column][0].layout) for column in COLUMNS
    )
    return _figures(latency, status)


def _figures(latency: Profile, status: Profile) -> dict[str, Any]:
    error_rate = request_error_rate(status)
    return {
        "n": status.rows,
        "p50": latency.quantile(0.5),
        "p95": latency.quantile(0.95),
        "p99": latency.quantile(0.99),
        "errors": error_rate.errors,
        "error_rate": error_rate.rate,
        "error_low": error_rate.low,
        "error_high": error_rate.high,
    }
