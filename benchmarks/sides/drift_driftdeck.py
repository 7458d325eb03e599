"""driftdeck: layouts and profile of the reference, hourly profiles of the current rows, PSI of every feature."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.columns import CATEGORICAL, NUMERIC
from monitor.contracts import Measured
from monitor.engines.arrow import numpy_of, profile
from monitor.layout import NUMERIC_BINS, Layout, categorical_layout, numeric_layout
from monitor.statistics.psi import psi

AT_ONCE = 60_000  # rows in memory


def main(reference: str, current: str) -> None:
    """Print the PSI and the counts of every feature."""
    rows = pq.ParquetFile(reference, pre_buffer=False).read(use_threads=False)
    layouts = layouts_of(rows)
    columns = [Measured(name, name, layout) for name, layout in layouts.items()]
    one_bucket = pa.array([0], pa.timestamp("us")).take(pa.array(np.zeros(len(rows), np.int64)))  # as the store has it
    before = counts(rows.set_column(rows.column_names.index("ts"), "ts", one_bucket), columns)
    del rows
    file = pq.ParquetFile(current, pre_buffer=False)
    batches = file.iter_batches(AT_ONCE, use_threads=False)  # by a thread a column, all columns are in memory at once
    now = counts(pa.RecordBatchReader.from_batches(file.schema_arrow, batches), columns)
    drift = {name: psi(before[name], now[name]) for name in layouts}
    print(json.dumps({"psi": drift, "counts": {name: now[name].tolist() for name in layouts}}))


def layouts_of(rows: pa.Table) -> dict[str, Layout]:
    """The layouts that a server would freeze for these reference rows: i/20 of the values are at most the i-th bound."""
    layouts = {}
    for name in NUMERIC:
        values = np.sort(numpy_of(rows[name].drop_null()))
        bounds = [float(values[-(-i * len(values) // NUMERIC_BINS) - 1]) for i in range(1, NUMERIC_BINS)]
        layouts[name] = numeric_layout(bounds)
    for name in CATEGORICAL:
        counted = pc.value_counts(rows[name].drop_null()).to_pylist()
        counted.sort(key=lambda one: (-one["counts"], one["values"]))
        layouts[name] = categorical_layout([one["values"] for one in counted])
    return layouts


def counts(rows: pa.Table | pa.RecordBatchReader, columns: list[Measured]) -> dict[str, np.ndarray]:
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
