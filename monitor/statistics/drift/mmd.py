"""Maximum mean discrepancy with a Gaussian kernel, one reference sd wide, from bins."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import Distance, shares
from monitor.statistics._places import measured

NAME = "mmd"
TITLE = "drift (maximum mean discrepancy)"
GROUP = "data"
UNIT = ""
RANGE = (0.0, math.sqrt(2))
FORMULA = (
    "root of E k(x, x') + E k(y, y') - 2 E k(x, y), k(a, b) = exp(-(a - b)^2 / (2 "
    "sd^2)), at the bins' middles"
)
SOURCE = "Gretton, Borgwardt, Rasch, Schölkopf and Smola (2012)"
KINDS = frozenset({"numeric", "unit"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True


def mmd(
    reference: np.ndarray, current: np.ndarray, places: np.ndarray, width: float = 1.0
) -> float:
    """MMD of two sets of counts at `places` with a Gaussian kernel of this `width`.

    Counts and places have the shape (n_bins,).

    Range [0, sqrt(2)]; 0 only for equal shares. For a shift of a normal distribution by
    s widths of its own standard deviation the square is 2 / sqrt(3) x (1 - exp(-s^2 /
    6)): 0.1 sd gives 0.044, 1 sd 0.42.

    >>> round(mmd(np.array([1, 0]), np.array([0, 1]), np.array([0.0, 1.0])), 4)
    0.8871
    """
    p, q = shares(reference, current)
    return float(_norm(q - p, _root(places / width)))


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """MMD with a kernel one reference sd wide, corrected for sample size, with interval.

    Of the projections of an embedding (`NAME.projection_1` and so on) it is one slice
    of the MMD of the embedding. An approximation: every value counts as the middle of
    its bin, in the open bins at the ends as the only edge. The MMD is a norm of the
    difference of shares; value and interval are what `_bins.norm` says. None when the
    reference has no spread.
    """
    found = measured(reference, current, _norm_at)
    return (
        found if found.high is None else replace(found, high=min(found.high, RANGE[1]))
    )


def _norm_at(places: np.ndarray) -> Distance:
    root = _root(places)
    return lambda d: _norm(d, root)


def _root(places: np.ndarray) -> np.ndarray:
    """A matrix whose product with its own transpose is the kernel between the places."""
    kernel = np.exp(-0.5 * (places[:, None] - places[None, :]) ** 2)
    values, vectors = np.linalg.eigh(kernel)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _norm(d: np.ndarray, root: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(d @ root, axis=-1))
