"""Profiles computed in the server's process: Arrow columns into bins with numpy."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from monitor.arrow_columns import (
    BATCH_ROWS,
    arrow_of,
    categories_of,
    looked_up,
    nullable,
    numpy_of,
    texts_of,
)
from monitor.contracts import (
    BINS,
    MAX_NEW_VALUES,
    MOMENTS,
    NEW_VALUES,
    ProfileColumn,
    ProfileTables,
)

WIDTHS = {"minute": 60_000_000, "hour": 3_600_000_000}


def profile(
    rows: pa.Table | Iterable[pa.RecordBatch], columns: Sequence[ProfileColumn]
) -> ProfileTables:
    """Bins, moments and new values of `columns`, by version and time bucket.

    `rows` has `ts` (timestamp[us], UTC), `version` (string) and the measured fields:
    numbers for ordered layouts, strings or dictionaries of strings for categories.
    """
    slices = Slices()
    counts = [ColumnCounts(column) for column in columns]
    categorical = [c.source for c in columns if c.layout.kind == "categorical"]
    names = {source for source in categorical if isinstance(source, str)}
    widths = {column.bucket for column in columns}
    for plain in _batches(rows):
        batch = _coded(plain, names)
        groups = {width: slices.group(batch, width) for width in widths}
        for column, count in zip(columns, counts, strict=True):
            count.add(batch, groups[column.bucket])
    return ProfileTables(
        _bins(slices, counts), _moments(slices, counts), _new_values(slices, counts)
    )


def _batches(rows: pa.Table | Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    batches = (
        rows.to_batches(max_chunksize=BATCH_ROWS)
        if isinstance(rows, pa.Table)
        else rows
    )
    return (batch for batch in batches if batch.num_rows)


def _coded(batch: pa.RecordBatch, fields: Collection[str]) -> pa.RecordBatch:
    """The batch with some columns as dictionaries, which a derived column may need, too."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in fields and not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        columns.append(column)
    return pa.record_batch(columns, names=batch.schema.names)


@dataclass(frozen=True)
class RowSlices:
    """The slice of each row of one batch."""

    of_row: np.ndarray  # from 0, by row
    numbers: np.ndarray  # among all slices, by slice of the batch
    rows: np.ndarray  # by slice of the batch
    ts: np.ndarray
    order: np.ndarray | slice  # that sorts the rows by slice


class Slices:
    """The slices of all batches: each a version in a time bucket, numbered from 0."""

    def __init__(self) -> None:
        # version and start of the bucket in microseconds
        self._numbers: dict[tuple[str, int], int] = {}

    def group(self, batch: pa.RecordBatch, width: str) -> RowSlices:
        """The slices of a batch's rows, in buckets of a `minute` or an `hour`."""
        ts = numpy_of(batch["ts"].cast(pa.timestamp("us")).view(pa.int64()))
        versions = batch["version"].fill_null("").dictionary_encode()
        bucket = ts // WIDTHS[width]
        first, n_versions = int(bucket.min()), len(versions.dictionary)
        code = (bucket - first) * n_versions + numpy_of(versions.indices)
        if int(code.max()) < 4 * len(code) + 4096:
            present = np.flatnonzero(np.bincount(code))
            place = np.zeros(present[-1] + 1, np.int64)
            place[present] = np.arange(len(present))
            of_row = place[code]
        else:
            present, of_row = np.unique(code, return_inverse=True)
        names = versions.dictionary.to_pylist()
        keys = [
            (names[c % n_versions], (first + c // n_versions) * WIDTHS[width])
            for c in present.tolist()
        ]
        numbers = np.array([self._number(key) for key in keys], np.int64)
        # numbers of 16 bits are put in order by counting, in linear time
        narrow = of_row.astype(np.uint16) if len(keys) < 1 << 16 else of_row
        order = np.argsort(narrow, kind="stable") if len(keys) > 1 else slice(None)
        rows = np.bincount(of_row, minlength=len(keys))
        return RowSlices(of_row, numbers, rows, ts, order)

    def _number(self, key: tuple[str, int]) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def arrays(self) -> tuple[pa.Array, pa.Array]:
        """Version and bucket of every slice, by number."""
        starts = np.array([start for _, start in self._numbers], np.int64)
        return texts_of(self.versions), arrow_of(starts).view(pa.timestamp("us"))

    @property
    def versions(self) -> list[str]:
        """The version of every slice, by number."""
        return [version for version, _ in self._numbers]


@dataclass
class ColumnCounts:
    """Counts of one column: bins and moments for each batch, and new values."""

    column: ProfileColumn
    # slice, bin and rows
    bins: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    # slice, and 7 figures: rows, missing, invalid, sum, sum of squares, min, max
    moments: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    # (slice, value) to (rows, time of the first)
    new: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch, groups: RowSlices) -> None:
        """Count the rows of a batch."""
        values = self.column.values(batch)
        if self.column.layout.kind == "categorical":
            self._add_categories(values, groups)
        else:
            self._add_numbers(values, groups)

    def _add_numbers(self, values: pa.Array, groups: RowSlices) -> None:
        layout, n = self.column.layout, len(groups.numbers)
        x = numpy_of(
            values if pa.types.is_float64(values.type) else values.cast(pa.float64())
        )
        bins, missing = layout.bins_of(x), np.zeros(n, np.int64)
        if values.null_count:
            valid = numpy_of(values.is_valid())
            missing = np.bincount(groups.of_row[~valid], minlength=n)
            bins = np.where(valid, bins, -1)
        x, bins = x[groups.order], bins[groups.order]
        usable = bins >= 0
        counted = np.add.reduceat(
            usable, np.cumsum(groups.rows) - groups.rows, dtype=np.int64
        )
        if not usable.all():
            x, bins = x[usable], bins[usable]
        sums, extremes = np.zeros((2, n)), np.full((2, n), np.nan)
        filled = counted > 0
        # the first row of each slice: a slice's rows stand together
        first = (np.cumsum(counted) - counted)[filled]
        if len(first):
            sums[0, filled] = np.add.reduceat(x, first)
            sums[1, filled] = np.add.reduceat(x * x, first)
            if self.column.extremes:
                extremes[0, filled] = np.minimum.reduceat(x, first)
                extremes[1, filled] = np.maximum.reduceat(x, first)
        invalid = groups.rows - missing - counted
        figures = np.stack([groups.rows, missing, invalid, *sums, *extremes])
        self.moments.append((groups.numbers, figures))
        self._add_bins(np.repeat(np.arange(n), counted), bins, groups)

    def _add_categories(self, values: pa.Array, groups: RowSlices) -> None:
        layout, n = self.column.layout, len(groups.numbers)
        names, codes = categories_of(values)
        slices, ts = groups.of_row, groups.ts
        missing = np.zeros(n, np.int64)
        if values.null_count:
            valid = numpy_of(values.is_valid())
            missing = np.bincount(slices[~valid], minlength=n)
            codes, slices, ts = codes[valid], slices[valid], ts[valid]
        zeros, unknown = np.zeros(n), np.full(n, np.nan)
        figures = [groups.rows, missing, zeros, zeros, zeros, unknown, unknown]
        self.moments.append((groups.numbers, np.stack(figures)))
        if not len(names):
            return
        new_bin = len(layout.categories) + 1
        bin_of_category = [*layout.category_bins.values(), new_bin]
        bins = looked_up(names, list(layout.category_bins), np.array(bin_of_category))
        self._add_bins(slices, bins[codes], groups)
        unseen = bins[codes] == new_bin
        if unseen.any():
            self._add_new(codes[unseen], names, slices[unseen], ts[unseen], groups)

    def _add_bins(
        self, slices: np.ndarray, bins: np.ndarray, groups: RowSlices
    ) -> None:
        size = self.column.layout.size
        key = slices * size + bins
        if len(groups.numbers) * size <= 4 * len(key) + 65_536:
            n = np.bincount(key)
            used = np.flatnonzero(n)
            n = n[used]
        else:
            used, n = np.unique(key, return_counts=True)
        self.bins.append((groups.numbers[used // size], used % size, n))

    def _add_new(
        self,
        codes: np.ndarray,
        names: pa.Array,
        slices: np.ndarray,
        ts: np.ndarray,
        groups: RowSlices,
    ) -> None:
        key, inverse, n = np.unique(
            slices * len(names) + codes, return_inverse=True, return_counts=True
        )
        first = np.full(len(key), np.iinfo(np.int64).max)
        np.minimum.at(first, inverse, ts)
        most = np.argsort(-n, kind="stable")[:MAX_NEW_VALUES].tolist()
        for i in most:
            number = int(groups.numbers[key[i] // len(names)])
            value = names[int(key[i] % len(names))].as_py()
            rows, earliest = self.new.get((number, value), (0, int(first[i])))
            counted = rows + int(n[i]), min(earliest, int(first[i]))
            self.new[number, value] = counted


# counts to long tables


def _bins(slices: Slices, counts: Sequence[ColumnCounts]) -> pa.Table:
    parts = [_summed_bins(count) for count in counts]
    which, bins, n = (
        np.concatenate([p[i] for p in parts]) if parts else np.empty(0, np.int64)
        for i in range(3)
    )
    keys = _keys(slices, counts, [len(p[0]) for p in parts], which)
    return pa.table(
        [*keys, arrow_of(bins.astype(np.int32)), arrow_of(n.astype(np.int64))],
        schema=BINS,
    )


def _summed_bins(count: ColumnCounts) -> tuple[np.ndarray, ...]:
    """(slice, bin, n), each slice and bin once."""
    if not count.bins:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    which, bins, n = (np.concatenate(parts) for parts in zip(*count.bins, strict=True))
    if len(count.bins) > 1:
        size = count.column.layout.size
        key, inverse = np.unique(which * size + bins, return_inverse=True)
        which, bins, n = key // size, key % size, np.bincount(inverse, weights=n)
    return which, bins, n


def _moments(slices: Slices, counts: Sequence[ColumnCounts]) -> pa.Table:
    parts = [_summed_moments(count) for count in counts]
    which = np.concatenate([w for w, _ in parts]) if parts else np.empty(0, np.int64)
    figures = (
        np.concatenate([f for _, f in parts], axis=1) if parts else np.empty((7, 0))
    )
    keys = _keys(slices, counts, [len(w) for w, _ in parts], which)
    whole = [arrow_of(f.astype(np.int64)) for f in figures[:3]]
    return pa.table(
        [
            *keys,
            *whole,
            *(arrow_of(f) for f in figures[3:5]),
            *map(nullable, figures[5:]),
        ],
        schema=MOMENTS,
    )


def _summed_moments(count: ColumnCounts) -> tuple[np.ndarray, np.ndarray]:
    """(slice, figures of shape (7, slices)), each slice once."""
    if not count.moments:
        return np.empty(0, np.int64), np.empty((7, 0))
    which = np.concatenate([w for w, _ in count.moments])
    figures = np.concatenate([f for _, f in count.moments], axis=1)
    if len(count.moments) == 1:
        return which, figures
    slices, inverse = np.unique(which, return_inverse=True)
    total = np.zeros((7, len(slices)))
    for i in range(5):
        total[i] = np.bincount(inverse, weights=figures[i], minlength=len(slices))
    total[5:] = np.nan
    np.fmin.at(total[5], inverse, figures[5])
    np.fmax.at(total[6], inverse, figures[6])
    return slices, total


def _new_values(slices: Slices, counts: Sequence[ColumnCounts]) -> pa.Table:
    versions, totals = slices.versions, dict[tuple[str, str, str], tuple[int, int]]()
    for count in counts:
        for (number, value), (n, first) in count.new.items():
            key = versions[number], count.column.column, value
            rows, earliest = totals.get(key, (0, first))
            totals[key] = (rows + n, min(earliest, first))
    most = sorted(totals.items(), key=lambda item: (-item[1][0], item[0]))[
        :MAX_NEW_VALUES
    ]
    return pa.table(
        [
            *(texts_of([key[i] for key, _ in most]) for i in range(3)),
            arrow_of(np.array([n for _, (n, _) in most], np.int64)),
            arrow_of(np.array([first for _, (_, first) in most], np.int64)).view(
                pa.timestamp("us")
            ),
        ],
        schema=NEW_VALUES,
    )


def _keys(
    slices: Slices,
    counts: Sequence[ColumnCounts],
    lengths: Sequence[int],
    which: np.ndarray,
) -> list[pa.Array]:
    """Version, column, bucket and layout of every row of a long table.

    `lengths`: the rows of each column; `which`: the slice of each row.
    """
    versions, buckets = slices.arrays()
    column = arrow_of(np.repeat(np.arange(len(counts)), lengths))
    number = arrow_of(which.astype(np.int64))
    names = texts_of([count.column.column for count in counts]).take(column)
    layouts = texts_of([count.column.layout.id for count in counts]).take(column)
    return [versions.take(number), names, buckets.take(number), layouts]
