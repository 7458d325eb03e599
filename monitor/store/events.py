"""Rows into the events tables: read what the spool holds, keep what is new."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from monitor.schema import ModelSchema
from monitor.sql import quote

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
LONGEST_LINE = 16 << 20  # DuckDB's own default
TYPES = {"numeric": "DOUBLE", "categorical": "VARCHAR"}
LABEL_NUMBER = "CASE label WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 ELSE TRY_CAST(label AS DOUBLE) END"
ARROW = {"VARCHAR": pa.string(), "DOUBLE": pa.float64(), "SMALLINT": pa.int16(), "TIMESTAMP": pa.timestamp("us")}


@dataclass(frozen=True)
class Model:
    """One model as stored: `id` names its tables, `schema` its columns, `task` how its predictions are judged."""

    id: int
    name: str
    task: str
    schema: ModelSchema

    @property
    def events(self) -> str:
        """The quoted name of its events table."""
        return quote(f"events_{self.id}")

    @property
    def labels(self) -> str:
        """The quoted name of its labels table."""
        return quote(f"labels_{self.id}")


def columns_of(schema: ModelSchema) -> list[tuple[str, str]]:
    """Name and type of every column of an events table."""
    return [*BASE, *((f.field, TYPES[f.kind]) for f in schema.features)]


def arrow_schema(schema: ModelSchema) -> pa.Schema:
    """The Arrow form of the same columns, as the collector spools them."""
    return pa.schema([(name, ARROW[type_]) for name, type_ in columns_of(schema)])


def create_tables(con: duckdb.DuckDBPyConnection, model: Model) -> None:
    """The empty tables of a new model, and the view that shows its events under their readable names."""
    body = ", ".join(f"{quote(name)} {type_}" for name, type_ in BASE)
    con.execute(f"CREATE TABLE {model.events}({body})")
    con.execute(
        f"CREATE TABLE {model.labels}(event_id VARCHAR, label VARCHAR, number DOUBLE, ts TIMESTAMP, joined BOOLEAN)"
    )


def add_features(con: duckdb.DuckDBPyConnection, model: Model, schema: ModelSchema) -> None:
    """The columns that `schema` has and the model's table has not."""
    known = {f.field for f in model.schema.features}
    for position, feature in enumerate(schema.features):
        if feature.field not in known:
            con.execute(f"ALTER TABLE {model.events} ADD COLUMN {quote(feature.field)} {TYPES[feature.kind]}")
            con.execute(
                "INSERT INTO features VALUES (?, ?, ?, ?, ?)",
                [model.id, position, feature.name, feature.field, feature.kind],
            )
    if schema.prediction != model.schema.prediction:
        con.execute("UPDATE models SET prediction = ? WHERE id = ?", [schema.prediction, model.id])


def read(
    con: duckdb.DuckDBPyConnection, schema: ModelSchema, lines: Path | None, tables: Sequence[pa.Table]
) -> pa.Table:
    """All rows of a load, in the form of `arrow_schema`: `lines` is a file of raw event lines that fit the schema.

    An event with an error and a status that says nothing of it counts as failed: its status becomes 500.
    """
    form = arrow_schema(schema)
    parts = [_in_form(table, form) for table in tables]
    if lines is not None:
        parts.append(_in_form(con.sql(_select_lines(schema, lines)).to_arrow_table(), form))
    rows = pa.concat_tables(parts) if parts else form.empty_table()
    if rows["error"].null_count < rows.num_rows:
        failed = pc.and_(pc.is_valid(rows["error"]), pc.less(rows["status"], 400))
        status = pc.if_else(failed, pa.scalar(500, pa.int16()), rows["status"])
        rows = rows.set_column(form.get_field_index("status"), form.field("status"), status)
    return rows


def _in_form(table: pa.Table, form: pa.Schema) -> pa.Table:
    """A table that may lack columns its model got later: they are null."""
    n = table.num_rows
    columns = [table[f.name] if f.name in table.column_names else pa.nulls(n, f.type) for f in form]
    return pa.table(columns, schema=form)


def stored_ids(con: duckdb.DuckDBPyConnection, model: Model, rows: pa.Table) -> pa.Array:
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
    con.register("fresh_rows", rows)
    con.execute(f"INSERT INTO {model.events} BY NAME SELECT * FROM fresh_rows")
    con.unregister("fresh_rows")


def _select_lines(schema: ModelSchema, path: Path) -> str:
    fields = ", ".join(f"{quote(f.name)} {TYPES[f.kind]}" for f in schema.features)
    struct = f"STRUCT({fields})" if fields else "VARCHAR"
    prediction = "VARCHAR" if schema.prediction == "class" else "DOUBLE"
    shape = {
        "event_id": "VARCHAR",
        "ts": "TIMESTAMP",
        "version": "VARCHAR",
        "features": struct,
        "prediction": prediction,
        "latency_ms": "DOUBLE",
        "status": "SMALLINT",
        "error": "VARCHAR",
        "tags": "VARCHAR",
    }
    given = ", ".join(f"{name}: {_text(type_)}" for name, type_ in shape.items())
    wanted = ", ".join(f"features.{quote(f.name)} AS {quote(f.field)}" for f in schema.features)
    target = "predicted_class" if schema.prediction == "class" else "prediction"
    return (
        f"SELECT event_id, ts, coalesce(version, '') AS version, prediction AS {target}, latency_ms, "
        f"coalesce(status, 200) AS status, error, tags{', ' + wanted if wanted else ''} "
        f"FROM read_json({_text(str(path))}, format = 'newline_delimited', columns = {{{given}}}, "
        f"maximum_object_size = {_longest(path)})"
    )


def _longest(path: Path) -> int:
    """The bytes that one line may have: the reader takes twice as much memory for it, also for a file of ten lines."""
    return min(LONGEST_LINE, max(1 << 20, path.stat().st_size))


def tags_text(tags: dict[str, str]) -> str | None:
    """Tags as stored: JSON text, None when there are none."""
    return json.dumps(tags, ensure_ascii=False) if tags else None


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
