"""Cramér's V of "which sample" and "which bin", corrected for bias."""

import math
from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import Z95, nothing, pair, pool
from monitor.statistics.drift.chi_squared import chi_squared, deviation

NAME = "cramers_v"
TITLE = "drift (Cramér's V)"
GROUP = "data"
UNIT = "distance"
RANGE = (0.0, 1.0)
FORMULA = (
    "sqrt((chi2 / N - (B - 1) / (N - 1)) / (1 - 1 / (N - 1))), at least 0, with N "
    "= n_ref + n_cur"
)
SOURCE = "Cramér (1946); correction: Bergsma (2013)"
KINDS = frozenset({"numeric", "categorical", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True


def cramers_v(reference: np.ndarray, current: np.ndarray) -> float:
    """Plain Cramér's V of two rows of counts, shape (n_bins,) each. Range: [0, 1].

    sqrt(chi2 / (n_ref + n_cur)).

    Symmetric; the order of bins does not matter. With no drift its square averages
    (n_bins - 1)/(n_ref + n_cur). It depends on how the rows are divided between the
    samples, and at the same drift is smaller the more they differ.

    >>> round(cramers_v(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.130931
    """
    return math.sqrt(
        chi_squared(reference, current) / float(np.sum(reference) + np.sum(current))
    )


def cramers_v_corrected(reference: np.ndarray, current: np.ndarray) -> float:
    """Bergsma's V: without drift its square averages about 0. Range: [0, 1].

    >>> cramers_v_corrected(np.array([1000, 0]), np.array([0, 1000]))
    1.0
    >>> round(cramers_v_corrected(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.08443
    """
    bins = int(np.sum(np.asarray(reference) + current > 0))
    return _corrected(
        chi_squared(reference, current),
        bins,
        float(np.sum(reference) + np.sum(current)),
    )


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Corrected V with its 95 % interval, converted from that of chi-squared.

    Bins with E < 5 are pooled first.

    `raw` is the plain V. None when too few rows are left for two bins.
    """
    counts = pair(reference, current)
    if counts is None or reference is None:
        return nothing(reference, current)
    r, c = pool(*counts)
    if r.size < 2 <= counts[0].size:
        return nothing(reference, current)
    total, statistic = float(r.sum() + c.sum()), chi_squared(r, c)
    spread = Z95 * deviation(r, c)
    low, value, high = (
        _corrected(x, r.size, total)
        for x in (
            statistic - spread,
            statistic,
            max(statistic, float(r.size - 1)) + spread,
        )
    )
    return Measurement(value, low, high, current.n, reference.n, cramers_v(r, c))


def _corrected(statistic: float, bins: int, total: float) -> float:
    if bins < 2 or total < 3:
        return 0.0
    effect = max(0.0, statistic / total - (bins - 1) / (total - 1))
    rows = 2 - 1 / (total - 1)
    columns = bins - (bins - 1) ** 2 / (total - 1)
    return min(1.0, math.sqrt(effect / max(1e-9, min(rows, columns) - 1)))
