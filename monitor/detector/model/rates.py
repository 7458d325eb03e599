"""Rates that should not rise: errors, wrong predictions, categories never seen.

Exact likelihoods, one-sided.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import betaincinv, betaln, gammaln

from monitor.detector.model.episode import (
    CALM_SHARE,
    DAY,
    WEEK,
    Change,
    Episode,
    parted,
)
from monitor.detector.model.evidence import MAX_EVIDENCE, OVERDISPERSION_FACTOR

# of the usual rate, that evidence is a mixture of
MULTIPLES = np.array([1.1, 1.25, 1.5, 2.0, 3.0, 10.0, 30.0])
RELATIVE_RISE = 1.03  # a rate that rose by 3 % of itself is still the reference's
MIN_RATE = 0.0005
MAX_RATE = 0.999
Z95 = 1.959964
BLOCKS = (6, 24, 48)  # windows
MORE_UNSEEN = 1.5  # times what is to be expected
INDEPENDENT = 1e-6  # over-dispersion below which counts are binomial


@dataclass(frozen=True)
class Rate:
    """A rate of one column: its counted bins, its share of the budget of false pages, and a floor.

    A rate up to the floor never pages, whatever the reference has.
    """

    column: str
    contrast: str
    share: float
    floor: float = MIN_RATE


@dataclass(frozen=True, eq=False)
class Rates:
    """The usual values of R rates, all (R,).

    `usual` is the reference's own share, `null` the highest share that is no finding,
    `overdispersion` the correlation of two rows of one hour, `spells` the number of
    successive windows that are worth one independent window.
    """

    rates: tuple[Rate, ...]
    usual: np.ndarray
    null: np.ndarray
    overdispersion: np.ndarray
    spells: np.ndarray = field(default_factory=lambda: np.array(1.0))


@dataclass(frozen=True, eq=False)
class RateState:
    """Evidence (R, 7) for a rise of each rate, and what is open."""

    evidence: np.ndarray
    episodes: tuple[Episode, ...] = ()
    total: float = 0.0


@dataclass(frozen=True, eq=False)
class Counted:
    """One window of R rates: `hits` among `rows`, both (R,)."""

    index: int
    hits: np.ndarray
    rows: np.ndarray


def initial_rates(fitted: Rates) -> RateState:
    """The state at the end of the reference."""
    return RateState(np.zeros((len(fitted.rates), len(MULTIPLES))))


def fit_rates(rates: Sequence[Rate], hits: np.ndarray, rows: np.ndarray) -> Rates:
    """The usual rates from hourly `hits` among `rows`, both (T, R).

    p = (x + .5) / (N + 1); null = max(floor, 1.03 p + 2 standard errors), the error
    widened by over-dispersion, which is 1.5 times its moment estimate, var x = n p (1 -
    p) (1 + (n - 1) rho).
    """
    total = rows.sum(axis=0)
    p = (hits.sum(axis=0) + 0.5) / (total + 1)
    rho = overdispersion(hits, rows, p)
    following = spells(hits, rows, p)
    spread = (
        p
        * (1 - p)
        * (1 + np.where(rho > INDEPENDENT, rho, 0) * rows.mean(axis=0))
        * following
    )
    error = np.sqrt(spread / np.maximum(total, 1))
    floor = np.array([r.floor for r in rates])
    null = np.minimum(MAX_RATE / 2, np.maximum(floor, RELATIVE_RISE * p + 2 * error))
    return Rates(
        tuple(rates), p, np.maximum(null, np.minimum(p, MAX_RATE)), rho, following
    )


def spells(hits: np.ndarray, rows: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the number of successive windows that are worth one independent window, (R,), at least 1.

    The largest variance of sums of hits over overlapping blocks of 6 to 48 windows in
    units of what single windows would make it; 1 where none exceeds that by two
    standard errors, sqrt(4 b / 3 T), of such sums of independent windows.
    """
    residuals, variances = hits - rows * p, rows * p * (1 - p)
    single = np.maximum(
        (residuals**2).sum(axis=0) / np.maximum(variances.sum(axis=0), 1e-12), 1
    )
    most, windows = np.ones_like(single), len(hits)
    for block in (b for b in BLOCKS if 4 * b <= windows):
        sums, usual = (
            np.cumsum(np.vstack([np.zeros(v.shape[1]), v]), axis=0)
            for v in (residuals, variances)
        )
        within = np.maximum((usual[block:] - usual[:-block]).sum(axis=0), 1e-12)
        spread = ((sums[block:] - sums[:-block]) ** 2).sum(axis=0) / within / single
        most = np.where(
            spread > 1 + 2 * np.sqrt(4 * block / (3 * windows)),
            np.maximum(most, spread),
            most,
        )
    return most


def overdispersion(hits: np.ndarray, rows: np.ndarray, p: np.ndarray) -> np.ndarray:
    """1.5 times the moment estimate of the correlation of two rows of one hour, (R,), within 1e-6..0.99."""
    rows_or_one = np.maximum(rows.sum(axis=0), 1)
    spread = ((hits - rows * p) ** 2).sum(axis=0) / (p * (1 - p) * rows_or_one)
    pairs = np.maximum((rows * (rows - 1)).sum(axis=0) / rows_or_one, 1)
    return np.clip(
        OVERDISPERSION_FACTOR * np.maximum(0, (spread - 1) / pairs), INDEPENDENT, 0.99
    )


def beyond_range(counts: np.ndarray) -> tuple[float, float]:
    """Return the usual rate beyond the range of a reference, which its own hours, shape (T, bins), cannot show.

    Values clump in hours as in the outermost tenth of the reference. Of n independent
    rows the share beyond their range is Beta(2, n - 1) (Wilks 1941); its 99.9 % point,
    with n the rows that clumped ones are worth, is the floor.
    """
    tails = counts[:, [0, 1, -2, -1]].sum(axis=1, keepdims=True).astype(float)
    rows = counts.sum(axis=1, keepdims=True).astype(float)
    clumped = float(
        overdispersion(
            tails, rows, np.clip(tails.sum(axis=0) / max(1.0, rows.sum()), 1e-6, 0.999)
        )[0]
    )
    worth = max(3.0, float(rows.sum()) / (1 + clumped * float(rows.mean())))
    return clumped, float(betaincinv(2, worth - 1, 0.999))


def beyond_categories(
    rare: np.ndarray, rows: np.ndarray, unseen: float
) -> tuple[float, float]:
    """Return the usual rate of values that the reference never had: their clumping, and the floor.

    They clump in hours as its rare values do: `rare` hits among `rows`, both shape (T,).
    `unseen` is the expected share by chance. As the world brings new values over time,
    half as much again and two standard errors are still no finding.
    """
    total = max(1.0, float(rows.sum()))
    seldom = np.clip(rare.sum() / total, 1e-6, 0.999)
    clumped = float(overdispersion(rare[:, None], rows[:, None], np.array([seldom]))[0])
    worth = total / (1 + clumped * float(rows.mean()))
    return clumped, MORE_UNSEEN * unseen + 2 * float(
        np.sqrt(unseen * (1 - unseen) / worth)
    )


def rise(fitted: Rates, hits: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """log pmf(hits; n, multiple x null) - log pmf(hits; n, null) of the (beta-)binomial, shape (R, 7).

    The ratio of two laws of the same over-dispersion rises with `hits`, so its mean is
    at most 1 for every rate up to the null: each is an e-value against "no higher than
    usual". Capped multiples stay below 1. Source: Wald (1945); beta-binomial by Skellam
    (1948).
    """
    null = fitted.null[:, None]
    higher = np.minimum(
        null * MULTIPLES, null + (MAX_RATE - null) * (1 - 1 / MULTIPLES)
    )
    x, n, rho = hits[:, None], rows[:, None], fitted.overdispersion[:, None]
    strength = 1 / rho - 1
    plain = x * np.log(higher / null) + (n - x) * np.log((1 - higher) / (1 - null))
    clustered = _beta_binomial(x, n, higher * strength, (1 - higher) * strength)
    clustered = clustered - _beta_binomial(x, n, null * strength, (1 - null) * strength)
    return np.where(rho > INDEPENDENT, clustered, plain)


def _beta_binomial(
    x: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """log pmf without the binomial coefficient, which a ratio does not need."""
    whole = gammaln(a + b) - gammaln(a) - gammaln(b)
    return np.asarray(betaln(x + a, n - x + b) + whole)


def accumulate_rates(evidence: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """One window of the Shiryaev-Roberts e-detector on log likelihood ratios, both (R, 7): M <- (M + 1) L, at most 1e12."""
    return np.minimum((evidence + 1) * np.exp(np.minimum(ratio, 50.0)), MAX_EVIDENCE)


def advance_rates(
    fitted: Rates, due: float, width: int, state: RateState, recent: Sequence[Counted]
) -> tuple[RateState, list[Episode]]:
    """One more window of the rates, the last of `recent`; `due` is the evidence, in windows, that pages.

    Log likelihood ratios are divided by the `spells`: the root of an e-value is one
    still (Jensen), and sums over many windows, whose variance is that many times as
    large as if they were independent, keep a mean of exp at most 1.
    """
    now = recent[-1]
    open_ = {episode.lead for episode in state.episodes}
    alerted = np.array([rate.column in open_ for rate in fitted.rates])
    evidence = accumulate_rates(
        state.evidence, rise(fitted, now.hits, now.rows) / _column(fitted.spells)
    )
    evidence = np.where((now.rows > 0)[:, None], evidence, state.evidence)
    evidence[alerted] = 0
    shares = np.array([rate.share for rate in fitted.rates])
    parts = shares * evidence.mean(axis=1)
    episodes = list(state.episodes)
    if parts.sum() >= due:
        worst = int(parts.argmax())
        episodes.append(_risen(fitted, worst, recent))
        evidence = np.zeros_like(evidence)
    for i, episode in enumerate(episodes):
        r = episode.changes[0].stream
        if now.rows[r]:
            since = episode.onset
            size, low, high = _share(recent, r, since)
            if now.index - episode.opened < WEEK:
                episode = replace(
                    episode,
                    size=size,
                    changes=(
                        replace(episode.changes[0], size=size, low=low, high=high),
                    ),
                )
            day, _, _ = _share(recent, r, now.index - DAY + width)
            usual = float(fitted.usual[r])
            limit = max(
                float(fitted.null[r]), usual + CALM_SHARE * (episode.size - usual)
            )
            episodes[i] = episode.after(
                episode.may_be_calm(now.index, width) and day <= limit
            )
    going, ended = parted(episodes, width)
    return RateState(evidence, going, float(parts.sum())), ended


def detectable_rates(
    fitted: Rates, rows: float, windows: int, due: float
) -> np.ndarray:
    """The smallest rate that is expected to page within that many windows of `rows` each, (R,); 1 when none is.

    A rate p adds windows x KL(p, null) = windows x rows x (p log(p / null) + (1 - p)
    log((1 - p) / (1 - null))) to the best log likelihood ratio, divided by 1 + (rows -
    1) rho for over-dispersion and by the spells; it is due at log(level / share).
    """
    shares = np.array([rate.share for rate in fitted.rates])
    needed = np.log(due * len(MULTIPLES) / shares) / windows * fitted.spells
    # (2000, R), multiples of the null up to certainty
    grid = np.geomspace(1.001, 1 / fitted.null, 2000)
    p = np.minimum(fitted.null * grid, 1 - 1e-9)
    gain = p * np.log(p / fitted.null) + (1 - p) * np.log((1 - p) / (1 - fitted.null))
    enough = rows * gain / (1 + (rows - 1) * fitted.overdispersion) >= needed
    return np.where(
        enough.any(axis=0), p[enough.argmax(axis=0), np.arange(len(shares))], 1.0
    )


def _column(values: np.ndarray) -> np.ndarray:
    return np.atleast_1d(values)[:, None]


def _risen(fitted: Rates, worst: int, recent: Sequence[Counted]) -> Episode:
    ratios = np.array([rise(fitted, c.hits, c.rows)[worst] for c in recent])
    gains = np.cumsum(ratios[::-1], axis=0).max(axis=1)
    onset = recent[len(recent) - 1 - int(gains.argmax())].index
    size, low, high = _share(recent, worst, onset)
    column = fitted.rates[worst].column
    change = Change(column, fitted.rates[worst].contrast, worst, size, low, high)
    return Episode(
        recent[-1].index, onset, column, True, "accumulated", (change,), size
    )


def _share(recent: Sequence[Counted], r: int, since: int) -> tuple[float, float, float]:
    """The share of hits since an hour, and its 95 % interval (Wilson 1927)."""
    hits = sum(float(c.hits[r]) for c in recent if c.index >= since)
    rows = sum(float(c.rows[r]) for c in recent if c.index >= since)
    if not rows:
        return 0.0, 0.0, 1.0
    p, z = hits / rows, Z95
    centre, scale = (p + z * z / (2 * rows)) / (1 + z * z / rows), 1 + z * z / rows
    half = z * float(np.sqrt(p * (1 - p) / rows + z * z / (4 * rows * rows))) / scale
    return p, max(0.0, centre - half), min(1.0, centre + half)
