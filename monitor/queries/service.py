"""Traffic, latency and errors over time."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from monitor.config.config import Config
from monitor.profile import Profile, merge
from monitor.queries.time_range import TimeRange
from monitor.statistics._proportion import clopper_pearson
from monitor.statistics.service import error_rate, latency_quantile
from monitor.statistics.service.error_rate import FIRST_SERVER_ERROR
from monitor.store import Store

ERROR_RATE, LATENCY = error_rate.NAME, latency_quantile.NAME
WEEK = timedelta(days=7)


def service(
    store: Store,
    config: Config,
    name: str,
    span: TimeRange,
    version: str | None,
    segment: str,
) -> dict[str, Any]:
    """Rows on a full time grid, totals, the week before, and a line for each version."""
    start, end = span.naive
    columns = ("latency_ms", "status")
    now = store.profiles(name, start, end, span.step, version, segment, columns)
    before = store.profiles(
        name, start - WEEK, end - WEEK, span.step, version, segment, ("status",)
    )
    rows = [
        {"t": t, **_figures(lat, st)}
        for t, lat, st in zip(
            span.steps, now["latency_ms"], now["status"], strict=False
        )
    ]
    return {
        "model": name,
        "from": span.start,
        "to": span.end,
        "step_s": span.step.total_seconds(),
        "limits": limits(config, name),
        "totals": _figures(_sum(now["latency_ms"]), _sum(now["status"])),
        "rows": rows,
        "previous_week": [
            {"t": t, "n": p.rows}
            for t, p in zip(span.steps, before["status"], strict=False)
        ],
        "versions": _versions(store, name, span, segment),
    }


def by_version(
    store: Store, name: str, span: TimeRange, segment: str
) -> list[dict[str, Any]]:
    """The rows of `service`, for each version apart."""
    rows = []
    for version in versions(store, name):
        now = store.profiles(
            name, *span.naive, span.step, version, segment, ("latency_ms", "status")
        )
        for t, lat, st in zip(
            span.steps, now["latency_ms"], now["status"], strict=False
        ):
            rows.append({"version": version, "t": t, **_figures(lat, st)})
    return rows


def versions(store: Store, name: str) -> list[str]:
    """The versions of a model, in the order of their first event."""
    model = store.model(name)
    found = store.query(
        "SELECT version FROM profile_moments WHERE model = ? AND segment = '' AND \"column\" = 'status' GROUP BY 1 ORDER BY min(bucket), 1",
        [model.id],
    )
    return [v for (v,) in found]


def limits(config: Config, name: str) -> dict[str, float | None]:
    """The limits on p95 latency and error rate that rules set for a model."""
    found: dict[str, float | None] = {"latency_p95": None, "error_rate": None}
    for rule in config.all_rules:
        if rule.model in ("*", name) and not rule.segment:
            if rule.statistic == ERROR_RATE:
                found["error_rate"] = rule.limit
            if rule.statistic == LATENCY and rule.quantile == 0.95:
                found["latency_p95"] = rule.limit
    return found


def error_share(
    status: Profile,
) -> tuple[int, float | None, float | None, float | None]:
    """Errors, their share and its 95 % interval; None without rows."""
    errors, n = int(status.counts[FIRST_SERVER_ERROR:].sum()), status.n
    if not n:
        return errors, None, None, None
    return errors, errors / n, *clopper_pearson(errors, n)


def _figures(latency: Profile, status: Profile) -> dict[str, Any]:
    errors, rate, low, high = error_share(status)
    return {
        "n": status.rows,
        "p50": latency.quantile(0.5),
        "p95": latency.quantile(0.95),
        "p99": latency.quantile(0.99),
        "errors": errors,
        "error_rate": rate,
        "error_low": low,
        "error_high": high,
    }


def _sum(profiles: Sequence[Profile]) -> Profile:
    return merge(profiles, profiles[0].layout)


def _versions(
    store: Store, name: str, span: TimeRange, segment: str
) -> list[dict[str, Any]]:
    rows = []
    for version in versions(store, name):
        found = store.profiles(
            name, *span.naive, span.step, version, segment, ("latency_ms", "status")
        )
        figures = _figures(_sum(found["latency_ms"]), _sum(found["status"]))
        seen = np.flatnonzero([p.rows for p in found["status"]])
        if seen.size:
            first, last = (
                span.steps[int(seen[0])],
                span.steps[int(seen[-1])] + span.step,
            )
            rows.append(
                {
                    "version": version,
                    **figures,
                    "first_event": first,
                    "last_event": min(last, span.until),
                }
            )
    return rows
