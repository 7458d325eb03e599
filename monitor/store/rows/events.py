"""Events of a load: read from lines and tables, compared with stored ids, inserted."""

from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from monitor.schema import ModelSchema
from monitor.sql import quote
from monitor.store.database import registered
from monitor.store.model import Model
from monitor.store.rows.line_reader import read_lines
from monitor.store.rows.load_batch import Lines
from monitor.store.rows.model_tables import BASE_COLUMNS
from monitor.store.rows.wide_rows import TYPES, pack_rows

MAX_INLINE_CELLS = 64  # values that are inserted as parameters of one statement
MIN_FAILED_STATUS = 400
UNKNOWN_FAILURE = (
    500  # the status of an event that has an error, but a status of success
)
ARROW_TYPES = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "SMALLINT": pa.int16(),
    "TIMESTAMP": pa.timestamp("us"),
}


def arrow_schema(schema: ModelSchema) -> pa.Schema:
    """Return the columns of events in memory and in the spool: one for each feature."""
    features = [(feature.field, TYPES[feature.kind]) for feature in schema.features]
    columns = [*BASE_COLUMNS, *features]
    return pa.schema([(name, ARROW_TYPES[type_]) for name, type_ in columns])


def read_events(
    con: duckdb.DuckDBPyConnection,
    schema: ModelSchema,
    lines: Lines | None,
    tables: Sequence[pa.Table],
) -> pa.Table:
    """Return all events of a load, in the form of `arrow_schema`.

    `lines` are raw event lines that fit the schema. An event with an error and a
    status of success counts as failed: its status becomes 500.
    """
    form = arrow_schema(schema)
    parts = [_in_form(table, form) for table in tables]
    if lines is not None:
        parts.append(_in_form(read_lines(con, schema, lines), form))
    rows = pa.concat_tables(parts) if parts else form.empty_table()
    if rows["error"].null_count == rows.num_rows:
        return rows
    success = pc.less(rows["status"], MIN_FAILED_STATUS)
    failed = pc.and_(pc.is_valid(rows["error"]), success)
    failure = pa.scalar(UNKNOWN_FAILURE, pa.int16())
    status = pc.if_else(failed, failure, rows["status"])
    place = form.get_field_index("status")
    return rows.set_column(place, form.field("status"), status)


def _in_form(table: pa.Table, form: pa.Schema) -> pa.Table:
    """Add the columns that a model got later: they are null."""
    if table.schema.equals(form):
        return table
    present = set(table.column_names)
    columns = []
    for field in form:
        if field.name in present:
            columns.append(table[field.name])
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.table(columns, schema=form)


def stored_ids(
    con: duckdb.DuckDBPyConnection, model: Model, rows: pa.Table
) -> pa.Array:
    """Return the ids of `rows` that are stored with a time within theirs.

    Cheap at any table size, because events lie roughly in time order.
    """
    with registered(con, rows.select(["event_id"]), "incoming_ids"):
        ids = con.sql(
            f"SELECT DISTINCT event_id FROM {model.events} "
            "SEMI JOIN incoming_ids USING (event_id) WHERE ts BETWEEN $min AND $max",
            params=pc.min_max(rows["ts"]).as_py(),
        )
        return ids.to_arrow_table()["event_id"].combine_chunks()


def insert_events(con: duckdb.DuckDBPyConnection, model: Model, rows: pa.Table) -> None:
    """Store rows in the form of `arrow_schema`."""
    if rows.num_rows * rows.num_columns <= MAX_INLINE_CELLS:
        _insert_inline(con, model, rows)
        return
    with registered(con, pack_rows(rows, model.schema), "fresh_rows"):
        con.execute(f"INSERT INTO {model.events} BY NAME SELECT * FROM fresh_rows")


def _insert_inline(
    con: duckdb.DuckDBPyConnection, model: Model, rows: pa.Table
) -> None:
    """Store a few rows as parameters: half the time for one row."""
    # a column that is not named is null
    names = [n for n in rows.column_names if rows[n].null_count < rows.num_rows]
    columns = ", ".join(map(quote, names))
    row = f"({', '.join('?' * len(names))})"
    values = [value for r in rows.select(names).to_pylist() for value in r.values()]
    con.execute(
        f"INSERT INTO {model.events}({columns}) "
        f"VALUES {', '.join([row] * rows.num_rows)}",
        values,
    )
