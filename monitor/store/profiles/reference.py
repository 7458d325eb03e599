"""The reference of a model: its rows staged, its layouts frozen, its profile stored."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from monitor.contracts import Engine, ProfileColumn, ProfileTables
from monitor.errors import InvalidRequest
from monitor.layout import Layout, layout_of_numbers
from monitor.profile import Profile, Steps
from monitor.schema import RECONSTRUCTION_ERROR
from monitor.sql import quote
from monitor.store.database import insert_rows, registered
from monitor.store.model import Model, ModelSettings
from monitor.store.profiles.profile_reader import SUMS, profiles_from
from monitor.store.profiles.profiled_columns import (
    SERVICE,
    data_columns,
    error_columns,
    quality_column,
)
from monitor.store.profiles.reconstruction_layout import fit_reconstruction
from monitor.store.profiles.reference_layouts import freeze_layouts
from monitor.store.profiles.row_profiles import profile_groups
from monitor.store.rows.labels import LABEL_NUMBER
from monitor.store.rows.wide_rows import Relation, pack_rows

HOUR = timedelta(hours=1)
INPUT, ROWS = "reference_input", "reference_rows"  # a temporary table, and a view of it
KEYS = '"column", layout, bucket'
# the bucket of rows without a time, or before the last HOURLY_DAYS
UNTIMED = "TIMESTAMP '2000-01-01'"
# of the end of a reference are profiled by hour, so that the detector can learn from it
HOURLY_DAYS = 56
# without values they are no columns of a reference
OPTIONAL_COLUMNS = ("latency_ms", "status", "wrong", "absolute_error")

# rows, or the start and the end of a period of stored events
ReferenceRows = Callable[[], pa.Table] | tuple[datetime, datetime]


@dataclass(frozen=True)
class Reference:
    """The origin of a model's reference; times are naive UTC.

    `status` is set, provisional (the model's own first events) or none.
    """

    status: str
    source: str | None = None
    first: datetime | None = None
    last: datetime | None = None
    rows: int = 0
    labelled: int = 0
    set_at: datetime | None = None


def stage_rows(
    con: duckdb.DuckDBPyConnection, model: Model, rows: ReferenceRows
) -> None:
    """Create the temporary table `reference_input` in the form of an events table.

    It has label and number beside the columns of events.
    """
    create = f"CREATE OR REPLACE TEMP TABLE {INPUT} AS"
    if isinstance(rows, tuple):
        labels = f"(SELECT * FROM {model.labels} WHERE joined)"
        con.execute(
            f"{create} SELECT e.*, l.label, l.number FROM {model.events} e "
            f"LEFT JOIN {labels} l ON l.event_id = e.event_id "
            "WHERE e.ts >= ? AND e.ts < ?",
            list(rows),
        )
        return
    with registered(con, pack_rows(rows(), model.schema), "reference_table") as table:
        con.execute(f"{create} SELECT *, {LABEL_NUMBER} AS number FROM {table}")
    pa.default_memory_pool().release_unused()


def describe_rows(
    con: duckdb.DuckDBPyConnection, about: Reference, now: datetime
) -> Reference:
    """Return `about` with the time range and counts of the staged rows.

    Raises InvalidRequest when there are none.
    """
    ((rows, first, last, labelled),) = con.execute(
        f"SELECT count(*), min(ts), max(ts), count(label) FROM {INPUT}"
    ).fetchall()
    if not rows:
        raise InvalidRequest(
            "the reference has no rows; give a file with rows or a period that has "
            "events"
        )
    return replace(
        about, rows=rows, first=first, last=last, labelled=labelled, set_at=now
    )


def freeze(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    model: Model,
    about: Reference,
    settings: ModelSettings,
) -> tuple[Model, dict[str, Layout]]:
    """Make the staged rows the reference of a model.

    Returns the model with its task and reconstruction, and its layouts from now on.
    """
    model = replace(model, task=task_of(con, model, settings.task))
    layouts = freeze_layouts(con, model, Relation(INPUT, model.schema), about.rows)
    if settings.reconstruction:
        fitted, errors = fit_reconstruction(con, model, INPUT, about.rows, layouts)
    else:
        fitted, errors = None, None
    model = replace(model, reconstruction=fitted)
    if fitted is not None and errors is not None:
        layouts[RECONSTRUCTION_ERROR] = layout_of_numbers(errors)
    con.execute(
        "UPDATE models SET task = ?, reconstruction = ? WHERE id = ?",
        [model.task, None if fitted is None else fitted.to_json(), model.id],
    )
    _save(con, engine, model, layouts, about)
    con.execute(f"DROP TABLE {INPUT}")
    return model, layouts


def task_of(
    con: duckdb.DuckDBPyConnection, model: Model, configured: str = "auto"
) -> str:
    """Return the task as configured, else by the predictions of the staged rows.

    Numbers within [0, 1] are scores of a binary classifier; "unknown" without any.
    """
    if configured != "auto":
        return configured
    if model.schema.prediction in ("class", "probabilities"):
        return "classification"
    ((low, high, n),) = con.execute(
        f"SELECT min(prediction), max(prediction), count(prediction) FROM {INPUT}"
    ).fetchall()
    if not n:
        return "unknown"
    return "binary" if low >= 0 and high <= 1 else "regression"


def _save(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    model: Model,
    layouts: Mapping[str, Layout],
    about: Reference,
) -> None:
    """Replace the model's reference by the staged rows."""
    for table in ("reference", "reference_bins", "reference_moments", "model_layouts"):
        con.execute(f"DELETE FROM {table} WHERE model = ?", [model.id])
    insert_layouts(con, layouts.values())
    of_model = [(model.id, column, layout.id) for column, layout in layouts.items()]
    insert_rows(con, "model_layouts", of_model)
    _save_profiles(con, engine, model, layouts)
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


def insert_layouts(con: duckdb.DuckDBPyConnection, layouts: Collection[Layout]) -> None:
    """Store the definitions of layouts that are not stored yet."""
    definitions = {layout.id: layout.to_json() for layout in layouts}
    con.execute(
        "INSERT INTO layouts SELECT * FROM "
        "(SELECT unnest($ids) AS id, unnest($definitions)) "
        "WHERE id NOT IN (SELECT id FROM layouts)",
        {"ids": list(definitions), "definitions": list(definitions.values())},
    )


def _save_profiles(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    model: Model,
    layouts: Mapping[str, Layout],
) -> None:
    """Profile the staged rows: the last days by hour, the others in one bucket."""
    hourly = f"ts >= (SELECT max(ts) FROM {INPUT}) - INTERVAL {HOURLY_DAYS} DAY"
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW {ROWS} AS SELECT * EXCLUDE (ts), "
        f"CASE WHEN {hourly} THEN ts ELSE {UNTIMED} END AS ts, "
        f"{error_columns(model)} FROM {INPUT}"
    )
    quality = quality_column(model)
    columns: list[ProfileColumn] = [*SERVICE, *data_columns(model, layouts)]
    if quality is not None:
        columns.append(quality)
    for profiled in profile_groups(con, engine, Relation(ROWS, model.schema), columns):
        _write(con, model, profiled)
    del profiled
    pa.default_memory_pool().release_unused()
    con.execute(f"DROP VIEW {ROWS}")


def _write(
    con: duckdb.DuckDBPyConnection, model: Model, profiled: ProfileTables
) -> None:
    """Add the profiles of some columns, by hour."""
    bins = f"{KEYS}, bin"
    for table, rows, keys, sums in (
        ("reference_bins", profiled.bins, bins, "sum(n)::BIGINT AS n"),
        ("reference_moments", profiled.moments, KEYS, SUMS),
    ):
        hourly = con.from_arrow(rows).project(
            "* REPLACE (date_trunc('hour', bucket) AS bucket)"
        )
        summed = hourly.aggregate(f"{model.id} AS model, {keys}, {sums}", keys)
        columns = ", ".join(map(quote, con.table(table).columns))
        # not by `register`, which keeps a table in memory until the transaction ends
        summed.project(columns).insert_into(table)


def read_about(con: duckdb.DuckDBPyConnection, model: Model) -> Reference:
    """Return the origin of a model's reference; status none without a reference."""
    rows = con.execute(
        'SELECT status, source, first_ts, last_ts, "rows", labelled, set_at '
        "FROM reference WHERE model = ?",
        [model.id],
    ).fetchall()
    return Reference(*rows[0]) if rows else Reference("none")


def read_profiles(
    con: duckdb.DuckDBPyConnection, model: Model, layouts: Mapping[str, Layout]
) -> dict[str, Profile]:
    """Return the reference profile of every column that has one.

    A column whose rows were all empty is left out.
    """
    steps = _read_steps(con, "model = $model", {"model": model.id}, "0", layouts, 1)
    profiles = {column: of_column[0] for column, of_column in steps.items()}
    return {
        column: profile
        for column, profile in profiles.items()
        if profile.rows and (profile.n or column not in OPTIONAL_COLUMNS)
    }


def read_hours(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    layouts: Mapping[str, Layout],
    max_hours: int,
) -> tuple[datetime, dict[str, Steps]] | None:
    """Return the last `max_hours` hours of the reference; None when it has no times.

    They are the first hour (naive UTC), and each column's profiles from it on.
    """
    ((first, last),) = con.execute(
        "SELECT min(bucket), max(bucket) FROM reference_moments "
        f"WHERE model = ? AND bucket > {UNTIMED}",
        [model.id],
    ).fetchall()
    if first is None:
        return None
    first = max(first, last - (max_hours - 1) * HOUR)
    where = (
        'model = $model AND bucket >= $first AND "column" IN (SELECT unnest($columns))'
    )
    params = {"model": model.id, "first": first, "columns": list(layouts)}
    step = "(date_diff('hour', $first::TIMESTAMP, bucket))::INTEGER"
    hours = (last - first) // HOUR + 1
    return first, _read_steps(con, where, params, step, layouts, hours)


def _read_steps(
    con: duckdb.DuckDBPyConnection,
    where: str,
    params: Mapping[str, object],
    step: str,
    layouts: Mapping[str, Layout],
    steps: int,
) -> dict[str, Steps]:
    bins = con.sql(
        f'SELECT "column", {step} AS step, bin, sum(n)::BIGINT AS n '
        f"FROM reference_bins WHERE {where} GROUP BY ALL",
        params=params,
    ).to_arrow_table()
    moments = con.sql(
        f'SELECT "column", {step} AS step, {SUMS} '
        f"FROM reference_moments WHERE {where} GROUP BY ALL",
        params=params,
    ).to_arrow_table()
    return profiles_from(bins, moments, layouts, steps)
