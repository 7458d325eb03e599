"""Wasserstein distance in standard deviations of the reference, from bins."""

import math
from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.layout import Layout
from monitor.profile import Profile, check_same_layout
from monitor.statistics._bins import norm, nothing, shares

NAME = "wasserstein"
UNIT = "sd"
RANGE = (0.0, float("inf"))
FORMULA = "integral of |F_ref - F_cur| between the outermost bin edges / standard deviation of the reference"
SOURCE = "Kantorovich (1942); Vallender (1974)"
KINDS = frozenset({"numeric", "unit"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"


def wasserstein(reference: np.ndarray, current: np.ndarray, positions: np.ndarray) -> float:
    """W1 of two sets of counts at `positions`, shape (n_bins,) each and rising, in the unit of the positions.

    A metric; range [0, last position - first position]; it grows in proportion to a shift. With no drift it is the sum
    of the gaps times noises of variance F (1 - F) (1/n_ref + 1/n_cur).

    >>> round(wasserstein(np.array([30, 40, 30]), np.array([20, 40, 40]), np.array([1, 2, 3])), 6)
    0.2
    """
    p, q = shares(reference, current)
    return float(_distance(q - p, np.diff(positions)))


def positions(layout: Layout) -> np.ndarray:
    """Where the mass of each bin is taken to be: its middle, and the only edge of the two open bins at the ends.

    >>> positions(Layout("numeric", (1.0, 2.0, 4.0))).tolist()
    [1.0, 1.5, 3.0, 4.0]
    """
    edges = layout.upper_bounds()[:-1]
    return np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]])


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """W1 in standard deviations of the reference, corrected for sample size, with its 95 % interval as `_bins.norm` says.

    Values in the open bins at the ends are clipped to the outermost edges, the 5 % and 95 % quantiles of the reference
    with 20 bins: how far outside they are is not seen, and a shift of 1 sd reads about 0.85. Value and interval are of
    the clipped distance. None when the reference has no spread.
    """
    if reference is None or reference.n == 0 or current.n == 0:
        return nothing(reference, current)
    check_same_layout(reference, current)
    reference, current = reference.inner(), current.inner()
    places, variance = positions(reference.layout), reference.variance
    if not variance or places[-1] <= places[0]:
        return nothing(reference, current)
    gaps = np.diff(places) / math.sqrt(variance)
    raw, value, low, high = norm(
        reference.counts.astype(float), current.counts.astype(float), lambda d: _distance(d, gaps)
    )
    return Measurement(value, low, high, current.n, reference.n, raw)


def _distance(d: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(np.cumsum(d, axis=-1)[..., :-1]) @ gaps)
