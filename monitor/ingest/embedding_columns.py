"""Embeddings in a table: each column of lists of numbers, replaced by its stored columns."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor import embedding
from monitor.arrow_columns import arrow_of, numpy_of
from monitor.errors import PayloadError

Mark = Callable[[pa.Array, Callable[[int], str]], None]
MAX_NUMBERS_TOGETHER = 4_000_000  # in one projection


def is_embedding(kind: pa.DataType) -> bool:
    """Return True when a column of this type contains lists of numbers."""
    lists = (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )
    return lists and (
        pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
    )


def replace_embeddings(table: pa.Table, mark: Mark) -> pa.Table:
    """Return the table with each embedding replaced by its stored columns.

    Rows whose list is too long are marked. Raises PayloadError when another column has
    a name that an embedding needs.
    """
    lists = [field.name for field in table.schema if is_embedding(field.type)]
    reserved = embedding.name_conflict(table.column_names, lists)
    if reserved is not None:
        raise PayloadError(
            f"column {reserved[:40]!r} has a name that an embedding needs; rename one of them"
        )
    for name in lists:
        values = table[name].combine_chunks()
        sizes = pc.list_value_length(values)
        mark(pc.greater(sizes, embedding.MAX_ELEMENTS), partial(_too_long, name, sizes))
        summaries = _summarise(values, sizes)
        table = table.drop_columns([name])
        for part, column in zip(embedding.names(name), summaries.T, strict=True):
            table = table.append_column(
                part, pc.if_else(pc.is_valid(values), arrow_of(column), None)
            )
    return table


def _too_long(name: str, sizes: pa.Array, row: int) -> str:
    return f"`features.{name}` has {sizes[row]} elements; an embedding has at most {embedding.MAX_ELEMENTS}"


def _summarise(values: pa.Array, sizes: pa.Array) -> np.ndarray:
    summaries = np.full((len(values), len(embedding.PARTS)), np.nan)
    size_of_row = numpy_of(pc.fill_null(sizes, -1).cast(pa.int64()))
    is_valid = (size_of_row >= 0) & (size_of_row <= embedding.MAX_ELEMENTS)
    for size in np.unique(size_of_row[is_valid]).tolist():
        rows = np.flatnonzero(size_of_row == size)
        n_parts = -(-len(rows) * max(size, 1) // MAX_NUMBERS_TOGETHER)
        for part in np.array_split(rows, n_parts):
            numbers = pc.list_flatten(values.take(arrow_of(part)))
            numbers = pc.fill_null(numbers.cast(pa.float64(), safe=False), np.nan)
            matrix = numpy_of(numbers).reshape(len(part), size)
            summaries[part] = embedding.summarise(matrix)
    return summaries
