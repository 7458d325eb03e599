"""Evidence: normal scores of statistics with heavy tails, and the e-detector that adds them up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, ndtri_exp, stdtr
from scipy.special import ndtri as normal_quantile

# sizes of shift, in sd of an innovation, over which evidence is averaged
LAMBDAS = np.array([0.25, 0.5, 1.0, 2.0, 3.0])
UNIFORM = (0.2, 0.2, 0.2, 0.2, 0.2)  # weights of LAMBDAS
DIVISORS = np.array([1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0])
FLOOR = -6.0  # lowest score of an hour: one hour cannot cancel more evidence
MAX_EVIDENCE = 1e12
# a lower kurtosis is raised to it: at most 104 degrees of freedom
MIN_KURTOSIS = 0.06
# a share of missing values that is half a point higher is tolerated
MISSING_RISE = 0.005
OVERDISPERSION_FACTOR = 1.5
MIN_OVERDISPERSION, MAX_OVERDISPERSION = 1e-6, 0.99
MAX_SHARE = 0.999


@dataclass(frozen=True, eq=False)
class Tails:
    """Tails of statistics with unit variance, estimated on the reference, all (K,).

    `scale`: the standard deviation, at least 1. `freedom`: degrees of freedom of the t
    law with the same fourth moment. `divisor`: the number that scores are divided by so
    that the reference itself gives no evidence.
    """

    scale: np.ndarray
    freedom: np.ndarray
    divisor: np.ndarray

    def normal(self, z: np.ndarray) -> np.ndarray:
        """Return the normal scores of z by scale and t tail, the shape of z."""
        return tail_score(z / self.scale, self.freedom)

    def score(self, z: np.ndarray) -> np.ndarray:
        """Return the scores that count as evidence: normal scores over the divisor."""
        return self.normal(z) / self.divisor


@dataclass(frozen=True, eq=False)
class MissingNull:
    """Beta-binomial null of missing values, (features,).

    `share` is that of the reference, raised by the tolerance.
    """

    share: np.ndarray
    overdispersion: np.ndarray


def tail_score(z: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Return the normal score with the tail probability of a unit-variance t law.

    It is sign(z) isf_N(sf_t(|z| sqrt(nu / (nu - 2)))).

    >>> tail_score(np.array([-3.0, 3.0]), np.array([5.0, 1e9])).round(3).tolist()
    [-2.52, 3.0]
    """
    tail = stdtr(freedom, -np.abs(z) * np.sqrt(freedom / (freedom - 2)))
    return np.asarray(-np.sign(z) * normal_quantile(np.maximum(tail, 1e-16)))


def excess_kurtosis(z: np.ndarray) -> np.ndarray:
    """Return the excess kurtosis of each column of (T, K).

    It is the fourth moment over the squared second moment, minus 3. A column without
    rows, or with zeros only, has 0.
    """
    if not len(z):
        return np.zeros(z.shape[1])
    squares = z * z
    second = squares.mean(axis=0)
    fourth = (squares * squares).mean(axis=0)
    return np.where(second > 0, fourth / np.maximum(second, 1e-150) ** 2 - 3, 0)


def freedom_of(kurtosis: np.ndarray) -> np.ndarray:
    """Return the degrees of freedom of the t law with an excess kurtosis: 4 + 6 / kurtosis."""
    return 4 + 6 / np.maximum(kurtosis, MIN_KURTOSIS)


def fit_missing(missing: np.ndarray, rows: np.ndarray) -> MissingNull:
    """Return the beta-binomial null of hourly `missing` among `rows`, both (T, features).

    Share: (x + .5) / (N + 1), raised by half a point or by 3 standard errors,
    whichever is more. Over-dispersion rho: 1.5 times its moment estimate from
    var x = n p (1 - p) (1 + (n - 1) rho).
    """
    total = rows.sum(axis=0)
    p = (missing.sum(axis=0) + 0.5) / (total + 1)
    n = np.maximum(total, 1)
    spread = ((missing - rows * p) ** 2).sum(axis=0) / (p * (1 - p) * n)
    pairs = np.maximum((rows * (rows - 1)).sum(axis=0) / n, 1)
    estimate = OVERDISPERSION_FACTOR * np.maximum(0, (spread - 1) / pairs)
    rho = np.clip(estimate, MIN_OVERDISPERSION, MAX_OVERDISPERSION)
    clustering = np.where(rho > MIN_OVERDISPERSION, rho, 0) * rows.mean(axis=0)
    error = np.sqrt(p * (1 - p) * (1 + clustering) / n)
    share = np.minimum(MAX_SHARE, p + np.maximum(MISSING_RISE, 3 * error))
    return MissingNull(share, rho)


def missing_score(
    null: MissingNull, missing: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Return the normal score of P(X >= missing) under the beta-binomial null, (features,).

    Below one sd it is the normal approximation. Above it P(X >= x) is at most
    pmf(x) / (1 - pmf(x + 1) / pmf(x)), as the ratios fall. The bound is conservative
    (by 0.03 at z = 3), and its cost does not depend on the number of rows.
    """
    p, rho, x, n = null.share, null.overdispersion, missing, rows
    strength = 1 / rho - 1
    a, b = p * strength, (1 - p) * strength
    variance = np.maximum(n * p * (1 - p) * (1 + (n - 1) * rho), 1e-12)
    centre = (x - 0.5 - n * p) / np.sqrt(variance)
    ratio = (n - x) * (a + x) / ((x + 1) * np.maximum(b + n - x - 1, 1e-9))
    falls = ratio < 0.999
    log_bound = _log_pmf(x, n, a, b, strength) - np.log1p(-np.where(falls, ratio, 0.5))
    tail = -ndtri_exp(np.minimum(log_bound, -1e-12))
    above = np.where(falls, np.maximum(tail, 0.8), 0.8)
    return np.where(centre < 1, centre, above)


def _log_pmf(
    x: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """Return the log probabilities of the beta-binomial law; `strength` is a + b."""
    log_pmf = (
        gammaln(n + 1)
        - gammaln(x + 1)
        - gammaln(n - x + 1)
        + gammaln(x + a)
        + gammaln(n - x + b)
    )
    return np.asarray(
        log_pmf - gammaln(n + strength) + gammaln(strength) - gammaln(a) - gammaln(b)
    )


def accumulate(evidence: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Advance the Shiryaev-Roberts e-detector by one hour.

    M <- (M + 1) exp(lambda a - lambda^2 / 2), at most 1e12. `evidence` (..., 5) is M for
    each of LAMBDAS, `scores` (...) are the normal scores a. While E[exp(...) | past] <= 1,
    the expected time until any weighted average of M reaches c is at least c hours,
    whatever the dependence of the streams. Source: Shin, Ramdas and Rinaldo, E-detectors
    (2024).

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
    """Return the divisor of each stream's scores, (K,), from its `scores` (T, sides, K).

    It is the smallest of DIVISORS with which the stream's evidence on the T hours of the
    reference stays below T / 4; the largest when none does. As in use, scores are capped
    at `bound` and LAMBDAS weighted by `mixture`.
    """
    divisors = np.full(scores.shape[-1], DIVISORS[-1])
    undecided = np.arange(len(divisors))  # most streams pass with the first divisor
    for divisor in DIVISORS[:-1]:
        bounded = np.clip(scores[..., undecided] / divisor, FLOOR, bound)
        highest = _highest_evidence(bounded, np.array(mixture))
        passes = highest <= len(scores) / 4
        divisors[undecided[passes]] = divisor
        undecided = undecided[~passes]
        if not len(undecided):
            break
    return divisors


def _highest_evidence(scores: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Return the highest evidence of each stream in any hour, (K,).

    It is the mean over the sides; `scores` are (T, sides, K).
    """
    evidence = np.zeros((*scores.shape[1:], len(LAMBDAS)))
    highest = np.zeros(scores.shape[-1])
    for hour_scores in scores:
        evidence = accumulate(evidence, hour_scores)
        highest = np.maximum(highest, (evidence @ mixture).mean(axis=0))
    return highest
