"""Streams: contrasts of an hour's bin counts with mean 0 and variance 1 in the reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.sparse import block_diag, csr_array
from scipy.special import ndtri

from monitor.layout import Kind

Contrast = Literal["location", "scale", "skewness", "kurtosis", "category", "missing"]

ORDERED: tuple[Contrast, ...] = ("location", "scale", "skewness", "kurtosis")
# shares of a feature's budget
ORDERED_SHARES = (0.4, 0.25, 0.1, 0.1)
CATEGORY_SHARE = 0.85
MISSING_SHARE = 0.15
MAX_CATEGORIES = 8
# a category with fewer rows in a median hour is pooled with the other rare ones
MIN_CATEGORY_ROWS = 5
# streams with a covariance matrix: its size grows with their square
MAX_JOINT = 400
MAX_DENSE_ENTRIES = 4_000_000
BIAS_FACTOR = 2  # times the estimated overstatement, itself uncertain, is tolerated
MIN_BIAS = 0.03  # in reference sd
# sampling variance of a contrast without values: the filter learns nothing from it
UNOBSERVED = 1e6


@dataclass(frozen=True)
class DetectorColumn:
    """Name of a column and kind of its layout; every kind but categorical is ordered.

    `share` is its part of the false-alarm budget in proportion to other features.
    `chosen` is the share of rows by which a reference may overstate its most frequent
    categories, because they were chosen by their counts.
    """

    name: str
    kind: Kind
    share: float = 1.0
    chosen: float = 0.0


@dataclass(frozen=True, eq=False)
class Hour:
    """Counts of one closed hour of one model, or of a window of hours that begins with it.

    `index` counts hours from Monday 1970-01-05 00:00 of the model's own clock, so that
    index mod 168 is the hour of the week. `counts` has one array (bins,) for each
    feature; `missing` (features,) are the rows without a usable value. `special`: a
    holiday, whose traffic need not follow its weekday. `borrowed_index`: the hour whose
    seasonal pattern applies, where it is not `index`.
    """

    index: int
    counts: tuple[np.ndarray, ...]
    missing: np.ndarray
    special: bool = False
    borrowed_index: int | None = None

    @property
    def season_index(self) -> int:
        """The hour whose seasonal pattern applies."""
        return self.index if self.borrowed_index is None else self.borrowed_index

    @property
    def flat(self) -> np.ndarray:
        """The counts of all features side by side, (all bins,)."""
        return np.concatenate(self.counts).astype(float) if self.counts else np.zeros(0)

    @cached_property
    def filled(self) -> np.ndarray:
        """The rows with a usable value, (features,)."""
        cumulative = np.concatenate([[0], np.cumsum(self.flat)])
        bounds = np.cumsum([0, *map(len, self.counts)])
        return np.asarray(np.diff(cumulative[bounds]))  # whole numbers: exact

    @cached_property
    def is_empty(self) -> bool:
        """True for an hour without a row."""
        return not self.missing.any() and not self.filled.any()


@dataclass(frozen=True)
class Stream:
    """One contrast of one feature.

    `bins` are the bins of a category contrast, several for pooled rare categories, and
    empty for other contrasts. `bias` is the possible error of its reference beyond
    sampling, in reference sd.
    """

    feature: str
    contrast: Contrast
    bins: tuple[int, ...] = ()
    bias: float = 0.0


@dataclass(frozen=True, eq=False)
class Streams:
    """All K contrasts of a model: for each feature those of its bins, then its missing share.

    `weights[j]` has the shape (contrasts, bins) of feature j. `missing_share` (features,)
    is the share of missing values in the reference. `shares` (K,) split the false-alarm
    budget and sum to 1.
    """

    streams: tuple[Stream, ...]
    weights: tuple[np.ndarray, ...]
    missing_share: np.ndarray
    shares: np.ndarray

    @cached_property
    def contrasts(self) -> np.ndarray:
        """The contrast of each stream, (K,)."""
        return np.array([stream.contrast for stream in self.streams])

    @cached_property
    def missing(self) -> np.ndarray:
        """Indices of the missing streams, one for each feature in order, (features,)."""
        return np.flatnonzero([s.contrast == "missing" for s in self.streams])

    @cached_property
    def binned(self) -> np.ndarray:
        """Indices of the streams made of bins, (J,)."""
        return np.flatnonzero([s.contrast != "missing" for s in self.streams])

    @cached_property
    def joint(self) -> np.ndarray:
        """Indices of the streams that the joint streams combine.

        These are the streams made of bins with a small bias. A very wide model has too
        many: then the first of each feature, at most MAX_JOINT.
        """
        reliable = self.binned[self.bias[self.binned] <= MIN_BIAS]
        if len(reliable) <= MAX_JOINT:
            return reliable
        first = [k for k in reliable if self._is_first_of_feature(k)]
        return np.array(first[:MAX_JOINT])

    def _is_first_of_feature(self, k: int) -> bool:
        return k == 0 or self.streams[k - 1].feature != self.streams[k].feature

    @cached_property
    def bias(self) -> np.ndarray:
        """Possible error of each stream's reference beyond sampling, (K,), in sd."""
        return np.array([stream.bias for stream in self.streams])

    @cached_property
    def missing_sd(self) -> np.ndarray:
        """Standard deviation of the missing indicator of one row, (features,)."""
        return np.sqrt(self.missing_share * (1 - self.missing_share))

    @cached_property
    def feature_of_binned(self) -> np.ndarray:
        """The feature index of each stream made of bins, (J,)."""
        contrasts = [len(weights) for weights in self.weights]
        return np.repeat(np.arange(len(self.weights)), contrasts)

    @cached_property
    def matrix(self) -> np.ndarray | csr_array:
        """Block-diagonal matrix (all bins, J): counts side by side times it are contrasts.

        It is sparse for a wide model, whose zeros would fill the memory; a dense one is
        faster otherwise.
        """
        blocks = csr_array(block_diag([w.T for w in self.weights], format="csr"))
        entries = blocks.shape[0] * blocks.shape[1]
        return blocks.toarray() if entries <= MAX_DENSE_ENTRIES else blocks


@dataclass(frozen=True, eq=False)
class Scores:
    """Contrasts of T hours.

    `values` and their sampling `variances` are (T, K), `missing` and all `rows`
    (T, features). A value is in reference standard deviations of one row, so its
    sampling variance is 1 / rows.
    """

    values: np.ndarray
    variances: np.ndarray
    missing: np.ndarray
    rows: np.ndarray


def build_streams(
    features: Sequence[DetectorColumn], reference: Sequence[Hour]
) -> Streams:
    """Return the contrasts that the reference supports.

    A feature that is constant or always missing has its missing share only.
    """
    streams: list[Stream] = []
    weights, missing_share, shares = [], [], []
    total_share = sum(feature.share for feature in features)
    ends = np.cumsum([len(counts) for counts in reference[0].counts])
    sums = sum((hour.flat for hour in reference), np.zeros(ends[-1]))
    totals = np.split(sums, ends[:-1])
    all_missing = np.array([hour.missing for hour in reference], dtype=float)
    hourly_rows = np.array([hour.filled for hour in reference]) + all_missing
    median_rows = np.median(hourly_rows, axis=0)
    for feature, counts, missing, rows in zip(
        features, totals, all_missing.sum(axis=0), median_rows, strict=True
    ):
        contrasts, feature_weights, parts = _contrasts_of(feature, counts, rows)
        streams += [*contrasts, Stream(feature.name, "missing")]
        weights.append(feature_weights)
        missing_share.append((missing + 0.5) / (counts.sum() + missing + 1))
        share = np.array([*parts, MISSING_SHARE])
        shares.append(share * feature.share / (share.sum() * total_share))
    return Streams(
        streams=tuple(streams),
        weights=tuple(weights),
        missing_share=np.array(missing_share),
        shares=np.concatenate(shares),
    )


def _contrasts_of(
    feature: DetectorColumn, counts: np.ndarray, rows: float
) -> tuple[list[Stream], np.ndarray, list[float]]:
    """Return a feature's streams of bins, their weights, and their parts of its budget.

    `counts` are those of the reference, `rows` the rows of a median hour.
    """
    if feature.kind != "categorical":
        weights = neyman_contrasts(counts)
        number = len(weights)
        streams = [Stream(feature.name, contrast) for contrast in ORDERED[:number]]
        return streams, weights, list(ORDERED_SHARES[:number])
    min_share = MIN_CATEGORY_ROWS / max(rows, 1)
    weights, groups = category_contrasts(counts, min_share)
    streams = [
        Stream(feature.name, "category", group, _bias(feature, counts, group))
        for group in groups
    ]
    parts = [CATEGORY_SHARE / len(weights)] * len(weights) if len(weights) else []
    return streams, weights, parts


def neyman_contrasts(counts: np.ndarray, degree: int = len(ORDERED)) -> np.ndarray:
    """Return orthonormal polynomials in the normal scores of ordered bins, (contrasts, bins).

    Bin b has the score E[z | z in the normal quantiles of b]. Gram-Schmidt under the
    shares p of `counts` makes sum(p w) = 0, sum(p w^2) = 1 and all products 0. The order
    is location, scale, skewness, kurtosis. Few filled bins give fewer contrasts, one
    filled bin none. Source: Neyman, Smooth test for goodness of fit (1937); Rayner and
    Best, Smooth Tests of Goodness of Fit (1989).

    >>> (np.round(neyman_contrasts(np.array([25, 50, 25])), 4) + 0.0).tolist()
    [[-1.4142, 0.0, 1.4142], [1.0, -1.0, 1.0]]
    """
    if not counts.any():
        return np.zeros((0, len(counts)))
    p = counts / counts.sum()
    scores = _normal_scores(p)
    polynomials = [np.ones_like(p)]
    for power in range(1, degree + 1):
        w = scores**power
        for lower in polynomials:
            w = w - (p * w * lower).sum() * lower
        norm = np.sqrt((p * w * w).sum())
        if norm < 1e-6:
            break
        polynomials.append(w / norm)
    return np.array(polynomials[1:]).reshape(-1, len(counts))


def _normal_scores(p: np.ndarray) -> np.ndarray:
    edges = np.clip(np.concatenate([[0.0], np.cumsum(p)]), 1e-9, 1 - 1e-9)
    density = np.exp(-(ndtri(edges) ** 2) / 2) / np.sqrt(2 * np.pi)
    density[0] = density[-1] = 0
    return np.where(p > 0, -np.diff(density) / np.maximum(p, 1e-12), 0)


def _bias(feature: DetectorColumn, counts: np.ndarray, group: Sequence[int]) -> float:
    share = float(counts[list(group)].sum() / counts.sum())
    return BIAS_FACTOR * feature.chosen / np.sqrt(share * (1 - share))


def category_contrasts(
    counts: np.ndarray, min_share: float
) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Return standardised indicators of categories, (contrasts, bins), and their bins.

    w = (1[b in group] - p) / sqrt(p (1 - p)). At most 8 categories with a share of at
    least `min_share` have their own indicator; the others share one. With two filled
    bins there is one indicator, as the other is its mirror image. Groups with no rows or
    with all rows are left out.

    >>> w, groups = category_contrasts(np.array([80, 20]), 0.01)
    >>> w.round(9).tolist(), groups
    ([[0.5, -2.0]], [(0,)])
    """
    p = counts / max(counts.sum(), 1)
    order = [int(b) for b in np.argsort(-p)]
    number = max(1, min(MAX_CATEGORIES, int((p >= min_share).sum())))
    candidates: list[tuple[int, ...]] = [(b,) for b in order[:number]]
    if len(p) > number:
        candidates.append(tuple(order[number:]))
    if np.count_nonzero(p) == 2:
        candidates = candidates[:1]
    weights, groups = [], []
    for group in candidates:
        indicator = np.zeros(len(p))
        indicator[list(group)] = 1
        share = (p * indicator).sum()
        if 0 < share < 1:
            weights.append((indicator - share) / np.sqrt(share * (1 - share)))
            groups.append(group)
    return np.array(weights).reshape(-1, len(counts)), groups


def score(streams: Streams, hours: Sequence[Hour]) -> Scores:
    """Return the contrasts of each hour.

    A contrast without values is 0 with the variance UNOBSERVED.
    """
    missing = np.array([hour.missing for hour in hours], dtype=float)
    filled = np.array([hour.filled for hour in hours])
    rows = filled + missing
    n = filled[:, streams.feature_of_binned]
    values = np.empty((len(hours), len(streams.streams)))
    variances = np.empty_like(values)
    chunk_hours = max(1, MAX_DENSE_ENTRIES // max(1, streams.matrix.shape[0]))
    for i in range(0, len(hours), chunk_hours):
        chunk = slice(i, i + chunk_hours)
        counts = np.array([hour.flat for hour in hours[chunk]])
        sums = counts @ streams.matrix
        values[chunk, streams.binned] = sums / np.maximum(n[chunk], 1)
    variances[:, streams.binned] = np.where(n > 0, 1 / np.maximum(n, 1), UNOBSERVED)
    excess = missing / np.maximum(rows, 1) - streams.missing_share
    values[:, streams.missing] = excess / streams.missing_sd
    per_row = 1 / np.maximum(rows, 1)
    variances[:, streams.missing] = np.where(rows > 0, per_row, UNOBSERVED)
    return Scores(values, variances, missing, rows)
