"""Profiles of rows, given as an Arrow table or as a table of the connection."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import BATCH_ROWS
from monitor.contracts import Engine, ProfileColumn, ProfileTables
from monitor.sql import quote
from monitor.store.rows.wide_rows import Relation

MAX_BATCH_CELLS = 4_000_000  # values that are read into memory at once
MIN_BATCH_ROWS = 2048  # the engine's vector size

Rows: TypeAlias = pa.Table | Relation


def profile_rows(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    rows: Rows,
    columns: Sequence[ProfileColumn],
    where: tuple[str, str] | None = None,
) -> ProfileTables:
    """Profile rows; with `where` (field, value) only those whose field has the value."""
    profiles = list(profile_groups(con, engine, rows, columns, where))
    return profiles[0] if len(profiles) == 1 else ProfileTables.join(profiles)


def profile_groups(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    rows: Rows,
    columns: Sequence[ProfileColumn],
    where: tuple[str, str] | None = None,
) -> Iterator[ProfileTables]:
    """Profile rows some columns at a time, as they are best read.

    The profiles of ten thousand columns are gigabytes together.
    """
    if isinstance(rows, pa.Table):
        if where is not None:
            rows = rows.filter(pc.equal(rows[where[0]], where[1]))
        yield engine.profile(rows, columns)
        return
    condition, params = "true", list[str]()
    if where is not None:
        condition, params = f"{rows.value(where[0])} = ?", [where[1]]
    needed = dict.fromkeys(field for column in columns for field in column.fields)
    for fields in rows.column_groups(needed):
        read = con.sql(
            f"SELECT ts, version{rows.values(fields)} FROM {quote(rows.name)} "
            f"WHERE {condition}",
            params=params,
        )
        size = min(BATCH_ROWS, MAX_BATCH_CELLS // len(fields))
        batches = read.to_arrow_reader(max(MIN_BATCH_ROWS, size))
        group = [c for c in columns if set(fields).issuperset(c.fields)]
        yield engine.profile(batches, group)
