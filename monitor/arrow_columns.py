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
    """The values of a fixed-width column as numpy; undefined where they are null."""
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
    """The distinct texts of a column, and the place of each value among them.

    The place is undefined where a value is null.
    """
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    return values.dictionary, numpy_of(values.indices)


def looked_up(texts: pa.Array, keys: Sequence[str], values: np.ndarray) -> np.ndarray:
    """The value of each text, shape (n,): `values` has one for each key, then one for others."""
    places = pc.index_in(texts, value_set=texts_of(keys)).fill_null(len(keys))
    return values[numpy_of(places)]


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
    """The table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def from_ipc(payload: bytes) -> pa.Table:
    """Return the table of an Arrow IPC stream. Raises pyarrow.ArrowInvalid."""
    try:
        with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
            return reader.read_all()
    except OSError as error:  # of bytes that end too early
        raise pa.ArrowInvalid(str(error)) from None
