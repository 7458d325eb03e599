"""Share of rows without a usable value."""

from typing import Any

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._proportion import share

NAME = "missing_rate"
TITLE = "missing-value rate"
GROUP = "data"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = "(missing + invalid) / rows"
SOURCE = "Clopper and Pearson (1934) for the interval; Newcombe (1998) for the increase"
KINDS = frozenset({"numeric", "categorical", "unit"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = False
MINIMUM = 50
COMPARE = "increase"
ON_COLUMN_PAGE = True
INTERVAL = "binomial"
CAUSE = "missing"


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Share of rows whose value is null, not finite or of the wrong type. Range: [0, 1].

    >>> from monitor.profile import of_counts
    >>> round(measure(None, of_counts(60, 33, missing=7)).value, 3)
    0.07
    """
    absent = current.missing + current.invalid
    if reference is None:
        return share(absent, current.rows)
    return share(
        absent, current.rows, reference.missing + reference.invalid, reference.rows
    )
