"""Hellinger distance."""

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

NAME = "hellinger"
TITLE = "drift (Hellinger)"
GROUP = "data"
UNIT = "distance"
RANGE = (0.0, 1.0)
FORMULA = "sqrt(1 - sum over bins of sqrt(p q))"
SOURCE = "Hellinger (1909); Bhattacharyya (1943)"
KINDS = frozenset({"numeric", "categorical", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True


def hellinger(reference: np.ndarray, current: np.ndarray) -> float:
    """Hellinger distance of the bin shares, from counts of shape (n_bins,).

    Range: [0, 1], 1 = no common bin.

    A metric; the order of bins does not matter; empty bins need no smoothing. With no
    drift 8 times its square averages (n_bins - 1)(1/n_ref + 1/n_cur).

    >>> round(hellinger(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.092956
    """
    p, q = shares(reference, current)
    # half the squared differences of roots: the same as 1 - sum sqrt(pq), exactly 0 for
    # equal shares
    return float(np.sqrt(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2) / 2))


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
    raw = hellinger(r, c)
    unit = (1 / r.sum() + 1 / c.sum()) / 8
    p, q = smooth_shares(r), smooth_shares(c)
    spread = (
        variance(r, c, -np.sqrt(q / p) / 2, -np.sqrt(p / q) / 2)
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
