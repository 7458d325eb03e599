"""Share of requests that the service failed."""

from typing import Any

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._proportion import share

NAME = "error_rate"
TITLE = "request error rate"
GROUP = "service"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = "rows with status >= 500 / rows"
SOURCE = (
    "Clopper and Pearson (1934) for the interval; status classes: RFC 9110 section 15.6"
)
KINDS = frozenset({"integer"})
COLUMNS = ("status",)
NEEDS_REFERENCE = False
MINIMUM = 100
COMPARE = "value"
INTERVAL = "binomial"

FIRST_SERVER_ERROR = 500


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Share of logged requests with a server error (an event with `error` and no status counts as 500).

    >>> from monitor.layout import INTEGER
    >>> import numpy as np
    >>> counts = np.zeros(INTEGER.size, dtype=int); counts[200] = 980; counts[503] = 20
    >>> measure(None, Profile(INTEGER, counts, 1000)).value
    0.02
    """
    errors = int(current.counts[FIRST_SERVER_ERROR:].sum())
    if reference is None:
        return share(errors, current.n)
    return share(
        errors, current.n, int(reference.counts[FIRST_SERVER_ERROR:].sum()), reference.n
    )
