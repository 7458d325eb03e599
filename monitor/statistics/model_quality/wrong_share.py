"""Misclassification rate: share of predictions whose class is not the label."""

from typing import Any

from monitor.finding import Measurement
from monitor.profile import Profile
from monitor.statistics._proportion import share

NAME = "wrong_share"
TITLE = "misclassification rate"
GROUP = "quality"
UNIT = "share"
RANGE = (0.0, 1.0)
FORMULA = "predictions whose class is not the label / labelled predictions"
SOURCE = (
    "misclassification rate; Clopper and Pearson (1934) for the interval, Newcombe "
    "(1998) for the increase"
)
KINDS = frozenset({"numeric"})
COLUMNS = ("wrong",)
NEEDS_REFERENCE = False
MINIMUM = 100
COMPARE = "increase"
INTERVAL = "binomial"


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """Misclassified share of the labelled predictions. Range: [0, 1].

    The column `wrong` has two bins: right and wrong.

    >>> from monitor.layout import ZERO_ONE
    >>> from monitor.profile import of_counts
    >>> measure(None, of_counts(83, 17, layout=ZERO_ONE)).value
    0.17
    """
    wrong = int(current.counts[1])
    if reference is None:
        return share(wrong, current.n)
    return share(wrong, current.n, int(reference.counts[1]), reference.n)
