"""The embedded engine: profiles by a few GROUP BY statements, each column read once."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
        f"map_values(histogram(x{i}, {_list(c.layout.edges)})) AS h{i}, {_moments(i, c)}" for i, c in enumerate(columns)
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
    lengths = np.nan_to_num(pc.list_value_length(counts).to_numpy(zero_copy_only=False)).astype(np.int64)
    groups = np.repeat(np.arange(len(counts)), lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    n = counts.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    used = n > 0
    bins = (np.arange(len(n)) - starts).astype(np.int32)[used]
    return _keyed(wide.select(["version", "bucket"]).take(groups[used]), column, {"bin": bins, "n": n[used]})


def _computed(con: duckdb.DuckDBPyConnection, rows: str, bucket: str, columns: Sequence[Measured]) -> list[pa.Table]:
    parts = []
    for i, c in enumerate(columns):
        x = quote(c.field)
        usable = f"abs({x}) < {LARGEST}" + (f" AND {x} >= 0" if c.layout.kind == "log" else "")
        parts.append(
            f"SELECT version, bucket, {i} AS c, ({_bin(c.layout.kind)})::INTEGER AS bin, count(*) AS rows, {_moments(0, c)} FROM "
            f"(SELECT version, date_trunc('{bucket}', ts) AS bucket, CASE WHEN {usable} THEN {x} END AS x0, {x} AS v0 FROM {rows}) GROUP BY ALL"
        )
    long = _arrow(con, " UNION ALL ".join(parts))
    bins, moments = [], []
    for i, c in enumerate(columns):
        part = long.filter(pc.equal(long["c"], i))
        binned = part.filter(pc.is_valid(part["bin"]))
        bins.append(_keyed(binned, c, {"bin": binned["bin"], "n": binned["rows"]}))
        totals = part.group_by(["version", "bucket"]).aggregate(
            [
                ("rows", "sum"),
                ("missing0", "sum"),
                ("invalid0", "sum"),
                ("sum0", "sum"),
                ("sum_sq0", "sum"),
                ("min0", "min"),
                ("max0", "max"),
            ]
        )
        names = {name: f"{name}0_{name if name in ('min', 'max') else 'sum'}" for name in PARTS} | {"rows": "rows_sum"}
        moments.append(_keyed(totals, c, {name: totals[column] for name, column in names.items()}))
    return [pa.concat_tables(bins), pa.concat_tables(moments)]


def _categorical(con: duckdb.DuckDBPyConnection, rows: str, bucket: str, columns: Sequence[Measured]) -> list[pa.Table]:
    long = _arrow(
        con,
        " UNION ALL ".join(
            f"SELECT version, date_trunc('{bucket}', ts) AS bucket, {i} AS c, {quote(c.field)} AS value, count(*) AS n, "
            f"min(ts) AS first_seen FROM {rows} GROUP BY ALL"
            for i, c in enumerate(columns)
        ),
    )
    bins, moments, new_values = [], [], []
    for i, c in enumerate(columns):
        part = long.filter(pc.equal(long["c"], i))
        known, bin_of = _known(c.layout)
        found = pc.index_in(part["value"], known).to_numpy()
        new = np.isnan(found) if found.dtype.kind == "f" else np.zeros(len(found), bool)
        which = np.where(new, c.layout.new_bin or 0, bin_of[np.nan_to_num(found).astype(np.int64)])
        missing = pc.is_null(part["value"]).to_numpy()
        part = part.append_column("bin", pa.array(which.astype(np.int32)))
        part = part.append_column("absent", pa.array(np.where(missing, part["n"].to_numpy(), 0)))
        counted = part.filter(pa.array(~missing)).group_by(["version", "bucket", "bin"]).aggregate([("n", "sum")])
        bins.append(_keyed(counted, c, {"bin": counted["bin"], "n": counted["n_sum"]}))
        totals = part.group_by(["version", "bucket"]).aggregate([("n", "sum"), ("absent", "sum")])
        zero, none = np.zeros(totals.num_rows), pa.nulls(totals.num_rows, pa.float64())
        sums = {"invalid": zero, "sum": zero, "sum_sq": zero, "min": none, "max": none}
        moments.append(_keyed(totals, c, {"rows": totals["n_sum"], "missing": totals["absent_sum"], **sums}))
        unseen = (
            part.filter(pa.array(new & ~missing))
            .group_by(["version", "value"])
            .aggregate([("n", "sum"), ("first_seen", "min")])
        )
        unseen = unseen.sort_by([("n_sum", "descending"), ("value", "ascending")]).slice(0, MAX_NEW_VALUES)
        unseen = unseen.rename_columns([name.removesuffix("_sum").removesuffix("_min") for name in unseen.column_names])
        new_values.append(
            unseen.append_column("column", pa.repeat(c.column, unseen.num_rows))
            .select(NEW_VALUES.names)
            .cast(NEW_VALUES)
        )
    return [pa.concat_tables(bins), pa.concat_tables(moments), pa.concat_tables(new_values)]


@lru_cache(maxsize=4096)
def _known(layout: Layout) -> tuple[pa.Array, np.ndarray]:
    """The known categories of a layout and the bin of each; one unused entry more, so that it is never empty."""
    bins = layout.category_bins
    return pa.array(list(bins), pa.string()), np.array([*bins.values(), 0], dtype=np.int64)


def _keyed(groups: pa.Table, column: Measured, values: Mapping[str, object]) -> pa.Table:
    """Long rows in the form of BINS or MOMENTS, by what `values` has."""
    schema = BINS if "bin" in values else MOMENTS
    keys = {
        "version": groups["version"],
        "column": pa.repeat(column.column, groups.num_rows),
        "bucket": groups["bucket"],
        "layout": pa.repeat(column.layout.id, groups.num_rows),
    }
    data = {**keys, **values}
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
