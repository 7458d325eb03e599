"""Traffic: the logarithm of a window's rows without its season, for lasting changes and silence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.detector.model.episode import (
    CALM_SHARE,
    DAY,
    Change,
    Episode,
    split_ended,
)
from monitor.detector.model.evidence import (
    FLOOR,
    LAMBDAS,
    Tails,
    accumulate,
    excess_kurtosis,
    freedom_of,
    smallest_divisor,
    tail_score,
)
from monitor.detector.model.filter import (
    Autocorrelation,
    Innovation,
    Level,
    advance,
    advance_all,
    baseline_error,
    fit_autocorrelation,
    start,
)
from monitor.detector.model.season import Season, regress, regressors, season_for

TOLERANCE = 0.1  # of the logarithm: a tenth more or fewer rows is ignored
MAX_SCORE = 3.0  # of one window, as a normal score
# an empty window is silence at once when at least this many rows are expected
MIN_SILENCE_ROWS = 20.0
CONTINUITY = 0.5  # added to a count before its logarithm
MAX_LOG_ROWS = 40.0
MAX_LOG_SIZE = 1.4  # of an episode, for its end


@dataclass(frozen=True, eq=False)
class TrafficModel:
    """Expected number of rows: season (C,), autocorrelation and tails.

    `least` is the lowest residual of the reference.
    """

    width: int
    season: Season
    coefficients: np.ndarray
    wander: Autocorrelation
    level: Level
    tails: Tails
    least: float


@dataclass(frozen=True, eq=False)
class TrafficState:
    """State of the filter, and the evidence for more and for fewer rows, (2, 1, 5)."""

    level: Level
    evidence: np.ndarray


@dataclass(frozen=True, eq=False)
class VolumeState:
    """State of the traffic detector, its open episodes, and the evidence of the last window."""

    state: TrafficState
    episodes: tuple[Episode, ...] = ()
    total: float = 0.0


@dataclass(frozen=True)
class TrafficSignal:
    """Result of one window: expected rows, evidence G, and `ratio` = rows / expected.

    `rising`: the evidence is for more rows. `silent`: no rows where rows are expected.
    """

    expected: float
    evidence: float
    rising: bool
    ratio: float
    silent: bool


def fit_traffic(
    index: Sequence[int], rows: Sequence[float], width: int = 1
) -> TrafficModel:
    """Return the model of traffic in the windows of a reference, empty windows included."""
    at, n = np.array(index), np.array(rows, dtype=float)
    windows = len(at)
    values = np.log(n + CONTINUITY)[:, None]
    variances = (1 / (n + CONTINUITY))[:, None]
    season = season_for(windows, width)
    columns = regressors(season, at, width)
    mean_variance = np.full(windows, float(variances.mean()))
    coefficients = regress(columns, values, mean_variance)
    residuals = values - columns @ coefficients
    typical_variance = variances.mean(axis=0)
    phi, tau2 = fit_autocorrelation(residuals, variances, typical_variance)
    error = baseline_error(phi, tau2, typical_variance, windows)
    wander = Autocorrelation(phi, tau2, np.maximum(TOLERANCE, 2 * error))
    level, innovation = advance_all(wander, start(wander), residuals, variances)
    return TrafficModel(
        width=width,
        season=season,
        coefficients=coefficients,
        wander=wander,
        level=Level(level.estimate, level.variance, np.zeros_like(level.response)),
        tails=_fit_tails(innovation, columns.shape[1]),
        least=float(residuals.min()),
    )


def _fit_tails(innovation: Innovation, columns: int) -> Tails:
    """Return the tails of the innovations; `columns` of the season cost as many windows."""
    z = innovation.z
    windows = len(z)
    mean_square = (z * z).mean(axis=0) * windows / max(1, windows - columns)
    scale = np.maximum(1.0, np.sqrt(mean_square))
    freedom = freedom_of(np.maximum(excess_kurtosis(z / scale), 0))
    sides = [
        tail_score((sign * z - innovation.allowed) / scale, freedom) for sign in (1, -1)
    ]
    divisor = smallest_divisor(np.stack(sides, axis=1), MAX_SCORE)
    return Tails(scale, freedom, divisor)


def initial_traffic(fitted: TrafficModel) -> TrafficState:
    """Return the state at the end of the reference."""
    return TrafficState(fitted.level, np.zeros((2, 1, len(LAMBDAS))))


def step_traffic(
    fitted: TrafficModel,
    state: TrafficState,
    index: int,
    rows: float,
    has_alert: bool = False,
) -> tuple[TrafficState, TrafficSignal]:
    """Return the state after one more window, and its result.

    An empty window counts: it may be silence. With an open alert no evidence is
    gathered.
    """
    columns = regressors(fitted.season, np.array([index]), fitted.width)
    log_expected = float((columns @ fitted.coefficients)[0, 0])
    residual = np.array([np.log(rows + CONTINUITY) - log_expected])
    variance = np.array([1 / (rows + CONTINUITY)])
    level, innovation = advance(fitted.wander, state.level, residual, variance)
    scores = [
        fitted.tails.score(sign * innovation.z - innovation.allowed) for sign in (1, -1)
    ]
    bounded = np.clip(np.stack(scores), FLOOR, MAX_SCORE)
    evidence = accumulate(state.evidence, bounded)
    if has_alert:
        evidence = np.zeros_like(evidence)
    sides = evidence.mean(axis=2)[:, 0] / 2
    expected = float(np.exp(min(log_expected, MAX_LOG_ROWS)))
    # far below any window of the reference
    min_residual = 2 * min(fitted.least, -np.log(2.0))
    is_unusual = float(residual[0]) < min_residual
    is_silent = rows == 0 and expected >= MIN_SILENCE_ROWS and is_unusual
    signal = TrafficSignal(
        expected=expected,
        evidence=float(sides.sum()),
        rising=bool(sides[0] > sides[1]),
        ratio=rows / expected,
        silent=is_silent and not has_alert,
    )
    return TrafficState(level, evidence), signal


def advance_traffic(
    fitted: TrafficModel,
    due: float,
    state: VolumeState,
    recent: Sequence[tuple[int, float]],
) -> tuple[VolumeState, list[Episode]]:
    """Advance by one window, the last (index, rows) of `recent`, which may be empty.

    `due` is the evidence that opens an alert. Return the state, and the episodes that
    ended with the window.
    """
    index, rows = recent[-1]
    has_alert = bool(state.episodes)
    after, signal = step_traffic(fitted, state.state, index, rows, has_alert)
    episodes = list(state.episodes)
    if not episodes and (signal.evidence >= due or signal.silent):
        episodes.append(_new_episode(fitted, recent, signal))
        # the evidence has been used
        after = replace(after, evidence=np.zeros_like(after.evidence))
    last_day = index - DAY + fitted.width
    day_change = abs(_log(_ratio(fitted, recent, last_day)))
    for i, episode in enumerate(episodes):
        size = min(abs(_log(episode.size)), MAX_LOG_SIZE)
        limit = max(float(fitted.wander.tolerance[0]), CALM_SHARE * size)
        is_old = episode.is_a_day_old(index, fitted.width)
        episodes[i] = episode.after_window(is_old and day_change <= limit)
    still_open, ended = split_ended(episodes, fitted.width)
    return VolumeState(after, still_open, signal.evidence), ended


def _log(ratio: float) -> float:
    return float(np.log(max(ratio, 1e-6)))


def _new_episode(
    fitted: TrafficModel, recent: Sequence[tuple[int, float]], signal: TrafficSignal
) -> Episode:
    index, _ = recent[-1]
    onset = index if signal.silent else _onset(fitted, recent, signal.rising)
    ratio = _ratio(fitted, recent, onset)
    change = Change("traffic", "traffic", 0, ratio, ratio, ratio)
    return Episode(
        opened=index,
        onset=onset,
        lead="traffic",
        rising=signal.rising and not signal.silent,
        rule="at once" if signal.silent else "accumulated",
        changes=(change,),
        size=ratio,
    )


def _expected(fitted: TrafficModel, recent: Sequence[tuple[int, float]]) -> np.ndarray:
    index = np.array([at for at, _ in recent])
    columns = regressors(fitted.season, index, fitted.width)
    return np.asarray(np.exp((columns @ fitted.coefficients)[:, 0]))


def _onset(
    fitted: TrafficModel, recent: Sequence[tuple[int, float]], rising: bool
) -> int:
    """Return the window in which the change most likely began, as for distributions."""
    rows = np.array([n for _, n in recent])
    expected = _expected(fitted, recent)
    residual = np.log(rows + CONTINUITY) - np.log(expected + CONTINUITY)
    signed = residual if rising else -residual
    windows = np.arange(1, len(rows) + 1)
    sums = np.cumsum(signed[::-1]) / np.sqrt(windows)
    return recent[len(rows) - 1 - int(sums.argmax())][0]


def _ratio(
    fitted: TrafficModel, recent: Sequence[tuple[int, float]], since: int
) -> float:
    """Return rows / expected rows since an hour; 1 without a window."""
    windows = [(at, n) for at, n in recent if at >= since]
    if not windows:
        return 1.0
    expected = float(_expected(fitted, windows).sum())
    return float(sum(n for _, n in windows) / max(expected, 1e-9))
