"""Multivariate drift: how badly a row is rebuilt from the few directions in which the reference's features vary together.

Each feature is standardised by the reference, a category first put as its share there.
Of the principal components, the first that explain EXPLAINED of the variance are kept;
the error of a row is its Euclidean distance from them, in units of sd: ||z - V V' z||.
It grows when features no longer move together as they did, though none alone has
changed.

Source: Jolliffe (2002), Principal Component Analysis, section 10.1 (the statistic d_1
of an observation); for drift in production, with the same encoding and explained share,
NannyML's data reconstruction.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import categories_of, looked_up, nullable, numpy_of
from monitor.layout import LARGEST, Layout

EXPLAINED = 0.65  # of the variance of the standardised features
FEWEST, MOST = 3, 100  # features
# of the reference for each feature: with fewer, rows that were not learned from look
# worse than those that were
ROWS_EACH = 100
AT_ONCE = 4096  # rows, whose features stay in the cache
# sd that a value counts for at most, so that one broken value does not drown the mean
# of an hour
LIMIT = 10.0


@dataclass(frozen=True)
class Scale:
    """How one feature is standardised; `shares` of its layout's categories in the reference, None for numbers."""

    field: str
    mean: float
    sd: float
    shares: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What is frozen of a reference: scales of d features, and the directions that are left out, shape (d, r)."""

    scales: tuple[Scale, ...]
    residual: np.ndarray

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row that it needs."""
        return tuple(scale.field for scale in self.scales)

    def errors(
        self, rows: pa.RecordBatch | pa.Table, layouts: Mapping[str, Layout]
    ) -> pa.Array:
        """The error of each row, float64 of at least 0, shape (n,); null for a row that has none of the features.

        A value that is missing or invalid counts as the mean of its feature. Rounded to
        9 places, so that rows fall into the same bins whichever rows they come with.
        """
        found = np.empty(rows.num_rows)
        for i, standardised, present in _standardised(self.scales, rows, layouts):
            left = self.residual.T @ standardised
            error = np.round(np.sqrt(np.einsum("ij,ij->j", left, left)), 9)
            found[i : i + len(error)] = np.where(present, error, math.nan)
        return nullable(found)

    def to_json(self) -> str:
        """All of it as JSON."""
        scales = [[s.field, s.mean, s.sd, s.shares] for s in self.scales]
        return json.dumps({"scales": scales, "residual": self.residual.tolist()})

    @classmethod
    def from_json(cls, text: str) -> "Reconstruction":
        """What `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        scales = tuple(
            Scale(f, m, sd, None if s is None else tuple(s))
            for f, m, sd, s in data["scales"]
        )
        return cls(scales, np.array(data["residual"], np.float64))


@dataclass(frozen=True)
class Errors:
    """The errors as a column to profile: with the layouts that say which share a category had."""

    reconstruction: Reconstruction
    layouts: Mapping[str, Layout]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row that it is made from."""
        return self.reconstruction.fields

    def values(self, batch: pa.RecordBatch) -> pa.Array:
        """The error of each row."""
        return self.reconstruction.errors(batch, self.layouts)


def fit(rows: pa.Table, layouts: Mapping[str, Layout]) -> Reconstruction | None:
    """What some reference rows teach, with a column for each of `layouts` (its features), at least FEWEST and at most MOST.

    None when fewer than FEWEST features vary, or there are fewer than ROWS_EACH rows
    for each of them.
    """
    found = [
        _scale(field, _whole(rows, field), layout) for field, layout in layouts.items()
    ]
    scales = tuple(scale for scale in found if scale is not None)
    if not FEWEST <= len(scales) <= MOST or rows.num_rows < ROWS_EACH * len(scales):
        return None
    standardised = np.concatenate(
        [some.copy() for _, some, _ in _standardised(scales, rows, layouts)], axis=1
    )
    variances, directions = np.linalg.eigh(np.cov(standardised))
    explained = np.cumsum(variances[::-1]) / variances.sum()
    kept = min(int(np.searchsorted(explained, EXPLAINED)) + 1, len(scales) - 1)
    return Reconstruction(scales, directions[:, : len(scales) - kept])


def _scale(field: str, values: pa.Array, layout: Layout) -> Scale | None:
    """None for a feature that does not vary."""
    shares = _shares(values, layout) if layout.kind == "categorical" else None
    x, usable = _numbers(values, layout, shares)
    x = x[usable]
    if not len(x):
        return None
    mean, sd = float(x.mean()), float(x.std())
    return (
        Scale(field, mean, sd, shares) if sd > 1e-9 * float(np.abs(x).max()) else None
    )


def _shares(values: pa.Array, layout: Layout) -> tuple[float, ...]:
    """The share of each category among the values; of the rare ones, which have no bin of their own, none is kept."""
    counted = {
        pair["values"]: pair["counts"]
        for pair in pc.value_counts(values.drop_null()).to_pylist()
    }
    n = max(1, len(values) - values.null_count)
    return tuple(counted.get(category, 0) / n for category in layout.categories)


def _standardised(
    scales: Sequence[Scale],
    rows: pa.RecordBatch | pa.Table,
    layouts: Mapping[str, Layout],
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The features in sd from their means, AT_ONCE rows at a time: the first row, the features of shape (d, n), which the
    next overwrites, and which rows have any of them, shape (n,).
    """
    columns = [
        _numbers(_whole(rows, s.field), layouts[s.field], s.shares) for s in scales
    ]
    all_present = any(usable.all() for _, usable in columns)
    found = np.empty((len(scales), min(AT_ONCE, rows.num_rows)))
    for i in range(0, rows.num_rows, AT_ONCE):
        some = found[:, : min(AT_ONCE, rows.num_rows - i)]
        present = np.full(some.shape[1], all_present)
        for row, scale, (x, usable) in zip(some, scales, columns, strict=True):
            here = usable[i : i + AT_ONCE]
            with np.errstate(invalid="ignore", over="ignore"):
                np.subtract(x[i : i + AT_ONCE], scale.mean, out=row)
                np.multiply(row, 1 / scale.sd, out=row)
            np.minimum(row, LIMIT, out=row)
            np.maximum(row, -LIMIT, out=row)
            if not here.all():
                row[~here] = 0.0
            if not all_present:
                present |= here
        yield i, some, present


def _numbers(
    values: pa.Array, layout: Layout, shares: tuple[float, ...] | None
) -> tuple[np.ndarray, np.ndarray]:
    """A feature as numbers, shape (n,), and which of them are usable: neither missing nor invalid."""
    valid = (
        numpy_of(values.is_valid()) if values.null_count else np.ones(len(values), bool)
    )
    if shares is None:
        x = numpy_of(
            values if pa.types.is_float64(values.type) else values.cast(pa.float64())
        )
        with np.errstate(invalid="ignore"):
            return x, valid & (np.abs(x) < LARGEST)
    names, codes = categories_of(values)
    by_code = (
        looked_up(names, layout.categories, np.array([*shares, 0.0]))
        if len(names)
        else np.zeros(1)
    )
    return by_code[np.where(valid, codes, 0)], valid


def _whole(rows: pa.RecordBatch | pa.Table, field: str) -> pa.Array:
    column = rows[field]
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
