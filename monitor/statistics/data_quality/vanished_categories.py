"""Share of the reference whose categories have no row in current."""

from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile, check_same_layout
from monitor.statistics._proportion import clopper_pearson

NAME = "vanished_categories"
TITLE = "share of the reference whose categories vanished"
GROUP = "data"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = (
    "sum of p over the reference's categories with no row in current, less the sum "
    "of p (1 - p)^n that chance gives"
)
SOURCE = (
    "Good (1953) for what is unseen by chance; Clopper and Pearson (1934) for the "
    "interval"
)
KINDS = frozenset({"categorical"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"


def vanished(reference: np.ndarray, current: np.ndarray) -> float:
    """Share of the reference in bins that are empty in current. Range: [0, 1].

    Both arguments are counts, shape (n_bins,).

    With no drift it averages the sum of p (1 - p)^n_cur: rare categories stay away by
    chance.

    >>> vanished(np.array([60, 30, 10]), np.array([80, 0, 20]))
    0.3
    """
    return float(reference[current == 0].sum() / reference.sum())


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """The share less what chance gives, with its 95 % interval; `raw` is the plain share.

    A category whose absence has a chance of more than 2.5 % / (number of categories)
    adds nothing to the lower bound.
    """
    n_reference = reference.n if reference is not None else 0
    if reference is None or reference.n == 0 or current.n == 0:
        return Measurement(None, None, None, current.n, n_reference)
    check_same_layout(reference, current)
    r, c = reference.counts[:-1], current.counts[:-1]  # the reference has no new values
    total = int(r.sum())
    if total == 0:
        return Measurement(None, None, None, current.n, n_reference)
    raw, p = vanished(r, c), r / total
    chance = (1 - p) ** current.n
    surely = int(r[(c == 0) & (chance < 0.025 / np.count_nonzero(r))].sum())
    low, high = (
        clopper_pearson(surely, total)[0],
        clopper_pearson(int(r[c == 0].sum()), total)[1],
    )
    value = max(low, raw - float(p @ chance))
    return Measurement(value, low, max(high, value), current.n, n_reference, raw)
