"""A share and its exact interval."""

import math
from bisect import bisect_left

from scipy.special import betaincinv

from monitor.finding import Measurement


def clopper_pearson(
    x: float, n: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Exact interval of a share, x of n (Clopper and Pearson 1934).

    (0, 1) when n is 0.

    >>> tuple(round(v, 4) for v in clopper_pearson(20, 1000))
    (0.0123, 0.0307)
    """
    if n == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if x <= 0 else float(betaincinv(x, n - x + 1, tail))
    high = 1.0 if x >= n else float(betaincinv(x + 1, n - x, 1 - tail))
    return low, high


def smallest_above(
    limit: float, n: int, base: float = 0.0, margin: float = 0.0
) -> float | None:
    """The smallest share of n rows whose increase over `base` is certainly above `limit`.

    Certainly: less the hypotenuse of its own lower half-width and `margin`, the upper
    half-width of the base. None when not even 1 is.

    >>> smallest_above(0.02, 1000)
    0.03
    """

    def is_above(x: int) -> bool:
        half = math.hypot(x / n - clopper_pearson(x, n)[0], margin)
        return x / n - half > base + limit

    if n == 0 or not is_above(n):
        return None
    return bisect_left(range(n + 1), True, key=is_above) / n


def share(x: int, n: int, x_reference: int = 0, n_reference: int = 0) -> Measurement:
    """A share with its exact interval, beside the reference's share.

    The value is None when there are no rows.
    """
    reference_value = x_reference / n_reference if n_reference else None
    if n == 0:
        return Measurement(None, None, None, 0, n_reference, None, reference_value)
    low, high = clopper_pearson(x, n)
    return Measurement(x / n, low, high, n, n_reference, x / n, reference_value)
