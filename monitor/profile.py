"""Profiles: bin counts and sums of one column in one time bucket; merging is adding."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np

from monitor.errors import LayoutMismatch
from monitor.layout import LOG_BASE, Layout


@dataclass(frozen=True, eq=False)
class Profile:
    """Bin counts and additive moments of one column over some time.

    Of one model, version and segment.

    `rows` = `missing` (null) + `invalid` (NaN, infinity, wrong type) + sum of `counts`,
    always. `counts` has shape (layout.size,), whole numbers. `sum` and `sum_sq` are
    over the counted values of ordered layouts, 0 for categories. `min` and `max` are
    NaN when nothing was counted or the column may be corrected later.
    """

    layout: Layout
    counts: np.ndarray
    rows: int = 0
    missing: int = 0
    invalid: int = 0
    sum: float = 0.0
    sum_sq: float = 0.0
    min: float = math.nan
    max: float = math.nan

    @property
    def n(self) -> int:
        """The number of counted values."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float | None:
        """Mean of the counted values; None without values or for categories."""
        if self.layout.kind == "categorical" or not self.n:
            return None
        return self.sum / self.n

    @property
    def variance(self) -> float | None:
        """Unbiased variance of the counted values; None with fewer than two."""
        n = self.n
        if n < 2 or self.layout.kind == "categorical":
            return None
        return max(0.0, (self.sum_sq - self.sum * self.sum / n) / (n - 1))

    def shares(self) -> np.ndarray:
        """The share of each bin, shape (layout.size,); zeros when nothing is counted."""
        return self.counts / max(1, self.n)

    def inner(self) -> "Profile":
        """The profile on `layout.inner`, as distances use it."""
        return self if self.layout.inner is self.layout else self._inner

    @cached_property
    def _inner(self) -> "Profile":
        # cached: a reference is compared with every window of a page
        layout = self.layout.inner
        counts = np.bincount(self.layout.inner_bins, self.counts, layout.size).astype(
            np.int64
        )
        moments = (
            self.rows,
            self.missing,
            self.invalid,
            self.sum,
            self.sum_sq,
            self.min,
            self.max,
        )
        return Profile(layout, counts, *moments)

    def quantile(self, q: float) -> float | None:
        """The q-quantile of an ordered layout, 0 <= q <= 1; None without values.

        In a log layout it is within 1 % of the order statistic of rank ceil(q n).
        """
        n = self.n
        if n == 0:
            return None
        rank = min(n, max(1, math.ceil(q * n)))
        i = int(np.searchsorted(np.cumsum(self.counts), rank, side="left"))
        upper = self.layout.upper_bounds()
        if self.layout.kind == "log":
            # the mid-point that is off by the same factor on both sides of the bin
            return 0.0 if i == 0 else float(2 * upper[i] / (1 + LOG_BASE))
        if math.isnan(self.max):
            return float(upper[i])
        return float(min(upper[i], self.max))

    def __add__(self, other: "Profile") -> "Profile":
        """The profile of both spans together.

        Raises LayoutMismatch when the layouts differ.
        """
        check_same_layout(self, other)
        return Profile(
            self.layout,
            self.counts + other.counts,
            self.rows + other.rows,
            self.missing + other.missing,
            self.invalid + other.invalid,
            self.sum + other.sum,
            self.sum_sq + other.sum_sq,
            float(np.fmin(self.min, other.min)),
            float(np.fmax(self.max, other.max)),
        )


@dataclass(frozen=True, eq=False)
class Steps(Sequence[Profile]):
    """The profiles of one column by step, each made at its access.

    As objects they need five times the memory.

    `counts` (T, layout.size) are whole numbers, `moments` (T, 7) the other fields of
    each profile in their order.
    """

    layout: Layout
    counts: np.ndarray
    moments: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    @overload
    def __getitem__(self, which: int) -> Profile: ...

    @overload
    def __getitem__(self, which: slice) -> "Steps": ...

    def __getitem__(self, which: int | slice) -> "Profile | Steps":
        if isinstance(which, slice):
            return Steps(self.layout, self.counts[which], self.moments[which])
        rows, missing, invalid, *sums = self.moments[which].tolist()
        return Profile(
            self.layout,
            self.counts[which],
            int(rows),
            int(missing),
            int(invalid),
            *sums,
        )


def empty(layout: Layout) -> Profile:
    """The profile of no rows: the neutral element of merging."""
    return Profile(layout, np.zeros(layout.size, dtype=np.int64))


def merge(profiles: Iterable[Profile], layout: Layout) -> Profile:
    """The sum of all profiles; the empty profile when there are none."""
    total = empty(layout)
    counts, sums = total.counts, (0, 0, 0, 0.0, 0.0)
    low = high = math.nan
    for profile in profiles:
        check_same_layout(total, profile)
        counts = counts + profile.counts
        rows, missing, invalid, of_values, of_squares = sums
        sums = (
            rows + profile.rows,
            missing + profile.missing,
            invalid + profile.invalid,
            of_values + profile.sum,
            of_squares + profile.sum_sq,
        )
        low = profile.min if math.isnan(low) or profile.min < low else low
        high = profile.max if math.isnan(high) or profile.max > high else high
    return Profile(layout, counts, *sums, low, high)


def sliding(
    profiles: Sequence[Profile], widths: Sequence[int], ends: Sequence[int]
) -> list[Profile]:
    """The merged profile of `widths` neighbours before each index in `ends`.

    By differences of running sums. Counts are exact, sums equal to 1e-9 relative; `min` and `max` cannot be subtracted
    and are NaN.
    """
    zero = np.zeros((1, profiles[0].layout.size), dtype=np.int64)
    counts = np.concatenate([zero, np.cumsum([p.counts for p in profiles], axis=0)])
    sums = np.array(
        [(p.rows, p.missing, p.invalid, p.sum, p.sum_sq) for p in profiles], dtype=float
    )
    sums = np.concatenate([np.zeros((1, 5)), np.cumsum(sums, axis=0)])
    merged = []
    for width, end in zip(widths, ends, strict=True):
        start = max(0, end - width)
        m = sums[end] - sums[start]
        merged.append(
            Profile(
                profiles[0].layout,
                counts[end] - counts[start],
                int(m[0]),
                int(m[1]),
                int(m[2]),
                float(m[3]),
                float(m[4]),
            )
        )
    return merged


def of_counts(
    *counts: int, layout: Layout | None = None, missing: int = 0, invalid: int = 0
) -> Profile:
    """A profile with these bin counts, for examples and tests.

    By default the bins are categories a, b, c ….

    The last two bins of a categorical layout, "other" and "new", are empty unless given
    with an own layout.
    """
    if layout is None:
        names = tuple(
            chr(ord("a") + i) if i < 26 else f"c{i}" for i in range(len(counts))
        )
        layout = Layout("categorical", (), names)
        counts = (*counts, 0, 0)
    array = np.asarray(counts, dtype=np.int64)
    return Profile(
        layout, array, int(array.sum()) + missing + invalid, missing, invalid
    )


def check_same_layout(first: Profile, second: Profile) -> None:
    """Raises LayoutMismatch, naming both, unless the two profiles share a layout."""
    if first.layout is not second.layout and first.layout.id != second.layout.id:
        raise LayoutMismatch(first.layout.id, second.layout.id)


def paired_counts(
    reference: Profile, current: Profile, max_bins: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of both profiles on the same bins, shape (k,) each, to compare them.

    Categories: "new" is left out, as it has no share in the reference and is a finding
    of its own. It counts with "other" where new values are expected by chance: there
    some of the reference's rare ones do not occur again. Bins empty on both sides are
    left out too. Ordered layouts with more than `max_bins` bins (score,
    latency, status) are merged into groups of about equal reference counts. Values
    beyond the reference's range count with its ends. Raises LayoutMismatch.
    """
    check_same_layout(reference, current)
    reference, current = reference.inner(), current.inner()
    r, c = reference.counts.astype(float), current.counts.astype(float)
    if reference.layout.kind == "categorical":
        unseen = reference.layout.unseen
        r, c = _without_new(r, unseen), _without_new(c, unseen)
        occupied = (r + c) > 0
        return r[occupied], c[occupied]
    if reference.layout.kind == "numeric" and r.size <= 2 * max_bins + 1:
        return r, c
    which = grouping(r if r.sum() else c, max_bins)
    size = int(which.max()) + 1
    return np.bincount(which, r, size), np.bincount(which, c, size)


def _without_new(counts: np.ndarray, unseen: float) -> np.ndarray:
    """The counts without the bin "new", added to "other" where new values are expected."""
    remaining = counts[:-1].copy()
    if unseen:
        remaining[-1] += counts[-1]
    return remaining


def grouping(counts: np.ndarray, groups: int = 20) -> np.ndarray:
    """The group 0, 1, .. of each bin of an ordered layout, shape (bins,).

    Groups have about equal counts.

    >>> grouping(np.array([5, 0, 5, 10, 20]), 2).tolist()
    [0, 0, 0, 0, 1]
    """
    total = counts.sum()
    if total == 0:
        return np.zeros(counts.size, dtype=int)
    before = np.concatenate([[0.0], np.cumsum(counts)[:-1]])
    which = np.minimum(
        groups - 1, np.floor((before + counts / 2) / total * groups)
    ).astype(int)
    _, which = np.unique(which, return_inverse=True)
    return np.asarray(which)
