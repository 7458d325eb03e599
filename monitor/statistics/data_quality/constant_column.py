"""Share of the most frequent value, which shows a column that became constant."""

from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._proportion import clopper_pearson

NAME = "constant_column"
TITLE = "share of the most frequent value"
GROUP = "data"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = "values in the fullest bin / values"
SOURCE = (
    "Clopper and Pearson (1934) and Bonferroni (1936) for the interval; Newcombe "
    "(1998) for the increase"
)
KINDS = frozenset({"numeric", "categorical", "unit"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = False
MINIMUM = 200
COMPARE = "increase"


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Share of the fullest bin. Range: [1 / filled bins, 1]; a constant column has 1.

    A number is known by its bin only: values that vary within one bin look constant
    too. The fullest of k filled bins is an extreme, so the exact interval is made for
    all k at once (0.05 / k), which covers the true largest share. The value is not
    corrected: of shares near 1, which matter here, noise adds nothing.

    >>> from monitor.profile import of_counts
    >>> found = measure(of_counts(40, 60), of_counts(0, 500, 0))
    >>> found.value, found.reference_value
    (1.0, 0.6)
    """
    base = _largest(reference) if reference is not None and reference.n else None
    n, n_reference = current.n, reference.n if reference is not None else 0
    value = _largest(current)
    if value is None:
        return Measurement(None, None, None, 0, n_reference, None, base)
    low, high = clopper_pearson(
        int(current.counts.max()), n, 1 - 0.05 / np.count_nonzero(current.counts)
    )
    return Measurement(value, low, high, n, n_reference, value, base)


def _largest(profile: Profile) -> float | None:
    return float(profile.counts.max() / profile.n) if profile.n else None
