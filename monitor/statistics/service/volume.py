"""Number of predictions."""

from typing import Any

from scipy.special import chdtri

from monitor.finding import Measurement
from monitor.profile import Profile

NAME = "volume"
TITLE = "number of predictions"
GROUP = "service"
UNIT = "rows"
RANGE = (0.0, float("inf"))
FORMULA = "rows in the window"
SOURCE = "exact Poisson interval: Garwood (1936)"
KINDS = frozenset({"integer"})
COLUMNS = ("status",)
NEEDS_REFERENCE = False
MINIMUM = 0
COMPARE = "value"
COUNTS_ROWS = True


def garwood(x: int) -> tuple[float, float]:
    """Exact 95 % interval of a Poisson mean from one count.

    >>> tuple(round(v, 3) for v in garwood(10))
    (4.795, 18.39)
    """
    low = 0.0 if x == 0 else float(chdtri(2 * x, 0.975)) / 2
    return low, float(chdtri(2 * x + 2, 0.025)) / 2


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Logged predictions in the window, with the interval of a Poisson count."""
    low, high = garwood(current.rows)
    return Measurement(
        float(current.rows), low, high, current.rows, reference.rows if reference else 0
    )
