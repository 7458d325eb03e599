"""Share of rows above the reference's q-quantile."""

from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile, check_same_layout
from monitor.statistics._proportion import share

NAME = "exceedance"
TITLE = "share above the reference's quantile"
GROUP = "data"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = "values above the reference's q-quantile / values"
SOURCE = "Clopper and Pearson (1934) for the interval; Newcombe (1998) for the increase"
KINDS = frozenset({"numeric", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "increase"
INTERVAL = "binomial"


def measure(
    reference: Profile | None, current: Profile, q: float = 0.95, **_: Any
) -> Measurement:
    """Share of values above the bin of the reference's q-quantile. Range: [0, 1].

    The reference's own share above the same bound is what is to be expected (at most 1
    - q, less where a bin or many equal values lie across the quantile); a rule holds
    the difference of the two shares against its limit, with Newcombe's interval of two
    proportions. Both are plain shares, so noise adds nothing on average.

    >>> from monitor.layout import Layout
    >>> from monitor.profile import of_counts
    >>> layout = Layout("numeric", (1.0, 2.0, 3.0))
    >>> reference = of_counts(25, 25, 25, 25, layout=layout)
    >>> found = measure(reference, of_counts(20, 20, 20, 40, layout=layout), q=0.75)
    >>> found.value, found.reference_value
    (0.4, 0.25)
    """
    if reference is None or reference.n == 0:
        return Measurement(None, None, None, current.n)
    check_same_layout(reference, current)
    at = int(
        np.searchsorted(np.cumsum(reference.counts), q * reference.n * (1 - 1e-12))
    )
    return share(
        int(current.counts[at + 1 :].sum()),
        current.n,
        int(reference.counts[at + 1 :].sum()),
        reference.n,
    )
