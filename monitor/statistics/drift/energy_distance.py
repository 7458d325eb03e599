"""Energy distance in standard deviations of the reference, from bins."""

from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._bins import shares
from monitor.statistics._places import measured

NAME = "energy_distance"
TITLE = "drift (energy distance)"
GROUP = "data"
UNIT = "sd"
RANGE = (0.0, float("inf"))
FORMULA = (
    "2 E|x - y| - E|x - x'| - E|y - y'|, x and x' of the reference, y and y' of "
    "current, at their bins' middles, / sd"
)
SOURCE = "Székely and Rizzo (2013)"
KINDS = frozenset({"numeric", "unit"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True
INTERVAL = "unknown"


def energy_distance(
    reference: np.ndarray, current: np.ndarray, places: np.ndarray
) -> float:
    """Energy distance of two sets of counts at `places`, in the unit of the places.

    Shape (n_bins,) each; places ascend.

    Range: [0, 2 (last place - first place)]; 0 only for equal shares; its root is a
    metric. On a line it is 2 x integral of (F_ref - F_cur)^2, so it grows with the
    square of a small shift, and tails count less than in W1. With no drift it averages
    2 x integral of F (1 - F) x (1/n_ref + 1/n_cur).

    >>> reference, current = np.array([30, 40, 30]), np.array([20, 40, 40])
    >>> round(energy_distance(reference, current, np.array([1, 2, 3])), 6)
    0.04
    """
    p, q = shares(reference, current)
    return float(_root(q - p, np.diff(places)) ** 2)


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """The distance in reference sd, corrected for sample size, with its 95 % interval.

    An approximation: every value counts as the middle of its bin, in the open bins at
    the ends as the only edge. The root is a norm, so value and interval are the squares
    of what `_bins.norm` says of it. None when the reference has no spread.
    """
    return measured(
        reference, current, lambda places: lambda d: _root(d, np.diff(places)), power=2
    )


def _root(d: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(2 * (np.cumsum(d, axis=-1)[..., :-1] ** 2 @ gaps)))
