"""Shift of location: the first of Neyman's smooth components, with scale, skewness, kurtosis."""

import math
from typing import Any

import numpy as np
from scipy.special import ndtri

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import Z95, nothing, pair, shares

NAME = "neyman"
TITLE = "drift (location)"
GROUP = "data"
UNIT = "sd"
RANGE = (0.0, float("inf"))
FORMULA = (
    "|sum over bins of w q|, with w the bins' normal scores, of mean 0 and "
    "variance 1 in the reference"
)
SOURCE = "Neyman (1937); Rayner, Thas and Best (2009)"
KINDS = frozenset({"numeric", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True


def location(reference: np.ndarray, current: np.ndarray) -> float | None:
    """S_1: how far current moved up, in standard deviations of the reference's normal scores.

    >>> round(location(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.258199
    """
    return component(reference, current, 1)


def scale(reference: np.ndarray, current: np.ndarray) -> float | None:
    """S_2: above 0 when current is wider than the reference.

    >>> round(scale(np.array([30, 40, 30]), np.array([40, 20, 40])), 6)
    0.408248
    """
    return component(reference, current, 2)


def skewness(reference: np.ndarray, current: np.ndarray) -> float | None:
    """S_3: above 0 when the upper tail grew and the lower one shrank, beyond location and scale.

    >>> round(skewness(np.full(4, 25), np.array([20, 40, 10, 30])), 3)
    0.447
    """
    return component(reference, current, 3)


def kurtosis(reference: np.ndarray, current: np.ndarray) -> float | None:
    """S_4: above 0 when both tails and the middle grew, beyond the components before it.

    >>> kurtosis(np.full(4, 25), np.array([20, 40, 10, 30])) is None  # of 4 bins: 3
    True
    """
    return component(reference, current, 4)


def component(reference: np.ndarray, current: np.ndarray, k: int) -> float | None:
    """S_k, 1 <= k: the mean over current of the k-th weight.

    None when the reference fills k bins or fewer.

    Counts of shape (n_bins,), in order. Without drift each component has mean 0 and
    variance 1/n_ref + 1/n_cur, and they are uncorrelated. The sum of squares of all
    n_bins - 1 is the sum of (q - p)^2 / p.
    """
    w = weights(reference, k)
    if w is None:
        return None
    p, q = shares(reference, current)
    return float(w[k - 1] @ (q - p))  # w @ p is 0


def weights(reference: np.ndarray, order: int = 4) -> np.ndarray | None:
    """Polynomials in the bins' normal scores, shape (order, n_bins).

    They are orthonormal under the reference.

    The normal score of a bin is that of the middle of its ranks. None when the
    reference fills `order` bins or fewer.

    >>> [round(x, 6) for x in weights(np.array([25, 50, 25]), 1)[0, [0, 2]].tolist()]
    [-1.414214, 1.414214]
    """
    counts = np.asarray(reference, float)
    m = counts.sum()
    if np.count_nonzero(counts) <= order:
        return None
    p = counts / m
    middle = np.clip(np.cumsum(p) - p / 2, 0.5 / m, 1 - 0.5 / m)
    powers = ndtri(middle)[:, None] ** np.arange(order + 1)
    _, r = np.linalg.qr(np.sqrt(p)[:, None] * powers)
    r *= np.sign(np.diag(r))[:, None]  # a weight rises at its upper end
    return np.asarray(np.linalg.solve(r.T, powers.T)[1:])


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """The size of the location's shift, corrected for sample size, with its 95 % interval.

    The square of S_1 is reduced by its sampling variance, 1/n_ref + 1/n_cur without
    drift; the interval is |S_1| and 1.96 standard errors. `raw` is S_1 with its sign:
    above 0 when current is higher. None when the reference has one value only.
    """
    counts = pair(reference, current)
    if counts is None or reference is None:
        return nothing(reference, current)
    r, c = counts
    w = weights(r, 1)
    if w is None:
        return nothing(reference, current)
    p, q = shares(r, c)
    moved = float(w[0] @ (q - p))
    around = float(q @ w[0] ** 2 - (q @ w[0]) ** 2)
    # the last term: the reference's standard deviation is estimated too
    error = math.sqrt(max(0.0, around) / c.sum() + (1 + moved**2 / 2) / r.sum())
    value = math.sqrt(max(0.0, moved**2 - error**2))
    low = min(value, max(0.0, abs(moved) - Z95 * error))
    return Measurement(
        value, low, max(value, abs(moved) + Z95 * error), current.n, reference.n, moved
    )
