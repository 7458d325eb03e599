"""Fit a detector to a reference: contrasts, season, autocorrelation, tails, strictness."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from monitor.detector.model.detector_settings import (
    STRICTNESS,
    Settings,
    Strictness,
    TailClass,
)
from monitor.detector.model.evidence import (
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
    fit_autocorrelation,
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

MIN_HEAVY_KURTOSIS = 0.2
MIN_TREND_HOURS = 24
MIN_TREND = 0.1
# a trend raises the estimate of phi, so a larger phi is lowered to it
MAX_TREND_PHI = 0.85
# phi up to which a shock decays within hours, and from which on it lasts half a day
FAST, SLOW = 0.8, 0.92
# a large innovation is at least twice the largest of its contrast on the reference
LARGE_MULTIPLE = 2.0


@dataclass(frozen=True, eq=False)
class Fitted:
    """A detector for one model: K streams, F features, C season columns.

    - `season` and `coefficients` (C, K): the expected value of an hour.
    - `wander`: the autocorrelation of the residuals; `level`: the state of the filter at
      the end of the reference.
    - `kurtosis`: the pooled excess kurtosis, which decides on `tail_class`; `tails`: those
      of the innovations.
    - `errors` (K,): the standard error of the baseline, in sd.
    - `trend` (K,): the mean of the last third of the reference minus that of the first;
      0 where chance explains it.
    - `largest` (K,): the size from which an innovation is large.
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
        """The evidence that opens an alert: the number of windows in `settings.level`."""
        return self.settings.level / self.settings.width

    @property
    def strictness(self) -> Strictness:
        """The limits of the tail class."""
        return STRICTNESS[self.tail_class]

    @cached_property
    def large(self) -> np.ndarray:
        """The residual from which an effect is large, (K,)."""
        return self._effect(self.settings.large, self.settings.large_missing)

    @cached_property
    def huge(self) -> np.ndarray:
        """The residual from which an effect opens an alert at once with any tails, (K,)."""
        return self._effect(self.settings.huge, self.settings.huge_missing)

    def _effect(self, sd: float, missing: float) -> np.ndarray:
        sizes = np.full(len(self.streams.streams), sd)
        sizes[self.streams.missing] = missing / self.streams.missing_sd
        return sizes

    def residuals(self, scores: Scores, season_index: np.ndarray) -> np.ndarray:
        """Return scores minus the expected values of their hours, (T, K)."""
        columns = regressors(self.season, season_index, self.settings.width)
        return scores.values - columns @ self.coefficients


@dataclass(frozen=True, eq=False)
class _Baseline:
    """The part of a fit that no tolerance changes.

    Contrasts of the reference, their season and residuals, and their autocorrelation.
    """

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
    """Return the detector of a model, fitted to the closed hours of its reference.

    Hours are in order, oldest first; empty and special ones are left out. Two weeks show
    the weekly pattern, four (672 hours) are recommended; below one week no season is
    fitted. Deterministic. Raises InvalidRequest when no hour has rows.
    """
    settings = settings or Settings()
    return fit_tolerances(features, reference, settings, [settings.tolerance])[0]


def fit_tolerances(
    features: Sequence[DetectorColumn],
    reference: Sequence[Hour],
    settings: Settings,
    tolerances: Sequence[float],
) -> list[Fitted]:
    """Return a fit for each of `tolerances`, which replace that of the settings.

    Season and autocorrelation are estimated once for all.
    """
    hours = [hour for hour in reference if not hour.is_empty and not hour.special]
    if not features or not hours:
        raise InvalidRequest(
            "a detector needs at least one feature and one hour of reference with rows"
        )
    baseline = _fit_baseline(features, hours, settings)
    return [
        _fit_nulls(baseline, replace(settings, tolerance=tolerance))
        for tolerance in tolerances
    ]


def _fit_baseline(
    features: Sequence[DetectorColumn], hours: Sequence[Hour], settings: Settings
) -> _Baseline:
    index = np.array([hour.index for hour in hours])
    streams = build_streams(features, hours)
    scores = score(streams, hours)
    season = season_for(len(hours), settings.width)
    columns = regressors(season, index, settings.width)
    by_hour = _mean_variance(scores.variances, axis=1)
    coefficients = regress(columns, scores.values, by_hour)
    residuals = scores.values - columns @ coefficients
    by_stream = _mean_variance(scores.variances, axis=0)
    groups = streams.contrasts if settings.pooled else None
    phi, tau2 = fit_autocorrelation(residuals, scores.variances, by_stream, groups)
    return _Baseline(
        streams=streams,
        scores=scores,
        season=season,
        coefficients=coefficients,
        residuals=residuals,
        phi=phi,
        tau2=tau2,
    )


def _fit_nulls(baseline: _Baseline, settings: Settings) -> Fitted:
    streams, scores = baseline.streams, baseline.scores
    residuals = baseline.residuals
    wander, errors = _residual_null(baseline, settings)
    level, innovation = advance_all(wander, start(wander), residuals, scores.variances)
    z = innovation.z
    kurtosis, tail_class = _tail_class(streams.streams, z)
    tail_class = settings.tails or tail_class
    strictness = STRICTNESS[tail_class]
    season_columns = len(baseline.coefficients)
    tails = _fit_tails(innovation, season_columns, strictness.bound, settings.mixture)
    joint_streams = streams.joint
    gains = innovation.allowed / (wander.tolerance * tails.scale)
    joint = fit_joint(
        capped(z[:, joint_streams], _tails_of(tails, joint_streams)),
        gains[:, joint_streams],
        errors[joint_streams],
        settings.joint_tolerance,
        strictness.joint_bound,
        settings.mixture,
    )
    largest = _largest_of_contrast(streams.contrasts, z / tails.scale)
    return Fitted(
        settings=settings,
        streams=streams,
        missing=fit_missing(scores.missing, scores.rows),
        season=baseline.season,
        coefficients=baseline.coefficients,
        wander=wander,
        level=Level(level.estimate, level.variance, np.zeros_like(level.response)),
        kurtosis=kurtosis,
        tail_class=tail_class,
        tails=tails,
        errors=errors,
        trend=_trend(residuals, scores.variances, wander),
        largest=LARGE_MULTIPLE * largest,
        joint=joint,
    )


def _mean_variance(variances: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean variance along an axis, over observed values."""
    is_observed = variances < UNOBSERVED
    total = np.where(is_observed, variances, 0).sum(axis=axis)
    mean = total / np.maximum(is_observed.sum(axis=axis), 1)
    return np.where(is_observed.any(axis=axis), mean, UNOBSERVED)


def _residual_null(
    baseline: _Baseline, settings: Settings
) -> tuple[Autocorrelation, np.ndarray]:
    """Return the null of the residuals, and the standard error of their baseline (K,).

    The tolerance is at least two standard errors, and at least the bias.
    """
    phi, tau2 = baseline.phi, baseline.tau2
    variance = _mean_variance(baseline.scores.variances, axis=0)
    errors = baseline_error(phi, tau2, variance, len(baseline.residuals))
    jump_by_phi = np.interp(phi, (FAST, SLOW), (JUMP, settings.slow_jump))
    jump = np.where(tau2 > 0, jump_by_phi, JUMP)
    uncertainty = np.maximum(2 * errors, baseline.streams.bias)
    tolerance = np.maximum(settings.tolerance, uncertainty)
    return Autocorrelation(phi, tau2, tolerance, jump), errors


def _trend(
    residuals: np.ndarray, variances: np.ndarray, wander: Autocorrelation
) -> np.ndarray:
    """Return the mean of the last third minus that of the first, (K,).

    0 where it is within four standard errors or below MIN_TREND. The error includes the
    long-run variance of the level. A change that resembles a trend of the reference is
    hard to detect.
    """
    third = len(residuals) // 3
    if third < MIN_TREND_HOURS:
        return np.zeros(residuals.shape[1])
    shift = residuals[-third:].mean(axis=0) - residuals[:third].mean(axis=0)
    phi = np.minimum(wander.phi, MAX_TREND_PHI)
    long_run = wander.tau2 * (1 + phi) / (1 - phi) + _mean_variance(variances, axis=0)
    error = np.sqrt(2 * (long_run / third))
    is_trend = (np.abs(shift) > 4 * error) & (np.abs(shift) > MIN_TREND)
    return np.where(is_trend, shift, 0)


def _tail_class(streams: Sequence[Stream], z: np.ndarray) -> tuple[float, TailClass]:
    """Return the excess kurtosis of innovations pooled over features, and the tail class.

    The innovations are those of location; without an ordered feature, those of each
    feature's largest category. Tails are heavy from 3.5 standard errors under a normal
    law on.
    """
    chosen = [k for k, stream in enumerate(streams) if stream.contrast == "location"]
    if not chosen:
        chosen = [
            k
            for k, stream in enumerate(streams)
            if stream.contrast == "category" and _is_first_of_feature(streams, k)
        ]
    power = np.sqrt((z[:, chosen] ** 2).mean(axis=0))
    varies = power > 0
    standard = z[:, chosen][:, varies] / power[varies]
    if not standard.size:
        return 0.0, "light"
    kurtosis = float((standard**4).mean()) - 3
    limit = max(MIN_HEAVY_KURTOSIS, 3.5 * float(np.sqrt(24 / standard.size)))
    return kurtosis, "heavy" if kurtosis > limit else "light"


def _is_first_of_feature(streams: Sequence[Stream], k: int) -> bool:
    return k == 0 or streams[k - 1].contrast == "missing"


def _fit_tails(
    innovation: Innovation, columns: int, bound: float, mixture: Sequence[float]
) -> Tails:
    z = innovation.z
    hours, streams = z.shape
    mean_square = (z * z).mean(axis=0) * hours / max(1, hours - columns)
    scale = np.maximum(1.0, np.sqrt(mean_square))
    kurtosis = np.maximum(excess_kurtosis(z / scale), 0)
    # a single stream may have had light tails by chance
    pooled = np.median(np.sort(kurtosis)[-max(3, streams // 4) :])
    freedom = freedom_of(np.maximum(kurtosis, pooled))
    divisors = []
    for block in blocks(streams):
        allowed = innovation.allowed[:, block]
        sides = [
            tail_score((sign * z[:, block] - allowed) / scale[block], freedom[block])
            for sign in (1, -1)
        ]
        divisors.append(smallest_divisor(np.stack(sides, axis=1), bound, mixture))
    return Tails(scale, freedom, np.concatenate(divisors))


def _tails_of(tails: Tails, streams: np.ndarray) -> Tails:
    return Tails(tails.scale[streams], tails.freedom[streams], tails.divisor[streams])


def _largest_of_contrast(contrasts: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """Return the largest |z| among the streams of the same contrast, (K,)."""
    largest = np.empty(len(contrasts))
    for name in np.unique(contrasts):
        same = contrasts == name
        largest[same] = np.abs(scaled[:, same]).max()
    return largest
