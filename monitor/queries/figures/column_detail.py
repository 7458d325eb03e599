"""One column in detail: its bins, every statistic, and new categories."""

from datetime import UTC
from typing import Any, NamedTuple

import numpy as np

from monitor.config.config import Config
from monitor.evaluation.rules import Window, evaluate
from monitor.finding import Finding
from monitor.layout import Layout
from monitor.plugins import statistics
from monitor.profile import Profile
from monitor.queries.figures.model_rules import rule_for
from monitor.queries.figures.selection import Selection
from monitor.queries.known_statistics import can_measure, column_statistics
from monitor.queries.shares import share_of
from monitor.schema import NON_FEATURE_COLUMNS
from monitor.statistics.drift.psi import contributions
from monitor.store import Store

# of one chart; more bins are merged
MAX_BARS = 24
NEW_VALUES = (
    'SELECT "value", min(first_seen), sum(n)::BIGINT FROM new_values '
    'WHERE model = ? AND "column" = ? GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 20'
)


class _Bar(NamedTuple):
    """The rows of one bin, or of several that are merged."""

    label: str
    reference: float
    current: float


def read_column(
    store: Store, config: Config, selection: Selection, column: str
) -> dict[str, Any]:
    """Return one column: bins of reference and current, statistics, new categories.

    Raises NotFound for a column that the model does not have.
    """
    model = selection.model
    time_range = selection.time_range
    key = store.column_key(model, column)
    if key not in store.layouts(model):
        return {
            "column": column,
            "kind": None,
            "status": "learning",
            "bins": [],
            "statistics": [],
            "new_values": [],
            "from": time_range.start,
            "to": time_range.end,
        }
    reference = store.references.profiles(model).get(key)
    current = selection.read_total(store, [key])[key]
    findings = _evaluate_all(config, selection, column, reference, current)
    return {
        "column": column,
        "kind": key if key in NON_FEATURE_COLUMNS else current.layout.kind,
        "status": findings[0].verdict if findings else "learning",
        "bins": compare_bins(reference, current),
        "reference": _counts_of(reference) if reference else None,
        "current": _counts_of(current),
        "statistics": findings,
        "new_values": _read_new_values(store, model, key, current),
        "from": time_range.start,
        "to": time_range.end,
    }


def compare_bins(reference: Profile | None, current: Profile) -> list[dict[str, Any]]:
    """Return the share of rows in each bin, and the contribution of the bin to PSI.

    Bins are merged beyond MAX_BARS. Missing and invalid values are rows of their own,
    with shares of all rows.
    """
    current = current.inner()
    if reference is not None:
        reference = reference.inner()
    layout = current.layout
    is_categorical = layout.kind == "categorical"
    counts = np.zeros(layout.size) if reference is None else reference.counts
    bars = _bars_of(layout, counts, current.counts)
    reference_total = sum(bar.reference for bar in bars)
    current_total = sum(bar.current for bar in bars)
    rows: list[dict[str, Any]] = []
    for bar, contribution in zip(
        bars, _contributions(bars, is_categorical), strict=True
    ):
        is_empty = bar.reference == 0 and bar.current == 0
        if is_categorical and is_empty and bar.label in ("other", "new"):
            continue
        rows.append(
            {
                "label": bar.label,
                "reference": share_of(bar.reference, reference_total),
                "current": share_of(bar.current, current_total),
                "contribution": contribution,
            }
        )
    return [*rows, *_unusable_rows(reference, current)]


def _bars_of(layout: Layout, reference: np.ndarray, current: np.ndarray) -> list[_Bar]:
    if layout.kind == "categorical":
        return _category_bars(layout, reference, current)
    return _merge_neighbours(layout.labels(), reference, current)


def _category_bars(
    layout: Layout, reference: np.ndarray, current: np.ndarray
) -> list[_Bar]:
    """Return the most frequent categories, then `other` and `new`."""
    other, new = layout.size - 2, layout.size - 1
    shown = [i for i in range(layout.size) if i < MAX_BARS or i >= other]
    merged = list(range(MAX_BARS, other))
    reference, current = reference.astype(float), current.astype(float)
    if layout.unseen:
        # Chance brings new categories: they are compared with the rare ones.
        merged.append(new)
    for counts in (reference, current):
        counts[other] += counts[merged].sum()
        if layout.unseen:
            counts[new] = 0
    labels = layout.labels()
    return [_Bar(labels[i], reference[i], current[i]) for i in shown]


def _merge_neighbours(
    labels: list[str], reference: np.ndarray, current: np.ndarray
) -> list[_Bar]:
    """Return at most MAX_BARS bars; beyond that, empty bins at both ends are left out."""
    used = np.flatnonzero((reference > 0) | (current > 0))
    if used.size == 0:
        return []
    first, last = 0, reference.size - 1
    if reference.size > MAX_BARS:
        first, last = int(used[0]), int(used[-1])
    width = -(-(last - first + 1) // MAX_BARS)
    bars = []
    for start in range(first, last + 1, width):
        stop = min(start + width, last + 1)
        bars.append(
            _Bar(
                labels[stop - 1],
                float(reference[start:stop].sum()),
                float(current[start:stop].sum()),
            )
        )
    return bars


def _contributions(bars: list[_Bar], is_categorical: bool) -> list[float | None]:
    """Return the contribution of each bar to PSI.

    None for new categories, which the reference cannot have.
    """
    comparable = [
        i for i, bar in enumerate(bars) if not (is_categorical and bar.label == "new")
    ]
    values = np.zeros(len(comparable))
    if sum(bar.reference for bar in bars) and sum(bar.current for bar in bars):
        values = contributions(
            np.array([bars[i].reference for i in comparable]),
            np.array([bars[i].current for i in comparable]),
        )
    parts: list[float | None] = [None] * len(bars)
    for i, value in zip(comparable, values, strict=True):
        parts[i] = float(value)
    return parts


def _unusable_rows(reference: Profile | None, current: Profile) -> list[dict[str, Any]]:
    rows = []
    for label in ("missing", "invalid"):
        current_count = getattr(current, label)
        reference_count = getattr(reference, label) if reference else 0
        reference_rows = reference.rows if reference else 0
        if reference_count or current_count:
            rows.append(
                {
                    "label": label,
                    "reference": share_of(reference_count, reference_rows),
                    "current": share_of(current_count, current.rows),
                    "contribution": None,
                }
            )
    return rows


def _evaluate_all(
    config: Config,
    selection: Selection,
    column: str,
    reference: Profile | None,
    current: Profile,
) -> list[Finding]:
    model = selection.model
    window = Window(selection.time_range.start, selection.time_range.end)
    findings = []
    for name in column_statistics(config, model):
        if can_measure(statistics()[name], current.layout):
            rule = rule_for(config, model, name)
            findings.append(evaluate(rule, model, column, reference, current, window))
    return findings


def _counts_of(profile: Profile) -> dict[str, Any]:
    return {
        "n": profile.n,
        "rows": profile.rows,
        "missing": profile.missing,
        "invalid": profile.invalid,
        "mean": profile.mean,
    }


def _read_new_values(
    store: Store, model: str, key: str, current: Profile
) -> list[dict[str, Any]]:
    """Return the most frequent categories that the reference does not have."""
    return [
        {
            "value": value,
            "first_seen": first_seen.replace(tzinfo=UTC),
            "n": n,
            "share": share_of(n, current.n),
        }
        for value, first_seen, n in store.query(
            NEW_VALUES, [store.model(model).id, key]
        )
    ]
