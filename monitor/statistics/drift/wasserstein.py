"""Wasserstein distance in standard deviations of the reference, from bins."""

from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import shares
from monitor.statistics._places import measured

NAME = "wasserstein"
TITLE = "drift (Wasserstein)"
GROUP = "data"
UNIT = "sd"
RANGE = (0.0, float("inf"))
FORMULA = (
    "integral of |F_ref - F_cur| between the outermost bin edges / standard "
    "deviation of the reference"
)
SOURCE = "Kantorovich (1942); Vallender (1974)"
KINDS = frozenset({"numeric", "unit"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True


def wasserstein(
    reference: np.ndarray, current: np.ndarray, positions: np.ndarray
) -> float:
    """W1 of two sets of counts at `positions`, in the unit of the positions.

    Shape (n_bins,) each; positions ascend.

    A metric; range [0, last position - first position]; it grows in proportion to a
    shift. With no drift it is the sum of the gaps times noises of variance F (1 - F)
    (1/n_ref + 1/n_cur).

    >>> round(wasserstein(np.array([30, 40, 30]), np.array([20, 40, 40]), np.array([1, 2, 3])), 6)
    0.2
    """
    p, q = shares(reference, current)
    return float(_distance(q - p, np.diff(positions)))


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """W1 in reference sd, corrected for sample size, with its 95 % interval by `_bins.norm`.

    Values in the open bins at the ends are clipped to the outermost edges, the 5 % and
    95 % quantiles of the reference with 20 bins: how far outside they are is not seen,
    and a shift of 1 sd reads about 0.85. Value and interval are of the clipped
    distance. None when the reference has no spread.
    """
    return measured(
        reference, current, lambda places: lambda d: _distance(d, np.diff(places))
    )


def _distance(d: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(np.cumsum(d, axis=-1)[..., :-1]) @ gaps)
