"""driftdeck: layouts and profile of the reference, hourly profiles of the current rows, PSI of every feature, as an import
makes them.

With "together" also of the reconstruction error, the column that an import derives for
a model of 3 to 100 features.
"""

import json
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.columns import CATEGORICAL, NUMERIC
from monitor.arrow_columns import numpy_of
from monitor.contracts import ProfileColumn
from monitor.engines.in_process import profile
from monitor.layout import Layout, layout_of_categories, layout_of_numbers
from monitor.reconstruction import Errors, fit
from monitor.sources.parquet import read_without
from monitor.statistics.drift.psi import psi

AT_ONCE = 60_000  # rows in memory
UNUSED = ("event_id", "latency_ms", "status")


def main(reference: str, current: str, together: str = "") -> None:
    """Print the PSI and the counts of every feature."""
    rows = pq.ParquetFile(reference, pre_buffer=False).read(use_threads=False)
    layouts = layouts_of(rows)
    columns = [ProfileColumn(name, name, layout) for name, layout in layouts.items()]
    if together:
        columns.append(error_of(rows, layouts))
    # as the store has it
    one_bucket = pa.array([0], pa.timestamp("us")).take(
        pa.array(np.zeros(len(rows), np.int64))
    )
    before = counts(
        rows.set_column(rows.column_names.index("ts"), "ts", one_bucket), columns
    )
    del rows
    now = counts(
        chain.from_iterable(
            c.table.to_batches()
            for c in read_without(Path(current), AT_ONCE, UNUSED, coded=True)
        ),
        columns,
    )
    names = [column.column for column in columns]
    drift = {name: psi(before[name], now[name]) for name in names}
    print(
        json.dumps(
            {"psi": drift, "counts": {name: now[name].tolist() for name in names}}
        )
    )


def error_of(rows: pa.Table, layouts: dict[str, Layout]) -> ProfileColumn:
    """The reconstruction error of these reference rows as a column."""
    found = fit(rows, layouts)
    if found is None:
        raise RuntimeError("the reference teaches no reconstruction")
    errors = np.concatenate(
        [numpy_of(found.errors(batch, layouts)) for batch in rows.to_batches(AT_ONCE)]
    )
    return ProfileColumn(
        "reconstruction_error", Errors(found, layouts), layout_of_numbers(errors).inner
    )


def layouts_of(rows: pa.Table) -> dict[str, Layout]:
    """The layouts that a server would freeze for these reference rows."""
    layouts = {
        name: layout_of_numbers(numpy_of(rows[name].drop_null())).inner
        for name in NUMERIC
    }
    for name in CATEGORICAL:
        counted = pc.value_counts(rows[name].drop_null()).to_pylist()
        counted.sort(key=lambda one: (-one["counts"], one["values"]))
        found = [(one["values"], one["counts"], one["counts"] == 1) for one in counted]
        layouts[name] = layout_of_categories(found, sum(n for _, n, _ in found))
    return layouts


def counts(
    rows: pa.Table | Iterable[pa.RecordBatch], columns: list[ProfileColumn]
) -> dict[str, np.ndarray]:
    """The counts of every bin of every column, all hours and versions added up."""
    bins = profile(rows, columns).bins
    names = bins["column"].combine_chunks().dictionary_encode()
    which, bin_, n = numpy_of(names.indices), numpy_of(bins["bin"]), numpy_of(bins["n"])
    position = {name: i for i, name in enumerate(names.dictionary.to_pylist())}
    total = {}
    for column in columns:
        mine = which == position.get(column.column, -1)
        total[column.column] = np.bincount(bin_[mine], n[mine], column.layout.size)
    return total


if __name__ == "__main__":
    main(*sys.argv[1:])
