"""The reference of a model: frozen layouts and the profile of the rows it was trained on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from monitor.arrow_columns import numpy_of
from monitor.contracts import ProfileColumn, ProfileTables
from monitor.errors import InvalidRequest
from monitor.layout import (
    KNOWN_CATEGORIES,
    UNIT,
    Layout,
    layout_of_categories,
    layout_of_numbers,
)
from monitor.profile import Profile, Steps
from monitor.schema import PACKED, RECONSTRUCTION_ERROR
from monitor.sql import quote
from monitor.store import ledger
from monitor.store.profiles import reconstruction_layout
from monitor.store.profiles.profile_reader import profiles_from
from monitor.store.profiles.profiler import (
    SERVICE,
    data_columns,
    judge,
    prediction_field,
    profiles_of,
    quality_column,
)
from monitor.store.rows import wide_rows
from monitor.store.rows.events import LABEL_NUMBER, Model
from monitor.store.rows.wide_rows import Relation

SORTED_AT_ONCE = 2_000_000  # values that are sorted in memory
INPUT, ROWS = "reference_input", "reference_rows"  # a temporary table, and a view of it
SUMS = (
    'sum("rows")::BIGINT AS "rows", sum(missing)::BIGINT AS missing, sum(invalid)::BIGINT AS invalid, sum("sum") AS "sum", '
    'sum(sum_sq) AS sum_sq, min("min") AS "min", max("max") AS "max"'
)
KEYS = '"column", layout, bucket'
ONE_BUCKET = "TIMESTAMP '2000-01-01'"
# of the end of a reference are kept hour by hour, so that the detector can learn from
# them
HOURLY_DAYS = 56


@dataclass(frozen=True)
class Reference:
    """Where a model's reference comes from.

    `status` is set, provisional (its own first events) or none.
    """

    status: str
    source: str | None = None
    first: datetime | None = None
    last: datetime | None = None
    rows: int = 0
    labelled: int = 0
    set_at: datetime | None = None


def stage(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    rows: Callable[[], pa.Table] | tuple[datetime, datetime],
) -> None:
    """The temporary table `reference_input`, in the form of an events table: given rows, or the stored events of a
    period, with their labels.
    """
    if isinstance(rows, tuple):
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE reference_input AS SELECT e.*, l.label, l.number FROM {model.events} e "
            f"LEFT JOIN (SELECT * FROM {model.labels} WHERE joined) l ON l.event_id = e.event_id WHERE e.ts >= ? AND e.ts < ?",
            list(rows),
        )
        return
    con.register("reference_table", wide_rows.pack(rows(), model.schema))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE reference_input AS SELECT *, {LABEL_NUMBER} AS number FROM reference_table"
    )
    con.unregister("reference_table")
    pa.default_memory_pool().release_unused()


def describe(
    con: duckdb.DuckDBPyConnection, about: Reference, now: datetime
) -> Reference:
    """`about` with the span and counts of the staged rows.

    Raises InvalidRequest when there are none.
    """
    ((rows, first, last, labelled),) = con.execute(
        "SELECT count(*), min(ts), max(ts), count(label) FROM reference_input"
    ).fetchall()
    if not rows:
        raise InvalidRequest(
            "the reference has no rows; give a file with rows or a period that has events"
        )
    return replace(
        about, rows=rows, first=first, last=last, labelled=labelled, set_at=now
    )


def freeze(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    about: Reference,
    task: str,
    together: bool,
) -> tuple[Model, dict[str, Layout]]:
    """Make the staged rows the model's reference; the model with its task and, if features are to be judged `together`,
    their reconstruction; and the layouts from now on.
    """
    model = replace(model, task=task_of(con, model, INPUT, task))
    con.execute("UPDATE models SET task = ? WHERE id = ?", [model.task, model.id])
    layouts = freeze_layouts(con, model, Relation(INPUT, model.schema), about.rows)
    found, errors = reconstruction_layout.freeze(
        con, model, INPUT, about.rows, layouts, together
    )
    model = replace(model, reconstruction=found)
    if found is not None:
        layouts[RECONSTRUCTION_ERROR] = layout_of_numbers(errors)
    save(con, model, layouts, about)
    con.execute(f"DROP TABLE {INPUT}")
    return model, layouts


def task_of(
    con: duckdb.DuckDBPyConnection, model: Model, rows: str, wanted: str = "auto"
) -> str:
    """How predictions are judged: as configured, else by what they are (numbers within [0, 1] are scores)."""
    if wanted != "auto":
        return wanted
    if model.schema.prediction in ("class", "probabilities"):
        return "classification"
    low, high, n = con.execute(
        f"SELECT min(prediction), max(prediction), count(prediction) FROM {quote(rows)}"
    ).fetchall()[0]
    if not n:
        return "unknown"
    return "binary" if low >= 0 and high <= 1 else "regression"


def freeze_layouts(
    con: duckdb.DuckDBPyConnection, model: Model, rows: Relation, n: int
) -> dict[str, Layout]:
    """The layouts of all features and the prediction, from `n` reference rows."""
    wanted = {f.field: (f.field, f.kind) for f in model.schema.features}
    unit = model.task == "binary" and prediction_field(model) == "prediction"
    if model.schema.prediction != "unknown" and not unit:
        field = prediction_field(model)
        wanted["prediction"] = (
            field,
            "categorical" if field == "predicted_class" else "numeric",
        )
    layouts: dict[str, Layout] = {}
    for kind, of_many in (
        ("numeric", _numeric_layouts),
        ("categorical", _categorical_layouts),
    ):
        columns = [
            (column, field) for column, (field, its) in wanted.items() if its == kind
        ]
        at_once = max(1, min(PACKED, SORTED_AT_ONCE // max(1, n)))
        for i in range(0, len(columns), at_once):
            some = dict(columns[i : i + at_once])
            layouts |= dict(
                zip(some, of_many(con, rows, list(some.values())), strict=True)
            )
    if unit:
        layouts["prediction"] = UNIT
    return {
        column: layouts[column]
        for column in [*wanted, *(["prediction"] if unit else [])]
    }


def save(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    layouts: Mapping[str, Layout],
    about: Reference,
) -> None:
    """Replace the model's reference by the rows of the temporary table `reference_input`."""
    for table in ("reference", "reference_bins", "reference_moments", "model_layouts"):
        con.execute(f"DELETE FROM {table} WHERE model = ?", [model.id])
    definitions = {layout.id: layout.to_json() for layout in layouts.values()}
    con.execute(
        "INSERT INTO layouts SELECT * FROM (SELECT unnest($ids) AS id, unnest($texts)) WHERE id NOT IN (SELECT id FROM layouts)",
        {"ids": list(definitions), "texts": list(definitions.values())},
    )
    ledger.insert(
        con,
        "model_layouts",
        [(model.id, column, layout.id) for column, layout in layouts.items()],
    )
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW {ROWS} AS SELECT * EXCLUDE (ts), "
        f"CASE WHEN ts >= (SELECT max(ts) FROM {INPUT}) - INTERVAL {HOURLY_DAYS} DAY THEN ts ELSE {ONE_BUCKET} END AS ts, "
        f"{judge(model)} FROM {INPUT}"
    )
    quality = quality_column(model)
    columns: list[ProfileColumn] = [
        *SERVICE,
        *data_columns(model, layouts),
        *([quality] if quality else []),
    ]
    for profiled in profiles_of(con, Relation(ROWS, model.schema), columns):
        _write(con, model, profiled)
    del profiled
    pa.default_memory_pool().release_unused()
    con.execute(f"DROP VIEW {ROWS}")
    con.execute(
        "INSERT INTO reference VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            model.id,
            about.status,
            about.source,
            about.first,
            about.last,
            about.rows,
            about.labelled,
            about.set_at,
        ],
    )


def read_about(con: duckdb.DuckDBPyConnection, model: Model) -> Reference:
    """What the reference is; status none when there is none."""
    found = con.execute(
        'SELECT status, source, first_ts, last_ts, "rows", labelled, set_at FROM reference WHERE model = ?',
        [model.id],
    ).fetchall()
    return Reference(*found[0]) if found else Reference("none")


def read_layouts(
    con: duckdb.DuckDBPyConnection, models: Iterable[Model]
) -> dict[str, dict[str, Layout]]:
    """The frozen layouts of each model's columns, by the model's name."""
    by_id: dict[int, dict[str, Layout]] = {}
    for number, column, text in con.execute(
        'SELECT m.model, m."column", l.definition FROM model_layouts m JOIN layouts l ON l.id = m.layout'
    ).fetchall():
        by_id.setdefault(number, {})[column] = Layout.from_json(text)
    return {model.name: by_id.get(model.id, {}) for model in models}


def read_profiles(
    con: duckdb.DuckDBPyConnection, model: Model, layouts: Mapping[str, Layout]
) -> dict[str, Profile]:
    """The reference profile of every column that has one; a column whose rows were all empty is left out."""
    bins = con.sql(
        'SELECT "column", 0 AS step, bin, sum(n)::BIGINT AS n FROM reference_bins WHERE model = $m GROUP BY ALL',
        params={"m": model.id},
    )
    moments = con.sql(
        f'SELECT "column", 0 AS step, {SUMS} FROM reference_moments WHERE model = $m GROUP BY ALL',
        params={"m": model.id},
    )
    read = profiles_from(bins.to_arrow_table(), moments.to_arrow_table(), layouts, 1)
    usable = {column: steps[0] for column, steps in read.items() if steps[0].rows}
    return {
        c: p
        for c, p in usable.items()
        if p.n or c not in ("latency_ms", "status", "wrong", "absolute_error")
    }


def read_hours(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    layouts: Mapping[str, Layout],
    most: int,
) -> tuple[datetime, dict[str, Steps]] | None:
    """The last `most` hours of the reference: the first of them (naive UTC), and each column's profiles from there on;
    None without times."""
    where = f"model = $m AND bucket > {ONE_BUCKET}"
    ((first, last),) = con.execute(
        f"SELECT min(bucket), max(bucket) FROM reference_moments WHERE {where}",
        {"m": model.id},
    ).fetchall()
    if first is None:
        return None
    first = max(first, last - (most - 1) * timedelta(hours=1))
    where = 'model = $m AND bucket >= $first AND "column" IN (SELECT unnest($columns))'
    which = "(date_diff('hour', $first::TIMESTAMP, bucket))::INTEGER AS step"
    params = {"m": model.id, "first": first, "columns": list(layouts)}
    bins = con.sql(
        f'SELECT "column", {which}, bin, sum(n)::BIGINT AS n FROM reference_bins WHERE {where} GROUP BY ALL',
        params=params,
    )
    moments = con.sql(
        f'SELECT "column", {which}, {SUMS} FROM reference_moments WHERE {where} GROUP BY ALL',
        params=params,
    )
    hours = (last - first) // timedelta(hours=1) + 1
    return first, profiles_from(
        bins.to_arrow_table(), moments.to_arrow_table(), layouts, hours
    )


def _numeric_layouts(
    con: duckdb.DuckDBPyConnection, rows: Relation, fields: Sequence[str]
) -> list[Layout]:
    read = con.sql(
        f"SELECT {rows.values(fields).lstrip(', ')} FROM {quote(rows.name)}"
    ).to_arrow_table()
    return [layout_of_numbers(numpy_of(read[field].drop_null())) for field in fields]


def _categorical_layouts(
    con: duckdb.DuckDBPyConnection, rows: Relation, fields: Sequence[str]
) -> list[Layout]:
    ((timed,),) = con.execute(
        f"SELECT max(ts) - min(ts) >= INTERVAL 1 DAY FROM {quote(rows.name)}"
    ).fetchall()
    # in traffic a value comes in clumps, as a user does: what is new comes by the hour,
    # not by the row
    once = (
        "date_trunc('hour', min(ts)) = date_trunc('hour', max(ts))"
        if timed
        else "count(*) = 1"
    )
    layouts = []
    for value in map(rows.value, fields):
        # one at a time: each may have ten thousand values
        found = con.execute(
            f"SELECT {value}, count(*), {once}, (sum(count(*)) OVER ())::BIGINT FROM {quote(rows.name)} "
            f"WHERE {value} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {KNOWN_CATEGORIES}"
        ).fetchall()
        layouts.append(
            layout_of_categories(
                [row[:3] for row in found], found[0][3] if found else 0
            )
        )
    return layouts


def _write(
    con: duckdb.DuckDBPyConnection, model: Model, profiled: ProfileTables
) -> None:
    """Add the profiles of some columns, hour by hour."""
    for table, rows, keys, added in (
        ("reference_bins", profiled.bins, f"{KEYS}, bin", "sum(n)::BIGINT AS n"),
        ("reference_moments", profiled.moments, KEYS, SUMS),
    ):
        hourly = con.from_arrow(rows).project(
            "* REPLACE (date_trunc('hour', bucket) AS bucket)"
        )
        summed = hourly.aggregate(f"{model.id} AS model, {keys}, {added}", keys)
        # not by `register`: what is registered is held until the transaction ends
        summed.project(", ".join(map(quote, con.table(table).columns))).insert_into(
            table
        )
