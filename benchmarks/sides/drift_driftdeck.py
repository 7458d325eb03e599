"""driftdeck: layouts and profile of the reference, hourly profiles of the current rows, PSI of every feature."""

import json
import sys

import duckdb
import numpy as np

from benchmarks.columns import CATEGORICAL, NUMERIC
from monitor.contracts import Measured
from monitor.engines.arrow import numpy_of
from monitor.layout import NUMERIC_BINS, Layout, categorical_layout, numeric_layout
from monitor.statistics.psi import psi
from monitor.store.packed import Relation
from monitor.store.profiling import profile_rows


def main(reference: str, current: str, memory: str = "") -> None:
    """Print the PSI and the counts of every feature."""
    con = duckdb.connect(config={"memory_limit": memory} if memory else {})
    one_bucket = "* REPLACE (TIMESTAMP '2000-01-01' AS ts)"  # as the store does with a reference
    con.execute(f"CREATE VIEW reference_rows AS SELECT {one_bucket} FROM read_parquet('{reference}')")
    con.execute(f"CREATE VIEW current_rows AS SELECT * FROM read_parquet('{current}')")
    layouts = layouts_of(con)
    columns = [Measured(name, name, layout) for name, layout in layouts.items()]
    before, now = (counts(con, name, columns) for name in ("reference_rows", "current_rows"))
    drift = {name: psi(before[name], now[name]) for name in layouts}
    print(json.dumps({"psi": drift, "counts": {name: now[name].tolist() for name in layouts}}))


def layouts_of(con: duckdb.DuckDBPyConnection) -> dict[str, Layout]:
    """The layouts that a server would freeze for these reference rows."""
    points = [i / NUMERIC_BINS for i in range(1, NUMERIC_BINS)]
    wanted = ", ".join(f"quantile_disc({name}, {points})" for name in NUMERIC)
    found = con.execute(f"SELECT {wanted} FROM reference_rows").fetchall()[0]
    layouts = {name: numeric_layout(values) for name, values in zip(NUMERIC, found, strict=True)}
    for name in CATEGORICAL:
        values = con.execute(
            f"SELECT {name} FROM reference_rows WHERE {name} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1"
        ).fetchall()
        layouts[name] = categorical_layout([value for (value,) in values])
    return layouts


def counts(con: duckdb.DuckDBPyConnection, rows: str, columns: list[Measured]) -> dict[str, np.ndarray]:
    """The counts of every bin of every column, all hours and versions added up."""
    bins = profile_rows(con, Relation(rows), columns).bins
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
