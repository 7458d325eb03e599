"""Columns of Arrow tables as numpy arrays and back, and tables as Arrow IPC bytes.

Conversions go by the buffers of the columns. pyarrow's own conversions first import
pandas: 0.9 s of CPU and 100 MB in a process that has no other use for it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# a row group of DuckDB: a batch stays small, however many rows there are
BATCH_ROWS = 122_880


def numpy_of(array: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The values of a fixed-width column as numpy; what stands at nulls is undefined."""
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_boolean(whole.type):
        return numpy_of(whole.cast(pa.uint8())).astype(bool)
    kind = np.dtype(whole.type.to_pandas_dtype())
    if not len(whole):
        return np.empty(0, kind)
    return np.frombuffer(whole.buffers()[1], kind)[
        whole.offset : whole.offset + len(whole)
    ]


def categories_of(values: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The distinct texts of a column, and which of them each value is; what stands at nulls is undefined."""
    coded = (
        values
        if pa.types.is_dictionary(values.type)
        else values.cast(pa.string()).dictionary_encode()
    )
    return coded.dictionary, numpy_of(coded.indices)


def looked_up(texts: pa.Array, known: Sequence[str], values: np.ndarray) -> np.ndarray:
    """For each text the value of the `known` one that it is, the last of `values` for any other; shape (n,)."""
    return values[
        numpy_of(pc.index_in(texts, value_set=texts_of(known)).fill_null(len(known)))
    ]


def arrow_of(values: np.ndarray) -> pa.Array:
    """Whole or floating numbers as an Arrow array."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)]
    )


def bools_of(values: np.ndarray) -> pa.Array:
    """Booleans as an Arrow array."""
    bits = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])


def texts_of(values: Iterable[str]) -> pa.Array:
    """Texts as an Arrow array."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(),
        len(encoded),
        [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))],
    )


def nullable(values: np.ndarray) -> pa.Array:
    """Floating numbers as an Arrow array that is null where they are NaN."""
    valid = np.packbits(~np.isnan(values), bitorder="little")
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(
        pa.float64(), len(values), [pa.py_buffer(valid), pa.py_buffer(values)]
    )


def to_ipc(table: pa.Table) -> bytes:
    """An Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def from_ipc(payload: bytes) -> pa.Table:
    """The table of an Arrow IPC stream."""
    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        return reader.read_all()
