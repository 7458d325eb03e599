"""Rows to compare as Arrow tables: from files, data frames or Arrow."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from monitor.errors import PayloadError, StorageError
from monitor.ingest.embedding_columns import replace_embeddings
from monitor.ingest.features import OWN, columns_of
from monitor.ingest.file_batches import ColumnMapping, renamed, source_of

MAX_TABLE_ROWS = 60_000
NOT_COMPARED = frozenset(OWN) - {"prediction"}

# a path, or a table with the Arrow PyCapsule interface
Rows = str | Path | Any


def row_tables(
    rows: Rows | Sequence[Rows],
    columns: ColumnMapping,
    unreadable: list[str],
    coded: bool,
) -> Iterator[pa.Table]:
    """Yield the rows in tables with the column names of an event.

    Embeddings become their derived columns. With `coded` a source may return texts as
    dictionary columns. Lines that cannot be read are added to `unreadable`. Raises
    PayloadError for rows of another form, StorageError for a file that does not exist
    or has an unknown ending.
    """
    if isinstance(rows, list | tuple):
        for part in rows:
            yield from row_tables(part, columns, unreadable, coded)
    elif isinstance(rows, str | Path):
        yield from _file_tables(Path(rows), columns, unreadable, coded)
    elif hasattr(rows, "__arrow_c_stream__"):
        table = rows if isinstance(rows, pa.Table) else pa.table(rows)
        for start in range(0, table.num_rows, MAX_TABLE_ROWS):
            yield _event_table(table.slice(start, MAX_TABLE_ROWS), columns)
    else:
        raise PayloadError(
            f"rows are a path, a table, or a list of these, not {type(rows).__name__}"
        )


def _file_tables(
    path: Path, columns: ColumnMapping, unreadable: list[str], coded: bool
) -> Iterator[pa.Table]:
    if not path.is_file():
        raise StorageError(f"{path} does not exist")
    source = source_of(path)
    chunks = source.read_file(path, MAX_TABLE_ROWS)
    if not columns.given:
        chunks = source.read_without(path, MAX_TABLE_ROWS, NOT_COMPARED, coded)
    for chunk in chunks:
        unreadable += [
            f"{path.name} line {refusal.line}: {refusal.reason}"
            for refusal in chunk.refusals
        ]
        yield _event_table(chunk.table, columns)


def _event_table(table: pa.Table, columns: ColumnMapping) -> pa.Table:
    table = renamed(table, columns, None, 1, None)
    return replace_embeddings(table, lambda where, reason: None)


def compared_columns(table: pa.Table) -> dict[str, str]:
    """Return the table's column of each feature, by name, and of the prediction."""
    columns = dict(columns_of(table))
    if "prediction" in table.column_names:
        columns["prediction"] = "prediction"
    return columns
