"""Share of values that came and cannot be used."""

from typing import Any

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._proportion import share

NAME = "type_error_rate"
TITLE = "invalid-value rate"
GROUP = "data"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = "invalid / (rows - missing)"
SOURCE = "Clopper and Pearson (1934) for the interval; Newcombe (1998) for the increase"
KINDS = frozenset({"numeric", "unit"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = False
MINIMUM = 50
COMPARE = "increase"
ON_COLUMN_PAGE = True
INTERVAL = "binomial"


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Share of a numeric column's values that are text, boolean, NaN, infinite or beyond 1e150. Range: [0, 1].

    Null is no value: it counts in `missing_rate`. What came instead stands in GET
    /v1/accounting under `mistyped`.

    >>> from monitor.profile import of_counts
    >>> round(measure(None, of_counts(60, 33, missing=7, invalid=7)).value, 3)
    0.07
    """
    given = current.rows - current.missing
    if reference is None:
        return share(current.invalid, given)
    return share(
        current.invalid, given, reference.invalid, reference.rows - reference.missing
    )
