"""Jensen-Shannon distance, base 2."""

from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import (
    Z95,
    nothing,
    pair,
    root,
    shares,
    smooth_shares,
    variance,
)

NAME = "jensen_shannon"
TITLE = "drift (Jensen-Shannon)"
GROUP = "data"
UNIT = "distance"
RANGE = (0.0, 1.0)
FORMULA = (
    "sqrt of half the sum over bins of p log2(p / h) + q log2(q / h), with h = (p "
    "+ q) / 2"
)
SOURCE = "Lin (1991); a metric: Endres and Schindelin (2003)"
KINDS = frozenset({"numeric", "categorical", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True

LN2 = float(np.log(2))


def jensen_shannon(reference: np.ndarray, current: np.ndarray) -> float:
    """Jensen-Shannon distance with logarithms to base 2, of counts of shape (n_bins,).

    Range: [0, 1], 1 = no common bin.

    It is the square root of the divergence, and so a metric; to base e it is 0.8326
    times as large. Symmetric; the order of bins does not matter; empty bins need no
    smoothing. With no drift 8 ln(2) times its square averages (n_bins - 1)(1/n_ref +
    1/n_cur).

    >>> round(jensen_shannon(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.111501
    """
    p, q = shares(reference, current)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / middle), 0.0) + np.where(
            q > 0, q * np.log2(q / middle), 0.0
        )
    return float(np.sqrt(max(0.0, terms.sum() / 2)))


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """The distance corrected for sample size, with its 95 % interval.

    The square is reduced by its mean without drift; its interval is by the delta method
    with the variance of the null chi-square added, then the root of both bounds. `raw`
    is the plain distance.
    """
    counts = pair(reference, current)
    if counts is None or reference is None:
        return nothing(reference, current)
    r, c = counts
    raw = jensen_shannon(r, c)
    unit = (1 / r.sum() + 1 / c.sum()) / (8 * LN2)
    p, q = smooth_shares(r), smooth_shares(c)
    middle = (p + q) / 2
    spread = (
        variance(r, c, np.log2(p / middle) / 2, np.log2(q / middle) / 2)
        + 2 * (r.size - 1) * unit**2
    )
    return root(
        raw**2,
        (r.size - 1) * unit,
        Z95 * float(np.sqrt(spread)),
        1.0,
        current.n,
        reference.n,
        raw,
    )
