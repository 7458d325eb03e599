"""The wandering level of every stream: AR(1) seen through sampling noise, filtered with a gain that absorbs jumps."""

from dataclasses import dataclass, field

import numpy as np

AUTOCORRELATIONS = (0.0, 0.4, 0.6, 0.75, 0.85, 0.92, 0.97)
# where many streams decide together
FINER = (0.0, 0.4, 0.6, 0.7, 0.8, 0.86, 0.9, 0.93, 0.95, 0.97)
LEVEL_TO_NOISE = (0.0, 0.03, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30, 100, 400)
EM_STEPS = 200
BLOCK = 128  # streams that are searched at once
OUTLYING = 0.01  # of the streams are unlike all others of their group
# innovations beyond it are taken for a shock of the level, which then decays instead of
# repeating
JUMP = 4.5


@dataclass(frozen=True, eq=False)
class Autocorrelation:
    """The null model of K residual streams: x_t = phi x_(t-1) + shock, var x = tau2, plus a constant within `tolerance`.

    All of shape (K,); innovations beyond `jump` are taken for shocks; `tau2` in
    squared, `tolerance` in reference standard deviations of one row.
    """

    phi: np.ndarray
    tau2: np.ndarray
    tolerance: np.ndarray
    jump: np.ndarray = field(default_factory=lambda: np.array(JUMP))


@dataclass(frozen=True, eq=False)
class Level:
    """The state of the filter, all (K,): estimate of x, its variance, and the tolerance's own estimate."""

    estimate: np.ndarray
    variance: np.ndarray
    response: np.ndarray


@dataclass(frozen=True, eq=False)
class Innovation:
    """The new information of one hour, (K,) or (T, K): standardised `z`, and the z of a tolerated shift."""

    z: np.ndarray
    allowed: np.ndarray


def start(wander: Autocorrelation) -> Level:
    """The level before any reading: the stationary law of x."""
    zero = np.zeros_like(wander.phi)
    return Level(zero, wander.tau2, zero)


def advance(
    wander: Autocorrelation, level: Level, residual: np.ndarray, variance: np.ndarray
) -> tuple[Level, Innovation]:
    """One hour of the scalar Kalman filters of all streams; `residual` and its sampling `variance` are (K,).

    z is standardised by the past alone. When |z| > jump the variance of the level is
    then raised until it would have been the jump, so the gain is near 1 and a shock
    leaves one large z, not a run of them. The tolerance is filtered with the same
    gains. Source: Kalman (1960); Durbin and Koopman, Time Series Analysis by State
    Space Methods, 2.2 (2012).

    >>> one = np.ones(1)
    >>> w = Autocorrelation(0.8 * one, 0.04 * one, 0 * one)
    >>> level, innovation = advance(w, start(w), 0.1 * one, 0.01 * one)
    >>> innovation.z.round(6).item(), level.estimate.round(6).item(), level.variance.round(6).item()
    (0.447214, 0.08, 0.008)
    """
    phi = wander.phi
    predicted = phi * level.estimate
    before = phi * phi * level.variance + wander.tau2 * (1 - phi**2)
    sd = np.sqrt(before + variance)
    error = residual - predicted
    shift = wander.tolerance - phi * level.response
    innovation = Innovation(error / sd, shift / sd)
    jumped = np.abs(innovation.z) > wander.jump
    if jumped.any():
        before = np.where(
            jumped, np.maximum(before, (error / wander.jump) ** 2 - variance), before
        )
    gain = before / (before + variance)
    after = Level(
        predicted + gain * error,
        before * (1 - gain),
        phi * level.response + gain * shift,
    )
    return after, innovation


def advance_all(
    wander: Autocorrelation, level: Level, residuals: np.ndarray, variances: np.ndarray
) -> tuple[Level, Innovation]:
    """`advance` over T hours in order; the innovations are (T, K)."""
    z, allowed = np.empty_like(residuals), np.empty_like(residuals)
    for t in range(len(residuals)):
        level, innovation = advance(wander, level, residuals[t], variances[t])
        z[t], allowed[t] = innovation.z, innovation.allowed
    return level, Innovation(z, allowed)


def fit_wander(
    residuals: np.ndarray,
    variances: np.ndarray,
    usual: np.ndarray,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(phi, tau2) of each stream on a grid of 80 points, each (K,), by the Gaussian likelihood.

    `residuals` and sampling `variances` are (T, K); `usual` (K,) is the typical
    variance, in units of which tau2 is searched. All grid points of all streams are one
    array, so the cost is T steps on (80, K). Each stream has its likeliest point; with
    `groups` (K,) the most probable one of 121, given the other streams of its group.
    """
    autocorrelations = AUTOCORRELATIONS if groups is None else FINER
    grid = [(p, m) for p in autocorrelations for m in LEVEL_TO_NOISE if m > 0 or p == 0]
    phi = np.array([p for p, _ in grid])[:, None]
    tau2 = np.array([m for _, m in grid])[:, None] * usual
    fits = [
        _deviance(phi, tau2[:, block], residuals[:, block], variances[:, block])
        for block in blocks(len(usual))
    ]
    deviance = np.concatenate(fits, axis=1)
    best = (
        deviance.argmin(axis=0) if groups is None else most_probable(deviance, groups)
    )
    return phi[best, 0], np.take_along_axis(tau2, best[None], axis=0)[0]


def blocks(streams: int) -> list[slice]:
    """So many streams in blocks whose arrays stay in the processor's cache: those of a wide model do not."""
    return [slice(i, min(i + BLOCK, streams)) for i in range(0, max(1, streams), BLOCK)]


def _deviance(
    phi: np.ndarray, tau2: np.ndarray, residuals: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """-2 log likelihood of each stream at each point of the grid, (G, K), but for a constant; `phi` (G, 1), `tau2` (G, K)."""
    square, shock = phi * phi, tau2 * (1 - phi**2)
    estimate, variance, deviance = np.zeros_like(tau2), tau2.copy(), np.zeros_like(tau2)
    product, total, error, scaled = (np.ones_like(tau2) for _ in range(4))
    for t in range(len(residuals)):
        variance *= square
        variance += shock
        estimate *= phi  # both as they are before this hour
        np.add(variance, variances[t], out=total)
        np.subtract(residuals[t], estimate, out=error)
        product *= total
        np.divide(error, total, out=scaled)
        error *= scaled
        deviance += error
        scaled *= variance  # gain times error
        estimate += scaled
        np.divide(variance, total, out=scaled)
        scaled *= variance
        variance -= scaled
        if t % 16 == 15:  # logarithms are only taken of products
            deviance += np.log(product)
            product[:] = 1
    return np.asarray(deviance + np.log(product))


def most_probable(deviance: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The grid point of each stream, (K,), that is most probable a posteriori; `deviance` (G, K) is -2 log likelihood.

    Empirical Bayes: the prior on the grid is that of the streams of the same group,
    (K,) labels, by maximum likelihood (EM), so a stream that a short reference leaves
    open is decided by its siblings, and one that is different by itself. Source: Kiefer
    and Wolfowitz (1956); Laird, Nonparametric maximum likelihood estimation of a mixing
    distribution (1978).

    >>> sure, open_ = [0.0, 30.0], [1.0, 0.0]
    >>> most_probable(np.array([sure, sure, open_]).T, np.zeros(3)).tolist()
    [0, 0, 0]
    """
    best = np.empty(deviance.shape[1], dtype=int)
    for group in np.unique(groups):
        own = groups == group
        likelihood = np.exp(-(deviance[:, own] - deviance[:, own].min(axis=0)) / 2)
        points = len(likelihood)
        prior = np.full((points, 1), 1 / points)
        for _ in range(EM_STEPS):
            posterior = likelihood * prior
            share = (posterior / posterior.sum(axis=0)).mean(axis=1, keepdims=True)
            prior = (1 - OUTLYING) * share + OUTLYING / points
        best[own] = (likelihood * prior).argmax(axis=0)
    return best


def baseline_error(
    phi: np.ndarray, tau2: np.ndarray, usual: np.ndarray, hours: int
) -> np.ndarray:
    """Standard error of the mean of that many hours of x plus noise, (K,): the long-run variance over hours."""
    return np.sqrt((tau2 * (1 + phi) / (1 - phi) + usual) / hours)
