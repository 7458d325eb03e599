"""The number of rows: the logarithm of an hour's rows, without its season, watched for change and silence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.detector.model.episode import CALM_SHARE, DAY, Change, Episode, parted
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
    Level,
    advance,
    advance_all,
    baseline_error,
    fit_wander,
    start,
)
from monitor.detector.model.season import Season, regress, regressors, season_for

TOLERANCE = 0.1  # of the logarithm: a tenth more or fewer rows is no finding
BOUND = 3.0  # the most that one window counts, as a normal score
# a window without any row is silence at once when usually that many come
SILENCE_ROWS = 20.0
COUNTED = 0.5


@dataclass(frozen=True, eq=False)
class TrafficModel:
    """The usual number of rows: season (C,), wandering, tails; `least` the lowest residual of the reference."""

    width: int
    season: Season
    coefficients: np.ndarray
    wander: Autocorrelation
    level: Level
    tails: Tails
    least: float


@dataclass(frozen=True, eq=False)
class TrafficState:
    """The state of the filter, and the evidence for more and for fewer rows, (2, 1, 5)."""

    level: Level
    evidence: np.ndarray


@dataclass(frozen=True, eq=False)
class VolumeState:
    """The state of the traffic detector, and its open episodes."""

    state: TrafficState
    episodes: tuple[Episode, ...] = ()
    total: float = 0.0


@dataclass(frozen=True)
class TrafficSignal:
    """One window: rows expected, evidence G, `ratio` = rows / expected, and whether it was silent where rows are usual."""

    expected: float
    evidence: float
    rising: bool
    ratio: float
    silent: bool


def fit_traffic(
    index: Sequence[int], rows: Sequence[float], width: int = 1
) -> TrafficModel:
    """The usual traffic from the windows of a reference in order, empty ones included."""
    at, n = np.array(index), np.array(rows, dtype=float)
    values, variances = np.log(n + COUNTED)[:, None], (1 / (n + COUNTED))[:, None]
    season = season_for(len(at), width)
    columns = regressors(season, at, width)
    coefficients = regress(columns, values, np.full(len(at), float(variances.mean())))
    residuals = values - columns @ coefficients
    usual = variances.mean(axis=0)
    phi, tau2 = fit_wander(residuals, variances, usual)
    wander = Autocorrelation(
        phi, tau2, np.maximum(TOLERANCE, 2 * baseline_error(phi, tau2, usual, len(at)))
    )
    level, innovation = advance_all(wander, start(wander), residuals, variances)
    z = innovation.z
    scale = np.maximum(
        1.0,
        np.sqrt((z * z).mean(axis=0) * len(at) / max(1, len(at) - columns.shape[1])),
    )
    freedom = freedom_of(np.maximum(excess_kurtosis(z / scale), 0))
    sides = [
        tail_score((sign * z - innovation.allowed) / scale, freedom) for sign in (1, -1)
    ]
    tails = Tails(scale, freedom, smallest_divisor(np.stack(sides, axis=1), BOUND))
    start_level = Level(level.estimate, level.variance, np.zeros_like(level.response))
    return TrafficModel(
        width, season, coefficients, wander, start_level, tails, float(residuals.min())
    )


def initial_traffic(fitted: TrafficModel) -> TrafficState:
    """The state at the end of the reference."""
    return TrafficState(fitted.level, np.zeros((2, 1, len(LAMBDAS))))


def step_traffic(
    fitted: TrafficModel,
    state: TrafficState,
    index: int,
    rows: float,
    alerted: bool = False,
) -> tuple[TrafficState, TrafficSignal]:
    """The state after one more window, an empty one included: silence is what this is for."""
    usual = float(
        (
            regressors(fitted.season, np.array([index]), fitted.width)
            @ fitted.coefficients
        )[0, 0]
    )
    residual = np.array([np.log(rows + COUNTED) - usual])
    level, innovation = advance(
        fitted.wander, state.level, residual, np.array([1 / (rows + COUNTED)])
    )
    scores = np.stack(
        [fitted.tails.score(s * innovation.z - innovation.allowed) for s in (1, -1)]
    )
    evidence = accumulate(state.evidence, np.clip(scores, FLOOR, BOUND))
    if alerted:
        evidence = np.zeros_like(evidence)
    sides = evidence.mean(axis=2)[:, 0] / 2
    expected = float(np.exp(min(usual, 40.0)))
    silent = (
        rows == 0
        and expected >= SILENCE_ROWS
        and float(residual[0]) < 2 * min(fitted.least, -np.log(2.0))
    )
    signal = TrafficSignal(
        expected,
        float(sides.sum()),
        bool(sides[0] > sides[1]),
        rows / expected,
        silent and not alerted,
    )
    return TrafficState(level, evidence), signal


def without_evidence(state: TrafficState) -> TrafficState:
    """Return the state after a page, whose evidence is used up."""
    return replace(state, evidence=np.zeros_like(state.evidence))


def advance_traffic(
    fitted: TrafficModel,
    due: float,
    state: VolumeState,
    recent: Sequence[tuple[int, float]],
) -> tuple[VolumeState, list[Episode]]:
    """Return the state after one more window of traffic, and the episodes that ended.

    The window is the last (index, rows) of `recent`; one without rows counts.
    """
    index, rows = recent[-1]
    after, signal = step_traffic(
        fitted, state.state, index, rows, alerted=bool(state.episodes)
    )
    episodes = list(state.episodes)
    if not episodes and (signal.evidence >= due or signal.silent):
        onset = index if signal.silent else _turned(fitted, recent, signal.rising)
        ratio = _ratio(fitted, recent, onset)
        change = Change("traffic", "traffic", 0, ratio, ratio, ratio)
        rule = "at once" if signal.silent else "accumulated"
        episodes.append(
            Episode(
                index,
                onset,
                "traffic",
                signal.rising and not signal.silent,
                rule,
                (change,),
                ratio,
            )
        )
        after = without_evidence(after)
    for i, episode in enumerate(episodes):
        since = index - DAY + fitted.width
        day = abs(float(np.log(max(_ratio(fitted, recent, since), 1e-6))))
        limit = max(
            float(fitted.wander.tolerance[0]),
            CALM_SHARE * min(abs(float(np.log(max(episode.size, 1e-6)))), 1.4),
        )
        episodes[i] = episode.after(
            episode.may_be_calm(index, fitted.width) and day <= limit
        )
    going, ended = parted(episodes, fitted.width)
    return VolumeState(after, going, signal.evidence), ended


def _expected(fitted: TrafficModel, recent: Sequence[tuple[int, float]]) -> np.ndarray:
    index = np.array([i for i, _ in recent])
    return np.asarray(
        np.exp(
            (regressors(fitted.season, index, fitted.width) @ fitted.coefficients)[:, 0]
        )
    )


def _turned(
    fitted: TrafficModel, recent: Sequence[tuple[int, float]], rising: bool
) -> int:
    rows = np.array([n for _, n in recent])
    residual = np.log(rows + 0.5) - np.log(_expected(fitted, recent) + 0.5)
    sums = np.cumsum((residual if rising else -residual)[::-1]) / np.sqrt(
        np.arange(1, len(rows) + 1)
    )
    return recent[len(rows) - 1 - int(sums.argmax())][0]


def _ratio(
    fitted: TrafficModel, recent: Sequence[tuple[int, float]], since: int
) -> float:
    recent_rows = [(i, n) for i, n in recent if i >= since]
    if not recent_rows:
        return 1.0
    return float(
        sum(n for _, n in recent_rows)
        / max(float(_expected(fitted, recent_rows).sum()), 1e-9)
    )
