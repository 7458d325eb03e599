"""Parquet files."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from monitor.contracts import UNLIMITED, BodyLimits, Chunk, check_names
from monitor.errors import PayloadError
from monitor.sources._table_limits import check_table

MEDIA_TYPES = ("application/vnd.apache.parquet",)
SUFFIXES = (".parquet", ".pq")
MAX_COLUMNS_OF_READ = 500


def read_bytes(body: bytes, limits: BodyLimits = UNLIMITED) -> Chunk:
    """Return all rows of a file in memory; they are counted before they are unpacked."""
    try:
        content = pa.py_buffer(body)
        with pq.ParquetFile(content) as file:
            _check_sizes(file.metadata, limits)
            texts = [f.name for f in file.schema_arrow if pa.types.is_string(f.type)]
        if limits is UNLIMITED:
            texts = []
        # a text that is repeated stays in memory once until it is measured
        with pq.ParquetFile(content, read_dictionary=texts) as file:
            table = _read(file)
        check_table(table, limits)
        return Chunk(_with_plain_texts(table, texts), 1, (), len(body))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise PayloadError(f"the body is not Parquet: {_first_line(error)}") from None


def read_file(path: Path, rows: int) -> Iterator[Chunk]:
    """The rows of a file in parts of `rows`."""
    yield from _parts(path, rows)


def read_without(
    path: Path, rows: int, columns: Collection[str], coded: bool
) -> Iterator[Chunk]:
    """The rows of a file in parts of `rows`, without some columns.

    With `coded`, texts are dictionaries.
    """
    yield from _parts(path, rows, columns, coded)


def _parts(
    path: Path, rows: int, without: Collection[str] = (), coded: bool = False
) -> Iterator[Chunk]:
    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
        size = path.stat().st_size
        texts: list[str] = []
        if coded:
            texts = [field.name for field in schema if pa.types.is_string(field.type)]
        names = [name for name in schema.names if name not in without]
        check_names(names)
        first = 1
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for groups in _groups(metadata, rows):
                # one thread: with a thread for each column all are in memory at once
                for batch in file.iter_batches(
                    rows, groups, columns=names, use_threads=False
                ):
                    part = pa.Table.from_batches([batch])
                    bytes_read = size * batch.num_rows // metadata.num_rows
                    yield Chunk(part, first, (), bytes_read)
                    first += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise PayloadError(
            f"{path.name} is not Parquet: {_first_line(error)}"
        ) from None


def _check_sizes(metadata: pq.FileMetaData, limits: BodyLimits) -> None:
    limits.check_columns(metadata.num_columns)
    limits.check_rows(metadata.num_rows)
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    limits.check_bytes(sum(group.total_byte_size for group in groups))


def _with_plain_texts(table: pa.Table, texts: Collection[str]) -> pa.Table:
    for i, field in enumerate(table.schema):
        if field.name in texts and pa.types.is_dictionary(field.type):
            plain = table.column(i).cast(field.type.value_type)
            table = table.set_column(i, field.name, plain)
    return table


def _groups(metadata: pq.FileMetaData, rows: int) -> Iterator[list[int]]:
    """Neighbouring row groups of at least `rows` rows.

    Arrow holds their data in memory until all of them are read.
    """
    groups: list[int] = []
    n = 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        n += metadata.row_group(group).num_rows
        if n >= rows:
            yield groups
            groups, n = [], 0
    if groups:
        yield groups


def _read(file: pq.ParquetFile) -> pa.Table:
    """All columns, some at a time: each of ten thousand readers needs 36 kB."""
    names = file.schema_arrow.names
    if len(names) <= MAX_COLUMNS_OF_READ:
        return file.read()
    check_names(names)
    columns: dict[str, pa.ChunkedArray] = {}
    for i in range(0, len(names), MAX_COLUMNS_OF_READ):
        part = file.read(names[i : i + MAX_COLUMNS_OF_READ], use_threads=False)
        columns |= dict(zip(part.column_names, part.columns, strict=True))
    return pa.table({name: columns[name] for name in names})


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0][:160]
