"""One share and its interval."""

from scipy.special import betaincinv

from monitor.finding import Measurement


def clopper_pearson(x: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share, x of n (Clopper and Pearson 1934). The whole of [0, 1] when n is 0.

    >>> tuple(round(v, 4) for v in clopper_pearson(20, 1000))
    (0.0123, 0.0307)
    """
    if n == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if x <= 0 else float(betaincinv(x, n - x + 1, tail))
    high = 1.0 if x >= n else float(betaincinv(x + 1, n - x, 1 - tail))
    return low, high


def share(x: int, n: int, x_reference: int = 0, n_reference: int = 0) -> Measurement:
    """A share with its exact interval and the reference's share beside it; value None when there are no rows."""
    reference_value = x_reference / n_reference if n_reference else None
    if n == 0:
        return Measurement(None, None, None, 0, n_reference, None, reference_value)
    low, high = clopper_pearson(x, n)
    return Measurement(x / n, low, high, n, n_reference, x / n, reference_value)
