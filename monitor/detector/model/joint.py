"""Joint streams: small shifts of many features at once, along a direction learned from the hours before."""

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

# hours over which a direction is the exponential mean
MEMORIES = np.array([4.0, 16.0, 64.0])
# hours; the covariance of their sums guards against wandering that the filter did not
# explain
BLOCKS = (1, 6, 24)
MAX_SCORE = 4.0
DIAGONAL = 0.1
SETTLING = 24  # first hours of the reference, when the direction is still nearly zero
# hours; a shorter one knows its own mean less well, so the tolerance grows
FULL_REFERENCE = 672


@dataclass(frozen=True, eq=False)
class Joint:
    """The null of the joint streams over J streams and H memories.

    `covariances` (blocks, J, J) of the capped scores, `tolerance` the allowed norm of
    the shift of all streams together in reference sd, `tails` (H,) of the projected
    statistic beyond its bound.
    """

    covariances: np.ndarray
    tolerance: float
    tails: Tails


@dataclass(frozen=True, eq=False)
class Projection:
    """One hour in the learned directions: `s` with variance at most 1, and the most that an allowed shift adds, (H,)."""

    s: np.ndarray
    allowed: np.ndarray


def capped(z: np.ndarray, tails: Tails) -> np.ndarray:
    """Normal scores within -4..4, the shape of z: one stream must not be the direction by itself."""
    return np.clip(tails.normal(z), -MAX_SCORE, MAX_SCORE)


def project(
    covariances: np.ndarray,
    tolerance: float,
    direction: np.ndarray,
    scores: np.ndarray,
    gain: np.ndarray,
) -> tuple[np.ndarray, Projection]:
    """The next direction (H, J), and this hour in the present one, which knows earlier hours only.

    s = m'z / sqrt(max_b m'C_b m), so the variance of s is at most 1 given the past.
    `gain` (J,) is d E[z] / d shift; by Cauchy-Schwarz a shift of norm <= tolerance
    moves s by at most tolerance |m o gain| / sd. Then m <- m + (z - m) / h. Source:
    plug-in betting, e.g. Waudby-Smith and Ramdas, Estimating means by betting (2024).
    """
    variance = ((direction @ covariances) * direction).sum(axis=2).max(axis=0)
    sd = np.sqrt(np.maximum(variance, 1e-12))
    allowed = tolerance * np.sqrt(((direction * gain) ** 2).sum(axis=1)) / sd
    now = Projection(direction @ scores / sd, allowed)
    return direction + (scores - direction) / MEMORIES[:, None], now


def fit_joint(
    scores: np.ndarray,
    gains: np.ndarray,
    errors: np.ndarray,
    tolerance: float,
    bound: float,
    mixture: Sequence[float] = UNIFORM,
) -> Joint:
    """The joint null from capped `scores` and `gains` of the reference, (T, J), and baseline `errors` (J,)."""
    hours, streams = scores.shape
    allowed_norm = max(
        tolerance * max(1.0, float(np.sqrt(FULL_REFERENCE / hours))),
        2 * float(np.sqrt((errors**2).sum())),
    )
    covariances = np.array(
        [_block_covariance(scores, b) for b in BLOCKS if b == 1 or 2 * b <= hours]
    )
    direction = np.zeros((len(MEMORIES), streams))
    projections = []
    for t in range(hours):
        direction, now = project(
            covariances, allowed_norm, direction, scores[t], gains[t]
        )
        projections.append(now)
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
    s = np.array([p.s for p in projections])
    allowed = np.array([p.allowed for p in projections])
    scale = np.maximum(1, np.sqrt((s * s).mean(axis=0)))
    freedom = freedom_of(excess_kurtosis(s))
    beyond = tail_score((s - allowed) / scale, freedom)
    return Tails(scale, freedom, smallest_divisor(beyond[:, None], bound, mixture))
