"""Counts of values whose type is not their column's, by model, hour of receipt and column."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import duckdb

from monitor.store.database import insert_rows
from monitor.type_mismatch import TypeMismatch

# model, hour, column, expected type, type of the value: rows, sample
MismatchCounts = dict[tuple[str, datetime, str, str, str], tuple[int, str]]
MAX_LISTED = 1000  # counts


def count_mismatches(
    counts: MismatchCounts, model: str, at: datetime, mismatches: Iterable[TypeMismatch]
) -> None:
    """Add mismatches that were received at a time to the counts of its hour."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    for mismatch in mismatches:
        key = (model, hour, mismatch.column, mismatch.expected, mismatch.came)
        rows, sample = counts.get(key, (0, ""))
        counts[key] = (rows + mismatch.rows, sample or mismatch.sample)


def record_mismatches(con: duckdb.DuckDBPyConnection, counts: MismatchCounts) -> None:
    """Add counts to those stored of their hours.

    So a client that errs in every batch makes one row an hour, not one a load.
    """
    if not counts:
        return
    con.execute("CREATE OR REPLACE TEMP TABLE new_counts AS FROM mistyped LIMIT 0")
    insert_rows(con, "new_counts", [(*key, *value) for key, value in counts.items()])
    con.execute(
        "MERGE INTO mistyped USING new_counts AS c "
        'USING (model, hour, "column", expected, came) '
        'WHEN MATCHED THEN UPDATE SET "rows" = mistyped."rows" + c."rows" '
        "WHEN NOT MATCHED THEN INSERT"
    )
    con.execute("DROP TABLE new_counts")


def clear_samples(con: duckdb.DuckDBPyConnection, model: str) -> None:
    """Delete every sample of a model, as one may be a person's value; counts stay."""
    con.execute("UPDATE mistyped SET sample = '' WHERE model = ?", [model])


def list_mismatches(
    con: duckdb.DuckDBPyConnection,
    models: Collection[str] | None,
    start: datetime,
    end: datetime,
    by_hour: bool,
) -> list[dict[str, Any]]:
    """List the counts of a time range (naive UTC), the most frequent first.

    `models` None means all. Hours are added up unless `by_hour`; `last_hour` is the
    newest of them.
    """
    params: Mapping[str, Any] = {} if models is None else {"models": list(models)}
    among = "list_contains($models, model)" if params else "true"
    hour = "hour" if by_hour else "NULL"
    rows = con.execute(
        f'SELECT model, "column", expected, came, {hour} AS hour, '
        'sum("rows")::BIGINT AS n, '
        "coalesce(arg_max(sample, hour) FILTER (sample <> ''), '') AS sample, "
        "max(hour) AS last_hour FROM mistyped "
        f"WHERE hour >= $start AND hour < $end AND {among} "
        'GROUP BY ALL ORDER BY n DESC, model, "column", came, last_hour '
        f"LIMIT {MAX_LISTED}",
        {"start": start, "end": end, **params},
    ).fetchall()
    names = (
        *("model", "column", "expected", "came"),
        *("hour", "rows", "sample", "last_hour"),
    )
    return [dict(zip(names, row, strict=True)) for row in rows]
