"""Total variation distance: the share of mass that would have to move."""

from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import norm, nothing, pair, shares

NAME = "total_variation"
TITLE = "drift (total variation)"
GROUP = "data"
UNIT = "distance"
RANGE = (0.0, 1.0)
FORMULA = "half the sum over bins of |q - p|"
SOURCE = "Levin, Peres and Wilmer, Markov Chains and Mixing Times (2009), section 4.1"
KINDS = frozenset({"numeric", "categorical", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True


def total_variation(reference: np.ndarray, current: np.ndarray) -> float:
    """Share of rows that would have to change bins for equal shares. Range: [0, 1].

    Both arguments are counts, shape (n_bins,).

    A metric; the order of bins does not matter. With no drift it averages about the sum
    over bins of sqrt(p (1 - p) (1/n_ref + 1/n_cur) / (2 pi)).

    >>> round(total_variation(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.1
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
    return np.asarray(np.abs(d).sum(axis=-1) / 2)
