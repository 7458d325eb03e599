"""Step: advance a detector by one closed hour; the evidence may open an alert."""

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
JOINT_SHARE = 0.2  # of the false-alarm budget
UNCAPPED = 8.0
# share of the alert level that a stream's evidence must reach alone to be named
LEADING_SHARE = 0.25


@dataclass(frozen=True)
class Suspect:
    """A large effect of the last hour that must persist: stream, side, and size in sd."""

    stream: int
    side: int
    size: float


@dataclass(frozen=True, eq=False)
class State:
    """State of a detector between two hours.

    `evidence` (2, K, 5) for a shift up and down, `joint_evidence` (H, 5), `direction`
    (H, J) as learned. `last_page` is the hour index of the page that opened the latest
    alert.
    """

    level: Level
    evidence: np.ndarray
    joint_evidence: np.ndarray
    direction: np.ndarray
    suspect: Suspect | None = None
    last_page: int | None = None


@dataclass(frozen=True)
class Page:
    """A detection: a reason to open an alert.

    `rule`: evidence accumulated over hours, one effect large enough to count at once, or
    a large effect that persisted. `stream` is None for a joint shift, which no feature
    explains alone. `repeated`: it follows another page within the cooldown.
    """

    rule: Rule
    stream: Stream | None
    direction: Direction | None
    repeated: bool

    @property
    def column(self) -> str:
        """The main column; empty for a joint shift."""
        return self.stream.feature if self.stream else ""


@dataclass(frozen=True, eq=False)
class Signal:
    """The result of one hour, before a page resets the evidence.

    `evidence` is G: it opens an alert at `Fitted.due`. `by_stream` (2, K) and `joint` are
    its parts, `residuals` (K,) the distances from the expected values in reference sd.
    An empty hour repeats G and has residuals of NaN.
    """

    index: int
    evidence: float
    by_stream: np.ndarray
    joint: float
    residuals: np.ndarray
    page: Page | None = None


@dataclass(frozen=True, eq=False)
class _HourScores:
    """Scores of one hour: `uncapped` and `bounded` (2, K), `joint` (H,).

    `is_large` (K,): residual and innovation are both large. `is_evaluated` (K,): the hour
    may give evidence for the stream.
    """

    residuals: np.ndarray
    uncapped: np.ndarray
    bounded: np.ndarray
    joint: np.ndarray
    is_large: np.ndarray
    is_evaluated: np.ndarray


def initial(fitted: Fitted) -> State:
    """Return the state at the end of the reference: no evidence and no direction."""
    streams, joint = len(fitted.streams.streams), len(fitted.streams.joint)
    return State(
        level=fitted.level,
        evidence=np.zeros((2, streams, len(LAMBDAS))),
        joint_evidence=np.zeros((len(MEMORIES), len(LAMBDAS))),
        direction=np.zeros((len(MEMORIES), joint)),
    )


def step(
    fitted: Fitted, state: State, hour: Hour, alerted: np.ndarray | None = None
) -> tuple[State, Signal]:
    """Return the state after one more hour, and the result of the hour.

    Hours are in order; an empty one changes nothing. `alerted` (K + 1,) marks the
    streams, and last the joint ones, that have an open alert: they gather no evidence.
    In a special hour only missing values are evaluated; nothing else is learned. Pure:
    equal arguments give equal results, so late rows are replayed from an older state.
    Reading a state has no effect, as only a closed hour changes it.
    """
    if hour.is_empty:
        return state, _empty_signal(fitted, state, hour)
    is_evaluated = _evaluated_streams(fitted, hour, alerted)
    state, scores = _score_hour(fitted, state, hour, is_evaluated)
    page, suspect = _large_effect(fitted, state, scores)
    evidence = accumulate(state.evidence, scores.bounded)
    joint_evidence = accumulate(state.joint_evidence, scores.joint)
    if hour.special:
        evidence = np.where(is_evaluated[:-1, None], evidence, state.evidence)
        joint_evidence = state.joint_evidence
    if alerted is not None:
        evidence = np.where(alerted[:-1, None], 0, evidence)
        joint_evidence = np.where(alerted[-1], 0, joint_evidence)
    by_stream, joint = _weighted(fitted, evidence, joint_evidence)
    total = float(by_stream.sum()) + joint
    if page is None and total >= fitted.due:
        page = _accumulated(fitted, by_stream, joint)
    signal = Signal(hour.index, total, by_stream, joint, scores.residuals)
    if page is None:
        after = replace(
            state, evidence=evidence, joint_evidence=joint_evidence, suspect=suspect
        )
        return after, signal
    after, repeated = _after_page(fitted, state, hour)
    return after, replace(signal, page=replace(page, repeated=repeated))


def _empty_signal(fitted: Fitted, state: State, hour: Hour) -> Signal:
    by_stream, joint = _weighted(fitted, state.evidence, state.joint_evidence)
    residuals = np.full(len(fitted.streams.streams), np.nan)
    total = float(by_stream.sum()) + joint
    return Signal(hour.index, total, by_stream, joint, residuals)


def _after_page(fitted: Fitted, state: State, hour: Hour) -> tuple[State, bool]:
    """Return the state without evidence, and whether the page is repeated."""
    last_page = state.last_page
    cooldown = fitted.settings.cooldown
    repeated = last_page is not None and hour.index - last_page < cooldown
    after = replace(
        state,
        evidence=np.zeros_like(state.evidence),
        joint_evidence=np.zeros_like(state.joint_evidence),
        suspect=None,
        last_page=last_page if repeated else hour.index,
    )
    return after, repeated


def _evaluated_streams(
    fitted: Fitted, hour: Hour, alerted: np.ndarray | None
) -> np.ndarray:
    """Return the streams, and last the joint ones, that gather evidence, (K + 1,)."""
    is_evaluated = np.ones(len(fitted.streams.streams) + 1, dtype=bool)
    if alerted is not None:
        is_evaluated &= ~alerted
    if hour.special:
        is_evaluated[fitted.streams.binned] = False
        is_evaluated[-1] = False
    return is_evaluated


def _score_hour(
    fitted: Fitted, state: State, hour: Hour, is_evaluated: np.ndarray
) -> tuple[State, _HourScores]:
    """Return the hour as scores, and the state with the new level and direction."""
    scores = score(fitted.streams, [hour])
    if hour.special:
        scores.variances[:, fitted.streams.binned] = UNOBSERVED
    residuals = fitted.residuals(scores, np.array([hour.season_index]))[0]
    variances = scores.variances[0]
    level, innovation = advance(fitted.wander, state.level, residuals, variances)
    normal = _normal_scores(fitted, scores, innovation)
    direction, joint = _joint_scores(
        fitted, state.direction, innovation, is_evaluated[fitted.streams.joint]
    )
    if hour.special:
        direction = state.direction
    strictness = fitted.strictness
    is_surprising = np.abs(innovation.z / fitted.tails.scale) >= fitted.largest
    has_large_residual = np.abs(residuals) >= fitted.large
    hour_scores = _HourScores(
        residuals=residuals,
        uncapped=np.clip(normal, FLOOR, UNCAPPED),
        bounded=np.clip(normal, FLOOR, strictness.bound),
        joint=np.clip(joint, FLOOR, strictness.joint_bound),
        is_large=has_large_residual & is_surprising & is_evaluated[:-1],
        is_evaluated=is_evaluated[:-1],
    )
    return replace(state, level=level, direction=direction), hour_scores


def _normal_scores(
    fitted: Fitted, scores: Scores, innovation: Innovation
) -> np.ndarray:
    """Return normal scores beyond the tolerance, up and down, (2, K).

    A rise of missing values has the lower score of two nulls: it is evidence only when
    both are wrong. A fall of missing values is no change.
    """
    z, allowed, tails = innovation.z, innovation.allowed, fitted.tails
    normal = np.stack([tails.score(z - allowed), tails.score(-z - allowed)])
    missing = fitted.streams.missing
    exact = missing_score(fitted.missing, scores.missing[0], scores.rows[0])
    normal[0, missing] = np.minimum(normal[0, missing], exact)
    normal[1, missing] = FLOOR
    return normal


def _joint_scores(
    fitted: Fitted,
    direction: np.ndarray,
    innovation: Innovation,
    is_evaluated: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the next direction (H, J), and the scores beyond the joint tolerance, (H,)."""
    streams, tails, joint = fitted.streams.joint, fitted.tails, fitted.joint
    own = Tails(tails.scale[streams], tails.freedom[streams], tails.divisor[streams])
    tolerance = fitted.wander.tolerance[streams] * own.scale
    gain = innovation.allowed[streams] / tolerance
    values = capped(innovation.z[streams], own)
    direction, projection = project(
        joint.covariances,
        joint.tolerance,
        direction * is_evaluated,
        values * is_evaluated,
        gain,
    )
    return direction, joint.tails.score(projection.s - projection.allowed)


def _weighted(
    fitted: Fitted, evidence: np.ndarray, joint_evidence: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the parts of G: (2, K) of the streams, and one of the joint streams.

    They are averages, so the guarantee of M holds for G.
    """
    share = fitted.streams.shares * (1 - JOINT_SHARE) / 2
    mixture = np.array(fitted.settings.mixture)
    joint = JOINT_SHARE * float((joint_evidence @ mixture).mean())
    return share * (evidence @ mixture), joint


def _large_effect(
    fitted: Fitted, state: State, scores: _HourScores
) -> tuple[Page | None, Suspect | None]:
    """Return a page for an effect that is large, or was and persists; else the next suspect.

    The scores are not capped here. Their sum is still at most that of the uncapped
    e-detector, so its guarantee holds.
    """
    persistence = fitted.strictness.persistence
    if state.suspect is not None and _persists(state.suspect, persistence, scores):
        suspect = state.suspect
        return _page(fitted, "persisted", suspect.side, suspect.stream), None
    if not scores.is_large.any():
        return None, None
    evidence = accumulate(state.evidence, scores.uncapped)
    by_stream, _ = _weighted(fitted, evidence, state.joint_evidence)
    if by_stream.sum() < fitted.due:
        return None, None
    by_stream = by_stream * scores.is_large
    side, stream = _largest(by_stream)
    is_leading = by_stream >= LEADING_SHARE * fitted.due
    if not is_leading[side, stream]:
        return None, None
    is_huge = np.abs(scores.residuals) >= fitted.huge
    if persistence == 0 or bool((is_leading & is_huge).any()):
        return _page(fitted, "at once", side, stream), None
    return None, Suspect(stream, side, abs(float(scores.residuals[stream])))


def _persists(suspect: Suspect, persistence: float, scores: _HourScores) -> bool:
    if not scores.is_evaluated[suspect.stream]:
        return False
    sign = 1 - 2 * suspect.side
    size = sign * scores.residuals[suspect.stream]
    return bool(size >= persistence * suspect.size)


def _accumulated(fitted: Fitted, by_stream: np.ndarray, joint: float) -> Page:
    side, stream = _largest(by_stream)
    if joint > by_stream[side, stream]:
        return Page("accumulated", None, None, False)
    return _page(fitted, "accumulated", side, stream)


def _largest(by_stream: np.ndarray) -> tuple[int, int]:
    side, stream = np.unravel_index(by_stream.argmax(), by_stream.shape)
    return int(side), int(stream)


def _page(fitted: Fitted, rule: Rule, side: int, stream: int) -> Page:
    return Page(rule, fitted.streams.streams[stream], DIRECTIONS[side], False)
