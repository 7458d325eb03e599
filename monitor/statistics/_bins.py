"""Parts of distances between bin counts: shares, sampling variance, intervals."""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile, paired_counts

Z95 = NormalDist().inv_cdf(0.975)
Z975 = NormalDist().inv_cdf(0.9875)
DRAWS = 250  # of noise, each used with both signs
STEPS = np.linspace(0.0, 1.0, 17)
SEED = 20_240_229

Distance = Callable[[np.ndarray], np.ndarray]


def pair(
    reference: Profile | None, current: Profile
) -> tuple[np.ndarray, np.ndarray] | None:
    """Counts of both sides on their common bins, without bins that are empty in both.

    None when a side has nothing to compare.
    """
    if reference is None or reference.n == 0 or current.n == 0:
        return None
    r, c = paired_counts(reference, current)
    if r.sum() == 0 or c.sum() == 0:  # all current values are new
        return None
    occupied = (r + c) > 0
    return r[occupied], c[occupied]


def nothing(reference: Profile | None, current: Profile) -> Measurement:
    """The measurement of what cannot be computed: value None."""
    return Measurement(None, None, None, current.n, reference.n if reference else 0)


def shares(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shares p of the reference and q of current."""
    return reference / reference.sum(), current / current.sum()


def smooth_shares(counts: np.ndarray) -> np.ndarray:
    """Shares with 0.5 added to each count, so that none is zero."""
    return (counts + 0.5) / (counts.sum() + 0.5 * counts.size)


def variance(r: np.ndarray, c: np.ndarray, by_p: np.ndarray, by_q: np.ndarray) -> float:
    """Sampling variance, to first order, of a quantity with these slopes in p and q.

    Both sides are multinomial samples.
    """
    p, q = smooth_shares(r), smooth_shares(c)
    var_p = np.sum(p * by_p**2) - np.sum(p * by_p) ** 2
    var_q = np.sum(q * by_q**2) - np.sum(q * by_q) ** 2
    return float(max(0.0, var_p / r.sum() + var_q / c.sum()))


def pool(
    r: np.ndarray, c: np.ndarray, least: float = 5.0
) -> tuple[np.ndarray, np.ndarray]:
    """The counts with the rarest bins pooled until each expected count is at least `least`.

    Source: Cochran (1954).
    """
    expected = (r + c) * min(r.sum(), c.sum()) / (r.sum() + c.sum())
    order = np.argsort(expected, kind="stable")
    rare = int(np.sum(expected < least))
    while 0 < rare < r.size and expected[order[:rare]].sum() < least:
        rare += 1
    if rare == 0:
        return r, c
    together, alone = order[:rare], np.sort(order[rare:])
    return np.append(r[alone], r[together].sum()), np.append(
        c[alone], c[together].sum()
    )


def root(
    raw_squared: float,
    bias: float,
    spread: float,
    most: float,
    n: int,
    n_reference: int,
    raw: float,
) -> Measurement:
    """A distance from its square, less the square's mean without drift, with interval."""
    middle = raw_squared - bias
    squares = middle - spread, middle, max(0.0, middle) + spread
    low, value, high = (min(most, math.sqrt(max(0.0, x))) for x in squares)
    return Measurement(value, low, high, n, n_reference, raw)


def norm(
    r: np.ndarray, c: np.ndarray, distance: Distance
) -> tuple[float, float, float, float]:
    """(raw, value, low, high) of a distance that is a norm of the difference of shares d = q - p.

    `distance`: differences, shape (..., n_bins), to distances, shape (...). Without
    drift a norm is never zero on samples, and with drift the excess is smaller: the
    value is t times raw, with the t in [0, 1] at which a true difference t d plus
    sampling noise would measure `raw` on average. It is 0 when noise alone gives as
    much. The lower bound is the t at which noise would give as much in 1.5 % of samples
    (not 2.5 %, as d and the noise are estimated too). The upper bound is raw + 2.24
    standard errors along d (1.25 %), as where d changes its sign is estimated too;
    noise only adds on average, so that it is on the safe side. The noise is normal with
    the multinomial covariance, from draws with a fixed seed.
    """
    p, q = shares(r, c)
    d = q - p
    raw = float(distance(d))
    z = _draws(r.size)
    noise = _multinomial(z[0], smooth_shares(c), float(c.sum())) - _multinomial(
        z[1], smooth_shares(r), float(r.sum())
    )
    noise = np.concatenate([noise, -noise])
    noisy = distance(STEPS[:, None, None] * d + noise)  # shape (steps, draws)
    t = _crossing(noisy.mean(axis=1), raw)
    t_low = min(t, _crossing(np.quantile(noisy, 0.985, axis=1), raw))
    # the slope of the distance along noise, at the observed difference
    small = 1e-6
    slope = (distance(d + small * noise) - distance(d - small * noise)) / (2 * small)
    return raw, t * raw, t_low * raw, raw + Z975 * float(slope.std())


def _crossing(rising: np.ndarray, level: float) -> float:
    if level <= rising[0]:
        return 0.0
    return float(np.interp(level, np.maximum.accumulate(rising), STEPS))


def _multinomial(z: np.ndarray, share: np.ndarray, n: float) -> np.ndarray:
    x = z * np.sqrt(share / n)
    return np.asarray(x - share * x.sum(axis=-1, keepdims=True))


@lru_cache(maxsize=64)
def _draws(bins: int) -> np.ndarray:
    return np.random.default_rng(SEED).standard_normal((2, DRAWS, bins))
