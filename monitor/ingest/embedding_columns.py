"""Embeddings in a table: each column of lists of numbers as the columns that are kept of it."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor import embedding
from monitor.arrow_columns import arrow_of, numpy_of
from monitor.errors import PayloadError

Mark = Callable[[pa.Array, Callable[[int], str]], None]
AT_ONCE = 4_000_000  # numbers that are projected at once


def is_embedding(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists of numbers."""
    lists = (
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )
    return lists and (
        pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
    )


def unfolded(table: pa.Table, mark: Mark) -> pa.Table:
    """The table with what is kept of each embedding in its place; rows whose list is too long are marked.

    Raises PayloadError when another column has one of the names that are needed.
    """
    lists = [field.name for field in table.schema if is_embedding(field.type)]
    taken = embedding.clash(table.column_names, lists)
    if taken is not None:
        raise PayloadError(
            f"column {taken[:40]!r} is the name of what is kept of an embedding; rename one of them"
        )
    for name in lists:
        values = table[name].combine_chunks()
        sizes = pc.list_value_length(values)
        mark(pc.greater(sizes, embedding.MAX_ELEMENTS), partial(_too_long, name, sizes))
        found = _kept(values, sizes)
        table = table.drop_columns([name])
        for part, column in zip(embedding.names(name), found.T, strict=True):
            table = table.append_column(
                part, pc.if_else(pc.is_valid(values), arrow_of(column), None)
            )
    return table


def _too_long(name: str, sizes: pa.Array, row: int) -> str:
    return f"`features.{name}` has {sizes[row]} elements; an embedding has at most {embedding.MAX_ELEMENTS}"


def _kept(values: pa.Array, sizes: pa.Array) -> np.ndarray:
    found = np.full((len(values), len(embedding.PARTS)), np.nan)
    of_row = numpy_of(pc.fill_null(sizes, -1).cast(pa.int64()))
    for size in np.unique(
        of_row[(of_row >= 0) & (of_row <= embedding.MAX_ELEMENTS)]
    ).tolist():
        rows = np.flatnonzero(of_row == size)
        for some in np.array_split(rows, -(-len(rows) * max(size, 1) // AT_ONCE)):
            numbers = pc.list_flatten(values.take(arrow_of(some))).cast(
                pa.float64(), safe=False
            )
            found[some] = embedding.kept(
                numpy_of(pc.fill_null(numbers, np.nan)).reshape(len(some), size)
            )
    return found
