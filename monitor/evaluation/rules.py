"""What is watched, over which window, against which limit: profiles to findings.

Pure.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor.calendar import Calendar
from monitor.config.rule import RuleConfig
from monitor.contracts import Statistic
from monitor.finding import Finding, Measurement, Verdict
from monitor.layout import Layout
from monitor.plugins import statistics
from monitor.profile import Profile
from monitor.statistics._proportion import smallest_above

UTC_CALENDAR = Calendar()
SERVICE_COLUMNS = frozenset({"latency_ms", "status"})


@dataclass(frozen=True)
class Window:
    """The span a rule looks at."""

    start: datetime
    end: datetime


def window_of(
    rule: RuleConfig, now: datetime, calendar: Calendar = UTC_CALENDAR
) -> Window:
    """The newest closed window: whole days or weeks of the model's clock where a rule is aligned to them, else whole minutes
    for service columns, whole hours for the others.
    """
    if rule.align is not None:
        return Window(
            *calendar.whole(now, rule.align, rule.window // timedelta(days=1))
        )
    service = set(statistics()[rule.statistic].COLUMNS) & SERVICE_COLUMNS
    end = (
        now.replace(second=0, microsecond=0)
        if service
        else now.replace(minute=0, second=0, microsecond=0)
    )
    return Window(end - rule.window, end)


def columns_of(
    rule: RuleConfig, layouts: Mapping[str, Layout], names: Mapping[str, str]
) -> list[str]:
    """The column keys a rule is about; `names` gives each key its own name.

    "NAME.*" in a rule is all that begins with it.
    """
    statistic = statistics()[rule.statistic]
    if statistic.COLUMNS:
        return [c for c in statistic.COLUMNS if c in layouts]
    fitting = [
        c
        for c, layout in layouts.items()
        if c in names and layout.kind in statistic.KINDS and statistic.fits(layout)
    ]
    if rule.columns == "*":
        return fitting
    begin = tuple(
        name.removesuffix("*") for name in rule.columns if name.endswith(".*")
    )
    return [
        c
        for c in fitting
        if names[c] in rule.columns or (begin and names[c].startswith(begin))
    ]


def evaluate(
    rule: RuleConfig,
    model: str,
    column: str | None,
    reference: Profile | None,
    current: Profile,
    window: Window,
) -> Finding:
    """One rule on one column: the measured value, its interval, and the verdict.

    Never raises on data.
    """
    statistic = statistics()[rule.statistic]
    options = {"q": rule.quantile}
    measured: Measurement = statistic.measure(reference, current, **options)
    compare = rule.compare or statistic.COMPARE
    minimum = statistic.MINIMUM if rule.minimum is None else rule.minimum
    finding: dict[str, Any] = {
        "model": model,
        "rule": rule.name,
        "statistic": rule.statistic,
        "column": column,
        "value": measured.value,
        "low": measured.low,
        "high": None if measured.high == math.inf else measured.high,
        "unit": statistic.UNIT,
        "limit": rule.limit,
        "warn": rule.warn,
        "compare": compare,
        "direction": rule.direction,
        "reference_value": measured.reference_value,
        "n": measured.n,
        "n_reference": measured.n_reference,
        "minimum": minimum,
        "window_start": window.start,
        "window_end": window.end,
        "severity": rule.severity,
        "version": rule.version or "",
        "segment": rule.segment,
    }
    if compare == "increase":
        base = _base(statistic, reference, options)
        finding["detectable"] = (
            _detectable(rule, statistic, measured, base) if base is not None else None
        )
        measured = _increase(measured, base)
    else:
        finding["detectable"] = _detectable(rule, statistic, measured, None)
    verdict = _verdict(rule, statistic, measured, current, reference, minimum, compare)
    return Finding(verdict=verdict, **finding)


def evaluate_all(
    rules: Iterable[RuleConfig],
    model: str,
    current: Mapping[str, Profile],
    reference: Mapping[str, Profile],
    names: Mapping[str, str],
    window: Window,
) -> list[Finding]:
    """Every rule on every column it is about; `current` has the profiles of the window by column key."""
    layouts = {column: profile.layout for column, profile in current.items()}
    return [
        evaluate(
            rule,
            model,
            names.get(column),
            reference.get(column),
            current[column],
            window,
        )
        for rule in rules
        for column in columns_of(rule, layouts, names)
    ]


def _base(
    statistic: Statistic, reference: Profile | None, options: Mapping[str, Any]
) -> Measurement | None:
    """The value without drift, which an increase is measured from; None without a reference."""
    if reference is None:
        return None
    return statistic.expected(reference, **options)


def _detectable(
    rule: RuleConfig,
    statistic: Statistic,
    measured: Measurement,
    base: Measurement | None,
) -> float | None:
    """The value whose bound would just be beyond the limit with as many rows: seen half of the time if it were true.

    For a share from its exact interval; else the limit and the longer half of the
    interval, which for statistics that are squares of distances is made that of a value
    at the limit. None when it cannot be told (energy distance), or when no possible
    value is a breach.
    """
    n, start, margin = measured.n, 0.0, 0.0
    if base is not None:
        if base.value is None or base.high is None or base.low is None:
            return None
        above = rule.direction == "above"
        start, margin = (
            base.value,
            base.high - base.value if above else base.value - base.low,
        )
    if (
        measured.value is None
        or measured.low is None
        or measured.high is None
        or not math.isfinite(rule.limit)
    ):
        return None
    if statistic.INTERVAL == "binomial" and rule.direction == "above":
        return smallest_above(rule.limit, n, start, margin)
    if not math.isfinite(measured.high) or statistic.INTERVAL == "unknown":
        return None
    half = math.hypot(
        max(measured.value - measured.low, measured.high - measured.value), margin
    )
    growth = statistic.growth(n, measured.n_reference)
    if growth:  # the interval is longer at the limit than here
        rest = max(0.0, rule.limit - measured.value)
        root = math.sqrt(growth * growth + 4 * (growth * rest + half * half))
        half = (growth + root) / 2
    found = (
        start + rule.limit + half
        if rule.direction == "above"
        else start + rule.limit - half
    )
    return found if statistic.RANGE[0] <= found <= statistic.RANGE[1] else None


def _increase(measured: Measurement, base: Measurement | None) -> Measurement:
    """The measurement as a difference to the reference's; intervals by squaring and adding (Newcombe 1998)."""
    if base is None or base.value is None or base.low is None or base.high is None:
        return Measurement(None, None, None, measured.n, measured.n_reference)
    if measured.value is None or measured.reference_value is None:
        return Measurement(None, None, None, measured.n, measured.n_reference)
    low, high = (
        measured.low or 0.0,
        math.inf if measured.high is None else measured.high,
    )
    difference = measured.value - base.value
    low = difference - math.hypot(measured.value - low, base.high - base.value)
    high = difference + math.hypot(high - measured.value, base.value - base.low)
    return Measurement(difference, low, high, measured.n, measured.n_reference)


def _verdict(
    rule: RuleConfig,
    statistic: Statistic,
    measured: Measurement,
    current: Profile,
    reference: Profile | None,
    minimum: int,
    compare: str,
) -> Verdict:
    if current.rows == 0 and not statistic.COUNTS_ROWS:
        return "no_data"
    if (statistic.NEEDS_REFERENCE or compare == "increase") and (
        reference is None or reference.rows == 0
    ):
        return "learning"
    if (
        measured.value is None
        or measured.low is None
        or measured.high is None
        or measured.n < minimum
    ):
        return "insufficient"
    # the bound, not the point value, has to be beyond the limit
    if rule.direction == "above":
        beyond, near = (
            measured.low > rule.limit,
            rule.warn is not None and measured.low > rule.warn,
        )
        near = near or measured.value > rule.limit
    else:
        beyond, near = (
            measured.high < rule.limit,
            rule.warn is not None and measured.high < rule.warn,
        )
        near = near or measured.value < rule.limit
    return "breach" if beyond else "warn" if near else "ok"
