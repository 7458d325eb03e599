"""Share of values that the reference never held."""

from typing import Any

from monitor.finding import Measurement
from monitor.profile import Profile, check_same_layout
from monitor.statistics._proportion import share

NAME = "new_category_share"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = "values outside the reference's categories / values"
SOURCE = "Clopper and Pearson (1934) for the interval"
KINDS = frozenset({"categorical"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 50
COMPARE = "value"


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Share of categorical values never seen in the reference. Range: [0, 1]; the reference's own share is 0.

    >>> from monitor.layout import Layout
    >>> from monitor.profile import of_counts
    >>> layout = Layout("categorical", (), ("a", "b"))
    >>> measure(of_counts(5, 5, 0, 0, layout=layout), of_counts(6, 3, 0, 1, layout=layout)).value
    0.1
    """
    if reference is None or reference.n == 0:
        return Measurement(None, None, None, current.n)
    check_same_layout(reference, current)
    new = current.layout.new_bin
    count = int(current.counts[new]) if new is not None else 0
    return share(count, current.n, 0, reference.n)
