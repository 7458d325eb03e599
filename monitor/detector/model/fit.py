"""The fit of a detector to a reference: contrasts, season, wandering, tails, and strictness."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from monitor.detector.model.evidence import (
    UNIFORM,
    MissingNull,
    Tails,
    excess_kurtosis,
    fit_missing,
    freedom_of,
    smallest_divisor,
    tail_score,
)
from monitor.detector.model.filter import (
    JUMP,
    Autocorrelation,
    Innovation,
    Level,
    advance_all,
    baseline_error,
    blocks,
    fit_wander,
    start,
)
from monitor.detector.model.joint import Joint, capped, fit_joint
from monitor.detector.model.season import Season, regress, regressors, season_for
from monitor.detector.model.streams import (
    UNOBSERVED,
    DetectorColumn,
    Hour,
    Scores,
    Stream,
    Streams,
    build_streams,
    score,
)
from monitor.errors import InvalidRequest

TailClass = Literal["light", "heavy"]

MIN_HEAVY_KURTOSIS = 0.2
# a trend itself looks like slow wandering
TREND_HOURS, MIN_TREND, MAX_PHI = 24, 0.1, 0.85
# autocorrelations up to which a shock is over in hours, and from which on it stays half
# a day
FAST, SLOW = 0.8, 0.92
# a large innovation is at least twice the largest of its contrast on the reference
LARGE_MULTIPLE = 2.0


@dataclass(frozen=True)
class Strictness:
    """`bound`: the most one hour counts, alone and jointly, as a normal score. `persistence`: the share of its size that
    a large effect must keep for one more hour before it pages; 0 pages at once."""

    bound: float
    joint_bound: float
    persistence: float


# light tails need three agreeing hours to a page, heavy ones five
STRICTNESS: dict[TailClass, Strictness] = {
    "light": Strictness(4.0, 3.0, 0.0),
    "heavy": Strictness(2.5, 2.0, 0.9),
}


@dataclass(frozen=True)
class Settings:
    """What a person may choose. Tolerances are in reference standard deviations, a level and a cooldown in hours.

    `width` is the length of a window in hours: 1, or more where traffic is thin. With
    `level` = 2160 hours a page without drift is expected at most once in 90 days under
    the fitted null. A shift of one stream within `tolerance`, or of all together with a
    norm within `joint_tolerance`, is not drift. An effect from `large` on (for missing
    values a share, `large_missing`) may page at once; with heavy tails it must persist
    for one more hour unless it is `huge`. `slow_jump`: innovations beyond it are
    absorbed as shocks in streams that wander slowly, where a shock that decays looks
    like a small shift for half a day. `pooled`: how a stream wanders is learned from
    all streams of its contrast together. `mixture`: the weights of the sizes of shift,
    LAMBDAS, summing to 1. `weekdays`: a day that goes like another weekday, as holidays
    do, is expected to be like that one and does not page. Pages within `cooldown` of
    the first are marked as repeated.
    """

    tolerance: float = 0.05
    joint_tolerance: float = 0.06
    level: float = 2160.0
    cooldown: int = 24
    width: int = 1
    large: float = 0.4
    large_missing: float = 0.1
    huge: float = 1.0
    huge_missing: float = 0.2
    tails: TailClass | None = None  # None: decided by the reference
    slow_jump: float = JUMP
    pooled: bool = False
    mixture: tuple[float, ...] = UNIFORM
    weekdays: bool = False


@dataclass(frozen=True, eq=False)
class Fitted:
    """A detector for one model: K streams, F features, C season columns.

    `season` and `coefficients` (C, K) give the usual value of an hour, `wander` and
    `level` what remains of it and where the reference ended, `errors` (K,) how well the
    baseline is known, in sd, `trend` (K,) how far the last third of the reference is
    from the first where that is no chance, else 0, `tails` its innovations, `largest`
    (K,) the size from which an innovation is large, `kurtosis` the pooled excess
    kurtosis that `tail_class` was decided by.
    """

    settings: Settings
    streams: Streams
    missing: MissingNull
    season: Season
    coefficients: np.ndarray
    wander: Autocorrelation
    level: Level
    kurtosis: float
    tail_class: TailClass
    tails: Tails
    errors: np.ndarray
    trend: np.ndarray
    largest: np.ndarray
    joint: Joint

    @property
    def due(self) -> float:
        """The evidence that is a page: as many windows as the level has."""
        return self.settings.level / self.settings.width

    @property
    def strictness(self) -> Strictness:
        """The constants of the tail class."""
        return STRICTNESS[self.tail_class]

    @cached_property
    def large(self) -> np.ndarray:
        """From which residual on an effect is large, (K,)."""
        return self._effect(self.settings.large, self.settings.large_missing)

    @cached_property
    def huge(self) -> np.ndarray:
        """From which residual on an effect pages at once even with heavy tails, (K,)."""
        return self._effect(self.settings.huge, self.settings.huge_missing)

    def _effect(self, sd: float, missing: float) -> np.ndarray:
        out = np.full(len(self.streams.streams), sd)
        out[self.streams.missing] = missing / self.streams.missing_sd
        return out

    def residuals(self, scores: Scores, index: np.ndarray) -> np.ndarray:
        """Scores minus the usual value of their hours, (T, K)."""
        return (
            scores.values
            - regressors(self.season, index, self.settings.width) @ self.coefficients
        )


@dataclass(frozen=True, eq=False)
class _Learned:
    """The part of a fit that no tolerance changes: contrasts, their season and residuals, and wandering."""

    streams: Streams
    scores: Scores
    season: Season
    coefficients: np.ndarray
    residuals: np.ndarray
    phi: np.ndarray
    tau2: np.ndarray


def fit(
    features: Sequence[DetectorColumn],
    reference: Sequence[Hour],
    settings: Settings | None = None,
) -> Fitted:
    """The detector of a model from the closed hours of its reference, oldest first; empty and special ones are left out.

    Two weeks teach the week, four (672 hours) are recommended; below one week no season
    is fitted. Deterministic. Raises InvalidRequest when no hour has rows.
    """
    settings = settings or Settings()
    return fit_tolerances(features, reference, settings, [settings.tolerance])[0]


def fit_tolerances(
    features: Sequence[DetectorColumn],
    reference: Sequence[Hour],
    settings: Settings,
    tolerances: Sequence[float],
) -> list[Fitted]:
    """`fit` with each of some tolerances in place of that of the settings; season and wandering are learned once."""
    hours = [h for h in reference if not h.is_empty and not h.special]
    if not features or not hours:
        raise InvalidRequest(
            "a detector needs at least one feature and one hour of reference with rows"
        )
    index = np.array([h.index for h in hours])
    streams = build_streams(features, hours)
    scores = score(streams, hours)
    season = season_for(len(hours), settings.width)
    columns = regressors(season, index, settings.width)
    coefficients = regress(columns, scores.values, _usual(scores.variances, axis=1))
    residuals = scores.values - columns @ coefficients
    usual = _usual(scores.variances, axis=0)
    phi, tau2 = fit_wander(
        residuals,
        scores.variances,
        usual,
        streams.contrasts if settings.pooled else None,
    )
    learned = _Learned(streams, scores, season, coefficients, residuals, phi, tau2)
    return [
        _fitted(learned, replace(settings, tolerance=tolerance))
        for tolerance in tolerances
    ]


def _fitted(learned: _Learned, settings: Settings) -> Fitted:
    streams, scores, residuals = learned.streams, learned.scores, learned.residuals
    wander, errors = _wander(learned, settings)
    level, innovation = advance_all(wander, start(wander), residuals, scores.variances)
    z = innovation.z
    kurtosis, tail_class = _tail_class(streams.streams, z)
    tail_class = settings.tails or tail_class
    strictness = STRICTNESS[tail_class]
    tails = _tails(
        innovation, len(learned.coefficients), strictness.bound, settings.mixture
    )
    scaled = z / tails.scale
    together = streams.joint
    gains = (innovation.allowed / (wander.tolerance * tails.scale))[:, together]
    joint_scores = capped(z[:, together], _only(tails, together))
    return Fitted(
        settings=settings,
        streams=streams,
        missing=fit_missing(scores.missing, scores.rows),
        season=learned.season,
        coefficients=learned.coefficients,
        wander=wander,
        level=Level(level.estimate, level.variance, np.zeros_like(level.response)),
        kurtosis=kurtosis,
        tail_class=tail_class,
        tails=tails,
        errors=errors,
        trend=_trend(residuals, scores.variances, wander),
        largest=LARGE_MULTIPLE * _largest_of_contrast(streams.contrasts, scaled),
        joint=fit_joint(
            joint_scores,
            gains,
            errors[together],
            settings.joint_tolerance,
            strictness.joint_bound,
            settings.mixture,
        ),
    )


def _usual(variances: np.ndarray, axis: int) -> np.ndarray:
    """Mean variance along an axis, over what was observed."""
    observed = variances < UNOBSERVED
    mean = np.where(observed, variances, 0).sum(axis=axis) / np.maximum(
        observed.sum(axis=axis), 1
    )
    return np.where(observed.any(axis=axis), mean, UNOBSERVED)


def _wander(
    learned: _Learned, settings: Settings
) -> tuple[Autocorrelation, np.ndarray]:
    """The null of the residuals, and the standard error of their baseline (K,): two of them, and its bias, are tolerated."""
    phi, tau2 = learned.phi, learned.tau2
    errors = baseline_error(
        phi, tau2, _usual(learned.scores.variances, axis=0), len(learned.residuals)
    )
    jump = np.where(
        tau2 > 0, np.interp(phi, (FAST, SLOW), (JUMP, settings.slow_jump)), JUMP
    )
    tolerance = np.maximum(
        settings.tolerance, np.maximum(2 * errors, learned.streams.bias)
    )
    return Autocorrelation(phi, tau2, tolerance, jump), errors


def _trend(
    residuals: np.ndarray, variances: np.ndarray, wander: Autocorrelation
) -> np.ndarray:
    """The mean of the last third less that of the first, (K,); 0 where it is within four standard errors.

    Wandering counts with its long-run variance. A reference that drifts itself teaches
    that drift is usual.
    """
    third = len(residuals) // 3
    if third < TREND_HOURS:
        return np.zeros(residuals.shape[1])
    moved = residuals[-third:].mean(axis=0) - residuals[:third].mean(axis=0)
    short = np.minimum(wander.phi, MAX_PHI)
    noise = (
        wander.tau2 * (1 + short) / (1 - short) + _usual(variances, axis=0)
    ) / third
    return np.where(
        (np.abs(moved) > 4 * np.sqrt(2 * noise)) & (np.abs(moved) > MIN_TREND), moved, 0
    )


def _tail_class(streams: Sequence[Stream], z: np.ndarray) -> tuple[float, TailClass]:
    """Excess kurtosis of the location innovations, pooled over features, and whether it makes the tails heavy.

    Without an ordered feature: of the largest category of each. 3.5 standard errors
    under a normal law are needed.
    """
    first = [k for k, s in enumerate(streams) if s.contrast == "location"]
    if not first:
        first = [
            k
            for k, s in enumerate(streams)
            if s.contrast == "category" and (k == 0 or _begins(streams, k))
        ]
    power = np.sqrt((z[:, first] ** 2).mean(axis=0))
    moving = power > 0
    standard = z[:, first][:, moving] / power[moving]
    if not standard.size:
        return 0.0, "light"
    kurtosis = float((standard**4).mean()) - 3
    limit = max(MIN_HEAVY_KURTOSIS, 3.5 * float(np.sqrt(24 / standard.size)))
    return kurtosis, "heavy" if kurtosis > limit else "light"


def _begins(streams: Sequence[Stream], k: int) -> bool:
    return streams[k - 1].contrast == "missing"


def _tails(
    innovation: Innovation, columns: int, bound: float, mixture: Sequence[float]
) -> Tails:
    z = innovation.z
    hours, streams = z.shape
    scale = np.maximum(
        1.0, np.sqrt((z * z).mean(axis=0) * hours / max(1, hours - columns))
    )
    scaled = z / scale
    kurtosis = np.maximum(excess_kurtosis(scaled), 0)
    # one stream alone may have been lucky
    pooled = np.median(np.sort(kurtosis)[-max(3, streams // 4) :])
    freedom = freedom_of(np.maximum(kurtosis, pooled))
    divisors = []
    for block in blocks(streams):
        own, allowed = z[:, block], innovation.allowed[:, block]
        sides = [
            tail_score((sign * own - allowed) / scale[block], freedom[block])
            for sign in (1, -1)
        ]
        divisors.append(smallest_divisor(np.stack(sides, axis=1), bound, mixture))
    return Tails(scale, freedom, np.concatenate(divisors))


def _only(tails: Tails, chosen: np.ndarray) -> Tails:
    return Tails(tails.scale[chosen], tails.freedom[chosen], tails.divisor[chosen])


def _largest_of_contrast(contrasts: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """The largest |z| of all streams of the same contrast, (K,)."""
    out = np.empty(len(contrasts))
    for name in np.unique(contrasts):
        out[contrasts == name] = np.abs(scaled[:, contrasts == name]).max()
    return out
