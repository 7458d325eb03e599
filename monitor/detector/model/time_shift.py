"""Time shift: a daily pattern some hours early or late, as after a change of time zone."""

from collections.abc import Collection

import numpy as np

from monitor.detector.model.effects import RecentResiduals
from monitor.detector.model.fit import Fitted
from monitor.detector.model.season import DAY, regressors
from monitor.detector.model.streams import UNOBSERVED

MAX_LAG_HOURS = 12  # early or late
MIN_EXPLAINED = 0.7  # of the excess of squares, by the shifted pattern
# of the squares to their expectation, below which there is nothing to explain
MIN_RATIO = 2.0
MAX_WIDTH_HOURS = 3


def displacement(
    fitted: Fitted, recent: RecentResiduals, since: int, columns: Collection[str]
) -> int:
    """Return the delay in hours of the daily pattern of `columns` since an hour.

    Negative when the pattern is early; 0 when a shift in time does not explain the
    residuals. With r the residuals, s the season and v the variances of sampling and
    level, the result is the lag with the least sum of (r(t) + s(t) - s(t - lag))^2 / v.
    It must remove MIN_EXPLAINED of the excess that lag 0 has over its expectation. Over
    whole days a change of the mean does not look like that: a shifted pattern has the
    same mean. Needs a day of hours, a fitted season and windows of at most
    MAX_WIDTH_HOURS.
    """
    width = fitted.settings.width
    is_since = recent.index >= since
    hours = recent.season_index[is_since]
    streams = _binned_streams(fitted, columns)
    if fitted.season == "none" or width > MAX_WIDTH_HOURS:
        return 0
    windows_a_day = DAY // width
    if len(hours) < windows_a_day or not len(streams):
        return 0
    newest = len(hours) // windows_a_day * windows_a_day  # whole days
    hours = hours[-newest:]
    residuals = recent.residuals[is_since][-newest:, streams]
    variances = recent.variances[is_since][-newest:, streams]
    total = variances + fitted.wander.tau2[streams]
    weights = np.where(variances < UNOBSERVED, 1 / total, 0.0)
    coefficients = fitted.coefficients[:, streams]
    observed = residuals + regressors(fitted.season, hours, width) @ coefficients
    expected_squares = float((weights > 0).sum())

    def excess_at(lag: int) -> float:
        pattern = regressors(fitted.season, hours - lag, width) @ coefficients
        squares = float((weights * (observed - pattern) ** 2).sum())
        return squares - expected_squares

    excess = excess_at(0)
    if excess < (MIN_RATIO - 1) * expected_squares:
        return 0
    sizes = range(width, MAX_LAG_HOURS + 1, width)
    lags = [lag for size in sizes for lag in (size, -size)]
    best = min(lags, key=excess_at)
    return best if excess_at(best) <= (1 - MIN_EXPLAINED) * excess else 0


def _binned_streams(fitted: Fitted, columns: Collection[str]) -> np.ndarray:
    """Return the indices of the streams of `columns` that are made of bins."""
    streams = fitted.streams
    is_chosen = np.array([stream.feature in columns for stream in streams.streams])
    return streams.binned[is_chosen[streams.binned]]
