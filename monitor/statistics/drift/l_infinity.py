"""L-infinity distance: the bin that changed most."""

from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import norm, nothing, pair, shares

NAME = "l_infinity"
TITLE = "drift (L-infinity)"
GROUP = "data"
UNIT = "distance"
RANGE = (0.0, 1.0)
FORMULA = "max over bins of |q - p|"
SOURCE = (
    "Chebyshev distance; as a drift measure: Breck et al., Data Validation for "
    "Machine Learning (2019)"
)
KINDS = frozenset({"numeric", "categorical", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True


def l_infinity(reference: np.ndarray, current: np.ndarray) -> float:
    """The largest change of one bin's share, from counts of shape (n_bins,). Range: [0, 1].

    A metric; the order of bins does not matter; it does depend on how fine the bins
    are. With no drift it is the largest of n_bins noises, each of variance p (1 - p)
    (1/n_ref + 1/n_cur).

    >>> round(l_infinity(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.1
    >>> round(l_infinity(np.array([2, 2, 2, 0]), np.array([2, 2, 2, 1])), 6)
    0.142857
    """
    p, q = shares(reference, current)
    return float(_distance(q - p))


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """The distance corrected for sample size, with its 95 % interval; both from `_bins.norm`."""
    counts = pair(reference, current)
    if counts is None or reference is None:
        return nothing(reference, current)
    raw, value, low, high = norm(*counts, _distance)
    return Measurement(value, low, min(1.0, high), current.n, reference.n, raw)


def _distance(d: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(d).max(axis=-1))
