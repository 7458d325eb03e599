"""A course of the day that is hours early or late, as after a clock of another time zone."""

from collections.abc import Collection

import numpy as np

from monitor.detector.model.fit import Fitted
from monitor.detector.model.naming import Recent
from monitor.detector.model.season import DAY, regressors
from monitor.detector.model.streams import UNOBSERVED

MOST = 12  # hours early or late
EXPLAINED = 0.7  # of what is beyond chance, by the displaced course
# of the squares to their expectation, below which there is nothing to explain
MIN_RATIO = 2.0
MAX_WINDOW = 3  # hours


def displacement(
    fitted: Fitted, last: Recent, since: int, columns: Collection[str]
) -> int:
    """Return the hours by which the usual course of some columns is late since an hour; 0 when it is not.

    Negative for early. With r the residuals, s the season and v the variances of
    sampling and wandering, the lag that makes the sum of (r(t) + s(t) - s(t - lag))^2 / v
    least is the answer, if it takes away EXPLAINED of the excess of lag 0 over its
    expectation. Over whole days another level does not look like that: a displaced
    course has the same mean. It takes a day, a fitted season and windows of at most
    MAX_WINDOW hours.
    """
    width, chosen = fitted.settings.width, last.index >= since
    hours = last.usual[chosen]
    of_columns = np.array([s.feature in columns for s in fitted.streams.streams])
    streams = fitted.streams.binned[of_columns[fitted.streams.binned]]
    if (
        fitted.season == "none"
        or width > MAX_WINDOW
        or len(hours) < DAY // width
        or not len(streams)
    ):
        return 0
    whole = len(hours) // (DAY // width) * (DAY // width)  # whole days, the newest ones
    hours, residuals, variances = (
        hours[-whole:],
        last.residuals[chosen][-whole:, streams],
        last.variances[chosen][-whole:, streams],
    )
    weights = np.where(
        variances < UNOBSERVED, 1 / (variances + fitted.wander.tau2[streams]), 0.0
    )
    coefficients = fitted.coefficients[:, streams]
    observed = residuals + regressors(fitted.season, hours, width) @ coefficients
    expected = float((weights > 0).sum())

    def beyond_chance(lag: int) -> float:
        usual = regressors(fitted.season, hours - lag, width) @ coefficients
        return float((weights * (observed - usual) ** 2).sum()) - expected

    excess = beyond_chance(0)
    if excess < (MIN_RATIO - 1) * expected:
        return 0
    lags = [
        lag for hours_ in range(width, MOST + 1, width) for lag in (hours_, -hours_)
    ]
    best = min(lags, key=beyond_chance)
    return best if beyond_chance(best) <= (1 - EXPLAINED) * excess else 0
