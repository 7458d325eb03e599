"""Share of values whose category the reference does not have."""

from typing import Any

from monitor.finding import Measurement
from monitor.profile import Profile, check_same_layout
from monitor.statistics._proportion import clopper_pearson, share

NAME = "new_category_share"
TITLE = "share of new categories"
GROUP = "data"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = "values outside the reference's categories / values"
SOURCE = (
    "Good (1953) for what chance brings; Clopper and Pearson (1934) for the interval"
)
KINDS = frozenset({"categorical"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 50
COMPARE = "increase"
ON_COLUMN_PAGE = True
INTERVAL = "binomial"
# times that of a share: a leave-one-out share varies as (N1 + 2 N2 - N1² / m) / m²
VARIANCE = 3


def expected(reference: Profile, **_: Any) -> Measurement:
    """Share of new values without drift: of the reference's own rows, each left out in turn.

    The reference's layout stores that share. Its interval is that of a share of a third
    of the rows.

    >>> from monitor.layout import Layout
    >>> from monitor.profile import of_counts
    >>> layout = Layout("categorical", (), ("a", "b"), ("c", "d"), unseen=0.02)
    >>> expected(of_counts(90, 6, 4, 0, layout=layout)).value
    0.02
    """
    n, x = reference.n, _expected(reference)
    if not n:
        return share(0, 0)
    low, high = clopper_pearson(x / VARIANCE, n / VARIANCE)
    return Measurement(x / n, low, high, n)


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Share of values in new categories, beside its expected value. Range: [0, 1].

    >>> from monitor.layout import Layout
    >>> from monitor.profile import of_counts
    >>> layout = Layout("categorical", (), ("a", "b"))
    >>> measure(of_counts(5, 5, 0, 0, layout=layout), of_counts(6, 3, 0, 1, layout=layout)).value
    0.1
    """
    if reference is None or reference.n == 0:
        return Measurement(None, None, None, current.n)
    check_same_layout(reference, current)
    return share(_new(current), current.n, _expected(reference), reference.n)


def _new(profile: Profile) -> int:
    new = profile.layout.new_bin
    return int(profile.counts[new]) if new is not None else 0


def _expected(reference: Profile) -> int:
    # compared with other traffic than the reference, that traffic's own share may be
    # larger
    return max(_new(reference), round(reference.layout.unseen * reference.n))
