"""Raw event lines as columns: by DuckDB's reader, or decoded here when they are few or wide."""

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

MAX_LINE = 16 << 20  # DuckDB's own default
# are not worth a file: DuckDB's reader takes milliseconds and 32 MB for any
FEW_BYTES = 128 << 10

Value = float | str | bool | None


class _Event(msgspec.Struct, gc=False):
    event_id: str
    ts: datetime
    version: str = ""
    features: dict[str, Value] | None = None
    prediction: float | str | None = None
    latency_ms: float | None = None
    status: int = 200
    error: str | None = None
    tags: dict[str, str] | None = None


_decoder = msgspec.json.Decoder(_Event)


def read_lines(
    con: duckdb.DuckDBPyConnection, schema: ModelSchema, lines: Lines
) -> pa.Table:
    """The events in lines that fit the schema, a column for each feature."""
    if isinstance(lines, bytes):
        each = lines.splitlines()
        return _decoded(schema, each, len(each))
    if not schema.places:
        return con.sql(_select(schema, lines)).to_arrow_table()
    with lines.open("rb") as file:
        rows = sum(1 for _ in file)
        file.seek(0)
        return _decoded(schema, file, rows)


def tags_text(tags: dict[str, str] | None) -> str | None:
    """Tags as stored: JSON text, None when there are none."""
    return msgspec.json.encode(tags).decode() if tags else None


def _decoded(schema: ModelSchema, lines: Iterable[bytes], rows: int) -> pa.Table:
    """The events of some lines, decoded one at a time: as Python objects they take ten times as much as in columns."""
    numeric = [f for f in schema.features if f.kind == "numeric"]
    texts = [f for f in schema.features if f.kind == "categorical"]
    numbers = np.empty((len(numeric), rows))
    names = [f.name for f in numeric]
    others: list[list[str | None]] = [[] for _ in texts]
    events: list[_Event] = []
    for i, line in enumerate(lines):
        event = _decoder.decode(line)
        given = (event.features or {}).get
        numbers[:, i] = [given(name) for name in names]
        for feature, values in zip(texts, others, strict=True):
            values.append(_text_of(given(feature.name)))
        event.features = None
        events.append(event)
    columns = _base(schema, events)
    columns |= {f.field: nullable(row) for f, row in zip(numeric, numbers, strict=True)}
    columns |= {
        f.field: pa.array(values, pa.string())
        for f, values in zip(texts, others, strict=True)
    }
    return pa.table(columns)


def _base(schema: ModelSchema, events: Sequence[_Event]) -> dict[str, pa.Array]:
    return {
        "event_id": pa.array([e.event_id for e in events], pa.string()),
        "ts": pa.array([e.ts for e in events], pa.timestamp("us", "UTC")).cast(
            pa.timestamp("us")
        ),
        "version": pa.array([e.version for e in events], pa.string()),
        _target(schema): pa.array(
            [e.prediction for e in events],
            pa.string() if _by_class(schema) else pa.float64(),
        ),
        "latency_ms": pa.array([e.latency_ms for e in events], pa.float64()),
        "status": pa.array([e.status for e in events], pa.int16()),
        "error": pa.array([e.error for e in events], pa.string()),
        "tags": pa.array([tags_text(e.tags) for e in events], pa.string()),
    }


def _text_of(value: Value) -> str | None:
    return (
        value
        if value is None or isinstance(value, str)
        else "true"
        if value
        else "false"
    )


def _by_class(schema: ModelSchema) -> bool:
    return schema.prediction == "class"


def _target(schema: ModelSchema) -> str:
    return "predicted_class" if _by_class(schema) else "prediction"


def _select(schema: ModelSchema, path: Path) -> str:
    fields = ", ".join(f"{quote(f.name)} {TYPES[f.kind]}" for f in schema.features)
    shape = {
        "event_id": "VARCHAR",
        # as TIMESTAMP the engine reads past the offset without a word
        "ts": "TIMESTAMPTZ",
        "version": "VARCHAR",
        "features": f"STRUCT({fields})" if fields else "VARCHAR",
        "prediction": "VARCHAR" if _by_class(schema) else "DOUBLE",
        "latency_ms": "DOUBLE",
        "status": "SMALLINT",
        "error": "VARCHAR",
        "tags": "VARCHAR",
    }
    given = ", ".join(f"{name}: {_text(type_)}" for name, type_ in shape.items())
    wanted = ", ".join(
        f"features.{quote(f.name)} AS {quote(f.field)}" for f in schema.features
    )
    return (
        f"SELECT event_id, make_timestamp(epoch_us(ts)) AS ts, coalesce(version, '') AS version, prediction AS {_target(schema)}, latency_ms, "
        f"coalesce(status, 200) AS status, error, tags{', ' + wanted if wanted else ''} "
        f"FROM read_json({_text(str(path))}, format = 'newline_delimited', columns = {{{given}}}, "
        f"maximum_object_size = {_longest(path)})"
    )


def _longest(path: Path) -> int:
    """The bytes that one line may have: the reader takes twice as much memory for it, also for a file of ten lines."""
    return min(MAX_LINE, max(1 << 20, path.stat().st_size))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
