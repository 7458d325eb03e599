"""From an innovation to evidence: normal scores of tails that are not normal, and the e-detector that adds them up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, ndtri_exp, stdtr
from scipy.special import ndtri as normal_quantile

# sizes of shift, in sd of an innovation, that evidence is a mixture of
LAMBDAS = np.array([0.25, 0.5, 1.0, 2.0, 3.0])
DIVISORS = np.array([1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0])
FLOOR = -6.0  # the least score of an hour: one hour cannot unsay more than that
UNIFORM = (0.2, 0.2, 0.2, 0.2, 0.2)  # weights of LAMBDAS
MAX_EVIDENCE = 1e12
# tails with less of it are treated as having it: at most 104 degrees of freedom
MIN_KURTOSIS = 0.06
# a share of missing values that rose by half a point is still the reference's
MISSING_RISE = 0.005
OVERDISPERSION_FACTOR = 1.5


@dataclass(frozen=True, eq=False)
class Tails:
    """The behaviour of a statistic with unit variance on the reference, all (K,).

    `scale`: its standard deviation, at least 1. `freedom`: degrees of freedom of the t
    tail of its fourth moment. `divisor`: the divisor of its scores, chosen so that the
    reference itself raises no evidence.
    """

    scale: np.ndarray
    freedom: np.ndarray
    divisor: np.ndarray

    def normal(self, z: np.ndarray) -> np.ndarray:
        """The normal score of z by scale and t tail, the shape of z."""
        return tail_score(z / self.scale, self.freedom)

    def score(self, z: np.ndarray) -> np.ndarray:
        """The score that is evidence: `normal`, divided by what the self-test on the reference asks for."""
        return self.normal(z) / self.divisor


@dataclass(frozen=True, eq=False)
class MissingNull:
    """Missing counts of the reference as beta-binomials: `share` (raised by the tolerance), `overdispersion` (features,)."""

    share: np.ndarray
    overdispersion: np.ndarray


def tail_score(z: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """The normal score with the tail probability of a unit-variance t: sign(z) isf_N(sf_t(|z| sqrt(nu / (nu - 2)))).

    >>> tail_score(np.array([-3.0, 3.0]), np.array([5.0, 1e9])).round(3).tolist()
    [-2.52, 3.0]
    """
    tail = stdtr(freedom, -np.abs(z) * np.sqrt(freedom / (freedom - 2)))
    return np.asarray(-np.sign(z) * normal_quantile(np.maximum(tail, 1e-16)))


def excess_kurtosis(z: np.ndarray) -> np.ndarray:
    """Fourth moment over squared second minus 3, by column of (T, K); 0 for a column that is always 0 or has no rows."""
    if not len(z):
        return np.zeros(z.shape[1])
    squares = z * z
    second, fourth = squares.mean(axis=0), (squares * squares).mean(axis=0)
    return np.where(second > 0, fourth / np.maximum(second, 1e-150) ** 2 - 3, 0)


def freedom_of(kurtosis: np.ndarray) -> np.ndarray:
    """Degrees of freedom of the t with that excess kurtosis: 4 + 6 / kurtosis."""
    return 4 + 6 / np.maximum(kurtosis, MIN_KURTOSIS)


def fit_missing(missing: np.ndarray, rows: np.ndarray) -> MissingNull:
    """The beta-binomial null from hourly `missing` counts and all `rows`, both (T, features).

    Share: (x + .5) / (N + 1), raised by half a point or 3 standard errors.
    Over-dispersion rho: 1.5 times its moment estimate, var x = n p (1 - p) (1 + (n - 1)
    rho).
    """
    total = rows.sum(axis=0)
    p = (missing.sum(axis=0) + 0.5) / (total + 1)
    rows_or_one = np.maximum(total, 1)
    spread = ((missing - rows * p) ** 2).sum(axis=0) / (p * (1 - p) * rows_or_one)
    pairs = np.maximum((rows * (rows - 1)).sum(axis=0) / rows_or_one, 1)
    rho = np.clip(
        OVERDISPERSION_FACTOR * np.maximum(0, (spread - 1) / pairs), 1e-6, 0.99
    )
    error = np.sqrt(
        p
        * (1 - p)
        * (1 + np.where(rho > 1e-6, rho, 0) * rows.mean(axis=0))
        / rows_or_one
    )
    return MissingNull(np.minimum(0.999, p + np.maximum(MISSING_RISE, 3 * error)), rho)


def missing_score(
    null: MissingNull, missing: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """The normal score of P(X >= missing) under the beta-binomial null, (features,).

    Below one sd the normal approximation. Above it P(X >= x) <= pmf(x) / (1 - pmf(x+1)
    / pmf(x)), as the ratios fall: conservative (0.03 at z = 3) and independent of the
    number of rows.
    """
    p, rho, x, n = null.share, null.overdispersion, missing, rows
    strength = 1 / rho - 1
    a, b = p * strength, (1 - p) * strength
    centre = (x - 0.5 - n * p) / np.sqrt(
        np.maximum(n * p * (1 - p) * (1 + (n - 1) * rho), 1e-12)
    )
    log_pmf = (
        gammaln(n + 1)
        - gammaln(x + 1)
        - gammaln(n - x + 1)
        + gammaln(x + a)
        + gammaln(n - x + b)
    )
    log_pmf = (
        log_pmf - gammaln(n + strength) + gammaln(strength) - gammaln(a) - gammaln(b)
    )
    ratio = (n - x) * (a + x) / ((x + 1) * np.maximum(b + n - x - 1, 1e-9))
    falls = ratio < 0.999
    tail = -ndtri_exp(
        np.minimum(log_pmf - np.log1p(-np.where(falls, ratio, 0.5)), -1e-12)
    )
    return np.where(centre < 1, centre, np.where(falls, np.maximum(tail, 0.8), 0.8))


def accumulate(evidence: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """One hour of the Shiryaev-Roberts e-detector: M <- (M + 1) exp(lambda a - lambda^2 / 2), at most 1e12.

    `evidence` (..., 5) is M for each of LAMBDAS, `scores` (...) the normal scores a.
    While E[exp(...) | past] <= 1 the expected time until any weighted average of M
    reaches c is at least c hours, whatever the dependence of the streams. Source: Shin,
    Ramdas and Rinaldo, E-detectors (2024).

    >>> m = np.zeros(5)
    >>> for a in (0.0, 1.0, 2.0, 3.0):
    ...     m = accumulate(m, np.array(a))
    >>> m[1:4].round(4).tolist()  # lambda = 0.5, 1, 2
    [39.4299, 211.3959, 916.0539]
    """
    growth = np.exp(scores[..., None] * LAMBDAS - LAMBDAS**2 / 2)
    return np.minimum((evidence + 1) * growth, MAX_EVIDENCE)


def smallest_divisor(
    scores: np.ndarray, bound: float, mixture: Sequence[float] = UNIFORM
) -> np.ndarray:
    """The self-test: by how much each stream's scores must be divided, (K,), from its `scores` (T, sides, K).

    The least of DIVISORS with which the stream's own evidence over the T hours of the
    reference stays below T / 4; the largest when none does. Scores are capped at
    `bound` and LAMBDAS weighted by `mixture` as they will be in use.
    """
    divisors = np.full(scores.shape[-1], DIVISORS[-1])
    undecided = np.arange(len(divisors))  # most streams pass with the first
    for divisor in DIVISORS[:-1]:
        most = _most_evidence(
            np.clip(scores[..., undecided] / divisor, FLOOR, bound), np.array(mixture)
        )
        passed = most <= len(scores) / 4
        divisors[undecided[passed]] = divisor
        undecided = undecided[~passed]
        if not len(undecided):
            break
    return divisors


def _most_evidence(scores: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """The most evidence of each stream in any hour, the mean of its sides, (K,), from `scores` (T, sides, K)."""
    evidence, most = (
        np.zeros((*scores.shape[1:], len(LAMBDAS))),
        np.zeros(scores.shape[-1]),
    )
    for of_hour in scores:
        evidence = accumulate(evidence, of_hour)
        most = np.maximum(most, (evidence @ mixture).mean(axis=0))
    return most
