"""The watched streams: contrasts of an hour's bin counts, with mean 0 and variance 1 in the reference."""

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
ORDERED_SHARES = (0.4, 0.25, 0.1, 0.1)
CATEGORY_SHARE = 0.85
MISSING_SHARE = 0.15
MAX_CATEGORIES = 8
# a category with fewer rows in a usual hour is pooled with the other rare ones
EXPECTED_ROWS = 5
# streams whose covariances are known: they are squared in memory and in time
MAX_JOINT = 400
DENSE = 4_000_000  # entries
BIASES = 2  # of `chosen` are tolerated: it is an estimate itself
MIN_BIAS = 0.03  # in reference sd
# sampling variance of a contrast without values: the filter learns nothing from it
UNOBSERVED = 1e6


@dataclass(frozen=True)
class DetectorColumn:
    """The name of a column and the kind of its layout; every kind but categorical is ordered.

    `share` is its part of the budget of false pages beside the other features', 1 as
    usual. `chosen`: the share of rows by which a reference may overstate the categories
    that it was asked for the most frequent of.
    """

    name: str
    kind: Kind
    share: float = 1.0
    chosen: float = 0.0


@dataclass(frozen=True, eq=False)
class Hour:
    """The counts of one closed hour of one model, or of a window of several that begins with that hour.

    `index` counts hours from Monday 1970-01-05 00:00, so that index mod 168 is the hour
    of the week (of the model's own clock, if it has one). `counts` has one array of
    shape (bins,) for each feature, `missing` the rows without a usable value, shape
    (features,). `special`: a holiday, whose traffic is not expected to look like its
    weekday. `like`: the hour whose usual values are expected, where that is not
    `index`.
    """

    index: int
    counts: tuple[np.ndarray, ...]
    missing: np.ndarray
    special: bool = False
    like: int | None = None

    @property
    def usual(self) -> int:
        """The hour whose usual values are expected."""
        return self.index if self.like is None else self.like

    @property
    def flat(self) -> np.ndarray:
        """The counts of all features side by side, (all bins,)."""
        return np.concatenate(self.counts).astype(float) if self.counts else np.zeros(0)

    @cached_property
    def filled(self) -> np.ndarray:
        """The rows with a usable value, (features,)."""
        up_to = np.concatenate([[0], np.cumsum(self.flat)])[
            np.cumsum([0, *map(len, self.counts)])
        ]
        return np.asarray(np.diff(up_to))  # whole numbers: exact

    @cached_property
    def is_empty(self) -> bool:
        """True when the hour has no row."""
        return not self.missing.any() and not self.filled.any()


@dataclass(frozen=True)
class Stream:
    """One contrast of one feature. `bins` are the bins of a category contrast (several: rare ones pooled), else empty.

    `bias`: how far its reference may be off, in reference sd, beyond what sampling
    makes.
    """

    feature: str
    contrast: Contrast
    bins: tuple[int, ...] = ()
    bias: float = 0.0


@dataclass(frozen=True, eq=False)
class Streams:
    """All contrasts of a model: for each feature those of its bins, then its missing share; K in all.

    `weights[j]` has shape (contrasts, bins) of feature j; `missing_share` (features,)
    is the reference share of missing values; `shares` (K,) splits the budget of false
    pages, and sums to 1.
    """

    streams: tuple[Stream, ...]
    weights: tuple[np.ndarray, ...]
    missing_share: np.ndarray
    shares: np.ndarray

    @cached_property
    def contrasts(self) -> np.ndarray:
        """The contrast of each stream, (K,)."""
        return np.array([s.contrast for s in self.streams])

    @cached_property
    def missing(self) -> np.ndarray:
        """Indices of the missing streams, one for each feature in order, shape (features,)."""
        return np.flatnonzero([s.contrast == "missing" for s in self.streams])

    @cached_property
    def binned(self) -> np.ndarray:
        """Indices of the streams made of bins, shape (J,)."""
        return np.flatnonzero([s.contrast != "missing" for s in self.streams])

    @cached_property
    def joint(self) -> np.ndarray:
        """Indices of the streams that the joint streams look at, shape (J,): all made of bins whose reference is known well,
        of very wide models some.
        """
        reliable = self.binned[self.bias[self.binned] <= MIN_BIAS]
        if len(reliable) <= MAX_JOINT:
            return reliable
        first = [
            k
            for k in reliable
            if k == 0 or self.streams[k - 1].feature != self.streams[k].feature
        ]
        return np.array(first[:MAX_JOINT])

    @cached_property
    def bias(self) -> np.ndarray:
        """The possible error of the reference of each stream beyond sampling, (K,), in reference sd."""
        return np.array([s.bias for s in self.streams])

    @cached_property
    def missing_sd(self) -> np.ndarray:
        """Standard deviation of the missing indicator of one row, shape (features,)."""
        return np.sqrt(self.missing_share * (1 - self.missing_share))

    @cached_property
    def feature_of_binned(self) -> np.ndarray:
        """The feature index of each stream made of bins, shape (J,)."""
        return np.repeat(np.arange(len(self.weights)), [len(w) for w in self.weights])

    @cached_property
    def matrix(self) -> np.ndarray | csr_array:
        """Block diagonal, so that all features' counts side by side times it are all contrasts, (all bins, J)."""
        blocks = csr_array(block_diag([w.T for w in self.weights], format="csr"))
        # a wide model's zeros would fill the memory, a usual one's are faster than
        # sparse indices
        return (
            blocks.toarray() if blocks.shape[0] * blocks.shape[1] <= DENSE else blocks
        )


@dataclass(frozen=True, eq=False)
class Scores:
    """Contrasts of T hours: `values` and their sampling `variances` (T, K); `missing` and all `rows` (T, features).

    A value is in reference standard deviations of one row, so its sampling variance is
    1 / rows.
    """

    values: np.ndarray
    variances: np.ndarray
    missing: np.ndarray
    rows: np.ndarray


def build_streams(
    features: Sequence[DetectorColumn], reference: Sequence[Hour]
) -> Streams:
    """The contrasts that the reference supports; a constant or all-null feature keeps its missing share only."""
    streams: list[Stream] = []
    weights, missing_share, shares = [], [], []
    total_share = sum(feature.share for feature in features)
    ends = np.cumsum([len(c) for c in reference[0].counts])
    totals = np.split(sum((h.flat for h in reference), np.zeros(ends[-1])), ends[:-1])
    all_missing = np.array([h.missing for h in reference], dtype=float)
    usual_rows = np.median(
        np.array([h.filled for h in reference]) + all_missing, axis=0
    )
    for feature, counts, missing, usual in zip(
        features, totals, all_missing.sum(axis=0), usual_rows, strict=True
    ):
        if feature.kind == "categorical":
            w, groups = category_contrasts(counts, EXPECTED_ROWS / max(usual, 1))
            own = [
                Stream(feature.name, "category", g, _bias(feature, counts, g))
                for g in groups
            ]
            parts = [CATEGORY_SHARE / len(w)] * len(w) if len(w) else []
        else:
            w = neyman_contrasts(counts)
            own = [Stream(feature.name, contrast) for contrast in ORDERED[: len(w)]]
            parts = list(ORDERED_SHARES[: len(w)])
        streams += [*own, Stream(feature.name, "missing")]
        weights.append(w)
        missing_share.append((missing + 0.5) / (counts.sum() + missing + 1))
        share = np.array([*parts, MISSING_SHARE])
        shares.append(share * feature.share / (share.sum() * total_share))
    return Streams(
        tuple(streams), tuple(weights), np.array(missing_share), np.concatenate(shares)
    )


def neyman_contrasts(counts: np.ndarray, degree: int = len(ORDERED)) -> np.ndarray:
    """Orthonormal polynomials in the normal scores of ordered bins: weights of shape (contrasts, bins).

    Bin b has the score E[z | z in the normal quantiles of b]; Gram-Schmidt under the
    shares p of `counts` makes sum(p w) = 0, sum(p w^2) = 1 and all products 0. First
    location, then scale, skewness, kurtosis; fewer when fewer bins are filled, none
    when at most one is. Source: Neyman, Smooth test for goodness of fit (1937); Rayner
    and Best, Smooth Tests of Goodness of Fit (1989).

    >>> (np.round(neyman_contrasts(np.array([25, 50, 25])), 4) + 0.0).tolist()
    [[-1.4142, 0.0, 1.4142], [1.0, -1.0, 1.0]]
    """
    if not counts.any():
        return np.zeros((0, len(counts)))
    p = counts / counts.sum()
    score = _normal_scores(p)
    polynomials = [np.ones_like(p)]
    for power in range(1, degree + 1):
        w = score**power
        for earlier in polynomials:
            w = w - (p * w * earlier).sum() * earlier
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
    return BIASES * feature.chosen / np.sqrt(share * (1 - share))


def category_contrasts(
    counts: np.ndarray, least_share: float
) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Standardised indicators of the largest categories and of the pooled rest: (contrasts, bins), and their bins.

    w = (1[b in group] - p) / sqrt(p (1 - p)). At most 8 categories of at least
    `least_share` have their own; of two filled bins only one, the other is its mirror
    image. Groups that hold nothing or everything are left out.

    >>> w, groups = category_contrasts(np.array([80, 20]), 0.01)
    >>> w.round(9).tolist(), groups
    ([[0.5, -2.0]], [(0,)])
    """
    weights, categories = [], []
    p = counts / max(counts.sum(), 1)
    order = [int(b) for b in np.argsort(-p)]
    own = max(1, min(MAX_CATEGORIES, int((p >= least_share).sum())))
    groups = [(b,) for b in order[:own]] + (
        [tuple(order[own:])] if len(p) > own else []
    )
    for group in groups[:1] if np.count_nonzero(p) == 2 else groups:
        indicator = np.zeros(len(p))
        indicator[list(group)] = 1
        share = (p * indicator).sum()
        if 0 < share < 1:
            weights.append((indicator - share) / np.sqrt(share * (1 - share)))
            categories.append(group)
    return np.array(weights).reshape(-1, len(counts)), categories


def score(streams: Streams, hours: Sequence[Hour]) -> Scores:
    """The contrasts of each hour; one without values is 0 with the variance UNOBSERVED."""
    missing = np.array([h.missing for h in hours], dtype=float)
    filled = np.array([h.filled for h in hours])
    rows = filled + missing
    n = filled[:, streams.feature_of_binned]
    values = np.empty((len(hours), len(streams.streams)))
    variances = np.empty_like(values)
    at_once = max(1, DENSE // max(1, streams.matrix.shape[0]))
    for i in range(0, len(hours), at_once):
        block = slice(i, i + at_once)
        counts = np.array([h.flat for h in hours[block]])
        values[block, streams.binned] = (
            counts @ streams.matrix / np.maximum(n[block], 1)
        )
    variances[:, streams.binned] = np.where(n > 0, 1 / np.maximum(n, 1), UNOBSERVED)
    values[:, streams.missing] = (
        missing / np.maximum(rows, 1) - streams.missing_share
    ) / streams.missing_sd
    variances[:, streams.missing] = np.where(
        rows > 0, 1 / np.maximum(rows, 1), UNOBSERVED
    )
    return Scores(values, variances, missing, rows)
