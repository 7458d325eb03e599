"""The embedded engine: profiles by a few GROUP BY statements, each column read once."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import duckdb
import numpy as np
import pyarrow as pa

from monitor.contracts import Measured, Profiled
from monitor.layout import INTEGER_BINS, LARGEST, LOG_BASE, LOG_BINS, LOG_LOW, UNIT_BINS, Layout
from monitor.sql import quote

BATCH_OF_COLUMNS = 40  # histograms of more columns in one statement cost memory, not time
MAX_NEW_VALUES = 1000
PARTS = ("missing", "invalid", "sum", "sum_sq", "min", "max")

KEYS = [("version", pa.string()), ("column", pa.string()), ("bucket", pa.timestamp("us")), ("layout", pa.string())]
BINS = pa.schema([*KEYS, ("bin", pa.int32()), ("n", pa.int64())])
MOMENTS = pa.schema(
    [
        *KEYS,
        *((name, pa.int64()) for name in ("rows", "missing", "invalid")),
        *((name, pa.float64()) for name in ("sum", "sum_sq", "min", "max")),
    ]
)
NEW_VALUES = pa.schema(
    [
        ("version", pa.string()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("n", pa.int64()),
        ("first_seen", pa.timestamp("us")),
    ]
)


def profile(
    rows: duckdb.DuckDBPyRelation | pa.Table | str,
    columns: Sequence[Measured],
    con: duckdb.DuckDBPyConnection | None = None,
) -> Profiled:
    """Bins, moments and new values of `columns`, by version and time bucket.

    `rows` is an Arrow table, or the name of a table that `con` knows; it has `ts` (TIMESTAMP, UTC) and `version`
    (VARCHAR), and the measured fields: DOUBLE for ordered layouts, VARCHAR for categories.
    """
    con = con or duckdb.connect()
    name = "profile_rows"
    registered = not isinstance(rows, str)
    if registered:
        con.register(name, rows)
    else:
        name = str(rows)
    try:
        return Profiled(*_profile(con, quote(name), columns))
    finally:
        if registered:
            con.unregister(name)


def _profile(
    con: duckdb.DuckDBPyConnection, rows: str, columns: Sequence[Measured]
) -> tuple[pa.Table, pa.Table, pa.Table]:
    bins: list[pa.Table] = []
    moments: list[pa.Table] = []
    new_values: list[pa.Table] = []
    for kind, bucket, some in _batches(columns):
        if kind == "numeric":
            parts = _numeric(con, rows, bucket, some)
        elif kind == "categorical":
            *parts, new = _categorical(con, rows, bucket, some)
            new_values.append(new)
        else:
            parts = _computed(con, rows, bucket, some)
        bins.append(parts[0])
        moments.append(parts[1])
    return _concat(bins, BINS), _concat(moments, MOMENTS), _concat(new_values, NEW_VALUES)


def _batches(columns: Sequence[Measured]) -> Iterable[tuple[str, str, Sequence[Measured]]]:
    # numeric and categorical histograms go in separate statements: together they took 2.2 GB at 10 M rows, apart 0.4
    groups: dict[tuple[str, str], list[Measured]] = {}
    for column in columns:
        kind: str = column.layout.kind if column.layout.kind in ("numeric", "categorical") else "computed"
        groups.setdefault((kind, column.bucket), []).append(column)
    for (kind, bucket), members in groups.items():
        for i in range(0, len(members), BATCH_OF_COLUMNS):
            yield kind, bucket, members[i : i + BATCH_OF_COLUMNS]


def _numeric(con: duckdb.DuckDBPyConnection, rows: str, bucket: str, columns: Sequence[Measured]) -> list[pa.Table]:
    usable = ", ".join(
        f"CASE WHEN abs({quote(c.field)}) < {LARGEST} THEN {quote(c.field)} END AS x{i}, {quote(c.field)} AS v{i}"
        for i, c in enumerate(columns)
    )
    # the map lists every edge in order, then infinity if something is above the last: the position is the bin
    wanted = ", ".join(
        f"coalesce(map_values(histogram(x{i}, {_list(c.layout.edges)})), []) AS h{i}, {_moments(i, c)}"
        for i, c in enumerate(columns)
    )
    wide = _arrow(
        con,
        f"WITH r AS (SELECT version, date_trunc('{bucket}', ts) AS bucket, {usable} FROM {rows}) "
        f"SELECT version, bucket, count(*) AS rows, {wanted} FROM r GROUP BY ALL",
    )
    # unpacked here and not by UNION ALL of unnest: planning that costs 25 ms a load, however few its rows
    bins = [_bins_of_lists(wide, c, wide[f"h{i}"]) for i, c in enumerate(columns)]
    moments = [
        _keyed(wide, c, {name: wide[f"{name}{i}"] for name in PARTS} | {"rows": wide["rows"]})
        for i, c in enumerate(columns)
    ]
    return [pa.concat_tables(bins), pa.concat_tables(moments)]


def _bins_of_lists(wide: pa.Table, column: Measured, lists: pa.ChunkedArray) -> pa.Table:
    """Long rows (bin, n) from one list of counts for each group."""
    counts = lists.combine_chunks()
    lengths = np.diff(numpy_of(counts.offsets))
    groups = np.repeat(np.arange(len(counts)), lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    n = numpy_of(counts.flatten()).astype(np.int64)
    used = n > 0
    bins = (np.arange(len(n)) - starts).astype(np.int32)[used]
    return _keyed(wide.select(["version", "bucket"]).take(arrow_of(groups[used])), column, {"bin": bins, "n": n[used]})


def _computed(con: duckdb.DuckDBPyConnection, rows: str, bucket: str, columns: Sequence[Measured]) -> list[pa.Table]:
    parts = []
    for i, c in enumerate(columns):
        x = quote(c.field)
        usable = f"abs({x}) < {LARGEST}" + (f" AND {x} >= 0" if c.layout.kind == "log" else "")
        parts.append(
            f"SELECT version, bucket, {i} AS c, ({_bin(c.layout.kind)})::INTEGER AS bin, count(*) AS rows, {_moments(0, c)} FROM "
            f"(SELECT version, date_trunc('{bucket}', ts) AS bucket, CASE WHEN {usable} THEN {x} END AS x0, {x} AS v0 FROM {rows}) GROUP BY ALL"
        )
    con.execute(f"CREATE OR REPLACE TEMP TABLE profile_long AS {' UNION ALL '.join(parts)}")
    bins = _arrow(con, "SELECT version, bucket, c, bin, rows AS n FROM profile_long WHERE bin IS NOT NULL")
    sums = ", ".join(f"sum({name}0) AS {name}" for name in PARTS[:4])
    moments = _arrow(
        con,
        f"SELECT version, bucket, c, sum(rows) AS rows, {sums}, min(min0) AS min, max(max0) AS max FROM profile_long GROUP BY ALL",
    )
    con.execute("DROP TABLE profile_long")
    return [_named(bins, columns, BINS), _named(moments, columns, MOMENTS)]


def _categorical(con: duckdb.DuckDBPyConnection, rows: str, bucket: str, columns: Sequence[Measured]) -> list[pa.Table]:
    counted = " UNION ALL ".join(
        f"SELECT version, date_trunc('{bucket}', ts) AS bucket, {i} AS c, {quote(c.field)} AS value, count(*) AS n, "
        f"min(ts) AS first_seen FROM {rows} GROUP BY ALL"
        for i, c in enumerate(columns)
    )
    con.register("profile_known", _known(tuple(c.layout for c in columns)))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE profile_long AS SELECT g.*, k.bin FROM ({counted}) g "
        "LEFT JOIN profile_known k ON k.c = g.c AND k.value = g.value"
    )
    con.unregister("profile_known")
    unseen = " ".join(f"WHEN {i} THEN {c.layout.new_bin}" for i, c in enumerate(columns))
    bins = _arrow(
        con,
        f"SELECT version, bucket, c, coalesce(bin, CASE c {unseen} END) AS bin, sum(n) AS n FROM profile_long "
        "WHERE value IS NOT NULL GROUP BY ALL",
    )
    moments = _arrow(
        con,
        "SELECT version, bucket, c, sum(n) AS rows, coalesce(sum(n) FILTER (value IS NULL), 0) AS missing, 0 AS invalid, "
        "0.0 AS sum, 0.0 AS sum_sq, NULL AS min, NULL AS max FROM profile_long GROUP BY ALL",
    )
    new_values = _arrow(
        con,
        "SELECT version, c, value, sum(n) AS n, min(first_seen) AS first_seen FROM profile_long "
        f"WHERE bin IS NULL AND value IS NOT NULL GROUP BY ALL ORDER BY n DESC, value LIMIT {MAX_NEW_VALUES}",
    )
    con.execute("DROP TABLE profile_long")
    return [_named(bins, columns, BINS), _named(moments, columns, MOMENTS), _named(new_values, columns, NEW_VALUES)]


@lru_cache(maxsize=1024)
def _known(layouts: tuple[Layout, ...]) -> pa.Table:
    """Every known category with its bin, by the position `c` of its layout."""
    rows = [(c, value, bin_) for c, layout in enumerate(layouts) for value, bin_ in layout.category_bins.items()]
    arrays = [
        arrow_of(np.array([r[0] for r in rows], np.int32)),
        texts_of([r[1] for r in rows]),
        arrow_of(np.array([r[2] for r in rows], np.int32)),
    ]
    return pa.table(arrays, names=["c", "value", "bin"])


def _named(long: pa.Table, columns: Sequence[Measured], schema: pa.Schema) -> pa.Table:
    """Long rows whose `c` is a position in `columns`, in the form of `schema`."""
    which = arrow_of(numpy_of(long["c"]).astype(np.int64))
    found = {
        "column": texts_of([c.column for c in columns]).take(which),
        "layout": texts_of([c.layout.id for c in columns]).take(which),
    }
    arrays = [found[name] if name in found else long[name] for name in schema.names]
    return pa.table(arrays, names=schema.names).cast(schema)


# Between numpy and Arrow by their buffers: pyarrow's own conversions first import pandas, 0.9 s of CPU and 100 MB in a
# process that has no other use for it.


def numpy_of(array: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The values of a fixed-width column as numpy; what stands at nulls is undefined."""
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_boolean(whole.type):
        return numpy_of(whole.cast(pa.uint8())).astype(bool)
    kind = np.dtype(whole.type.to_pandas_dtype())
    if not len(whole):
        return np.empty(0, kind)
    return np.frombuffer(whole.buffers()[1], kind)[whole.offset : whole.offset + len(whole)]


def arrow_of(values: np.ndarray) -> pa.Array:
    """Whole or floating numbers as an Arrow array."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def texts_of(values: Sequence[str]) -> pa.Array:
    """Texts as an Arrow array."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def repeated(text: str, n: int) -> pa.Array:
    """The same text n times."""
    one = text.encode()
    ends = np.arange(n + 1, dtype=np.int32) * np.int32(len(one))
    return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(ends), pa.py_buffer(one * n)])


def _keyed(groups: pa.Table, column: Measured, values: Mapping[str, object]) -> pa.Table:
    """Long rows in the form of BINS or MOMENTS, by what `values` has."""
    schema = BINS if "bin" in values else MOMENTS
    keys = {
        "version": groups["version"],
        "column": repeated(column.column, groups.num_rows),
        "bucket": groups["bucket"],
        "layout": repeated(column.layout.id, groups.num_rows),
    }
    data = {name: arrow_of(v) if isinstance(v, np.ndarray) else v for name, v in {**keys, **values}.items()}
    return pa.table([data[name] for name in schema.names], names=schema.names).cast(schema)


def _bin(kind: str) -> str:
    # least() and greatest() ignore NULL: what has no value must be told apart first
    return f"CASE WHEN x0 IS NOT NULL THEN {_bin_of_value(kind)} END"


def _bin_of_value(kind: str) -> str:
    match kind:
        case "log":
            step = f"ceil(ln(x0 / {LOG_LOW!r}::DOUBLE) / {math.log(LOG_BASE)!r}::DOUBLE)"
            return f"CASE WHEN x0 = 0 THEN 0 ELSE 1 + least({LOG_BINS}, greatest(0, {step})) END"
        case "unit":
            inner = f"1 + least({UNIT_BINS - 1}, floor(x0 * {UNIT_BINS}))"
            return f"CASE WHEN x0 < 0 THEN 0 WHEN x0 > 1 THEN {UNIT_BINS + 1} ELSE {inner} END"
        case _:
            return f"least({INTEGER_BINS - 1}, greatest(0, round_even(x0, 0)))"


def _moments(i: int, column: Measured) -> str:
    extremes = (
        f"min(x{i}::DOUBLE) AS min{i}, max(x{i}::DOUBLE) AS max{i}"
        if column.extremes
        else f"NULL::DOUBLE AS min{i}, NULL::DOUBLE AS max{i}"
    )
    return (
        f"count(*) - count(v{i}) AS missing{i}, count(v{i}) - count(x{i}) AS invalid{i}, "
        f"coalesce(sum(x{i}::DOUBLE), 0.0) AS sum{i}, coalesce(sum(x{i}::DOUBLE * x{i}::DOUBLE), 0.0) AS sum_sq{i}, {extremes}"
    )


def _list(edges: Sequence[float]) -> str:
    return "[" + ", ".join(f"{e!r}::DOUBLE" for e in edges) + "]"


def _arrow(con: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return con.sql(query).to_arrow_table()


def _concat(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([t.cast(schema) for t in tables]) if tables else schema.empty_table()
