"""The embedded engine: profiles by a few GROUP BY statements, each column read once."""

import math
from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from monitor.contracts import Measured, Profiled
from monitor.layout import INTEGER_BINS, LARGEST, LOG_BASE, LOG_BINS, LOG_LOW, UNIT_BINS
from monitor.sql import quote

BATCH_OF_COLUMNS = 40  # histograms of more columns in one statement cost memory, not time
MAX_NEW_VALUES = 1000

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
        kind = column.layout.kind if column.layout.kind in ("numeric", "categorical") else "computed"
        groups.setdefault((kind, column.bucket), []).append(column)
    for (kind, bucket), members in groups.items():
        for i in range(0, len(members), BATCH_OF_COLUMNS):
            yield kind, bucket, members[i : i + BATCH_OF_COLUMNS]


def _numeric(con: duckdb.DuckDBPyConnection, rows: str, bucket: str, columns: Sequence[Measured]) -> list[pa.Table]:
    usable = ", ".join(
        f"CASE WHEN abs({quote(c.field)}) < {LARGEST} THEN {quote(c.field)} END AS x{i}, {quote(c.field)} AS v{i}"
        for i, c in enumerate(columns)
    )
    wanted = ", ".join(
        f"histogram(x{i}, {_list(c.layout.edges)}) AS h{i}, {_moments(i, c)}" for i, c in enumerate(columns)
    )
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE profile_wide AS WITH r AS (SELECT version, date_trunc('{bucket}', ts) AS bucket, {usable} FROM {rows}) "
        f"SELECT version, bucket, count(*) AS rows, {wanted} FROM r GROUP BY ALL"
    )
    # the map lists every edge in order, then infinity if something is above the last: its position is the bin
    bins = " UNION ALL ".join(
        f'SELECT version, {_text(c.column)} AS "column", bucket, {_text(c.layout.id)} AS layout, '
        f"unnest(generate_series(0, len(map_keys(h{i})) - 1))::INTEGER AS bin, unnest(map_values(h{i}))::BIGINT AS n "
        f"FROM profile_wide WHERE h{i} IS NOT NULL"
        for i, c in enumerate(columns)
    )
    tables = [
        _arrow(con, f"SELECT * FROM ({bins}) WHERE n > 0"),
        _arrow(con, " UNION ALL ".join(_moment_rows(i, c) for i, c in enumerate(columns))),
    ]
    con.execute("DROP TABLE profile_wide")
    return tables


def _computed(con: duckdb.DuckDBPyConnection, rows: str, bucket: str, columns: Sequence[Measured]) -> list[pa.Table]:
    bins, moments = [], []
    for c in columns:
        x = quote(c.field)
        usable = f"abs({x}) < {LARGEST}" + (f" AND {x} >= 0" if c.layout.kind == "log" else "")
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE profile_wide AS "
            f"WITH r AS (SELECT version, date_trunc('{bucket}', ts) AS bucket, CASE WHEN {usable} THEN {x} END AS x0, {x} AS v0 FROM {rows}) "
            f"SELECT version, bucket, {_bin(c.layout.kind)} AS bin, count(*) AS rows, {_moments(0, c)} FROM r GROUP BY ALL"
        )
        key = f'version, {_text(c.column)} AS "column", bucket, {_text(c.layout.id)} AS layout'
        bins.append(
            _arrow(con, f"SELECT {key}, bin::INTEGER AS bin, rows::BIGINT AS n FROM profile_wide WHERE bin IS NOT NULL")
        )
        moments.append(
            _arrow(
                con,
                f"SELECT {key}, sum(rows)::BIGINT AS rows, sum(missing0)::BIGINT AS missing, sum(invalid0)::BIGINT AS invalid, "
                f"coalesce(sum(sum0), 0.0) AS sum, coalesce(sum(sq0), 0.0) AS sum_sq, min(min0) AS min, max(max0) AS max "
                "FROM profile_wide GROUP BY ALL",
            )
        )
    con.execute("DROP TABLE profile_wide")
    return [pa.concat_tables(bins), pa.concat_tables(moments)]


def _categorical(con: duckdb.DuckDBPyConnection, rows: str, bucket: str, columns: Sequence[Measured]) -> list[pa.Table]:
    known = pa.table(
        {
            "c": pa.array([i for i, c in enumerate(columns) for _ in c.layout.category_bins], pa.int32()),
            "value": pa.array([v for c in columns for v in c.layout.category_bins], pa.string()),
            "bin": pa.array([b for c in columns for b in c.layout.category_bins.values()], pa.int32()),
        }
    )
    con.register("profile_known", known)
    counted = " UNION ALL ".join(
        f"SELECT version, date_trunc('{bucket}', ts) AS bucket, {i} AS c, {quote(c.field)} AS value, count(*) AS n, min(ts) AS first_seen "
        f"FROM {rows} GROUP BY ALL"
        for i, c in enumerate(columns)
    )
    names = pa.table(
        {
            "c": pa.array(range(len(columns)), pa.int32()),
            "column": [c.column for c in columns],
            "layout": [c.layout.id for c in columns],
            "new_bin": pa.array([c.layout.new_bin for c in columns], pa.int32()),
        }
    )
    con.register("profile_names", names)
    con.execute(
        f'CREATE OR REPLACE TEMP TABLE profile_wide AS SELECT g.*, k.bin, m."column", m.layout, m.new_bin FROM ({counted}) g '
        "JOIN profile_names m USING (c) LEFT JOIN profile_known k ON k.c = g.c AND k.value = g.value"
    )
    key = 'version, "column", bucket, layout'
    tables = [
        _arrow(
            con,
            f"SELECT {key}, coalesce(bin, new_bin)::INTEGER AS bin, sum(n)::BIGINT AS n FROM profile_wide "
            "WHERE value IS NOT NULL GROUP BY ALL",
        ),
        _arrow(
            con,
            f"SELECT {key}, sum(n)::BIGINT AS rows, coalesce(sum(n) FILTER (value IS NULL), 0)::BIGINT AS missing, 0::BIGINT AS invalid, "
            "0.0::DOUBLE AS sum, 0.0::DOUBLE AS sum_sq, NULL::DOUBLE AS min, NULL::DOUBLE AS max FROM profile_wide GROUP BY ALL",
        ),
        _arrow(
            con,
            'SELECT version, "column", value, sum(n)::BIGINT AS n, min(first_seen) AS first_seen FROM profile_wide '
            f"WHERE bin IS NULL AND value IS NOT NULL GROUP BY ALL ORDER BY n DESC, value LIMIT {MAX_NEW_VALUES}",
        ),
    ]
    con.execute("DROP TABLE profile_wide")
    con.unregister("profile_known")
    con.unregister("profile_names")
    return tables


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
        f"sum(x{i}::DOUBLE) AS sum{i}, sum(x{i}::DOUBLE * x{i}::DOUBLE) AS sq{i}, {extremes}"
    )


def _moment_rows(i: int, c: Measured) -> str:
    return (
        f'SELECT version, {_text(c.column)} AS "column", bucket, {_text(c.layout.id)} AS layout, rows::BIGINT AS rows, '
        f"missing{i}::BIGINT AS missing, invalid{i}::BIGINT AS invalid, coalesce(sum{i}, 0.0) AS sum, coalesce(sq{i}, 0.0) AS sum_sq, "
        f"min{i}::DOUBLE AS min, max{i}::DOUBLE AS max FROM profile_wide"
    )


def _list(edges: Sequence[float]) -> str:
    return "[" + ", ".join(f"{e!r}::DOUBLE" for e in edges) + "]"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _arrow(con: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return con.sql(query).to_arrow_table()


def _concat(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([t.cast(schema) for t in tables]) if tables else schema.empty_table()
