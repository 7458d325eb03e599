"""Rows into the events tables: read what the spool holds, keep what is new."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

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


def stage(con: duckdb.DuckDBPyConnection, model: Model, lines: Path | None, tables: Sequence[pa.Table]) -> int:
    """The temporary table `incoming` with all rows of a load; returns their number.

    `lines` is a file of raw event lines that fit the schema, `tables` are in the form of `arrow_schema`.
    """
    columns = columns_of(model.schema)
    body = ", ".join(f"{quote(name)} {type_}" for name, type_ in columns)
    con.execute(f"CREATE OR REPLACE TEMP TABLE incoming({body})")
    if lines is not None:
        con.execute(f"INSERT INTO incoming BY NAME {_select_lines(model.schema, lines)}")
    for table in tables:
        con.register("incoming_arrow", table)
        con.execute("INSERT INTO incoming BY NAME SELECT * FROM incoming_arrow")
        con.unregister("incoming_arrow")
    con.execute("UPDATE incoming SET status = 500 WHERE error IS NOT NULL AND status < 400")
    return _count(con, "incoming")


def keep_new(con: duckdb.DuckDBPyConnection, model: Model) -> int:
    """The temporary table `fresh`: incoming rows whose id is not stored yet, each once; returns their number.

    An id is looked up among the events between the first and the last time of the load: cheap at any table size,
    because events lie roughly in time order. A row repeated with a time outside that range is not recognised.
    """
    first, last = con.execute("SELECT min(ts), max(ts) FROM incoming").fetchall()[0]
    span = {"first": first, "last": last}
    known = f"(SELECT event_id FROM {model.events} WHERE ts BETWEEN $first AND $last) e ON i.event_id = e.event_id"
    ((repeated, stored),) = con.execute(
        "SELECT (SELECT count(DISTINCT event_id) < count(*) FROM incoming), "
        f"(SELECT count(*) > 0 FROM incoming i SEMI JOIN {known})",
        span,
    ).fetchall()
    con.execute("DROP TABLE IF EXISTS fresh")
    if not repeated and not stored:  # the usual case needs no copy
        con.execute("ALTER TABLE incoming RENAME TO fresh")
    else:
        once = "(SELECT DISTINCT ON (event_id) * FROM incoming ORDER BY event_id, ts)"
        con.execute(f"CREATE TEMP TABLE fresh AS SELECT i.* FROM {once} i ANTI JOIN {known}", span)
    con.execute(f"INSERT INTO {model.events} BY NAME SELECT * FROM fresh")
    return _count(con, "fresh")


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
        f"FROM read_json({_text(str(path))}, format = 'newline_delimited', columns = {{{given}}})"
    )


def tags_text(tags: dict[str, str]) -> str | None:
    """Tags as stored: JSON text, None when there are none."""
    return json.dumps(tags, ensure_ascii=False) if tags else None


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
