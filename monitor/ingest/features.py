"""Features of a foreign table: their columns, their kinds, and their values as stored."""

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
# a new text column is numeric when at least this share of its texts are numbers
NUMERIC_SHARE = 0.95


def columns_of(table: pa.Table) -> dict[str, str]:
    """Return the table's column of each feature by the feature's name.

    The fields of an event are no features. Raises PayloadError when two columns are one
    feature, or a name is empty or too long.
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
    """Return the kind of a new column; None when it is empty.

    Texts of which nearly all are numbers make it numeric.
    """
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
    """Return a column as stored for a feature of this kind.

    A numeric feature is float64, with NaN for values that are no numbers; others are text.
    """
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
    is_plain = isinstance(value, str | bool | int | float | type(None))
    return value if is_plain else str(value)


def stored(value: Any, kind: FeatureKind) -> Any:
    """Return one value as stored for a feature of this kind."""
    if value is None:
        return None
    if kind == "categorical":
        is_finite = not isinstance(value, float) or math.isfinite(value)
        return label_text(value) if is_finite else str(value)
    return math.nan if isinstance(value, str | bool) else float(value)


def type_of(kind: FeatureKind) -> pa.DataType:
    """Return the type of a stored column of this kind."""
    return pa.float64() if kind == "numeric" else pa.string()
