"""Values of the wrong type by model, hour of receipt and column."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import duckdb

from monitor.store import ledger
from monitor.type_mismatch import TypeMismatch

# model, hour, column, expected, came: rows, sample
Seen = dict[tuple[str, datetime, str, str, str], tuple[int, str]]
MAX_ROWS = 1000


def note(seen: Seen, model: str, at: datetime, found: Iterable[TypeMismatch]) -> None:
    """Add what came at a time to what was seen in its hour."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    for one in found:
        key = model, hour, one.column, one.expected, one.came
        rows, sample = seen.get(key, (0, ""))
        seen[key] = rows + one.rows, sample or one.sample


def record(con: duckdb.DuckDBPyConnection, seen: Seen) -> None:
    """Add up what was seen in the stored hours: a client that errs in every batch makes one row an hour, not one a load."""
    if not seen:
        return
    con.execute("CREATE OR REPLACE TEMP TABLE came_mistyped AS FROM mistyped LIMIT 0")
    ledger.insert(
        con,
        "came_mistyped",
        [(*key, rows, sample) for key, (rows, sample) in seen.items()],
    )
    con.execute(
        'MERGE INTO mistyped USING came_mistyped AS c USING (model, hour, "column", expected, came) '
        'WHEN MATCHED THEN UPDATE SET "rows" = mistyped."rows" + c."rows" WHEN NOT MATCHED THEN INSERT'
    )
    con.execute("DROP TABLE came_mistyped")


def forget_samples(con: duckdb.DuckDBPyConnection, model: str) -> None:
    """Let go of every sample of a model: one of them may be a person's value.

    Counts stay.
    """
    con.execute("UPDATE mistyped SET sample = '' WHERE model = ?", [model])


def listing(
    con: duckdb.DuckDBPyConnection,
    models: Collection[str] | None,
    start: datetime,
    end: datetime,
    by_hour: bool,
) -> list[dict[str, Any]]:
    """What came in a span, by hour if wanted, the most frequent first; `last_hour` is the newest of several."""
    which: Mapping[str, Any] = {} if models is None else {"models": list(models)}
    found = con.execute(
        f'SELECT model, "column", expected, came, {"hour" if by_hour else "NULL"} AS hour, sum("rows")::BIGINT AS n, '
        "coalesce(arg_max(sample, hour) FILTER (sample <> ''), '') AS sample, max(hour) AS last_hour FROM mistyped "
        f"WHERE hour >= $start AND hour < $end AND {'list_contains($models, model)' if which else 'true'} "
        f'GROUP BY ALL ORDER BY n DESC, model, "column", came, last_hour LIMIT {MAX_ROWS}',
        {"start": start, "end": end, **which},
    ).fetchall()
    names = (
        "model",
        "column",
        "expected",
        "came",
        "hour",
        "rows",
        "sample",
        "last_hour",
    )
    return [dict(zip(names, row, strict=True)) for row in found]
