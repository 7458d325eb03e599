"""Profiles that lie in many parts, added up: what is read stays the same."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import duckdb

from monitor.engines.in_process import MAX_NEW_VALUES

ADDITIVE = 'sum("rows")::BIGINT AS "rows", sum(missing)::BIGINT, sum(invalid)::BIGINT, sum("sum"), sum(sum_sq), min("min"), max("max")'
AT_ONCE = 500_000  # parts that are added up together: sorting them must fit in memory
NAMES_OF_A_MODEL = 10_000
TABLES = {"profile_bins": "bin, sum(n)::BIGINT AS n", "profile_moments": ADDITIVE}
NOT_EMPTY = {"profile_bins": "sum(n) <> 0", "profile_moments": 'sum("rows") <> 0'}
FINE = "\"column\" IN ('latency_ms', 'status') AND bucket <> date_trunc('hour', bucket)"
SERVICE = "\"column\" IN ('latency_ms', 'status')"
HOUR = timedelta(hours=1)


def roll_up(con: duckdb.DuckDBPyConnection, before: datetime) -> int:
    """Add the minutes of service columns older than `before` up to hours; the number of rows that became fewer."""
    (found,) = con.execute(
        f"SELECT count(*), min(bucket) FROM profile_moments WHERE {FINE} AND bucket < ?",
        [before],
    ).fetchall()
    if not found[0]:
        return 0
    since = found[1].replace(minute=0)
    for table in TABLES:
        for start, end in _spans(con, table, SERVICE, since, before):
            _sum(
                con, table, "date_trunc('hour', bucket) AS bucket", SERVICE, start, end
            )
    return int(found[0])


def compact(con: duckdb.DuckDBPyConnection, since: datetime) -> None:
    """Add up the parts that many loads left in the buckets from `since` on, and keep the most frequent new values."""
    (newest,) = con.execute("SELECT max(bucket) FROM profile_moments").fetchall()[0]
    if newest is not None:
        for table in TABLES:
            for start, end in _spans(con, table, "true", since, newest + HOUR):
                _sum(con, table, "bucket", "true", start, end)
    trim_new_values(con)


def trim_new_values(con: duckdb.DuckDBPyConnection) -> None:
    """Keep the most frequent new values of each column, and of each model; each once for a version."""
    con.execute(
        'CREATE OR REPLACE TEMP TABLE summed AS SELECT * FROM (SELECT model, version, "column", "value", sum(n)::BIGINT AS n, '
        "min(first_seen) AS first_seen FROM new_values GROUP BY ALL) "
        f'QUALIFY row_number() OVER (PARTITION BY model, "column" ORDER BY n DESC, "value") <= {MAX_NEW_VALUES} '
        f'AND row_number() OVER (PARTITION BY model ORDER BY n DESC, "column", "value") <= {NAMES_OF_A_MODEL}'
    )
    con.execute("DELETE FROM new_values")
    con.execute("INSERT INTO new_values SELECT * FROM summed")
    con.execute("DROP TABLE summed")


def _spans(
    con: duckdb.DuckDBPyConnection,
    table: str,
    which: str,
    since: datetime,
    before: datetime,
) -> Iterator[tuple[datetime, datetime]]:
    """Spans of whole hours that hold about AT_ONCE rows each, or an hour's; those without rows are left out."""
    hours = con.execute(
        f"SELECT date_trunc('hour', bucket) AS h, count(*) FROM {table} WHERE {which} AND bucket >= ? AND bucket < ? GROUP BY 1 ORDER BY 1",
        [since, before],
    ).fetchall()
    first, rows = None, 0
    for hour, n in hours:
        if first is not None and rows + n > AT_ONCE:
            yield first, hour
            first, rows = None, 0
        first, rows = first or hour, rows + n
    if first is not None:
        yield first, before


def _sum(
    con: duckdb.DuckDBPyConnection,
    table: str,
    bucket: str,
    which: str,
    start: datetime,
    end: datetime,
) -> None:
    keys = f'model, segment, version, "column", {bucket}, layout'
    where, span = f"{which} AND bucket >= ? AND bucket < ?", [start, end]
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE summed AS SELECT {keys}, {TABLES[table]} FROM {table} WHERE {where} GROUP BY ALL HAVING {NOT_EMPTY[table]}",
        span,
    )
    con.execute(f"DELETE FROM {table} WHERE {where}", span)
    con.execute(
        f'INSERT INTO {table} SELECT * FROM summed ORDER BY bucket, model, segment, "column"'
    )
    con.execute("DROP TABLE summed")
