"""Population stability index."""

from statistics import NormalDist
from typing import Any

import numpy as np

from monitor.finding import Measurement
from monitor.profile import Profile, paired_counts

NAME = "psi"
TITLE = "drift (PSI)"
GROUP = "data"
UNIT = "nats"
RANGE = (0.0, float("inf"))
FORMULA = "sum over bins of (q - p) ln(q / p)"
SOURCE = (
    "Siddiqi, Credit Risk Scorecards (2006); null distribution: Yurdakul and "
    "Naranjo (2018)"
)
KINDS = frozenset({"numeric", "categorical", "unit", "log"})
COLUMNS: tuple[str, ...] = ()
NEEDS_REFERENCE = True
MINIMUM = 200
COMPARE = "value"
DISTANCE = True
ON_COLUMN_PAGE = True

# of a score: most of its 100 bins are nearly empty
SCORE_FREEDOM = 19
Z95 = NormalDist().inv_cdf(0.975)


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """Population stability index of counts: sum((q - p) ln(q / p)).

    p and q are the bin shares of reference and current.

    `reference`, `current`: counts, shape (n_bins,). Unit: nats. Range: [0, inf), 0 =
    equal shares. Symmetric; the order of bins does not matter. 0.5 is added to each
    count (half counts), so that an empty bin is finite; with no drift the value
    averages (n_bins - 1)(1/n_ref + 1/n_cur).

    >>> round(psi(np.array([30, 40, 30]), np.array([20, 40, 40])), 6)
    0.067081
    """
    p, q = _shares(reference), _shares(current)
    return float((q - p) @ np.log(q / p))


def measure(reference: Profile | None, current: Profile, **_: Any) -> Measurement:
    """PSI corrected for sample size, with its 95 % interval.

    `raw` is the plain value; `value` = max(0, raw - null mean). The interval is by the
    delta method, with the variance of the null chi-square added, so that it holds at no
    drift too.
    """
    if reference is None or reference.n == 0 or current.n == 0:
        return Measurement(None, None, None, current.n, reference.n if reference else 0)
    r, c = paired_counts(reference, current)
    m, n = r.sum(), c.sum()
    if m == 0 or n == 0:  # all current values are new
        return Measurement(None, None, None, current.n, reference.n)
    raw = psi(r, c)
    noise = 1 / m + 1 / n
    freedom = max(0, r.size - 1)
    value = max(0.0, raw - freedom * noise)
    spread = Z95 * np.sqrt(_variance(r, c) + 2 * freedom * noise**2)
    return Measurement(
        value,
        max(0.0, raw - freedom * noise - spread),
        value + spread,
        current.n,
        reference.n,
        raw,
    )


def growth(n: int, n_reference: int) -> float:
    """Growth of the squared half of the interval with the value.

    To first order the variance is 4 PSI (1/n + 1/m).
    """
    return 4 * Z95**2 * (1 / n + 1 / n_reference)


def noise(reference: Profile | None, current: Profile) -> float | None:
    """The PSI that 95 % of samples of these sizes stay below without drift.

    None while a side is empty.
    """
    if reference is None or reference.n == 0 or current.n == 0:
        return None
    freedom = SCORE_FREEDOM
    if current.layout.kind != "unit":
        freedom = max(1, current.layout.inner.size - 1)
    inverse = 1 / current.n + 1 / reference.n
    return float(2.8 * inverse * np.sqrt(2 * freedom))


def contributions(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """The part of the plain PSI that each bin adds, shape (n_bins,)."""
    p, q = _shares(reference), _shares(current)
    return (q - p) * np.log(q / p)


def _shares(counts: np.ndarray) -> np.ndarray:
    return (counts + 0.5) / (counts.sum() + 0.5 * counts.size)


def _variance(r: np.ndarray, c: np.ndarray) -> float:
    """Sampling variance of the plain PSI to first order, from multinomial counts on both sides."""
    p, q = _shares(r), _shares(c)
    ratio = q / p
    log = np.log(ratio)
    by_q, by_p = log + 1 - 1 / ratio, 1 - ratio - log
    var_q = q @ (by_q * by_q) - (q @ by_q) ** 2
    var_p = p @ (by_p * by_p) - (p @ by_p) ** 2
    return float(var_q / c.sum() + var_p / r.sum())
