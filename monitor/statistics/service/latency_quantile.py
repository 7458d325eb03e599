"""A quantile of latency, from logarithmic bins."""

import math
from typing import Any

from scipy.special import bdtr, bdtrik

from monitor.finding import Measurement
from monitor.layout import LOG_ACCURACY
from monitor.profile import Profile

NAME = "latency_quantile"
TITLE = "latency"
GROUP = "service"
UNIT = "ms"
RANGE = (0.0, float("inf"))
FORMULA = "the value that a share q of the latencies does not exceed"
SOURCE = (
    "bins: DDSketch, Masson et al. (2019); interval: order statistics (Thompson 1936)"
)
KINDS = frozenset({"log"})
COLUMNS = ("latency_ms",)
NEEDS_REFERENCE = False
MINIMUM = 100
COMPARE = "value"


def measure(
    reference: Profile | None, current: Profile, q: float = 0.95, **_: Any
) -> Measurement:
    """The q-quantile in ms, at most 1 % off the order statistic, with its distribution-free 95 % interval.

    The interval's ends are order statistics whose ranks are binomial quantiles, widened
    by the bins' 1 %; an end that would need a rank outside 1..n is open: 0 or infinity.
    Percentiles are never averaged: merge profiles first.

    >>> from monitor.layout import LOG
    >>> import numpy as np
    >>> counts = np.zeros(LOG.size, dtype=int); counts[LOG.index(10.0)] = 90; counts[LOG.index(100.0)] = 10
    >>> abs(measure(None, Profile(LOG, counts, 100)).value / 100 - 1) <= 0.01
    True
    """
    value, n = current.quantile(q), current.n
    base = reference.quantile(q) if reference is not None else None
    if value is None:
        return Measurement(
            None, None, None, n, reference.n if reference else 0, None, base
        )
    low_rank, high_rank = (
        _binomial_quantile(0.025, n, q),
        _binomial_quantile(0.975, n, q) + 1,
    )
    low = (
        (current.quantile(low_rank / n) or 0.0) * (1 - LOG_ACCURACY)
        if low_rank >= 1
        else 0.0
    )
    high = (
        (current.quantile(high_rank / n) or 0.0) * (1 + LOG_ACCURACY)
        if high_rank <= n
        else math.inf
    )
    return Measurement(
        value, low, high, n, reference.n if reference else 0, value, base
    )


def _binomial_quantile(tail: float, n: int, q: float) -> int:
    """The smallest k with P(Binomial(n, q) <= k) >= tail."""
    k = math.ceil(bdtrik(tail, n, q))
    return k - 1 if k > 0 and bdtr(k - 1, n, q) >= tail else k
