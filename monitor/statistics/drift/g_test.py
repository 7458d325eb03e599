"""Two-sample G statistic: the likelihood ratio of "two distributions" to "one"."""

from typing import Any

import numpy as np
from scipy.special import chdtrc, xlogy

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import Z95, nothing, pair, pool, smooth_shares, variance
from monitor.statistics.drift import chi_squared

NAME = "g_test"
TITLE = "drift (G-test)"
GROUP = "data"
UNIT = ""
RANGE = (0.0, float("inf"))
FORMULA = (
    "2 times the sum over both rows and all bins of O ln(O / E), with E from both "
    "samples together"
)
SOURCE = "Wilks (1938); Woolf (1957)"
KINDS = frozenset({"numeric", "categorical", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True


def g_test(reference: np.ndarray, current: np.ndarray) -> float:
    """Contingency statistic of two rows of counts, shape (n_bins,) each.

    No unit (twice nats). Range: [0, inf).

    The expectation E is of both samples together. It grows with the samples at the same
    drift, and is the Jensen-Shannon divergence weighted by sample sizes. Symmetric; the
    order of bins does not matter. With no drift it averages about n_bins - 1, and
    `g_test_p` is uniform.

    >>> round(g_test(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    3.447022
    """
    r, c = np.asarray(reference, float), np.asarray(current, float)
    total = np.maximum(r + c, 1e-300)  # an empty bin adds 0
    share = r.sum() / (r.sum() + c.sum())
    terms = xlogy(r, r / (total * share)) + xlogy(c, c / (total * (1 - share)))
    return float(max(0.0, 2 * np.sum(terms)))


def g_test_p(reference: np.ndarray, current: np.ndarray) -> float:
    """Probability of a statistic as large without drift.

    By the chi-square law with (occupied bins - 1) degrees of freedom.

    >>> round(g_test_p(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.178439
    """
    freedom = int(np.sum(np.asarray(reference) + current > 0)) - 1
    return float(chdtrc(freedom, g_test(reference, current))) if freedom else 1.0


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
    value = g_test(r, c)
    spread = Z95 * _deviation(r, c)
    return Measurement(
        value, max(0.0, value - spread), value + spread, current.n, reference.n, value
    )


def growth(n: int, n_reference: int) -> float:
    """Growth of the squared half of the interval with the value, as of chi-squared."""
    return chi_squared.growth(n, n_reference)


def _deviation(r: np.ndarray, c: np.ndarray) -> float:
    """Standard deviation of the statistic: first-order part and null chi-square."""
    p, q = smooth_shares(r), smooth_shares(c)
    m, n = float(r.sum()), float(c.sum())
    both = (m * p + n * q) / (m + n)
    return float(
        np.sqrt(
            variance(r, c, 2 * m * np.log(p / both), 2 * n * np.log(q / both))
            + 2 * (r.size - 1)
        )
    )
