"""Stored profiles added up: the parts of many loads, and old minutes to hours."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from monitor.contracts import MAX_NEW_VALUES

HOUR = timedelta(hours=1)
MINUTE_RETENTION = timedelta(hours=48)
MAX_LOADS = 300
MAX_ROWS = 2_000_000  # a load of ten thousand features writes 200,000
MAX_SORTED_ROWS = 500_000  # of one step: sorting them must fit in memory
MAX_VALUES_OF_MODEL = 10_000  # new values
KEYS = 'model, segment, version, "column"'
SERVICE = "\"column\" IN ('latency_ms', 'status')"
MINUTES = f"{SERVICE} AND bucket <> date_trunc('hour', bucket)"


@dataclass(frozen=True)
class SummedTable:
    """A table of profiles: its sums, and the condition for a sum that is not empty."""

    name: str
    sums: str
    not_empty: str


BINS = SummedTable("profile_bins", "bin, sum(n)::BIGINT AS n", "sum(n) <> 0")
MOMENTS = SummedTable(
    "profile_moments",
    'sum("rows")::BIGINT AS "rows", sum(missing)::BIGINT, sum(invalid)::BIGINT, '
    'sum("sum"), sum(sum_sq), min("min"), max("max")',
    'sum("rows") <> 0',
)


@dataclass
class CompactionBacklog:
    """What was written since profiles were compacted: loads, rows, the earliest event."""

    loads: int = 0
    rows: int = 0
    earliest: datetime | None = None

    def note_load(self, times: Iterable[datetime]) -> None:
        """Count a load, with the first event time of each model whose profiles changed."""
        self.loads += 1
        if self.earliest is not None:
            times = [*times, self.earliest]
        self.earliest = min(times, default=None)

    @property
    def due(self) -> bool:
        """True when compaction is worth its cost."""
        large = self.loads > MAX_LOADS or self.rows > MAX_ROWS
        return large and self.earliest is not None


def roll_up(con: duckdb.DuckDBPyConnection, before: datetime) -> int:
    """Add the minutes of service columns older than `before` up to hours.

    Returns the number of rows that were minutes.
    """
    ((rows, first),) = con.execute(
        "SELECT count(*), min(bucket) FROM profile_moments "
        f"WHERE {MINUTES} AND bucket < ?",
        [before],
    ).fetchall()
    if not rows:
        return 0
    since = first.replace(minute=0)
    for table in (BINS, MOMENTS):
        for start, end in _steps(con, table, SERVICE, since, before):
            bucket = "date_trunc('hour', bucket) AS bucket"
            _add_up(con, table, bucket, SERVICE, start, end)
    return int(rows)


def compact(con: duckdb.DuckDBPyConnection, since: datetime) -> None:
    """Add up the parts of many loads in the buckets from `since` on; trim new values."""
    (newest,) = con.execute("SELECT max(bucket) FROM profile_moments").fetchall()[0]
    if newest is not None:
        for table in (BINS, MOMENTS):
            for start, end in _steps(con, table, "true", since, newest + HOUR):
                _add_up(con, table, "bucket", "true", start, end)
    trim_new_values(con)


def trim_new_values(con: duckdb.DuckDBPyConnection) -> None:
    """Keep the most frequent new values of each column, and of each model."""
    con.execute(
        "CREATE OR REPLACE TEMP TABLE summed AS SELECT * FROM ("
        'SELECT model, version, "column", "value", sum(n)::BIGINT AS n, '
        "min(first_seen) AS first_seen FROM new_values GROUP BY ALL) "
        'QUALIFY row_number() OVER (PARTITION BY model, "column" '
        f'ORDER BY n DESC, "value") <= {MAX_NEW_VALUES} '
        "AND row_number() OVER (PARTITION BY model "
        f'ORDER BY n DESC, "column", "value") <= {MAX_VALUES_OF_MODEL}'
    )
    con.execute("DELETE FROM new_values")
    con.execute("INSERT INTO new_values SELECT * FROM summed")
    con.execute("DROP TABLE summed")


def _steps(
    con: duckdb.DuckDBPyConnection,
    table: SummedTable,
    condition: str,
    since: datetime,
    before: datetime,
) -> Iterator[tuple[datetime, datetime]]:
    """Yield time ranges of whole hours with about MAX_SORTED_ROWS rows each.

    One hour may have more. Hours without rows are left out.
    """
    hours = con.execute(
        f"SELECT date_trunc('hour', bucket) AS h, count(*) FROM {table.name} "
        f"WHERE {condition} AND bucket >= ? AND bucket < ? GROUP BY 1 ORDER BY 1",
        [since, before],
    ).fetchall()
    first, rows = None, 0
    for hour, n in hours:
        if first is not None and rows + n > MAX_SORTED_ROWS:
            yield first, hour
            first, rows = None, 0
        first, rows = first or hour, rows + n
    if first is not None:
        yield first, before


def _add_up(
    con: duckdb.DuckDBPyConnection,
    table: SummedTable,
    bucket: str,
    condition: str,
    start: datetime,
    end: datetime,
) -> None:
    where = f"{condition} AND bucket >= ? AND bucket < ?"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE summed AS "
        f"SELECT {KEYS}, {bucket}, layout, {table.sums} FROM {table.name} "
        f"WHERE {where} GROUP BY ALL HAVING {table.not_empty}",
        [start, end],
    )
    con.execute(f"DELETE FROM {table.name} WHERE {where}", [start, end])
    con.execute(
        f"INSERT INTO {table.name} SELECT * FROM summed "
        'ORDER BY bucket, model, segment, "column"'
    )
    con.execute("DROP TABLE summed")
