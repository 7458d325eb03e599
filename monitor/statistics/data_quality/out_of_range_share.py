"""Share of numbers beyond the range of the reference."""

from typing import Any

from monitor.finding import Measurement
from monitor.layout import Layout
from monitor.profile import Profile, check_same_layout
from monitor.statistics._proportion import share

NAME = "out_of_range_share"
TITLE = "share of out-of-range values"
GROUP = "data"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = "values below the reference's least or above its largest / values"
SOURCE = (
    "Clopper and Pearson (1934) for the interval; expected share of 2 / (n_ref + "
    "1): Wilks (1941)"
)
KINDS = frozenset({"numeric"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 50
COMPARE = "value"
ON_COLUMN_PAGE = True
INTERVAL = "binomial"


def fits(layout: Layout) -> bool:
    """True if the layout has the reference's range; layouts of older versions have none."""
    return layout.range is not None


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Share of values beyond the reference's range. Range: [0, 1]; the reference's own share is 0.

    Without drift it averages 2 / (n_ref + 1), whatever the distribution. None when the
    layout does not know the range.

    >>> from monitor.layout import numeric_layout
    >>> from monitor.profile import of_counts
    >>> layout = numeric_layout([1.0, 2.0], (0.0, 3.0))
    >>> reference = of_counts(0, 5, 5, 5, 0, layout=layout)
    >>> measure(reference, of_counts(3, 30, 30, 30, 7, layout=layout)).value
    0.1
    """
    if reference is None or reference.n == 0:
        return Measurement(None, None, None, current.n)
    check_same_layout(reference, current)
    if not fits(current.layout):
        return Measurement(None, None, None, current.n, reference.n)
    return share(int(current.counts[0] + current.counts[-1]), current.n, 0, reference.n)
