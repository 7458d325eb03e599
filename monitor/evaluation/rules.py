"""Rules on profiles: which window and columns, and the finding of each."""

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
    """An evaluation window: the rows from `start` to before `end`."""

    start: datetime
    end: datetime


def window_of(
    rule: RuleConfig, now: datetime, calendar: Calendar = UTC_CALENDAR
) -> Window:
    """The newest completed window of a rule.

    Whole days or weeks of the model's clock for an aligned rule; else whole minutes for
    service columns, whole hours for the others.
    """
    if rule.align is not None:
        days = rule.window // timedelta(days=1)
        return Window(*calendar.whole(now, rule.align, days))
    end = now.replace(second=0, microsecond=0)
    if not SERVICE_COLUMNS.intersection(statistics()[rule.statistic].COLUMNS):
        end = end.replace(minute=0)
    return Window(end - rule.window, end)


def columns_of(
    rule: RuleConfig, layouts: Mapping[str, Layout], names: Mapping[str, str]
) -> list[str]:
    """The keys of the columns that a rule evaluates.

    `names` gives each key its own name. "NAME.*" in a rule means all names that begin
    with "NAME.".
    """
    statistic = statistics()[rule.statistic]
    if statistic.COLUMNS:
        return [column for column in statistic.COLUMNS if column in layouts]
    measurable = [
        column
        for column, layout in layouts.items()
        if column in names and layout.kind in statistic.KINDS and statistic.fits(layout)
    ]
    if rule.columns == "*":
        return measurable
    patterns = [name for name in rule.columns if name.endswith(".*")]
    beginnings = tuple(name.removesuffix("*") for name in patterns)
    return [
        column
        for column in measurable
        if names[column] in rule.columns or names[column].startswith(beginnings)
    ]


def evaluate(
    rule: RuleConfig,
    model: str,
    column: str | None,
    reference: Profile | None,
    current: Profile,
    window: Window,
) -> Finding:
    """The finding of one rule on one column: value, interval and verdict.

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
        if base is not None:
            finding["detectable"] = _detectable(rule, statistic, measured, base)
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
    """The findings of every rule on each of its columns.

    `current` has the profiles of the window by column key.
    """
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
    """The true value that is a breach half of the time with as many rows.

    For a share from its exact interval. Else from the limit and the longer half of the
    interval, which `growth` corrects for its length at the limit. None when it cannot
    be computed, or no possible value is a breach.
    """
    if measured.value is None or measured.low is None or measured.high is None:
        return None
    start = margin = 0.0
    if base is not None:
        if base.value is None or base.high is None or base.low is None:
            return None
        start, margin = base.value, base.value - base.low
        if rule.direction == "above":
            margin = base.high - base.value
    if not math.isfinite(rule.limit):
        return None
    if statistic.INTERVAL == "binomial" and rule.direction == "above":
        return smallest_above(rule.limit, measured.n, start, margin)
    if statistic.INTERVAL == "unknown" or not math.isfinite(measured.high):
        return None
    longer = max(measured.value - measured.low, measured.high - measured.value)
    half = math.hypot(longer, margin)
    growth = statistic.growth(measured.n, measured.n_reference)
    if growth:  # the interval is longer at the limit than here
        distance = max(0.0, rule.limit - measured.value)
        root = math.sqrt(growth * growth + 4 * (growth * distance + half * half))
        half = (growth + root) / 2
    sign = 1 if rule.direction == "above" else -1
    value = start + rule.limit + sign * half
    low, high = statistic.RANGE
    return value if low <= value <= high else None


def _increase(measured: Measurement, base: Measurement | None) -> Measurement:
    """The measurement as a difference to `base`; its value is None if one of them is.

    The interval is found by squaring and adding (Newcombe 1998).
    """
    unknown = Measurement(None, None, None, measured.n, measured.n_reference)
    if base is None or base.value is None or base.low is None or base.high is None:
        return unknown
    if measured.value is None or measured.reference_value is None:
        return unknown
    low = measured.low or 0.0
    high = math.inf if measured.high is None else measured.high
    difference = measured.value - base.value
    below = math.hypot(measured.value - low, base.high - base.value)
    above = math.hypot(high - measured.value, base.value - base.low)
    return Measurement(
        difference,
        difference - below,
        difference + above,
        measured.n,
        measured.n_reference,
    )


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
    needs_reference = statistic.NEEDS_REFERENCE or compare == "increase"
    if needs_reference and (reference is None or reference.rows == 0):
        return "learning"
    value, low, high = measured.value, measured.low, measured.high
    if value is None or low is None or high is None or measured.n < minimum:
        return "insufficient"
    # the bound of the interval, not the value, has to be beyond the limit
    limit, warn = rule.limit, rule.warn
    bound = low
    if rule.direction == "below":
        value, bound, limit = -value, -high, -limit
        warn = None if warn is None else -warn
    if bound > limit:
        return "breach"
    if value > limit or (warn is not None and bound > warn):
        return "warn"
    return "ok"
