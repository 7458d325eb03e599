"""Limits of tables whose values take more room than their buffers do."""

import pyarrow as pa
import pyarrow.compute as pc

from monitor.contracts import BodyLimits
from monitor.errors import PayloadError


def check_table(table: pa.Table, limits: BodyLimits) -> None:
    """Raise TooLarge when a table is over a limit once each row has its own values.

    A dictionary or a view may hold a long text once and refer to it in each row. Raises
    PayloadError for columns that may do so within lists.
    """
    limits.check_rows(table.num_rows)
    size = 0
    for field, column in zip(table.schema, table.columns, strict=True):
        size += _bytes_of(field, column)
        limits.check_bytes(size)


def _bytes_of(field: pa.Field, column: pa.ChunkedArray) -> int:
    kind = field.type
    if pa.types.is_dictionary(kind):
        return sum(_dictionary_bytes(field, chunk) for chunk in column.chunks)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        lengths = pc.binary_length(column.cast(pa.large_binary()))
        return int(pc.sum(lengths).as_py() or 0)
    if _may_repeat(kind):
        raise PayloadError(
            f"the column {field.name[:40]!r} has the type {kind};"
            " send numbers, texts, booleans, times or lists of numbers"
        )
    return int(column.nbytes)


def _dictionary_bytes(field: pa.Field, array: pa.DictionaryArray) -> int:
    values = array.dictionary
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        lengths = pc.binary_length(values).take(array.indices)
        return int(pc.sum(lengths).as_py() or 0) + int(array.indices.nbytes)
    if pa.types.is_nested(values.type) or _may_repeat(values.type):
        raise PayloadError(
            f"the column {field.name[:40]!r} has the type {field.type};"
            " send numbers, texts, booleans or times"
        )
    return len(array) * 8 + int(array.indices.nbytes)


def _may_repeat(kind: pa.DataType) -> bool:
    """Return True for types whose rows may share one value in memory."""
    types = pa.types
    if (
        types.is_run_end_encoded(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
        or types.is_string_view(kind)
        or types.is_binary_view(kind)
        or types.is_dictionary(kind)
    ):
        return True
    return any(_may_repeat(kind.field(i).type) for i in range(kind.num_fields))
