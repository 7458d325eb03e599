"""Joint streams: small shifts of many features together, along a learned direction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.detector.model.evidence import (
    UNIFORM,
    Tails,
    excess_kurtosis,
    freedom_of,
    smallest_divisor,
    tail_score,
)

# time constants, in hours, of the exponential means that are used as directions
MEMORIES = np.array([4.0, 16.0, 64.0])
# hours; the covariance of their sums covers variation that the filter does not explain
BLOCKS = (1, 6, 24)
MAX_SCORE = 4.0
DIAGONAL = 0.1
# first hours of the reference, in which the direction is still close to zero
SETTLING = 24
# hours; a shorter reference knows its mean less well, so the tolerance grows
FULL_REFERENCE = 672


@dataclass(frozen=True, eq=False)
class Joint:
    """The null of the joint streams over J streams and H memories.

    `covariances` (blocks, J, J) are those of the capped scores. `tolerance` is the
    allowed norm of the shift of all streams together, in reference sd. `tails` (H,) are
    those of the projected statistic beyond its bound.
    """

    covariances: np.ndarray
    tolerance: float
    tails: Tails


@dataclass(frozen=True, eq=False)
class Projection:
    """One hour projected on the learned directions, (H,).

    `s` has a variance of at most 1; `allowed` is the most that an allowed shift adds.
    """

    s: np.ndarray
    allowed: np.ndarray


def capped(z: np.ndarray, tails: Tails) -> np.ndarray:
    """Return normal scores within -4 to 4, the shape of z.

    The cap keeps one stream from determining the direction alone.
    """
    return np.clip(tails.normal(z), -MAX_SCORE, MAX_SCORE)


def project(
    covariances: np.ndarray,
    tolerance: float,
    direction: np.ndarray,
    scores: np.ndarray,
    gain: np.ndarray,
) -> tuple[np.ndarray, Projection]:
    """Return the next direction (H, J), and this hour projected on the present one.

    The present direction m depends on earlier hours only. s = m'z / sqrt(max_b m'C_b m),
    so the variance of s is at most 1 given the past. `gain` (J,) is d E[z] / d shift; by
    Cauchy-Schwarz a shift of norm <= tolerance moves s by at most
    tolerance |m o gain| / sd. Then m <- m + (z - m) / h. Source: plug-in betting, e.g.
    Waudby-Smith and Ramdas, Estimating means by betting (2024).
    """
    variance = ((direction @ covariances) * direction).sum(axis=2).max(axis=0)
    sd = np.sqrt(np.maximum(variance, 1e-12))
    allowed = tolerance * np.sqrt(((direction * gain) ** 2).sum(axis=1)) / sd
    projection = Projection(direction @ scores / sd, allowed)
    return direction + (scores - direction) / MEMORIES[:, None], projection


def fit_joint(
    scores: np.ndarray,
    gains: np.ndarray,
    errors: np.ndarray,
    tolerance: float,
    bound: float,
    mixture: Sequence[float] = UNIFORM,
) -> Joint:
    """Return the joint null of a reference.

    `scores` (capped) and `gains` are (T, J), the baseline `errors` (J,).
    """
    hours, streams = scores.shape
    length_factor = max(1.0, float(np.sqrt(FULL_REFERENCE / hours)))
    error_norm = float(np.sqrt((errors**2).sum()))
    allowed_norm = max(tolerance * length_factor, 2 * error_norm)
    usable = [block for block in BLOCKS if block == 1 or 2 * block <= hours]
    covariances = np.array([_block_covariance(scores, block) for block in usable])
    direction = np.zeros((len(MEMORIES), streams))
    projections = []
    for t in range(hours):
        direction, projection = project(
            covariances, allowed_norm, direction, scores[t], gains[t]
        )
        projections.append(projection)
    tails = _tails(projections[SETTLING:] or projections[-1:], bound, mixture)
    return Joint(covariances, allowed_norm, tails)


def _block_covariance(scores: np.ndarray, block: int) -> np.ndarray:
    sums = np.vstack([np.zeros((1, scores.shape[1])), np.cumsum(scores, axis=0)])
    q = (sums[block:] - sums[:-block]) / np.sqrt(block)
    c = q.T @ q / len(q)
    return (1 - DIAGONAL) * c + DIAGONAL * np.diag(np.diag(c))


def _tails(
    projections: Sequence[Projection], bound: float, mixture: Sequence[float]
) -> Tails:
    s = np.array([projection.s for projection in projections])
    allowed = np.array([projection.allowed for projection in projections])
    scale = np.maximum(1, np.sqrt((s * s).mean(axis=0)))
    freedom = freedom_of(excess_kurtosis(s))
    beyond = tail_score((s - allowed) / scale, freedom)
    divisor = smallest_divisor(beyond[:, None], bound, mixture)
    return Tails(scale, freedom, divisor)
