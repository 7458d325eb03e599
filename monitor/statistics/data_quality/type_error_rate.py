"""Share of values that are present but invalid."""

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
    """Share of a numeric column's values that are no usable number. Range: [0, 1].

    Text, booleans, NaN, infinite numbers and those beyond 1e150 are invalid.

    Null is no value: it counts in `missing_rate`. `GET /v1/accounting` lists the
    mismatched types under `mistyped`.

    >>> from monitor.profile import of_counts
    >>> round(measure(None, of_counts(60, 33, missing=7, invalid=7)).value, 3)
    0.07
    """
    present = current.rows - current.missing
    if reference is None:
        return share(current.invalid, present)
    present_before = reference.rows - reference.missing
    return share(current.invalid, present, reference.invalid, present_before)
