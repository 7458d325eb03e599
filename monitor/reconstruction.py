"""Multivariate drift: the error of a row's reconstruction from principal components.

Each feature is standardised by the reference; a category first becomes its share there.
The first principal components that explain EXPLAINED_SHARE of the variance stay. The
error of a row is its Euclidean distance from them, in sd: ||z - V V' z||. It grows when
the correlations of the features change, even if no single feature does.

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
from monitor.layout import MAX_MAGNITUDE, Layout

EXPLAINED_SHARE = 0.65  # of the variance of the standardised features
MIN_FEATURES = 3
MAX_FEATURES = 100
# of the reference: with fewer, rows outside the reference have larger errors than its
# own
MIN_ROWS_PER_FEATURE = 100
BLOCK_ROWS = 4096  # rows, whose features stay in the cache
# of one value, so that a broken one does not dominate the mean of an hour
MAX_SD = 10.0


@dataclass(frozen=True)
class Scale:
    """The standardisation of one feature.

    `shares`: of its layout's categories in the reference; None for numbers.
    """

    field: str
    mean: float
    sd: float
    shares: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The frozen scales of d features, and the directions left out, shape (d, r)."""

    scales: tuple[Scale, ...]
    residual: np.ndarray

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row that it needs."""
        return tuple(scale.field for scale in self.scales)

    def errors(
        self, rows: pa.RecordBatch | pa.Table, layouts: Mapping[str, Layout]
    ) -> pa.Array:
        """The error of each row, float64, shape (n,); null for a row without any feature.

        A missing or invalid value counts as the mean of its feature. Rounded to 9
        places, so that the bin of a row does not depend on the rows beside it.
        """
        errors = np.empty(rows.num_rows)
        for i, standardised, present in _standardised(self.scales, rows, layouts):
            residual = self.residual.T @ standardised
            squares = np.einsum("ij,ij->j", residual, residual)
            error = np.round(np.sqrt(squares), 9)
            errors[i : i + len(error)] = np.where(present, error, math.nan)
        return nullable(errors)

    def to_json(self) -> str:
        """The reconstruction as JSON."""
        scales = [[s.field, s.mean, s.sd, s.shares] for s in self.scales]
        return json.dumps({"scales": scales, "residual": self.residual.tolist()})

    @classmethod
    def from_json(cls, text: str) -> "Reconstruction":
        """The reconstruction that `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        scales = tuple(
            Scale(f, m, sd, None if s is None else tuple(s))
            for f, m, sd, s in data["scales"]
        )
        return cls(scales, np.array(data["residual"], np.float64))


@dataclass(frozen=True)
class Errors:
    """The errors as a derived column; the layouts give the share of each category."""

    reconstruction: Reconstruction
    layouts: Mapping[str, Layout]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row that it is computed from."""
        return self.reconstruction.fields

    def values(self, batch: pa.RecordBatch) -> pa.Array:
        """The error of each row."""
        return self.reconstruction.errors(batch, self.layouts)


def fit(rows: pa.Table, layouts: Mapping[str, Layout]) -> Reconstruction | None:
    """Learn the reconstruction from reference rows, with a column for each of `layouts`.

    None when fewer than MIN_FEATURES features vary, or more than MAX_FEATURES, or there
    are fewer than MIN_ROWS_PER_FEATURE rows for each of them.
    """
    candidates = [
        _scale(field, _whole(rows, field), layout) for field, layout in layouts.items()
    ]
    scales = tuple(scale for scale in candidates if scale is not None)
    if not MIN_FEATURES <= len(
        scales
    ) <= MAX_FEATURES or rows.num_rows < MIN_ROWS_PER_FEATURE * len(scales):
        return None
    standardised = np.concatenate(
        [block.copy() for _, block, _ in _standardised(scales, rows, layouts)], axis=1
    )
    variances, directions = np.linalg.eigh(np.cov(standardised))
    explained = np.cumsum(variances[::-1]) / variances.sum()
    components = min(
        int(np.searchsorted(explained, EXPLAINED_SHARE)) + 1, len(scales) - 1
    )
    return Reconstruction(scales, directions[:, : len(scales) - components])


def _scale(field: str, values: pa.Array, layout: Layout) -> Scale | None:
    """The standardisation of a feature; None if it does not vary."""
    shares = _shares(values, layout) if layout.kind == "categorical" else None
    x, usable = _numbers(values, layout, shares)
    x = x[usable]
    if not len(x):
        return None
    mean, sd = float(x.mean()), float(x.std())
    if sd <= 1e-9 * float(np.abs(x).max()):
        return None
    return Scale(field, mean, sd, shares)


def _shares(values: pa.Array, layout: Layout) -> tuple[float, ...]:
    """The share of each category that has its own bin."""
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
    """The features in sd from their means, BLOCK_ROWS rows at a time.

    Yields the number of the first row, the features, shape (d, n), and whether a row
    has any of them, shape (n,). The next block overwrites the features.
    """
    columns = [
        _numbers(_whole(rows, s.field), layouts[s.field], s.shares) for s in scales
    ]
    all_present = any(usable.all() for _, usable in columns)
    buffer = np.empty((len(scales), min(BLOCK_ROWS, rows.num_rows)))
    for i in range(0, rows.num_rows, BLOCK_ROWS):
        block = buffer[:, : min(BLOCK_ROWS, rows.num_rows - i)]
        present = np.full(block.shape[1], all_present)
        for row, scale, (x, usable) in zip(block, scales, columns, strict=True):
            here = usable[i : i + BLOCK_ROWS]
            with np.errstate(invalid="ignore", over="ignore"):
                np.subtract(x[i : i + BLOCK_ROWS], scale.mean, out=row)
                np.multiply(row, 1 / scale.sd, out=row)
            np.minimum(row, MAX_SD, out=row)
            np.maximum(row, -MAX_SD, out=row)
            if not here.all():
                row[~here] = 0.0
            if not all_present:
                present |= here
        yield i, block, present


def _numbers(
    values: pa.Array, layout: Layout, shares: tuple[float, ...] | None
) -> tuple[np.ndarray, np.ndarray]:
    """A feature as numbers, and True where one is neither missing nor invalid; shape (n,)."""
    valid = np.ones(len(values), bool)
    if values.null_count:
        valid = numpy_of(values.is_valid())
    if shares is None:
        if not pa.types.is_float64(values.type):
            values = values.cast(pa.float64())
        x = numpy_of(values)
        with np.errstate(invalid="ignore"):
            return x, valid & (np.abs(x) < MAX_MAGNITUDE)
    names, codes = categories_of(values)
    by_code = np.zeros(1)
    if len(names):
        by_code = looked_up(names, layout.categories, np.array([*shares, 0.0]))
    return by_code[np.where(valid, codes, 0)], valid


def _whole(rows: pa.RecordBatch | pa.Table, field: str) -> pa.Array:
    column = rows[field]
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
