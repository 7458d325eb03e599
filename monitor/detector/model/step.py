"""One closed hour: the state moves on, and evidence may have become a page."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from monitor.detector.model.evidence import (
    FLOOR,
    LAMBDAS,
    Tails,
    accumulate,
    missing_score,
)
from monitor.detector.model.filter import Innovation, Level, advance
from monitor.detector.model.fit import Fitted
from monitor.detector.model.joint import MEMORIES, capped, project
from monitor.detector.model.streams import UNOBSERVED, Hour, Scores, Stream, score

Rule = Literal["accumulated", "at once", "persisted"]
Direction = Literal["up", "down"]

DIRECTIONS: tuple[Direction, Direction] = ("up", "down")
JOINT_SHARE = 0.2  # of the budget of false pages
UNCAPPED = 8.0
LEADING = 0.25  # share of the level that a large stream must reach alone to be named


@dataclass(frozen=True)
class Suspect:
    """A large effect of the last hour that must persist: which stream, on which side, and its size in sd."""

    stream: int
    side: int
    size: float


@dataclass(frozen=True, eq=False)
class State:
    """Everything that an hour leaves to the next.

    `evidence` (2, K, 5) up and down, `joint_evidence` (H, 5), `direction` (H, J)
    learned, `last_page` the hour index of the page that began the present episode.
    """

    level: Level
    evidence: np.ndarray
    joint_evidence: np.ndarray
    direction: np.ndarray
    suspect: Suspect | None = None
    last_page: int | None = None


@dataclass(frozen=True)
class Page:
    """A reason to call someone. `stream` None: a joint shift, no feature by itself. `repeated`: of an open episode.

    `rule`: evidence accumulated over hours, or one effect so large that it pages at
    once, or one that persisted.
    """

    rule: Rule
    stream: Stream | None
    direction: Direction | None
    repeated: bool


@dataclass(frozen=True, eq=False)
class Signal:
    """The signal of one hour, before a page resets it.

    `evidence` is G: a page is due at `settings.level`. `by_stream` (2, K) and `joint`
    are its parts, `residuals` (K,) the distances from the usual value of the hour in
    reference sd. An empty hour repeats G and has residuals of NaN.
    """

    index: int
    evidence: float
    by_stream: np.ndarray
    joint: float
    residuals: np.ndarray
    page: Page | None = None


@dataclass(frozen=True, eq=False)
class _Reading:
    """One hour as scores: `full` and `bounded` (2, K), `joint` (H,), `large` (K,) whether size and surprise are large,
    `judged` (K,) whether the hour may be evidence at all."""

    residuals: np.ndarray
    full: np.ndarray
    bounded: np.ndarray
    joint: np.ndarray
    large: np.ndarray
    judged: np.ndarray


def initial(fitted: Fitted) -> State:
    """The state at the end of the reference: the level is known, there is no evidence and no direction."""
    streams, together = len(fitted.streams.streams), len(fitted.streams.joint)
    return State(
        fitted.level,
        np.zeros((2, streams, len(LAMBDAS))),
        np.zeros((len(MEMORIES), len(LAMBDAS))),
        np.zeros((len(MEMORIES), together)),
    )


def step(
    fitted: Fitted, state: State, hour: Hour, alerted: np.ndarray | None = None
) -> tuple[State, Signal]:
    """Return the state after one more hour, and the signal of the hour.

    Hours are in order; an empty one changes nothing. `alerted` (K + 1,) marks the
    streams, and last the joint ones, of open episodes: they gather no evidence. In a
    special hour only missing values are judged, and nothing is learned of the others.
    Pure: the same fitted model, state and hour always give the same result, so late
    rows are replayed from an older state. Looking costs nothing, as only a closed hour
    moves the state.
    """
    if hour.is_empty:
        by_stream, joint = _weighted(fitted, state.evidence, state.joint_evidence)
        nothing = np.full(len(fitted.streams.streams), np.nan)
        return state, Signal(
            hour.index, float(by_stream.sum()) + joint, by_stream, joint, nothing
        )
    judged = _judged(fitted, hour, alerted)
    state, reading = _read(fitted, state, hour, judged)
    page, suspect = _large_effect(fitted, state, reading)
    evidence = accumulate(state.evidence, reading.bounded)
    joint_evidence = accumulate(state.joint_evidence, reading.joint)
    if hour.special:
        evidence = np.where(judged[:-1, None], evidence, state.evidence)
        joint_evidence = state.joint_evidence
    if alerted is not None:
        evidence = np.where(alerted[:-1, None], 0, evidence)
        joint_evidence = np.where(alerted[-1], 0, joint_evidence)
    by_stream, joint = _weighted(fitted, evidence, joint_evidence)
    total = float(by_stream.sum()) + joint
    if page is None and total >= fitted.due:
        page = _accumulated(fitted, by_stream, joint)
    signal = Signal(hour.index, total, by_stream, joint, reading.residuals)
    if page is None:
        return replace(
            state, evidence=evidence, joint_evidence=joint_evidence, suspect=suspect
        ), signal
    repeated = (
        state.last_page is not None
        and hour.index - state.last_page < fitted.settings.cooldown
    )
    after = replace(
        state,
        evidence=np.zeros_like(evidence),
        joint_evidence=np.zeros_like(joint_evidence),
        suspect=None,
        last_page=state.last_page if repeated else hour.index,
    )
    return after, replace(signal, page=replace(page, repeated=repeated))


def _judged(fitted: Fitted, hour: Hour, alerted: np.ndarray | None) -> np.ndarray:
    """Which streams, and last the joint ones, this hour may be evidence for, (K + 1,)."""
    judged = (
        np.ones(len(fitted.streams.streams) + 1, dtype=bool)
        if alerted is None
        else ~alerted
    )
    if hour.special:
        judged[fitted.streams.binned] = judged[-1] = False
    return judged


def _read(
    fitted: Fitted, state: State, hour: Hour, judged: np.ndarray
) -> tuple[State, _Reading]:
    """The hour as scores, and the state with level and direction moved on."""
    scores = score(fitted.streams, [hour])
    if hour.special:
        scores.variances[:, fitted.streams.binned] = UNOBSERVED
    residuals = fitted.residuals(scores, np.array([hour.usual]))[0]
    level, innovation = advance(
        fitted.wander, state.level, residuals, scores.variances[0]
    )
    scores_now = _scores(fitted, scores, innovation)
    direction, joint = _joint_scores(
        fitted, state.direction, innovation, judged[fitted.streams.joint]
    )
    strictness = fitted.strictness
    surprising = np.abs(innovation.z / fitted.tails.scale) >= fitted.largest
    reading = _Reading(
        residuals,
        np.clip(scores_now, FLOOR, UNCAPPED),
        np.clip(scores_now, FLOOR, strictness.bound),
        np.clip(joint, FLOOR, strictness.joint_bound),
        (np.abs(residuals) >= fitted.large) & surprising & judged[:-1],
        judged[:-1],
    )
    return replace(
        state, level=level, direction=state.direction if hour.special else direction
    ), reading


def _scores(fitted: Fitted, scores: Scores, innovation: Innovation) -> np.ndarray:
    """Normal scores beyond the tolerance, up and down, (2, K).

    A rise of missing values counts by the weaker of two nulls, as it is evidence only
    when both are wrong; a fall is no finding.
    """
    z, allowed, tails = innovation.z, innovation.allowed, fitted.tails
    two_sided = np.stack([tails.score(z - allowed), tails.score(-z - allowed)])
    missing = fitted.streams.missing
    exact = missing_score(fitted.missing, scores.missing[0], scores.rows[0])
    two_sided[0, missing] = np.minimum(two_sided[0, missing], exact)
    two_sided[1, missing] = FLOOR
    return two_sided


def _joint_scores(
    fitted: Fitted, direction: np.ndarray, innovation: Innovation, judged: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The next direction (H, J), and the scores beyond the joint tolerance, (H,)."""
    chosen, tails, joint = fitted.streams.joint, fitted.tails, fitted.joint
    own = Tails(tails.scale[chosen], tails.freedom[chosen], tails.divisor[chosen])
    gain = innovation.allowed[chosen] / (fitted.wander.tolerance[chosen] * own.scale)
    values = capped(innovation.z[chosen], own)
    direction, now = project(
        joint.covariances, joint.tolerance, direction * judged, values * judged, gain
    )
    return direction, joint.tails.score(now.s - now.allowed)


def _weighted(
    fitted: Fitted, evidence: np.ndarray, joint_evidence: np.ndarray
) -> tuple[np.ndarray, float]:
    """The parts of G: (2, K) of the streams and one of the joint streams.

    Averages, so G keeps the guarantee of M.
    """
    share, mixture = (
        fitted.streams.shares * (1 - JOINT_SHARE) / 2,
        np.array(fitted.settings.mixture),
    )
    return share * (evidence @ mixture), JOINT_SHARE * float(
        (joint_evidence @ mixture).mean()
    )


def _large_effect(
    fitted: Fitted, state: State, reading: _Reading
) -> tuple[Page | None, Suspect | None]:
    """Return the page for an effect that is large this hour, or for one that was and still is.

    Without a page, return the streams to suspect in the next hour. Increments are not
    capped here. They still are at most those of the uncapped e-detector, so its
    guarantee holds.
    """
    persistence = fitted.strictness.persistence
    suspect = state.suspect
    if suspect is not None and reading.judged[suspect.stream]:
        sign = 1 - 2 * suspect.side
        if sign * reading.residuals[suspect.stream] >= persistence * suspect.size:
            return _page(fitted, "persisted", suspect.side, suspect.stream), None
    if not reading.large.any():
        return None, None
    level = fitted.due
    full, _ = _weighted(
        fitted, accumulate(state.evidence, reading.full), state.joint_evidence
    )
    if full.sum() < level:
        return None, None
    full = full * reading.large
    side, stream = (int(i) for i in np.unravel_index(full.argmax(), full.shape))
    leading = full >= LEADING * level
    if not leading[side, stream]:
        return None, None
    huge = np.abs(reading.residuals) >= fitted.huge
    if persistence == 0 or bool((leading & huge).any()):
        return _page(fitted, "at once", side, stream), None
    return None, Suspect(stream, side, abs(float(reading.residuals[stream])))


def _accumulated(fitted: Fitted, by_stream: np.ndarray, joint: float) -> Page:
    side, stream = (
        int(i) for i in np.unravel_index(by_stream.argmax(), by_stream.shape)
    )
    if joint > by_stream[side, stream]:
        return Page("accumulated", None, None, False)
    return _page(fitted, "accumulated", side, stream)


def _page(fitted: Fitted, rule: Rule, side: int, stream: int) -> Page:
    return Page(rule, fitted.streams.streams[stream], DIRECTIONS[side], False)
