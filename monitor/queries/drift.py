"""What changed in the incoming data: every column over time, and one column in detail."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from monitor.config.config import Config
from monitor.config.rule import RuleConfig
from monitor.contracts import Statistic
from monitor.errors import InvalidRequest
from monitor.evaluation.evaluator import column_names
from monitor.evaluation.rules import Window, evaluate
from monitor.finding import Finding
from monitor.layout import Layout
from monitor.plugins import statistics
from monitor.profile import Profile, sliding
from monitor.queries.feature_importance import importances
from monitor.queries.time_range import TimeRange
from monitor.schema import NON_FEATURE_COLUMNS
from monitor.statistics.drift.psi import contributions
from monitor.store import Store

SEVERE = 2.5  # times the limit
DEFAULT_STATISTIC = "psi"
MAX_BARS = 24
# that are shown unless more are asked for: ten thousand took ten seconds
MAX_COLUMNS = 500


def drift(
    store: Store,
    config: Config,
    name: str,
    span: TimeRange,
    statistic: str,
    version: str | None,
    segment: str,
    limit: int = MAX_COLUMNS,
) -> dict[str, Any]:
    """The drift of the most harmful columns, at most `limit`, in every step and over the newest window."""
    distances = drift_statistics()
    if statistic not in distances:
        raise InvalidRequest(
            f"`statistic` {statistic!r} is unknown; known: {', '.join(distances)}"
        )
    rule = rule_for(config, name, statistic)
    names = column_names(store.model(name))
    reference = store.references.profiles(name)
    layouts = store.layouts(name)
    # categories have no order: no KS, Wasserstein or location
    plugin = distances[statistic]
    wanted = [c for c in names if c in layouts and _measures(plugin, layouts[c])]
    window = Window(span.now - rule.window, span.now)
    newest = _newest(store, name, window, version, segment, wanted)
    judged = {
        key: evaluate(rule, name, names[key], reference.get(key), newest[key], window)
        for key in wanted
    }
    shares = importances(store, config, name)
    weights = {key: shares.get(names[key], 0.0) if shares else None for key in wanted}
    wanted.sort(key=lambda key: _harm(judged[key].value, weights[key]), reverse=True)
    steps = _trailing(store, name, span, rule.window, version, segment, wanted[:limit])
    columns = []
    for key, profiles in steps.items():
        # the last step is not over: what it shows is the window until now
        findings = [
            evaluate(rule, name, names[key], reference.get(key), p, window)
            for p in [*profiles[:-1], newest[key]]
        ]
        columns.append(
            {
                "column": names[key],
                "kind": key if key in NON_FEATURE_COLUMNS else layouts[key].kind,
                "importance": weights[key],
                "status": judged[key].verdict,
                **_summary(judged[key], reference.get(key), newest[key]),
                "values": [f.value for f in findings],
                "levels": [_level(f, rule) for f in findings],
            }
        )
    unprofiled = [key for key in names if key not in layouts]
    columns += [
        _unprofiled(names[key], len(span.steps))
        for key in unprofiled[: limit - len(columns)]
    ]
    return {
        "model": name,
        "statistic": statistic,
        "limit": rule.limit,
        "warn": rule.warn,
        "window_s": rule.window.total_seconds(),
        "step_s": span.step.total_seconds(),
        "from": span.start,
        "to": span.end,
        "steps": span.steps,
        "of": len(wanted) + len(unprofiled),
        "columns": columns,
    }


def column(
    store: Store,
    config: Config,
    name: str,
    column: str,
    span: TimeRange,
    version: str | None,
    segment: str,
) -> dict[str, Any]:
    """One column: reference and current share of every bin, every statistic, and values never seen before."""
    key = store.column_key(name, column)
    layouts = store.layouts(name)
    reference = store.references.profiles(name).get(key)
    if key not in layouts:
        return {
            "column": column,
            "kind": None,
            "status": "learning",
            "bins": [],
            "statistics": [],
            "new_values": [],
            "from": span.start,
            "to": span.end,
        }
    current = store.profiles(name, *span.naive, None, version, segment, [key])[key][0]
    window = Window(span.start, span.end)
    findings = [
        evaluate(
            rule_for(config, name, statistic), name, column, reference, current, window
        )
        for statistic in _on_column_page(config, name)
        if _measures(statistics()[statistic], current.layout)
    ]
    return {
        "column": column,
        "kind": key if key in NON_FEATURE_COLUMNS else current.layout.kind,
        "status": findings[0].verdict if findings else "learning",
        "bins": bins(reference, current),
        "reference": _counts(reference),
        "current": _counts(current),
        "statistics": findings,
        "new_values": _new_values(store, name, key, current),
        "from": span.start,
        "to": span.end,
    }


def drift_statistics() -> dict[str, Statistic]:
    """The distances of two distributions by name, which the drift page offers; the default first."""
    names = sorted(statistics(), key=lambda name: (name != DEFAULT_STATISTIC, name))
    return {name: statistics()[name] for name in names if statistics()[name].DISTANCE}


def _on_column_page(config: Config, name: str) -> list[str]:
    """The statistics of one column: those of the page itself, and those that a rule of the model has."""
    distances = drift_statistics()
    ruled = {rule.statistic for rule in config.all_rules if rule.model in ("*", name)}
    names = [
        key
        for key in [*distances, *(n for n in statistics() if n not in distances)]
        if statistics()[key].ON_COLUMN_PAGE or key in ruled
    ]
    return [key for key in names if not statistics()[key].COLUMNS]


def _measures(statistic: Statistic, layout: Layout) -> bool:
    return layout.kind in statistic.KINDS and statistic.fits(layout)


def rule_for(config: Config, name: str, statistic: str) -> RuleConfig:
    """The configured rule on a statistic, or the statistic as it would be without one: never a breach."""
    for rule in config.all_rules:
        if (
            rule.statistic == statistic
            and rule.model in ("*", name)
            and not rule.segment
        ):
            return rule
    return RuleConfig(
        name=statistic.replace("_", "-"), statistic=statistic, limit=math.inf
    )


def bins(reference: Profile | None, current: Profile) -> list[dict[str, Any]]:
    """Shares of reference and current in each bin, and what the bin adds to PSI; neighbours are merged beyond 24 bars."""
    current, reference = (
        current.inner(),
        reference.inner() if reference is not None else None,
    )
    layout = current.layout
    r = reference.counts if reference is not None else np.zeros(layout.size)
    c = current.counts
    labels = layout.labels()
    if layout.kind == "categorical":
        order = [i for i in range(layout.size) if i < MAX_BARS or i >= layout.size - 2]
        extra = [i for i in range(layout.size) if i not in order]
        r_, c_ = r.astype(float).copy(), c.astype(float).copy()
        extra += (
            [layout.size - 1] if layout.unseen else []
        )  # chance brings new values: they are compared with the rare ones
        r_[layout.size - 2] += r[extra].sum()
        c_[layout.size - 2] += c[extra].sum()
        r_[layout.size - 1], c_[layout.size - 1] = (
            (0, 0) if layout.unseen else (r[-1], c[-1])
        )
        groups = [(labels[i], r_[i], c_[i]) for i in order]
    else:
        groups = _merged(labels, r, c)
    rs, cs = (
        np.array([g[1] for g in groups], float),
        np.array([g[2] for g in groups], float),
    )
    comparable = np.array(
        [g[0] != "new" or layout.kind != "categorical" for g in groups]
    )
    parts = np.zeros(len(groups))
    if rs.sum() and cs.sum():
        parts[comparable] = contributions(rs[comparable], cs[comparable])
    rows: list[dict[str, Any]] = []
    for (label, ref, cur), part, ok in zip(groups, parts, comparable, strict=True):
        if (
            layout.kind == "categorical"
            and label in ("other", "new")
            and ref == 0
            and cur == 0
        ):
            continue
        rows.append(
            {
                "label": label,
                "reference": _ratio(ref, rs.sum()),
                "current": _ratio(cur, cs.sum()),
                "contribution": float(part) if ok else None,
            }
        )
    for what in ("missing", "invalid"):
        ref_n = getattr(reference, what) if reference is not None else 0
        cur_n = getattr(current, what)
        if ref_n or cur_n:
            rows.append(
                {
                    "label": what,
                    "reference": _ratio(ref_n, reference.rows if reference else 0),
                    "current": _ratio(cur_n, current.rows),
                    "contribution": None,
                }
            )
    return rows


def _merged(
    labels: list[str], r: np.ndarray, c: np.ndarray
) -> list[tuple[str, float, float]]:
    used = np.flatnonzero((r > 0) | (c > 0))
    if used.size == 0:
        return []
    first, last = (
        (0, r.size - 1) if r.size <= MAX_BARS else (int(used[0]), int(used[-1]))
    )
    width = -(-(last - first + 1) // MAX_BARS)
    groups = []
    for start in range(first, last + 1, width):
        stop = min(start + width, last + 1)
        groups.append(
            (labels[stop - 1], float(r[start:stop].sum()), float(c[start:stop].sum()))
        )
    return groups


def _trailing(
    store: Store,
    name: str,
    span: TimeRange,
    window: timedelta,
    version: str | None,
    segment: str,
    columns: list[str],
) -> dict[str, list[Profile]]:
    """For each step the profile of the rule's window that ends with it: what the rule would have judged then."""
    before = -(-max(window, span.step) // span.step)
    start, end = span.naive
    read = store.profiles(
        name,
        start - (before - 1) * span.step,
        end,
        span.step,
        version,
        segment,
        columns,
    )
    ends = [i + before for i in range(len(span.steps))]
    return {
        column: sliding(profiles, [before] * len(ends), ends)
        for column, profiles in read.items()
    }


def _newest(
    store: Store,
    name: str,
    window: Window,
    version: str | None,
    segment: str,
    columns: list[str],
) -> Mapping[str, Profile]:
    start, end = window.start.replace(tzinfo=None), window.end.replace(tzinfo=None)
    read = store.profiles(name, start, end, None, version, segment, columns)
    return {key: profiles[0] for key, profiles in read.items()}


def _summary(
    finding: Finding, reference: Profile | None, current: Profile
) -> dict[str, Any]:
    new = current.layout.new_bin
    statistic = statistics()[finding.statistic]
    measured = statistic.measure(reference, current)
    return {
        "value": finding.value,
        "raw": measured.raw,
        "low": finding.low,
        "high": finding.high,
        "limit": finding.limit,
        "n": finding.n,
        "n_reference": finding.n_reference,
        "minimum": finding.minimum,
        "missing": _ratio(current.missing + current.invalid, current.rows),
        "missing_reference": _ratio(
            reference.missing + reference.invalid, reference.rows
        )
        if reference
        else None,
        "new_share": _ratio(current.counts[new], current.n)
        if new is not None
        else None,
        "new_share_usual": current.layout.unseen if new is not None else None,
        "mean": current.mean,
        "mean_reference": reference.mean if reference else None,
        # a smaller drift cannot be told from none
        "detectable": statistic.noise(reference, current),
    }


def _unprofiled(name: str, steps: int) -> dict[str, Any]:
    """A feature that the reference does not have: nothing to compare with until the reference is set again."""
    shares = ("missing", "missing_reference", "new_share", "new_share_usual")
    nothing = ("importance", "value", "raw", "low", "high", "mean", *shares)
    return {
        "column": name,
        "kind": None,
        "status": "learning",
        **dict.fromkeys((*nothing, "mean_reference", "detectable", "limit", "minimum")),
        "n": 0,
        "n_reference": 0,
        "values": [None] * steps,
        "levels": ["learning"] * steps,
    }


def _level(finding: Finding, rule: RuleConfig) -> str:
    if (
        finding.verdict == "breach"
        and finding.value is not None
        and finding.value > SEVERE * rule.limit
    ):
        return "severe"
    return finding.verdict


def _harm(value: float | None, weight: float | None) -> tuple[float, float]:
    value = min(value or 0.0, 1.0)
    return (value * (weight if weight is not None else 1.0), value)


def _counts(profile: Profile | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    return {
        "n": profile.n,
        "rows": profile.rows,
        "missing": profile.missing,
        "invalid": profile.invalid,
        "mean": profile.mean,
    }


def _new_values(
    store: Store, name: str, key: str, current: Profile
) -> list[dict[str, Any]]:
    found = store.query(
        'SELECT "value", min(first_seen), sum(n)::BIGINT FROM new_values WHERE model = ? AND "column" = ? GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 20',
        [store.model(name).id, key],
    )
    return [
        {"value": v, "first_seen": _aware(at), "n": n, "share": _ratio(n, current.n)}
        for v, at, n in found
    ]


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
