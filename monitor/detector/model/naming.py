"""Which streams changed, since when and by how much: asked when there is a page, and again for a week after."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from monitor.detector.model.evidence import LAMBDAS
from monitor.detector.model.filter import Autocorrelation, Level, advance
from monitor.detector.model.fit import Fitted
from monitor.detector.model.streams import UNOBSERVED, Hour, score

ERROR_RATE = 0.05  # chance of naming any stream that did not change
# sd, and share: less than that is not worth a person's time
MIN_EFFECT, MIN_MISSING = 0.05, 0.005
Z95 = 1.959964


@dataclass(frozen=True)
class Effect:
    """The distance of one stream from its usual value since the onset, with its 95 % interval.

    In reference standard deviations of one row; of a missing stream, as a share of
    rows.
    """

    stream: int
    size: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Recent:
    """The last windows of a model as residuals and their sampling variances, (h, K), oldest first, their hours (h,), and the
    hours whose usual values were expected (h,)."""

    residuals: np.ndarray
    variances: np.ndarray
    index: np.ndarray
    usual: np.ndarray


def recent(fitted: Fitted, hours: Sequence[Hour]) -> Recent:
    """The residuals of some windows in order; empty and special ones are left out."""
    usable = [h for h in hours if not h.is_empty and not h.special]
    if not usable:
        nothing = np.zeros((0, len(fitted.streams.streams)))
        return Recent(nothing, nothing, np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    scores = score(fitted.streams, usable)
    index = np.array([h.index for h in usable])
    usual = np.array([h.usual for h in usable])
    return Recent(fitted.residuals(scores, usual), scores.variances, index, usual)


def onset(fitted: Fitted, last: Recent, stream: int | None, side: int) -> int:
    """The hour from which on the change is likeliest to have been there: index of its window.

    The start s with the largest sum of r / var over windows s.. in units of its own sd,
    of one stream on its side (0 up, 1 down), or, without a stream, the largest sum of
    squares of all streams' means. Source: the maximum likelihood change point of a
    mean, Hinkley (1970).
    """
    variances = last.variances + fitted.wander.tau2
    weights = np.where(last.variances < UNOBSERVED, 1 / variances, 0)
    sums = np.cumsum((last.residuals * weights)[::-1], axis=0)
    information = np.maximum(np.cumsum(weights[::-1], axis=0), 1e-12)
    normal = sums / np.sqrt(information)
    if stream is None:
        normal = normal[:, fitted.streams.binned]
        gain = (normal**2).mean(axis=1)
    else:
        gain = (1 - 2 * side) * normal[:, stream]
    return int(last.index[::-1][int(gain.argmax())])


def effects(fitted: Fitted, last: Recent, since: int) -> list[Effect]:
    """Every stream's mean distance since an hour; p of "no more than the tolerance", by the t tail of the stream."""
    mean, sd, total = means(fitted, last, since)
    z = (np.abs(mean) - fitted.wander.tolerance) / (sd * fitted.tails.scale)
    freedom = fitted.tails.freedom
    p = np.where(
        (total > 0) & (z > 0),
        2 * stdtr(freedom, -z * np.sqrt(freedom / (freedom - 2))),
        1.0,
    )
    unit, most = np.ones_like(mean), np.full_like(mean, np.inf)
    unit[fitted.streams.missing], most[fitted.streams.missing] = (
        fitted.streams.missing_sd,
        1.0,
    )
    columns = [mean * unit, (mean - Z95 * sd) * unit, (mean + Z95 * sd) * unit]
    size, low, high = (np.clip(c, -most, most).tolist() for c in columns)
    return [
        Effect(*values)
        for values in zip(range(len(mean)), size, low, high, p.tolist(), strict=True)
    ]


def means(
    fitted: Fitted, last: Recent, since: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every stream's mean distance since an hour in sd, the standard error of it, and the rows behind it, each (K,).

    Variance of the mean: sampling, plus the wandering's long-run variance (at most
    tau2), plus the baseline's error.
    """
    chosen = last.index >= since
    observed = last.variances[chosen] < UNOBSERVED
    rows = np.where(observed, 1 / last.variances[chosen], 0)
    total = rows.sum(axis=0)
    mean = (rows * last.residuals[chosen]).sum(axis=0) / np.maximum(total, 1e-12)
    phi, tau2 = fitted.wander.phi, fitted.wander.tau2
    windows = np.maximum(observed.sum(axis=0), 1)
    wandering = tau2 * np.minimum(1, (1 + phi) / (1 - phi) / windows)
    sd = np.sqrt(1 / np.maximum(total, 1e-12) + wandering + fitted.errors**2)
    return mean, sd, total


def named(
    fitted: Fitted, effects: Sequence[Effect], error_rate: float = ERROR_RATE
) -> list[Effect]:
    """The streams that changed, the surest first, with at most `error_rate` chance of naming any that did not.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979). Tiny
    effects are left out.
    """
    missing = set(fitted.streams.missing.tolist())
    significant: list[Effect] = []
    for rank, effect in enumerate(
        sorted(effects, key=lambda e: (e.p_value, -abs(e.size)))
    ):
        if effect.p_value > error_rate / (len(effects) - rank):
            break
        least = MIN_MISSING if effect.stream in missing else MIN_EFFECT
        if abs(effect.size) >= least:
            significant.append(effect)
    return significant


def _weighted_lambdas(fitted: Fitted) -> list[tuple[float, float]]:
    return [
        (lam, w)
        for lam, w in zip(LAMBDAS.tolist(), fitted.settings.mixture, strict=True)
        if w > 0
    ]


def detectable(fitted: Fitted, rows: np.ndarray, windows: int) -> np.ndarray:
    """The smallest lasting shift that is expected to page within that many windows of `rows` (K,) each, (K,).

    In reference sd of one row, a share for missing streams. A shift d adds (d -
    tolerance) u_i to the score of window i, u_i from the filter; the evidence
    sum(lambda s_i - lambda^2 / 2) is due at log(level / share): solved for d, at the
    best lambda. Unlucky hours need more, lucky ones less: half of such shifts would be
    found.
    """
    tails, share = fitted.tails, fitted.streams.shares
    zero, level = np.zeros_like(rows), fitted.level
    wander = Autocorrelation(fitted.wander.phi, fitted.wander.tau2, np.ones_like(rows))
    level = Level(zero, level.variance, zero)
    response = np.zeros_like(rows)
    for _ in range(windows):
        level, innovation = advance(
            wander,
            level,
            zero,
            np.where(rows > 0, 1 / np.maximum(rows, 1e-9), UNOBSERVED),
        )
        response += innovation.allowed / (tails.scale * tails.divisor)
    sizes = [
        (lam, np.log(fitted.due * 2 / (share * weight)))
        for lam, weight in _weighted_lambdas(fitted)
    ]
    best = np.min([(needed / lam + windows * lam / 2) for lam, needed in sizes], axis=0)
    shift = fitted.wander.tolerance + best / np.maximum(response, 1e-9)
    shift[fitted.streams.missing] *= fitted.streams.missing_sd
    return np.asarray(shift)
