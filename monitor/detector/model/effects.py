"""Effects: the changed streams of an alert, with the onset and the size of the change.

They are estimated when an alert opens, and again for a week after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from monitor.detector.model.evidence import LAMBDAS
from monitor.detector.model.filter import Autocorrelation, Level, advance
from monitor.detector.model.fit import Fitted
from monitor.detector.model.streams import UNOBSERVED, Hour, score

ERROR_RATE = 0.05  # chance of naming any stream that did not change
# in sd, and as a share: smaller effects are not worth a person's time
MIN_EFFECT, MIN_MISSING = 0.05, 0.005
Z95 = 1.959964


@dataclass(frozen=True)
class Effect:
    """The distance of one stream from its expected value since the onset, with its 95 % interval.

    In reference standard deviations of one row; for a missing stream, as a share of
    rows.
    """

    stream: int
    size: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, eq=False)
class RecentResiduals:
    """The last h windows of a model as residuals, oldest first.

    `residuals` and their sampling `variances` are (h, K); `index` (h,) are the hours,
    `season_index` (h,) the hours whose seasonal pattern applies.
    """

    residuals: np.ndarray
    variances: np.ndarray
    index: np.ndarray
    season_index: np.ndarray


def recent_residuals(fitted: Fitted, hours: Sequence[Hour]) -> RecentResiduals:
    """Return the residuals of windows in order, without empty and special ones."""
    usable = [hour for hour in hours if not hour.is_empty and not hour.special]
    if not usable:
        no_rows = np.zeros((0, len(fitted.streams.streams)))
        no_index = np.zeros(0, dtype=int)
        return RecentResiduals(no_rows, no_rows, no_index, no_index)
    scores = score(fitted.streams, usable)
    index = np.array([hour.index for hour in usable])
    season_index = np.array([hour.season_index for hour in usable])
    residuals = fitted.residuals(scores, season_index)
    return RecentResiduals(residuals, scores.variances, index, season_index)


def onset(
    fitted: Fitted, recent: RecentResiduals, stream: int | None, side: int
) -> int:
    """Return the index of the window in which the change most likely began.

    It is the start s with the largest sum of r / var over the windows s.. in units of
    its own sd, for one stream on its side (0 up, 1 down); without a stream, with the
    largest sum of squares of all streams' means. Source: the maximum likelihood change
    point of a mean, Hinkley (1970).
    """
    is_observed = recent.variances < UNOBSERVED
    variances = recent.variances + fitted.wander.tau2
    weights = np.where(is_observed, 1 / variances, 0)
    sums = np.cumsum((recent.residuals * weights)[::-1], axis=0)
    information = np.maximum(np.cumsum(weights[::-1], axis=0), 1e-12)
    normal = sums / np.sqrt(information)
    if stream is None:
        normal = normal[:, fitted.streams.binned]
        gain = (normal**2).mean(axis=1)
    else:
        gain = (1 - 2 * side) * normal[:, stream]
    return int(recent.index[::-1][int(gain.argmax())])


def effects(fitted: Fitted, recent: RecentResiduals, since: int) -> list[Effect]:
    """Return the effect of every stream since an hour.

    The p-value is that of a shift within the tolerance, by the stream's t tail.
    """
    mean, sd, total = means(fitted, recent, since)
    z = (np.abs(mean) - fitted.wander.tolerance) / (sd * fitted.tails.scale)
    freedom = fitted.tails.freedom
    tail = 2 * stdtr(freedom, -z * np.sqrt(freedom / (freedom - 2)))
    p_values = np.where((total > 0) & (z > 0), tail, 1.0)
    unit = np.ones_like(mean)
    limit = np.full_like(mean, np.inf)
    unit[fitted.streams.missing] = fitted.streams.missing_sd
    limit[fitted.streams.missing] = 1.0
    margin = Z95 * sd
    bounds = [mean * unit, (mean - margin) * unit, (mean + margin) * unit]
    size, low, high = (np.clip(bound, -limit, limit).tolist() for bound in bounds)
    numbers = range(len(mean))
    return [
        Effect(*values)
        for values in zip(numbers, size, low, high, p_values.tolist(), strict=True)
    ]


def means(
    fitted: Fitted, recent: RecentResiduals, since: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every stream's mean residual since an hour in sd, its standard error, and its rows.

    Each is (K,). The variance of the mean has three parts: sampling, the long-run
    variance of the level (at most tau2), and the error of the baseline.
    """
    is_since = recent.index >= since
    variances = recent.variances[is_since]
    is_observed = variances < UNOBSERVED
    rows = np.where(is_observed, 1 / variances, 0)
    total = rows.sum(axis=0)
    divisor = np.maximum(total, 1e-12)
    mean = (rows * recent.residuals[is_since]).sum(axis=0) / divisor
    phi, tau2 = fitted.wander.phi, fitted.wander.tau2
    windows = np.maximum(is_observed.sum(axis=0), 1)
    level_variance = tau2 * np.minimum(1, (1 + phi) / (1 - phi) / windows)
    sd = np.sqrt(1 / divisor + level_variance + fitted.errors**2)
    return mean, sd, total


def significant_effects(
    fitted: Fitted, candidates: Sequence[Effect], error_rate: float = ERROR_RATE
) -> list[Effect]:
    """Return the effects of changed streams, the most certain first.

    The chance that any of them is of an unchanged stream is at most `error_rate`. Very
    small effects are left out. Source: Holm, A simple sequentially rejective multiple
    test procedure (1979).
    """
    missing = set(fitted.streams.missing.tolist())
    ranked = sorted(candidates, key=lambda e: (e.p_value, -abs(e.size)))
    significant: list[Effect] = []
    for rank, effect in enumerate(ranked):
        if effect.p_value > error_rate / (len(candidates) - rank):
            break
        min_size = MIN_MISSING if effect.stream in missing else MIN_EFFECT
        if abs(effect.size) >= min_size:
            significant.append(effect)
    return significant


def detectable(fitted: Fitted, rows: np.ndarray, windows: int) -> np.ndarray:
    """Return the minimum detectable shift of each stream within `windows` windows, (K,).

    In reference sd of one row, a share for missing streams; `rows` (K,) are those of one
    window. A shift d adds (d - tolerance) u_i to the score of window i, with u_i from
    the filter. The evidence sum(lambda s_i - lambda^2 / 2) opens an alert at
    log(level / share): solved for d at the best lambda. This is the expected score, so
    about half of such shifts are detected in time.
    """
    response = _shift_response(fitted, rows, windows)
    required = []
    for lam, weight in zip(LAMBDAS.tolist(), fitted.settings.mixture, strict=True):
        if weight > 0:
            alert_level = fitted.due * 2 / (fitted.streams.shares * weight)
            required.append(np.log(alert_level) / lam + windows * lam / 2)
    best = np.min(required, axis=0)
    shift = fitted.wander.tolerance + best / np.maximum(response, 1e-9)
    shift[fitted.streams.missing] *= fitted.streams.missing_sd
    return np.asarray(shift)


def _shift_response(fitted: Fitted, rows: np.ndarray, windows: int) -> np.ndarray:
    """Return the sum of the scores that a shift of one sd adds over the windows, (K,)."""
    divisor = fitted.tails.scale * fitted.tails.divisor
    zero = np.zeros_like(rows)
    unit_shift = np.ones_like(rows)
    model = Autocorrelation(fitted.wander.phi, fitted.wander.tau2, unit_shift)
    level = Level(zero, fitted.level.variance, zero)
    variance = np.where(rows > 0, 1 / np.maximum(rows, 1e-9), UNOBSERVED)
    response = np.zeros_like(rows)
    for _ in range(windows):
        level, innovation = advance(model, level, zero, variance)
        response += innovation.allowed / divisor
    return response
