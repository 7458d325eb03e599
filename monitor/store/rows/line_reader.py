"""Raw event lines as columns: by DuckDB's reader, or decoded here when few or wide."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from monitor.arrow_columns import nullable
from monitor.schema import ModelSchema
from monitor.sql import quote
from monitor.store.rows.load_batch import Lines
from monitor.store.rows.wide_rows import TYPES

MIN_OBJECT_BYTES, MAX_OBJECT_BYTES = 1 << 20, 16 << 20  # the latter is DuckDB's default
# fewer lines are not worth a file: DuckDB's reader needs milliseconds and 32 MB for any
MAX_INLINE_BYTES = 128 << 10

Value = float | str | bool | None


class _EventLine(msgspec.Struct, gc=False):
    event_id: str
    ts: datetime
    version: str = ""
    features: dict[str, Value] | None = None
    prediction: float | str | None = None
    latency_ms: float | None = None
    status: int = 200
    error: str | None = None
    tags: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(_EventLine)


def read_lines(
    con: duckdb.DuckDBPyConnection, schema: ModelSchema, lines: Lines
) -> pa.Table:
    """Read events from lines that fit the schema, with a column for each feature."""
    if isinstance(lines, bytes):
        each = lines.splitlines()
        return _decode(schema, each, len(each))
    if not schema.places:
        return con.sql(_select(schema, lines)).to_arrow_table()
    with lines.open("rb") as file:
        rows = sum(1 for _ in file)
        file.seek(0)
        return _decode(schema, file, rows)


def tags_text(tags: dict[str, str] | None) -> str | None:
    """Return tags as they are stored: JSON text, None without tags."""
    return msgspec.json.encode(tags).decode() if tags else None


def _decode(schema: ModelSchema, lines: Iterable[bytes], rows: int) -> pa.Table:
    """Decode lines one at a time: as Python objects, events need ten times the memory."""
    numeric = [f for f in schema.features if f.kind == "numeric"]
    categorical = [f for f in schema.features if f.kind == "categorical"]
    names = [feature.name for feature in numeric]
    numbers = np.empty((len(numeric), rows))
    texts: list[list[str | None]] = [[] for _ in categorical]
    events: list[_EventLine] = []
    for i, line in enumerate(lines):
        event = _decoder.decode(line)
        value_of = (event.features or {}).get
        numbers[:, i] = [value_of(name) for name in names]
        for feature, values in zip(categorical, texts, strict=True):
            values.append(_text_of(value_of(feature.name)))
        event.features = None
        events.append(event)
    columns = _base_columns(schema, events)
    for feature, row in zip(numeric, numbers, strict=True):
        columns[feature.field] = nullable(row)
    for feature, values in zip(categorical, texts, strict=True):
        columns[feature.field] = pa.array(values, pa.string())
    return pa.table(columns)


def _base_columns(
    schema: ModelSchema, events: Sequence[_EventLine]
) -> dict[str, pa.Array]:
    times = pa.array([e.ts for e in events], pa.timestamp("us", "UTC"))
    prediction = pa.string() if _has_classes(schema) else pa.float64()
    return {
        "event_id": pa.array([e.event_id for e in events], pa.string()),
        "ts": times.cast(pa.timestamp("us")),
        "version": pa.array([e.version for e in events], pa.string()),
        _prediction_column(schema): pa.array(
            [e.prediction for e in events], prediction
        ),
        "latency_ms": pa.array([e.latency_ms for e in events], pa.float64()),
        "status": pa.array([e.status for e in events], pa.int16()),
        "error": pa.array([e.error for e in events], pa.string()),
        "tags": pa.array([tags_text(e.tags) for e in events], pa.string()),
    }


def _text_of(value: Value) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return "true" if value else "false"


def _has_classes(schema: ModelSchema) -> bool:
    return schema.prediction == "class"


def _prediction_column(schema: ModelSchema) -> str:
    return "predicted_class" if _has_classes(schema) else "prediction"


def _select(schema: ModelSchema, path: Path) -> str:
    """Return SQL that reads the events of a file."""
    features = ", ".join(f"{quote(f.name)} {TYPES[f.kind]}" for f in schema.features)
    types = {
        "event_id": "VARCHAR",
        # as TIMESTAMP, the engine would ignore the offset
        "ts": "TIMESTAMPTZ",
        "version": "VARCHAR",
        "features": f"STRUCT({features})" if features else "VARCHAR",
        "prediction": "VARCHAR" if _has_classes(schema) else "DOUBLE",
        "latency_ms": "DOUBLE",
        "status": "SMALLINT",
        "error": "VARCHAR",
        "tags": "VARCHAR",
    }
    columns = ", ".join(f"{name}: {_literal(type_)}" for name, type_ in types.items())
    fields = "".join(
        f", features.{quote(f.name)} AS {quote(f.field)}" for f in schema.features
    )
    return (
        "SELECT event_id, make_timestamp(epoch_us(ts)) AS ts, "
        "coalesce(version, '') AS version, "
        f"prediction AS {_prediction_column(schema)}, latency_ms, "
        f"coalesce(status, 200) AS status, error, tags{fields} "
        f"FROM read_json({_literal(str(path))}, format = 'newline_delimited', "
        f"columns = {{{columns}}}, maximum_object_size = {_object_bytes(path)})"
    )


def _object_bytes(path: Path) -> int:
    """Return the limit for one line: the reader needs twice as much memory for any file."""
    return min(MAX_OBJECT_BYTES, max(MIN_OBJECT_BYTES, path.stat().st_size))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
