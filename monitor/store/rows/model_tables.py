"""The tables of each model, and their growth with its schema."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import duckdb

from monitor.schema import ModelSchema
from monitor.sql import quote
from monitor.store.database import insert_rows
from monitor.store.migrations import ID_TYPE
from monitor.store.model import Model
from monitor.store.rows.wide_rows import feature_columns

# of every event, beside its features
BASE_COLUMNS = (
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
# Each ALTER costs as much as the table has columns: 2,000 of them needed 8 s, a copy of
# the table 0.2 s. So many new columns make a short table be copied.
MIN_COPIED_COLUMNS = 16
MAX_COPIED_CELLS = 5_000_000


def grow_models(
    con: duckdb.DuckDBPyConnection,
    models: Mapping[str, Model],
    schemas: Mapping[str, ModelSchema],
    now: datetime,
) -> dict[str, Model]:
    """Bring models and their tables to the given schemas; create those not in `models`.

    Returns the models of `schemas` by name.
    """
    grown = dict[str, Model]()
    created = list[Model]()
    id_ = max((model.id for model in models.values()), default=0)
    for name, schema in schemas.items():
        model = models.get(name)
        if model is None:
            id_ += 1
            model = Model(id_, name, "unknown", schema)
            _create_tables(con, model)
            created.append(model)
        else:
            _add_columns(con, model, schema)
            model = replace(model, schema=schema)
        grown[name] = model
    new_rows = [(m.id, m.name, m.task, m.schema.prediction, now, None) for m in created]
    insert_rows(con, "models", new_rows)
    _insert_features(con, models, grown.values())
    return grown


def _create_tables(con: duckdb.DuckDBPyConnection, model: Model) -> None:
    columns = _definitions([*BASE_COLUMNS, *feature_columns(model.schema)])
    con.execute(f"CREATE TABLE {model.events}({columns})")
    con.execute(
        f"CREATE TABLE {model.labels}(event_id {ID_TYPE}, label VARCHAR, "
        "number DOUBLE, ts TIMESTAMP, joined BOOLEAN)"
    )


def _insert_features(
    con: duckdb.DuckDBPyConnection,
    models: Mapping[str, Model],
    grown: Iterable[Model],
) -> None:
    """Store the features that grown models have more than `models`."""
    rows = []
    for model in grown:
        before = models.get(model.name)
        first = len(before.schema.features) if before else 0
        for position, feature in enumerate(model.schema.features[first:], first):
            row = (model.id, position, feature.name, feature.field, feature.kind)
            rows.append(row)
    insert_rows(con, "features", rows)


def _add_columns(
    con: duckdb.DuckDBPyConnection, model: Model, schema: ModelSchema
) -> None:
    """Add the columns of `schema` that the model's table lacks, and its prediction kind."""
    present = dict(feature_columns(model.schema))
    new = [
        (name, type_) for name, type_ in feature_columns(schema) if name not in present
    ]
    if new:
        _widen(con, model, new)
    if schema.prediction != model.schema.prediction:
        con.execute(
            "UPDATE models SET prediction = ? WHERE id = ?",
            [schema.prediction, model.id],
        )


def _widen(
    con: duckdb.DuckDBPyConnection, model: Model, new: Sequence[tuple[str, str]]
) -> None:
    """Add columns to an events table: one by one, or in a copy of a short table."""
    ((rows,),) = con.execute(f"SELECT count(*) FROM {model.events}").fetchall()
    columns = _definitions([*BASE_COLUMNS, *feature_columns(model.schema), *new])
    if not rows:
        con.execute(f"CREATE OR REPLACE TABLE {model.events}({columns})")
        return
    cells = rows * (len(model.schema.features) + len(BASE_COLUMNS))
    if len(new) < MIN_COPIED_COLUMNS or cells > MAX_COPIED_CELLS:
        for name, type_ in new:
            con.execute(f"ALTER TABLE {model.events} ADD COLUMN {quote(name)} {type_}")
        return
    wider = quote(f"events_{model.id}_wider")
    con.execute(f"CREATE TABLE {wider}({columns})")
    con.execute(f"INSERT INTO {wider} BY NAME SELECT * FROM {model.events}")
    con.execute(f"DROP TABLE {model.events}")
    con.execute(f"ALTER TABLE {wider} RENAME TO {model.events}")


def _definitions(columns: Iterable[tuple[str, str]]) -> str:
    """Return SQL for the columns of a new table."""
    return ", ".join(
        f"{quote(name)} {ID_TYPE if name == 'event_id' else type_}"
        for name, type_ in columns
    )
