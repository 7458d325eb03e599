"""The layouts that a reference freezes, from its rows."""

from collections.abc import Iterable, Sequence

import duckdb

from monitor.arrow_columns import numpy_of
from monitor.layout import (
    MAX_CATEGORIES,
    UNIT,
    Layout,
    layout_of_categories,
    layout_of_numbers,
)
from monitor.schema import MAX_PACKED
from monitor.sql import quote
from monitor.store.model import Model
from monitor.store.profiles.profiled_columns import prediction_field
from monitor.store.rows.wide_rows import Relation

MAX_SORTED_CELLS = 2_000_000  # values that are sorted in memory


def freeze_layouts(
    con: duckdb.DuckDBPyConnection, model: Model, rows: Relation, n: int
) -> dict[str, Layout]:
    """Return the layouts of all features and the prediction, from `n` reference rows."""
    features = {f.field: (f.field, f.kind) for f in model.schema.features}
    columns: dict[str, tuple[str, str]] = dict(features)
    scores = model.task == "binary" and prediction_field(model) == "prediction"
    if model.schema.prediction != "unknown" and not scores:
        field = prediction_field(model)
        kind = "categorical" if field == "predicted_class" else "numeric"
        columns["prediction"] = (field, kind)
    layouts: dict[str, Layout] = {}
    for fields in _groups(columns, "numeric", n):
        frozen = _numeric_layouts(con, rows, list(fields.values()))
        layouts |= dict(zip(fields, frozen, strict=True))
    for fields in _groups(columns, "categorical", n):
        frozen = _categorical_layouts(con, rows, list(fields.values()))
        layouts |= dict(zip(fields, frozen, strict=True))
    in_order = {column: layouts[column] for column in columns}
    if scores:
        in_order["prediction"] = UNIT
    return in_order


def _groups(
    columns: dict[str, tuple[str, str]], kind: str, rows: int
) -> Iterable[dict[str, str]]:
    """Yield the fields of a kind of column, some at a time, by column."""
    fields = [(column, field) for column, (field, of) in columns.items() if of == kind]
    size = max(1, min(MAX_PACKED, MAX_SORTED_CELLS // max(1, rows)))
    for first in range(0, len(fields), size):
        yield dict(fields[first : first + size])


def _numeric_layouts(
    con: duckdb.DuckDBPyConnection, rows: Relation, fields: Sequence[str]
) -> list[Layout]:
    values = con.sql(
        f"SELECT {rows.values(fields).lstrip(', ')} FROM {quote(rows.name)}"
    ).to_arrow_table()
    return [layout_of_numbers(numpy_of(values[field].drop_null())) for field in fields]


def _categorical_layouts(
    con: duckdb.DuckDBPyConnection, rows: Relation, fields: Sequence[str]
) -> list[Layout]:
    table = quote(rows.name)
    ((of_traffic,),) = con.execute(
        f"SELECT max(ts) - min(ts) >= INTERVAL 1 DAY FROM {table}"
    ).fetchall()
    # In traffic a value arrives in clumps, as a user does: new values are counted by
    # the hour, not by the row.
    once = "count(*) = 1"
    if of_traffic:
        once = "date_trunc('hour', min(ts)) = date_trunc('hour', max(ts))"
    layouts = []
    # one column at a time: each may have ten thousand values
    for value in map(rows.value, fields):
        counts = con.execute(
            f"SELECT {value}, count(*), {once}, (sum(count(*)) OVER ())::BIGINT "
            f"FROM {table} WHERE {value} IS NOT NULL "
            f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MAX_CATEGORIES}"
        ).fetchall()
        n = counts[0][3] if counts else 0
        layouts.append(layout_of_categories([row[:3] for row in counts], n))
    return layouts
