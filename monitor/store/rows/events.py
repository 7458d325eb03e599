"""Rows into the events tables: read what the spool holds, keep what is new."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from monitor.reconstruction import Reconstruction
from monitor.schema import Feature, ModelSchema
from monitor.sql import quote
from monitor.store import ledger
from monitor.store.rows import wide_rows
from monitor.store.rows.line_reader import read_lines
from monitor.store.rows.load_batch import Lines
from monitor.store.rows.wide_rows import ID_TYPE, TYPES

BASE = (
    ("event_id", "VARCHAR"),
    ("ts", "TIMESTAMP"),
    ("version", "VARCHAR"),
    ("prediction", "DOUBLE"),
    ("predicted_class", "VARCHAR"),
    ("latency_ms", "DOUBLE"),
    ("status", "SMALLINT"),
    ("error", "VARCHAR"),
    ("tags", "VARCHAR"),
)
FEW_COLUMNS = 16
FEW_CELLS = 64
REWRITTEN_CELLS = 5_000_000
LABEL_NUMBER = "CASE label WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 ELSE TRY_CAST(label AS DOUBLE) END"
ARROW = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "SMALLINT": pa.int16(),
    "TIMESTAMP": pa.timestamp("us"),
}


@dataclass(frozen=True)
class Model:
    """One model as stored: `id` names its tables, `schema` its columns, `task` how its predictions are judged.

    `reconstruction` is what the reference taught of its features together; None when it
    has too few rows or features.
    """

    id: int
    name: str
    task: str
    schema: ModelSchema
    reconstruction: Reconstruction | None = None

    @property
    def events(self) -> str:
        """The quoted name of its events table."""
        return quote(f"events_{self.id}")

    @property
    def labels(self) -> str:
        """The quoted name of its labels table."""
        return quote(f"labels_{self.id}")


def columns_of(schema: ModelSchema) -> list[tuple[str, str]]:
    """Name and type of every column of rows in memory and in the spool: one for each feature."""
    return [*BASE, *((f.field, TYPES[f.kind]) for f in schema.features)]


def arrow_schema(schema: ModelSchema) -> pa.Schema:
    """The Arrow form of the same columns."""
    return pa.schema([(name, ARROW[type_]) for name, type_ in columns_of(schema)])


def read_models(con: duckdb.DuckDBPyConnection) -> dict[str, Model]:
    """Every stored model by name."""
    features: dict[int, list[Feature]] = {}  # in one statement: a thousand take seconds
    for number, *feature in con.execute(
        "SELECT model, name, field, kind FROM features ORDER BY model, position"
    ).fetchall():
        features.setdefault(number, []).append(Feature(*feature))
    models = {}
    found = con.execute(
        "SELECT id, name, task, prediction, reconstruction FROM models ORDER BY id"
    ).fetchall()
    for number, name, task, prediction, text in found:
        schema = ModelSchema(name, tuple(features.get(number, ())), prediction)
        models[name] = Model(
            number,
            name,
            task,
            schema,
            None if text is None else Reconstruction.from_json(text),
        )
    return models


def create_tables(con: duckdb.DuckDBPyConnection, model: Model) -> None:
    """The empty tables of a new model."""
    con.execute(
        f"CREATE TABLE {model.events}({_body([*BASE, *wide_rows.columns_of(model.schema)])})"
    )
    con.execute(
        f"CREATE TABLE {model.labels}(event_id {ID_TYPE}, label VARCHAR, number DOUBLE, ts TIMESTAMP, joined BOOLEAN)"
    )


def note_features(
    con: duckdb.DuckDBPyConnection, grown: Iterable[tuple[Model, int]]
) -> None:
    """Keep which features models have, from a number (from 0) on."""
    rows = [
        (model.id, position, f.name, f.field, f.kind)
        for model, first in grown
        for position, f in enumerate(model.schema.features[first:], first)
    ]
    ledger.insert(con, "features", rows)


def add_columns(
    con: duckdb.DuckDBPyConnection, model: Model, schema: ModelSchema
) -> None:
    """The columns that `schema` has and the model's table has not, and the kind of its predictions."""
    have = dict(wide_rows.columns_of(model.schema))
    new = [
        (name, type_)
        for name, type_ in wide_rows.columns_of(schema)
        if name not in have
    ]
    if new:
        _widen(con, model, new)
    if schema.prediction != model.schema.prediction:
        con.execute(
            "UPDATE models SET prediction = ? WHERE id = ?",
            [schema.prediction, model.id],
        )


def _widen(
    con: duckdb.DuckDBPyConnection, model: Model, columns: Sequence[tuple[str, str]]
) -> None:
    """Add columns, one by one to a long table; a short one is written anew, because each ALTER costs as much as the
    table has columns: 2,000 of them took 8 s, a new table 0.2 s.
    """
    ((rows,),) = con.execute(f"SELECT count(*) FROM {model.events}").fetchall()
    body = _body([*BASE, *wide_rows.columns_of(model.schema), *columns])
    if not rows:
        con.execute(f"CREATE OR REPLACE TABLE {model.events}({body})")
        return
    if (
        len(columns) < FEW_COLUMNS
        or rows * (len(model.schema.features) + len(BASE)) > REWRITTEN_CELLS
    ):
        for name, type_ in columns:
            con.execute(f"ALTER TABLE {model.events} ADD COLUMN {quote(name)} {type_}")
        return
    wider = quote(f"events_{model.id}_wider")
    con.execute(f"CREATE TABLE {wider}({body})")
    con.execute(f"INSERT INTO {wider} BY NAME SELECT * FROM {model.events}")
    con.execute(f"DROP TABLE {model.events}")
    con.execute(f"ALTER TABLE {wider} RENAME TO {model.events}")


def _body(columns: Iterable[tuple[str, str]]) -> str:
    return ", ".join(
        f"{quote(name)} {ID_TYPE if name == 'event_id' else type_}"
        for name, type_ in columns
    )


def read(
    con: duckdb.DuckDBPyConnection,
    schema: ModelSchema,
    lines: Lines | None,
    tables: Sequence[pa.Table],
) -> pa.Table:
    """All rows of a load, in the form of `arrow_schema`: `lines` are raw event lines that fit the schema.

    An event with an error and a status that says nothing of it counts as failed: its
    status becomes 500.
    """
    form = arrow_schema(schema)
    parts = [_in_form(table, form) for table in tables]
    if lines is not None:
        parts.append(_in_form(read_lines(con, schema, lines), form))
    rows = pa.concat_tables(parts) if parts else form.empty_table()
    if rows["error"].null_count < rows.num_rows:
        failed = pc.and_(pc.is_valid(rows["error"]), pc.less(rows["status"], 400))
        status = pc.if_else(failed, pa.scalar(500, pa.int16()), rows["status"])
        rows = rows.set_column(
            form.get_field_index("status"), form.field("status"), status
        )
    return rows


def _in_form(table: pa.Table, form: pa.Schema) -> pa.Table:
    """A table that may lack columns its model got later: they are null."""
    if table.schema.equals(form):
        return table
    n, known = table.num_rows, set(table.column_names)
    columns = [table[f.name] if f.name in known else pa.nulls(n, f.type) for f in form]
    return pa.table(columns, schema=form)


def stored_ids(
    con: duckdb.DuckDBPyConnection, model: Model, rows: pa.Table
) -> pa.Array:
    """The ids of `rows` that are stored with a time between the first and the last of them.

    Cheap at any table size, because events lie roughly in time order.
    """
    con.register("incoming_ids", rows.select(["event_id"]))
    try:
        known = con.sql(
            f"SELECT DISTINCT event_id FROM {model.events} SEMI JOIN incoming_ids USING (event_id) WHERE ts BETWEEN $min AND $max",
            params=pc.min_max(rows["ts"]).as_py(),
        )
        return known.to_arrow_table()["event_id"].combine_chunks()
    finally:
        con.unregister("incoming_ids")


def insert(con: duckdb.DuckDBPyConnection, model: Model, rows: pa.Table) -> None:
    """Store rows in the form of `arrow_schema`."""
    # as values: half the time for one row; what is not named is null
    if rows.num_rows * rows.num_columns <= FEW_CELLS:
        rows = rows.select(
            [
                name
                for name in rows.column_names
                if rows[name].null_count < rows.num_rows
            ]
        )
        into, values = (
            ", ".join(map(quote, rows.column_names)),
            ", ".join("?" * rows.num_columns),
        )
        statement = f"INSERT INTO {model.events}({into}) VALUES {', '.join([f'({values})'] * rows.num_rows)}"
        con.execute(
            statement, [value for row in rows.to_pylist() for value in row.values()]
        )
        return
    con.register("fresh_rows", wide_rows.pack(rows, model.schema))
    con.execute(f"INSERT INTO {model.events} BY NAME SELECT * FROM fresh_rows")
    con.unregister("fresh_rows")
