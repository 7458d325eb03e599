"""Profiles of the columns of tables: numbers on their layout, categories by value."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import numpy_of
from monitor.config.config import DEFAULT_ENGINE
from monitor.contracts import ProfileColumn
from monitor.ingest.features import values_of
from monitor.layout import Layout, layout_of_categories
from monitor.plugins import engines
from monitor.profile import Profile

MOMENTS = ("rows", "missing", "invalid", "sum", "sum_sq", "min", "max")


def number_profiles(
    tables: Iterable[pa.Table], layouts: Mapping[str, Layout]
) -> dict[str, Profile]:
    """Profile the numeric columns of all tables together."""
    columns = [
        ProfileColumn(str(i), str(i), layout)
        for i, layout in enumerate(layouts.values())
    ]
    profiles = {
        name: Profile(layout, np.zeros(layout.size, np.int64))
        for name, layout in layouts.items()
    }
    for table in tables:
        rows = table.select(list(layouts))
        rows = rows.rename_columns([column.column for column in columns])
        for name, part in _table_profiles(rows, columns, layouts).items():
            profiles[name] = profiles[name] + part
    return profiles


def _table_profiles(
    rows: pa.Table, columns: list[ProfileColumn], layouts: Mapping[str, Layout]
) -> dict[str, Profile]:
    one_bucket = pa.array(np.zeros(rows.num_rows, np.int64)).view(pa.timestamp("us"))
    rows = rows.append_column("ts", one_bucket)
    rows = rows.append_column("version", pa.repeat("", rows.num_rows))
    computed = engines()[DEFAULT_ENGINE].profile(rows, columns)
    moments_by_column = {row["column"]: row for row in computed.moments.to_pylist()}
    column_number = numpy_of(computed.bins["column"].cast(pa.int64()))
    bins = numpy_of(computed.bins["bin"])
    counts = numpy_of(computed.bins["n"])
    profiles = {}
    for i, (name, layout) in enumerate(layouts.items()):
        of_column = column_number == i
        moments = {key: moments_by_column[str(i)][key] for key in MOMENTS}
        for key in ("min", "max"):
            if moments[key] is None:
                moments[key] = np.nan
        bin_counts = np.bincount(bins[of_column], counts[of_column], layout.size)
        profiles[name] = Profile(layout, bin_counts.astype(np.int64), **moments)
    return profiles


def count_categories(column: pa.ChunkedArray) -> pa.Table:
    """Count each text of a column: `values`, `counts`."""
    texts = column
    if not pa.types.is_dictionary(column.type):
        texts = pa.chunked_array([values_of(column, "categorical")])
    counted = pc.value_counts(texts.drop_null())
    if isinstance(counted, pa.StructArray):
        values, counts = counted.flatten()
    else:
        values, counts = counted.field(0), counted.field(1)
    return pa.table({"values": values.cast(pa.string()), "counts": counts})


def sum_counts(parts: Sequence[pa.Table]) -> pa.Table:
    """Add up the counts of several tables of `count_categories`."""
    if not parts:
        none = {"values": pa.array([], pa.string()), "counts": pa.array([], pa.int64())}
        return pa.table(none)
    grouped = pa.concat_tables(parts).group_by("values")
    summed = grouped.aggregate([("counts", "sum")])
    return summed.rename_columns(["values", "counts"])


def category_layout(counted: pa.Table) -> Layout:
    """Make the layout of categories, the most frequent first."""
    values, counts = counted["values"].to_pylist(), counted["counts"].to_pylist()
    categories = sorted(
        zip(values, counts, strict=True), key=lambda item: (-item[1], item[0])
    )
    return layout_of_categories(
        [(value, n, n == 1) for value, n in categories], sum(counts)
    )


def category_profile(layout: Layout, counted: pa.Table, rows: int) -> Profile:
    """Make the profile of a categorical column from its counts."""
    new = layout.new_bin or 0
    values = counted["values"].to_pylist()
    bins = np.array(
        [layout.category_bins.get(value, new) for value in values], np.int64
    )
    counts = numpy_of(counted["counts"])
    bin_counts = np.bincount(bins, counts, layout.size).astype(np.int64)
    return Profile(layout, bin_counts, rows, rows - int(counts.sum()))
