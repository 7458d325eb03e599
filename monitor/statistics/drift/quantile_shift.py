"""Shift of one quantile, in standard deviations of the reference."""

import math
from typing import Any

import numpy as np
from scipy.special import bdtrik, ndtri

from monitor.finding import Measurement
from monitor.profile import Profile, check_same_layout

NAME = "quantile_shift"
TITLE = "shift of the quantile"
GROUP = "data"
UNIT = "sd"
RANGE = (-float("inf"), float("inf"))
FORMULA = (
    "(q-quantile of current - q-quantile of the reference) / standard deviation of "
    "the reference"
)
SOURCE = (
    "interval: order statistics (Thompson 1936), both sides put together by "
    "Newcombe (1998)"
)
KINDS = frozenset({"numeric", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"


def quantile_between(
    counts: np.ndarray, reference: np.ndarray, bounds: np.ndarray, q: float
) -> float:
    """The q-quantile, 0 <= q <= 1, of `counts` in bins between `bounds`, shape (n_bins + 1,).

    Within a bin rows lie as in the `reference`, and its values rise straight with their
    normal scores: the last bin of a normal column is a tail, not a block.

    >>> same = np.array([50, 50])
    >>> round(quantile_between(same, same, np.array([-2.5, 0.0, 2.5]), 0.8413), 2)  # one sd up
    0.96
    """
    total = reference.sum()
    ends = np.clip(
        np.concatenate([[0.0], np.cumsum(reference)]) / total,
        0.5 / total,
        1 - 0.5 / total,
    )
    among = float(
        np.interp(q * counts.sum(), np.concatenate([[0.0], np.cumsum(counts)]), ends)
    )
    return float(np.interp(ndtri(among), ndtri(ends), bounds))


def measure(
    reference: Profile | None, current: Profile, q: float = 0.95, **_: Any
) -> Measurement:
    """The shift of the q-quantile in reference sd, positive upwards, with its 95 % interval.

    `raw` is in the column's own unit.

    A quantile within a bin is approximate: see `quantile_between`. Values beyond the
    reference's range count as its ends, so a shift beyond them reads too small. The
    interval's ends are the quantiles at ranks that bound q by the binomial law, for
    each side, put together by squaring and adding. Without drift it averages 0: both
    sides err alike. None when the reference has no spread.
    """
    n_reference = reference.n if reference is not None else 0
    nothing = Measurement(None, None, None, current.n, n_reference)
    if reference is None or reference.n == 0 or current.n == 0:
        return nothing
    check_same_layout(reference, current)
    bounds, variance = _bounds(reference), reference.variance
    if not variance:
        return nothing
    sd = math.sqrt(variance)
    before, low_before, high_before = _with_interval(reference, reference, bounds, q)
    after, low_after, high_after = _with_interval(current, reference, bounds, q)
    moved = after - before
    low = moved - math.hypot(after - low_after, high_before - before)
    high = moved + math.hypot(high_after - after, before - low_before)
    return Measurement(moved / sd, low / sd, high / sd, current.n, n_reference, moved)


def _with_interval(
    profile: Profile, reference: Profile, bounds: np.ndarray, q: float
) -> tuple[float, float, float]:
    n = profile.n
    ranks = (float(bdtrik(0.025, n, q)) / n, (float(bdtrik(0.975, n, q)) + 1) / n)
    low, high = (
        quantile_between(
            profile.counts, reference.counts, bounds, min(1.0, max(0.0, rank))
        )
        for rank in ranks
    )
    value = quantile_between(profile.counts, reference.counts, bounds, q)
    return value, min(low, value), max(high, value)


def _bounds(reference: Profile) -> np.ndarray:
    """The bounds of the bins; an open bin at an end counts as a point."""
    upper = reference.layout.upper_bounds()
    upper[-1] = (
        upper[-1] if math.isfinite(upper[-1]) else upper[-2] if upper.size > 1 else 0.0
    )
    first = 0.0 if reference.layout.kind == "log" else upper[0]
    return np.concatenate([[first], upper])
