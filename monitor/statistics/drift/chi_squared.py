"""Pearson's two-sample chi-squared statistic."""

from typing import Any

import numpy as np
from scipy.special import chdtrc

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import Z95, nothing, pair, pool, smooth_shares, variance

NAME = "chi_squared"
TITLE = "drift (chi-squared)"
GROUP = "data"
UNIT = ""
RANGE = (0.0, float("inf"))
FORMULA = (
    "sum over both rows and all bins of (O - E)^2 / E, with E from both samples "
    "together"
)
SOURCE = "Pearson (1900); pooling of rare bins: Cochran (1954)"
KINDS = frozenset({"numeric", "categorical", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True


def chi_squared(reference: np.ndarray, current: np.ndarray) -> float:
    """Contingency statistic of two rows of counts, shape (n_bins,) each.

    No unit. Range: [0, n_ref + n_cur].

    The expectation E is of both samples together: a reference treated as exact would
    inflate it by 1 + n_cur / n_ref. It grows with the samples at the same drift: for a
    size of effect see Cramér's V. Symmetric; the order of bins does not matter. With no
    drift it averages n_bins - 1, and `chi_squared_p` is uniform.

    >>> round(chi_squared(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    3.428571
    """
    r, c, total = _rows(reference, current)
    m, n = r.sum(), c.sum()
    return float((m * n) * np.sum((r / m - c / n) ** 2 / total))


def chi_squared_p(reference: np.ndarray, current: np.ndarray) -> float:
    """Probability of a statistic as large without drift.

    By the chi-square law with (occupied bins - 1) degrees of freedom.

    >>> round(chi_squared_p(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.180092
    """
    freedom = _rows(reference, current)[2].size - 1
    return float(chdtrc(freedom, chi_squared(reference, current))) if freedom else 1.0


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """The statistic, and a 95 % interval of its mean at these sample sizes.

    Bins with E < 5 are pooled first.

    The value is the plain statistic, not reduced by its mean without drift. The
    interval is by the delta method, with the variance of the null chi-square added.
    None when too few rows are left for two bins.
    """
    counts = pair(reference, current)
    if counts is None or reference is None:
        return nothing(reference, current)
    r, c = pool(*counts)
    if r.size < 2 <= counts[0].size:
        return nothing(reference, current)
    value = chi_squared(r, c)
    spread = Z95 * deviation(r, c)
    return Measurement(
        value, max(0.0, value - spread), value + spread, current.n, reference.n, value
    )


def growth(n: int, n_reference: int) -> float:
    """Growth of the squared half of the interval with the value.

    To first order the variance is 4 times the value.
    """
    return 4 * Z95**2


def deviation(r: np.ndarray, c: np.ndarray) -> float:
    """Standard deviation of the statistic: first-order part and null chi-square."""
    p, q = smooth_shares(r), smooth_shares(c)
    m, n = float(r.sum()), float(c.sum())
    w = n / (m + n)
    pooled = w * q + (1 - w) * p
    change = (q - p) / pooled
    scale = m * n / (m + n)
    by_q, by_p = (
        scale * (2 * change - w * change**2),
        scale * (-2 * change - (1 - w) * change**2),
    )
    return float(np.sqrt(variance(r, c, by_p, by_q) + 2 * (r.size - 1)))


def _rows(
    reference: np.ndarray, current: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    total = np.asarray(reference, float) + current
    occupied = total > 0
    return (
        np.asarray(reference, float)[occupied],
        np.asarray(current, float)[occupied],
        total[occupied],
    )
