"""The features of a foreign table: which of its columns they are, what kind each is of, and their values."""

import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.errors import PayloadError
from monitor.event import MAX_NAME, label_text
from monitor.schema import FeatureKind
from monitor.type_mismatch import parse_numbers

OWN = (
    "event_id",
    "model",
    "version",
    "ts",
    "prediction",
    "latency_ms",
    "status",
    "error",
    "label",
    "label_ts",
)
TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
# of the texts of a new column that must be numbers for it to become numeric
NUMERIC_SHARE = 0.95


def columns_of(table: pa.Table) -> dict[str, str]:
    """The table's column of each feature, by the feature's name: all that are not an event's own.

    Raises PayloadError when two columns are one feature, or a name is empty or too
    long.
    """
    names: dict[str, str] = {}
    for column in table.column_names:
        if column not in OWN:
            name = column.removeprefix("features.")
            if name in names:
                raise PayloadError(
                    f"columns {names[name][:40]!r} and {column[:40]!r} are one feature; keep one of them"
                )
            names[name] = column
    for name in names:
        if not 0 < len(name) <= MAX_NAME:
            raise PayloadError(
                f"column name {name[:40]!r} must have 1 to {MAX_NAME} characters"
            )
    return names


def kind_of(column: pa.ChunkedArray) -> FeatureKind | None:
    """What a new column holds: texts that nearly all read as numbers make it numeric; None when it is empty."""
    if column.null_count == len(column):
        return None
    if (
        pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
        or pa.types.is_decimal(column.type)
    ):
        return "numeric"
    if any(of(column.type) for of in TEXTS):
        texts = column.drop_null().cast(pa.string())
        readable = pc.sum(pc.is_valid(parse_numbers(texts))).as_py() or 0
        return "numeric" if readable >= NUMERIC_SHARE * len(texts) else "categorical"
    return "categorical"


def values_of(column: pa.ChunkedArray | pa.Array, kind: FeatureKind) -> pa.Array:
    """A column as it is stored for a feature of this kind: float64, NaN for what is no number, or text."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if any(of(values.type) for of in TEXTS):
        values = values.cast(pa.string())
    numeric = (
        pa.types.is_integer(values.type)
        or pa.types.is_floating(values.type)
        or pa.types.is_decimal(values.type)
    )
    if kind == "numeric":
        if numeric:
            return values.cast(pa.float64(), safe=False)
        if pa.types.is_string(values.type):
            parsed = parse_numbers(pa.chunked_array([values]))
            return pc.if_else(
                pc.and_(pc.is_valid(values), pc.is_null(parsed)), math.nan, parsed
            )
        return pc.if_else(
            pc.is_valid(values), pa.scalar(math.nan), pa.scalar(None, pa.float64())
        )
    if pa.types.is_string(values.type):
        return values
    return pa.array(
        [stored(_plain(v), "categorical") for v in values.to_pylist()], pa.string()
    )


def _plain(value: Any) -> Any:
    return (
        value
        if isinstance(value, str | bool | int | float | type(None))
        else str(value)
    )


def stored(value: Any, kind: FeatureKind) -> Any:
    """One value as it is stored for a feature of this kind."""
    if value is None:
        return None
    if kind == "categorical":
        return (
            label_text(value)
            if not isinstance(value, float) or math.isfinite(value)
            else str(value)
        )
    return math.nan if isinstance(value, str | bool) else float(value)


def type_of(kind: FeatureKind) -> pa.DataType:
    """The type of a stored column of this kind."""
    return pa.float64() if kind == "numeric" else pa.string()
