"""Mean absolute error of the labelled predictions."""

import math
from typing import Any

from scipy.special import stdtrit

from monitor.finding import Measurement
from monitor.profile import Profile

NAME = "mean_absolute_error"
TITLE = "mean absolute error"
GROUP = "quality"
UNIT = ""
RANGE = (0.0, float("inf"))
FORMULA = "sum of |label - prediction| / labelled predictions"
SOURCE = "Student's t interval of a mean (Student 1908)"
KINDS = frozenset({"log"})
COLUMNS = ("absolute_error",)
NEEDS_REFERENCE = False
MINIMUM = 100
COMPARE = "increase"


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Mean of |label - prediction|, in the unit of the label, with Student's 95 % interval.

    From the exact sums that a profile has beside its bins.

    >>> from monitor.layout import LOG
    >>> import numpy as np
    >>> counts = np.zeros(LOG.size, dtype=int); counts[LOG.index(1.0)] = 2; counts[LOG.index(4.0)] = 2
    >>> measure(None, Profile(LOG, counts, 4, sum=10.0, sum_sq=34.0)).value
    2.5
    """
    base = reference.mean if reference is not None else None
    n_reference = reference.n if reference is not None else 0
    n, mean, variance = current.n, current.mean, current.variance
    if n == 0 or mean is None:
        return Measurement(None, None, None, n, n_reference, None, base)
    spread = (
        float(stdtrit(n - 1, 0.975)) * math.sqrt((variance or 0.0) / n)
        if n > 1
        else math.inf
    )
    return Measurement(
        mean, max(0.0, mean - spread), mean + spread, n, n_reference, mean, base
    )
