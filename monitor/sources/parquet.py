"""Parquet."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from monitor.contracts import Chunk, check_names
from monitor.errors import PayloadError

MEDIA_TYPES = ("application/vnd.apache.parquet",)
SUFFIXES = (".parquet", ".pq")
COLUMNS_AT_ONCE = 500


def read_bytes(body: bytes) -> Chunk:
    """All rows of a file in memory."""
    try:
        with pq.ParquetFile(pa.py_buffer(body)) as file:
            return Chunk(_read(file), 1, (), len(body))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise PayloadError(f"the body is not Parquet: {_first_line(error)}") from None


def read_file(path: Path, rows: int) -> Iterator[Chunk]:
    """The rows of a file in parts of `rows`."""
    try:
        with pq.ParquetFile(path) as file:
            first, size = 1, path.stat().st_size
            total = max(1, file.metadata.num_rows)
            for batch in file.iter_batches(batch_size=rows):
                yield Chunk(pa.Table.from_batches([batch]), first, (), size * batch.num_rows // total)
                first += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise PayloadError(f"{path.name} is not Parquet: {_first_line(error)}") from None


def _read(file: pq.ParquetFile) -> pa.Table:
    """All columns, some at a time: ten thousand readers at once took 36 kB each."""
    names = file.schema_arrow.names
    if len(names) <= COLUMNS_AT_ONCE:
        return file.read()
    check_names(names)
    columns: dict[str, pa.ChunkedArray] = {}
    for i in range(0, len(names), COLUMNS_AT_ONCE):
        some = file.read(names[i : i + COLUMNS_AT_ONCE], use_threads=False)
        columns |= dict(zip(some.column_names, some.columns, strict=True))
    return pa.table({name: columns[name] for name in names})


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0][:160]
