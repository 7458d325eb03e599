"""Drift of every column of a model over time, highest drift impact first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from monitor.config.config import Config
from monitor.config.rule import RuleConfig
from monitor.errors import InvalidRequest
from monitor.evaluation.evaluator import column_names
from monitor.evaluation.rules import Window, evaluate
from monitor.finding import Finding
from monitor.layout import Layout
from monitor.plugins import statistics
from monitor.profile import Profile, sliding
from monitor.queries.feature_importance import feature_shares
from monitor.queries.figures.model_rules import rule_for
from monitor.queries.figures.selection import Selection
from monitor.queries.known_statistics import can_measure, drift_statistics
from monitor.queries.shares import missing_share, share_of
from monitor.schema import NON_FEATURE_COLUMNS
from monitor.store import Store

# A drift beyond this multiple of the limit is large.
LARGE_DRIFT = 2.5
# Columns shown unless more are asked for: ten thousand took ten seconds.
MAX_COLUMNS = 500
_UNPROFILED = dict.fromkeys(
    (
        "importance",
        "value",
        "raw",
        "low",
        "high",
        "mean",
        "missing",
        "missing_reference",
        "new_share",
        "new_share_usual",
        "mean_reference",
        "detectable",
        "limit",
        "minimum",
    )
)


@dataclass(frozen=True)
class _ColumnDrift:
    """A column's drift over the newest window; `importance` None is unknown."""

    key: str
    name: str
    layout: Layout
    reference: Profile | None
    current: Profile
    finding: Finding
    importance: float | None

    @property
    def impact(self) -> tuple[float, float]:
        """Drift times importance, then the drift alone."""
        value = min(self.finding.value or 0.0, 1.0)
        importance = 1.0 if self.importance is None else self.importance
        return value * importance, value


def read_drift(
    store: Store,
    config: Config,
    selection: Selection,
    statistic: str,
    limit: int = MAX_COLUMNS,
) -> dict[str, Any]:
    """Return the drift of at most `limit` columns, by step and over the newest window.

    Raises InvalidRequest for a statistic that is not a drift statistic.
    """
    known = drift_statistics()
    if statistic not in known:
        raise InvalidRequest(
            f"`statistic` {statistic!r} is unknown; known: {', '.join(known)}"
        )
    rule = rule_for(config, selection.model, statistic)
    time_range = selection.time_range
    window = Window(time_range.data_end - rule.window, time_range.data_end)
    drifts = _measure_columns(store, config, selection, rule, window)
    drifts.sort(key=lambda drift: drift.impact, reverse=True)
    columns = _column_rows(store, selection, rule, window, drifts[:limit])
    unprofiled = _unprofiled_names(store, selection.model)
    for name in unprofiled[: limit - len(columns)]:
        columns.append(_unprofiled_row(name, len(time_range.steps)))
    return {
        "model": selection.model,
        "statistic": statistic,
        "limit": rule.limit,
        "warn": rule.warn,
        "window_s": rule.window.total_seconds(),
        "step_s": time_range.step.total_seconds(),
        "from": time_range.start,
        "to": time_range.end,
        "steps": time_range.steps,
        "of": len(drifts) + len(unprofiled),
        "columns": columns,
    }


def _measure_columns(
    store: Store,
    config: Config,
    selection: Selection,
    rule: RuleConfig,
    window: Window,
) -> list[_ColumnDrift]:
    """Return the drift of every column that the rule's statistic is defined on."""
    model = selection.model
    layouts = store.layouts(model)
    references = store.references.profiles(model)
    shares = feature_shares(store, config, model)
    statistic = drift_statistics()[rule.statistic]
    names = {
        key: name
        for key, name in column_names(store.model(model)).items()
        if key in layouts and can_measure(statistic, layouts[key])
    }
    current = _read_window(store, selection, window, list(names))
    drifts = []
    for key, name in names.items():
        reference = references.get(key)
        finding = evaluate(rule, model, name, reference, current[key], window)
        importance = shares.get(name, 0.0) if shares else None
        drifts.append(
            _ColumnDrift(
                key,
                name,
                layouts[key],
                reference,
                current[key],
                finding,
                importance,
            )
        )
    return drifts


def _read_window(
    store: Store, selection: Selection, window: Window, columns: list[str]
) -> Mapping[str, Profile]:
    steps = store.profiles(
        selection.model,
        window.start.replace(tzinfo=None),
        window.end.replace(tzinfo=None),
        None,
        selection.version,
        selection.segment,
        columns,
    )
    return {key: profiles[0] for key, profiles in steps.items()}


def _column_rows(
    store: Store,
    selection: Selection,
    rule: RuleConfig,
    window: Window,
    drifts: Sequence[_ColumnDrift],
) -> list[dict[str, Any]]:
    keys = [drift.key for drift in drifts]
    trailing = _read_trailing(store, selection, rule.window, keys)
    rows = []
    for drift in drifts:
        # The last step is not over, so it shows the window until now.
        profiles = [*trailing[drift.key][:-1], drift.current]
        findings = [
            evaluate(
                rule, selection.model, drift.name, drift.reference, profile, window
            )
            for profile in profiles
        ]
        is_feature = drift.key not in NON_FEATURE_COLUMNS
        rows.append(
            {
                "column": drift.name,
                "kind": drift.layout.kind if is_feature else drift.key,
                "importance": drift.importance,
                "status": drift.finding.verdict,
                **_summarize(drift.finding, drift.reference, drift.current),
                "values": [finding.value for finding in findings],
                "levels": [_level_of(finding, rule) for finding in findings],
            }
        )
    return rows


def _read_trailing(
    store: Store, selection: Selection, window: timedelta, columns: list[str]
) -> dict[str, list[Profile]]:
    """Return a profile of the rule's window that ends with each step, by column key.

    It is the profile that the rule would have evaluated then.
    """
    time_range = selection.time_range
    step = time_range.step
    steps_of_window = -(-max(window, step) // step)
    start, end = time_range.naive_bounds
    profiles_by_column = store.profiles(
        selection.model,
        start - (steps_of_window - 1) * step,
        end,
        step,
        selection.version,
        selection.segment,
        columns,
    )
    count = len(time_range.steps)
    ends = [i + steps_of_window for i in range(count)]
    return {
        column: sliding(profiles, [steps_of_window] * count, ends)
        for column, profiles in profiles_by_column.items()
    }


def _summarize(
    finding: Finding, reference: Profile | None, current: Profile
) -> dict[str, Any]:
    statistic = statistics()[finding.statistic]
    new_bin = current.layout.new_bin
    new_share = new_share_expected = None
    if new_bin is not None:
        new_share = share_of(current.counts[new_bin], current.n)
        new_share_expected = current.layout.unseen
    return {
        "value": finding.value,
        "raw": statistic.measure(reference, current).raw,
        "low": finding.low,
        "high": finding.high,
        "limit": finding.limit,
        "n": finding.n,
        "n_reference": finding.n_reference,
        "minimum": finding.minimum,
        "missing": missing_share(current),
        "missing_reference": missing_share(reference) if reference else None,
        "new_share": new_share,
        "new_share_usual": new_share_expected,
        "mean": current.mean,
        "mean_reference": reference.mean if reference else None,
        # a smaller drift cannot be distinguished from none
        "detectable": statistic.noise(reference, current),
    }


def _unprofiled_names(store: Store, model: str) -> list[str]:
    """Return the features that the reference does not have.

    They are compared once the reference is set again.
    """
    layouts = store.layouts(model)
    names = column_names(store.model(model))
    return [name for key, name in names.items() if key not in layouts]


def _unprofiled_row(name: str, steps: int) -> dict[str, Any]:
    return {
        "column": name,
        "kind": None,
        "status": "learning",
        **_UNPROFILED,
        "n": 0,
        "n_reference": 0,
        "values": [None] * steps,
        "levels": ["learning"] * steps,
    }


def _level_of(finding: Finding, rule: RuleConfig) -> str:
    is_large = finding.value is not None and finding.value > LARGE_DRIFT * rule.limit
    return "severe" if finding.verdict == "breach" and is_large else finding.verdict
