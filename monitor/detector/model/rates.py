"""Rates that should not rise: errors, misclassified predictions, unseen values.

One-sided tests by exact likelihoods.
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
    split_ended,
)
from monitor.detector.model.evidence import MAX_EVIDENCE, OVERDISPERSION_FACTOR

# of the null rate: alternatives over which evidence is averaged
MULTIPLES = np.array([1.1, 1.25, 1.5, 2.0, 3.0, 10.0, 30.0])
MAX_LOG_RATIO = 50.0
RELATIVE_RISE = 1.03  # a rate that is 3 % higher is tolerated
MIN_RATE = 0.0005
MAX_RATE = 0.999
Z95 = 1.959964
BLOCKS = (6, 24, 48)  # windows
NEW_CATEGORY_FACTOR = 1.5  # times the expected share of new categories
# over-dispersion up to which counts are binomial, and the highest one
MIN_OVERDISPERSION, MAX_OVERDISPERSION = 1e-6, 0.99
RANGE_CONFIDENCE = 0.999
GRID_POINTS = 2000


@dataclass(frozen=True)
class Rate:
    """A rate of one column: contrast, share of the false-alarm budget, and floor.

    A rate up to `floor` is ignored, whatever the reference has.
    """

    column: str
    contrast: str
    share: float
    floor: float = MIN_RATE


@dataclass(frozen=True, eq=False)
class Rates:
    """Expected values of R rates, all (R,).

    `usual` is the share of the reference, `null` the highest share that is no change,
    `overdispersion` the correlation of two rows of one hour. `spells` is the number of
    consecutive windows with the information of one, because hits arrive in bursts.
    """

    rates: tuple[Rate, ...]
    usual: np.ndarray
    null: np.ndarray
    overdispersion: np.ndarray
    spells: np.ndarray = field(default_factory=lambda: np.array(1.0))


@dataclass(frozen=True, eq=False)
class RateState:
    """Evidence (R, 7) for a rise of each rate, open episodes, and the total evidence."""

    evidence: np.ndarray
    episodes: tuple[Episode, ...] = ()
    total: float = 0.0


@dataclass(frozen=True, eq=False)
class RateCounts:
    """Counts of R rates in one window: `hits` among `rows`, both (R,)."""

    index: int
    hits: np.ndarray
    rows: np.ndarray


def initial_rates(fitted: Rates) -> RateState:
    """Return the state at the end of the reference."""
    return RateState(np.zeros((len(fitted.rates), len(MULTIPLES))))


def fit_rates(rates: Sequence[Rate], hits: np.ndarray, rows: np.ndarray) -> Rates:
    """Return the expected rates from hourly `hits` among `rows`, both (T, R).

    p = (x + .5) / (N + 1); null = max(floor, 1.03 p + 2 standard errors). The error
    includes over-dispersion, 1.5 times its moment estimate from
    var x = n p (1 - p) (1 + (n - 1) rho), and bursts.
    """
    total = rows.sum(axis=0)
    p = (hits.sum(axis=0) + 0.5) / (total + 1)
    rho = overdispersion(hits, rows, p)
    bursts = burst_factor(hits, rows, p)
    clustering = 1 + np.where(rho > MIN_OVERDISPERSION, rho, 0) * rows.mean(axis=0)
    spread = p * (1 - p) * clustering * bursts
    error = np.sqrt(spread / np.maximum(total, 1))
    floor = np.array([rate.floor for rate in rates])
    raised = np.maximum(floor, RELATIVE_RISE * p + 2 * error)
    null = np.maximum(np.minimum(MAX_RATE / 2, raised), np.minimum(p, MAX_RATE))
    return Rates(tuple(rates), p, null, rho, bursts)


def burst_factor(hits: np.ndarray, rows: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the number of consecutive windows with the information of one, (R,), at least 1.

    It is the largest ratio of the variance of sums of hits over 6 to 48 windows
    (overlapping blocks) to the variance that independent windows would give. A ratio
    counts if it exceeds 1 by two standard errors, sqrt(4 b / 3 T), of such sums.
    """
    residuals = hits - rows * p
    variances = rows * p * (1 - p)
    squares = (residuals**2).sum(axis=0)
    single = np.maximum(squares / np.maximum(variances.sum(axis=0), 1e-12), 1)
    largest = np.ones_like(single)
    windows = len(hits)
    for block in BLOCKS:
        if 4 * block > windows:
            continue
        variance = np.maximum(_block_sums(variances, block).sum(axis=0), 1e-12)
        block_squares = (_block_sums(residuals, block) ** 2).sum(axis=0)
        ratio = block_squares / variance / single
        is_significant = ratio > 1 + 2 * np.sqrt(4 * block / (3 * windows))
        largest = np.where(is_significant, np.maximum(largest, ratio), largest)
    return largest


def _block_sums(values: np.ndarray, block: int) -> np.ndarray:
    """Return sums over overlapping blocks of consecutive rows."""
    sums = np.cumsum(np.vstack([np.zeros(values.shape[1]), values]), axis=0)
    return np.asarray(sums[block:] - sums[:-block])


def overdispersion(hits: np.ndarray, rows: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return 1.5 times the moment estimate of the correlation of two rows of one hour.

    Shape (R,), within 1e-6 to 0.99.
    """
    total = np.maximum(rows.sum(axis=0), 1)
    spread = ((hits - rows * p) ** 2).sum(axis=0) / (p * (1 - p) * total)
    pairs = np.maximum((rows * (rows - 1)).sum(axis=0) / total, 1)
    estimate = OVERDISPERSION_FACTOR * np.maximum(0, (spread - 1) / pairs)
    return np.clip(estimate, MIN_OVERDISPERSION, MAX_OVERDISPERSION)


def expected_out_of_range(counts: np.ndarray) -> tuple[float, float]:
    """Return over-dispersion and floor of the share beyond the range of a reference.

    The reference has no value beyond its own range, so the over-dispersion is that of
    its outermost tenth; `counts` are (T, bins). Of n independent rows the share beyond
    their range is Beta(2, n - 1) (Wilks 1941). The floor is its 99.9 % point, with n the
    effective number of rows.
    """
    tails = counts[:, [0, 1, -2, -1]].sum(axis=1, keepdims=True).astype(float)
    rows = counts.sum(axis=1, keepdims=True).astype(float)
    share = np.clip(tails.sum(axis=0) / max(1.0, rows.sum()), 1e-6, MAX_RATE)
    rho = float(overdispersion(tails, rows, share)[0])
    effective_rows = max(3.0, float(rows.sum()) / (1 + rho * float(rows.mean())))
    return rho, float(betaincinv(2, effective_rows - 1, RANGE_CONFIDENCE))


def expected_new_categories(
    rare: np.ndarray, rows: np.ndarray, unseen: float
) -> tuple[float, float]:
    """Return over-dispersion and floor of the share of categories that are new.

    The reference has no such category, so the over-dispersion is that of its rare ones:
    `rare` hits among `rows`, both (T,). `unseen` is the share expected by chance. The
    floor is half as much again and two standard errors, as new values appear over time.
    """
    total = max(1.0, float(rows.sum()))
    share = np.clip(rare.sum() / total, 1e-6, MAX_RATE)
    rho = float(overdispersion(rare[:, None], rows[:, None], np.array([share]))[0])
    effective_rows = total / (1 + rho * float(rows.mean()))
    error = float(np.sqrt(unseen * (1 - unseen) / effective_rows))
    return rho, NEW_CATEGORY_FACTOR * unseen + 2 * error


def log_likelihood_ratio(
    fitted: Rates, hits: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Return the log likelihood ratio of each rise of each rate, (R, 7).

    log pmf(hits; n, multiple x null) - log pmf(hits; n, null) of the (beta-)binomial law.
    The ratio of two laws of one over-dispersion increases with `hits`, so its mean is at
    most 1 for every rate up to the null: each is an e-value for the hypothesis that the
    rate is not higher. Large multiples are lowered to stay below 1. Source: Wald (1945);
    beta-binomial by Skellam (1948).
    """
    null = fitted.null[:, None]
    capped = null + (MAX_RATE - null) * (1 - 1 / MULTIPLES)
    higher = np.minimum(null * MULTIPLES, capped)
    x, n = hits[:, None], rows[:, None]
    rho = fitted.overdispersion[:, None]
    strength = 1 / rho - 1
    binomial = x * np.log(higher / null) + (n - x) * np.log((1 - higher) / (1 - null))
    of_higher = _beta_binomial(x, n, higher * strength, (1 - higher) * strength)
    of_null = _beta_binomial(x, n, null * strength, (1 - null) * strength)
    return np.where(rho > MIN_OVERDISPERSION, of_higher - of_null, binomial)


def _beta_binomial(
    x: np.ndarray, n: np.ndarray, a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Return log pmf without the binomial coefficient, which a ratio does not need."""
    normaliser = gammaln(a + b) - gammaln(a) - gammaln(b)
    return np.asarray(betaln(x + a, n - x + b) + normaliser)


def accumulate_rates(evidence: np.ndarray, log_ratio: np.ndarray) -> np.ndarray:
    """Advance the Shiryaev-Roberts e-detector by one window: M <- (M + 1) L, at most 1e12.

    `evidence` is M, `log_ratio` is log L, both (R, 7).
    """
    growth = np.exp(np.minimum(log_ratio, MAX_LOG_RATIO))
    return np.minimum((evidence + 1) * growth, MAX_EVIDENCE)


def advance_rates(
    fitted: Rates,
    due: float,
    width: int,
    state: RateState,
    recent: Sequence[RateCounts],
) -> tuple[RateState, list[Episode]]:
    """Advance by one window, the last of `recent`.

    `due` is the evidence, in windows, that opens an alert. Log likelihood ratios are
    divided by the burst factor. The root of an e-value is an e-value (Jensen), and sums
    over many windows, whose variance is larger by that factor, keep a mean of exp of at
    most 1. Return the state, and the episodes that ended with the window.
    """
    window = recent[-1]
    evidence = _evidence_after(fitted, state, window)
    shares = np.array([rate.share for rate in fitted.rates])
    parts = shares * evidence.mean(axis=1)
    total = parts.sum()
    episodes = list(state.episodes)
    if total >= due:
        episodes.append(_new_episode(fitted, int(parts.argmax()), recent))
        evidence = np.zeros_like(evidence)
    for i, episode in enumerate(episodes):
        if window.rows[episode.changes[0].stream]:
            episodes[i] = _after_window(fitted, episode, width, recent)
    still_open, ended = split_ended(episodes, width)
    return RateState(evidence, still_open, float(total)), ended


def _evidence_after(fitted: Rates, state: RateState, window: RateCounts) -> np.ndarray:
    """Return the evidence after a window; a rate with an open alert has none."""
    log_ratio = log_likelihood_ratio(fitted, window.hits, window.rows)
    factor = np.atleast_1d(fitted.spells)[:, None]
    evidence = accumulate_rates(state.evidence, log_ratio / factor)
    has_rows = (window.rows > 0)[:, None]
    evidence = np.where(has_rows, evidence, state.evidence)
    alerted = {episode.lead for episode in state.episodes}
    evidence[[rate.column in alerted for rate in fitted.rates]] = 0
    return evidence


def _after_window(
    fitted: Rates, episode: Episode, width: int, recent: Sequence[RateCounts]
) -> Episode:
    """Return the episode after the newest window; its size is updated for a week."""
    index = recent[-1].index
    rate = episode.changes[0].stream
    if index - episode.opened < WEEK:
        size, low, high = _share(recent, rate, episode.onset)
        change = replace(episode.changes[0], size=size, low=low, high=high)
        episode = replace(episode, size=size, changes=(change,))
    last_day_share, _, _ = _share(recent, rate, index - DAY + width)
    expected = float(fitted.usual[rate])
    calm_share = expected + CALM_SHARE * (episode.size - expected)
    limit = max(float(fitted.null[rate]), calm_share)
    is_calm = episode.is_a_day_old(index, width) and last_day_share <= limit
    return episode.after_window(is_calm)


def detectable_rates(
    fitted: Rates, rows: float, windows: int, due: float
) -> np.ndarray:
    """Return the minimum detectable rate within `windows` windows, (R,); 1 when there is none.

    `rows` are those of one window. A rate p adds
    windows x KL(p, null) = windows x rows x (p log(p / null) + (1 - p)
    log((1 - p) / (1 - null))) to the best log likelihood ratio, divided by
    1 + (rows - 1) rho for over-dispersion and by the burst factor. It opens an alert at
    log(level / share).
    """
    shares = np.array([rate.share for rate in fitted.rates])
    required = np.log(due * len(MULTIPLES) / shares) / windows * fitted.spells
    # multiples of the null up to certainty, (GRID_POINTS, R)
    grid = np.geomspace(1.001, 1 / fitted.null, GRID_POINTS)
    p = np.minimum(fitted.null * grid, 1 - 1e-9)
    gain = p * np.log(p / fitted.null) + (1 - p) * np.log((1 - p) / (1 - fitted.null))
    information = rows * gain / (1 + (rows - 1) * fitted.overdispersion)
    is_enough = information >= required
    smallest = p[is_enough.argmax(axis=0), np.arange(len(shares))]
    return np.where(is_enough.any(axis=0), smallest, 1.0)


def _new_episode(fitted: Rates, rate: int, recent: Sequence[RateCounts]) -> Episode:
    """Return the episode of a rate; its onset has the largest sum of log ratios."""
    ratios = np.array(
        [log_likelihood_ratio(fitted, w.hits, w.rows)[rate] for w in recent]
    )
    gains = np.cumsum(ratios[::-1], axis=0).max(axis=1)
    onset = recent[len(recent) - 1 - int(gains.argmax())].index
    size, low, high = _share(recent, rate, onset)
    column = fitted.rates[rate].column
    change = Change(column, fitted.rates[rate].contrast, rate, size, low, high)
    return Episode(
        opened=recent[-1].index,
        onset=onset,
        lead=column,
        rising=True,
        rule="accumulated",
        changes=(change,),
        size=size,
    )


def _share(
    recent: Sequence[RateCounts], rate: int, since: int
) -> tuple[float, float, float]:
    """Return the share of hits since an hour, and its 95 % interval (Wilson 1927)."""
    windows = [window for window in recent if window.index >= since]
    hits = sum(float(window.hits[rate]) for window in windows)
    rows = sum(float(window.rows[rate]) for window in windows)
    if not rows:
        return 0.0, 0.0, 1.0
    p, z = hits / rows, Z95
    scale = 1 + z * z / rows
    centre = (p + z * z / (2 * rows)) / scale
    variance = p * (1 - p) / rows + z * z / (4 * rows * rows)
    half = z * float(np.sqrt(variance)) / scale
    return p, max(0.0, centre - half), min(1.0, centre + half)
