"""Filter of the slowly varying level of each stream: an AR(1) process under sampling noise.

Its gain rises after a jump, so that a jump is absorbed within one window.
"""

from dataclasses import dataclass, field

import numpy as np

# grid of phi for streams that are fitted one by one
AUTOCORRELATIONS = (0.0, 0.4, 0.6, 0.75, 0.85, 0.92, 0.97)
# grid of phi for streams that are fitted together
FINE_AUTOCORRELATIONS = (0.0, 0.4, 0.6, 0.7, 0.8, 0.86, 0.9, 0.93, 0.95, 0.97)
LEVEL_TO_NOISE = (0.0, 0.03, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30, 100, 400)
EM_STEPS = 200
BLOCK = 128  # streams that are searched together
OUTLIER_SHARE = 0.01  # of the streams, which do not resemble the others of their group
LOGARITHM_EVERY = 16  # windows
# an innovation beyond it is a shock of the level: it decays and does not repeat
JUMP = 4.5


@dataclass(frozen=True, eq=False)
class Autocorrelation:
    """The null model of K residual streams, an AR(1) process plus a tolerated constant.

    x_t = phi x_(t-1) + shock with var x = tau2, plus a constant within `tolerance`. All
    have the shape (K,). `tau2` is in squared reference standard deviations of one row,
    `tolerance` in reference standard deviations. An innovation beyond `jump` is treated
    as a shock.
    """

    phi: np.ndarray
    tau2: np.ndarray
    tolerance: np.ndarray
    jump: np.ndarray = field(default_factory=lambda: np.array(JUMP))


@dataclass(frozen=True, eq=False)
class Level:
    """State of the filters, all (K,): estimate of x, its variance, and `response`.

    `response` is the estimate that a shift by the tolerance alone would produce.
    """

    estimate: np.ndarray
    variance: np.ndarray
    response: np.ndarray


@dataclass(frozen=True, eq=False)
class Innovation:
    """Standardised innovations, (K,) or (T, K).

    `z` is the innovation, `allowed` the part of z that a shift by the tolerance explains.
    """

    z: np.ndarray
    allowed: np.ndarray


def start(wander: Autocorrelation) -> Level:
    """Return the level before any observation: the stationary law of x."""
    zero = np.zeros_like(wander.phi)
    return Level(zero, wander.tau2, zero)


def advance(
    wander: Autocorrelation, level: Level, residual: np.ndarray, variance: np.ndarray
) -> tuple[Level, Innovation]:
    """Advance the scalar Kalman filters of all streams by one hour.

    `residual` and its sampling `variance` are (K,). z is standardised by the past alone.
    When |z| > jump, the variance of the level is then raised until z equals the jump: the
    gain is near 1, and a shock leaves one large z, not a run of them. The tolerance is
    filtered with the same gains. Source: Kalman (1960); Durbin and Koopman, Time Series
    Analysis by State Space Methods, 2.2 (2012).

    >>> unit = np.ones(1)
    >>> model = Autocorrelation(0.8 * unit, 0.04 * unit, 0 * unit)
    >>> level, innovation = advance(model, start(model), 0.1 * unit, 0.01 * unit)
    >>> innovation.z.round(6).item()
    0.447214
    >>> level.estimate.round(6).item(), level.variance.round(6).item()
    (0.08, 0.008)
    """
    phi = wander.phi
    predicted = phi * level.estimate
    before = phi * phi * level.variance + wander.tau2 * (1 - phi**2)
    sd = np.sqrt(before + variance)
    error = residual - predicted
    shift = wander.tolerance - phi * level.response
    innovation = Innovation(error / sd, shift / sd)
    is_jump = np.abs(innovation.z) > wander.jump
    if is_jump.any():
        raised = np.maximum(before, (error / wander.jump) ** 2 - variance)
        before = np.where(is_jump, raised, before)
    gain = before / (before + variance)
    after = Level(
        estimate=predicted + gain * error,
        variance=before * (1 - gain),
        response=phi * level.response + gain * shift,
    )
    return after, innovation


def advance_all(
    wander: Autocorrelation, level: Level, residuals: np.ndarray, variances: np.ndarray
) -> tuple[Level, Innovation]:
    """Advance over T hours in order; the innovations have the shape (T, K)."""
    z = np.empty_like(residuals)
    allowed = np.empty_like(residuals)
    for t in range(len(residuals)):
        level, innovation = advance(wander, level, residuals[t], variances[t])
        z[t] = innovation.z
        allowed[t] = innovation.allowed
    return level, Innovation(z, allowed)


def fit_autocorrelation(
    residuals: np.ndarray,
    variances: np.ndarray,
    typical_variance: np.ndarray,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (phi, tau2) of each stream, each (K,), by the Gaussian likelihood on a grid.

    `residuals` and sampling `variances` are (T, K); tau2 is searched in units of
    `typical_variance` (K,). Without `groups` each stream has its likeliest of 80 points.
    With `groups` (K,) it has the most probable of 121 points, given the other streams of
    its group. All points of all streams are one array: T steps on (points, K).
    """
    autocorrelations = AUTOCORRELATIONS if groups is None else FINE_AUTOCORRELATIONS
    grid = [
        (phi, ratio)
        for phi in autocorrelations
        for ratio in LEVEL_TO_NOISE
        if ratio > 0 or phi == 0
    ]
    phi = np.array([phi for phi, _ in grid])[:, None]
    tau2 = np.array([ratio for _, ratio in grid])[:, None] * typical_variance
    deviances = [
        _deviance(phi, tau2[:, block], residuals[:, block], variances[:, block])
        for block in blocks(len(typical_variance))
    ]
    deviance = np.concatenate(deviances, axis=1)
    best = deviance.argmin(axis=0)
    if groups is not None:
        best = most_probable(deviance, groups)
    return phi[best, 0], np.take_along_axis(tau2, best[None], axis=0)[0]


def blocks(streams: int) -> list[slice]:
    """Return slices of at most BLOCK streams.

    Arrays of one block stay in the processor's cache; those of a wide model do not.
    """
    starts = range(0, max(1, streams), BLOCK)
    return [slice(i, min(i + BLOCK, streams)) for i in starts]


def _deviance(
    phi: np.ndarray, tau2: np.ndarray, residuals: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """Return -2 log likelihood, without its constant, by grid point and stream, (G, K).

    `phi` is (G, 1), `tau2` (G, K).
    """
    square = phi * phi
    shock = tau2 * (1 - phi**2)
    estimate = np.zeros_like(tau2)
    variance = tau2.copy()
    deviance = np.zeros_like(tau2)
    product, total, error, scaled = (np.ones_like(tau2) for _ in range(4))
    for t in range(len(residuals)):
        # predict this hour
        variance *= square
        variance += shock
        estimate *= phi
        # compare the prediction with the observation
        np.add(variance, variances[t], out=total)
        np.subtract(residuals[t], estimate, out=error)
        product *= total
        np.divide(error, total, out=scaled)
        error *= scaled
        deviance += error
        # update with the observation
        scaled *= variance  # gain times error
        estimate += scaled
        np.divide(variance, total, out=scaled)
        scaled *= variance
        variance -= scaled
        if t % LOGARITHM_EVERY == LOGARITHM_EVERY - 1:
            # one logarithm of a product is faster than one for each factor
            deviance += np.log(product)
            product[:] = 1
    return np.asarray(deviance + np.log(product))


def most_probable(deviance: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the grid point of each stream, (K,), that is most probable a posteriori.

    `deviance` (G, K) is -2 log likelihood, `groups` (K,) the label of each stream's
    group. Empirical Bayes: the prior on the grid is the distribution over the streams of
    the group, by maximum likelihood (EM). A stream that a short reference leaves
    undecided follows its group; one with clear evidence does not. Source: Kiefer and
    Wolfowitz (1956); Laird, Nonparametric maximum likelihood estimation of a mixing
    distribution (1978).

    >>> clear, undecided = [0.0, 30.0], [1.0, 0.0]
    >>> most_probable(np.array([clear, clear, undecided]).T, np.zeros(3)).tolist()
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
            posterior_share = posterior / posterior.sum(axis=0)
            share = posterior_share.mean(axis=1, keepdims=True)
            prior = (1 - OUTLIER_SHARE) * share + OUTLIER_SHARE / points
        best[own] = (likelihood * prior).argmax(axis=0)
    return best


def baseline_error(
    phi: np.ndarray, tau2: np.ndarray, typical_variance: np.ndarray, hours: int
) -> np.ndarray:
    """Return the standard error of the mean of x plus noise over `hours` hours, (K,).

    Its square is the long-run variance divided by the number of hours.
    """
    long_run = tau2 * (1 + phi) / (1 - phi) + typical_variance
    return np.sqrt(long_run / hours)
