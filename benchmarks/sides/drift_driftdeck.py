"""driftdeck: layouts and profile of the reference, hourly profiles of the current rows, PSI of every feature.

With "together" also of the reconstruction error, the column that an import derives for a model of 3 to 100 features.
"""

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
from monitor.reconstruction import Errors, fit
from monitor.statistics.psi import psi

AT_ONCE = 60_000  # rows in memory


def main(reference: str, current: str, together: str = "") -> None:
    """Print the PSI and the counts of every feature."""
    rows = pq.ParquetFile(reference, pre_buffer=False).read(use_threads=False)
    layouts = layouts_of(rows)
    columns = [Measured(name, name, layout) for name, layout in layouts.items()]
    if together:
        columns.append(error_of(rows, layouts))
    one_bucket = pa.array([0], pa.timestamp("us")).take(pa.array(np.zeros(len(rows), np.int64)))  # as the store has it
    before = counts(rows.set_column(rows.column_names.index("ts"), "ts", one_bucket), columns)
    del rows
    file = pq.ParquetFile(current, pre_buffer=False)
    batches = file.iter_batches(AT_ONCE, use_threads=False)  # by a thread a column, all columns are in memory at once
    now = counts(pa.RecordBatchReader.from_batches(file.schema_arrow, batches), columns)
    names = [column.column for column in columns]
    drift = {name: psi(before[name], now[name]) for name in names}
    print(json.dumps({"psi": drift, "counts": {name: now[name].tolist() for name in names}}))


def error_of(rows: pa.Table, layouts: dict[str, Layout]) -> Measured:
    """The reconstruction error of these reference rows as a column."""
    found = fit(rows, layouts)
    if found is None:
        raise RuntimeError("the reference teaches no reconstruction")
    errors = np.sort(np.concatenate([numpy_of(found.errors(batch, layouts)) for batch in rows.to_batches(AT_ONCE)]))
    return Measured("reconstruction_error", Errors(found, layouts), numeric_layout(_bounds(errors)))


def layouts_of(rows: pa.Table) -> dict[str, Layout]:
    """The layouts that a server would freeze for these reference rows: i/20 of the values are at most the i-th bound."""
    layouts = {}
    for name in NUMERIC:
        layouts[name] = numeric_layout(_bounds(np.sort(numpy_of(rows[name].drop_null()))))
    for name in CATEGORICAL:
        counted = pc.value_counts(rows[name].drop_null()).to_pylist()
        counted.sort(key=lambda one: (-one["counts"], one["values"]))
        layouts[name] = categorical_layout([one["values"] for one in counted])
    return layouts


def _bounds(values: np.ndarray) -> list[float]:
    return [float(values[-(-i * len(values) // NUMERIC_BINS) - 1]) for i in range(1, NUMERIC_BINS)]


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
