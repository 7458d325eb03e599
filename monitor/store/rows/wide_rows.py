"""The stored form of rows: 100 features in columns of their own, the others in lists of 500.

A column costs DuckDB a block for each table that has it, and buffers for 2,048 rows
wherever rows are copied: ten thousand columns need more memory than a server should
have. A list costs that once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from monitor.schema import ModelSchema
from monitor.sql import quote

TYPES = {"numeric": "DOUBLE", "categorical": "VARCHAR"}
MAX_PACKED_CELLS = 500_000  # values of the rows that are packed in one step


@dataclass(frozen=True)
class Relation:
    """A table or view of the connection; with a schema, it has the form of an events table."""

    name: str
    schema: ModelSchema | None = None

    def value(self, field: str) -> str:
        """Return SQL for a field of a row."""
        place = None if self.schema is None else self.schema.places.get(field)
        if place is None:
            return quote(field)
        return f"{quote(place.column)}[{place.element}]"

    def values(self, fields: Iterable[str]) -> str:
        """Return SQL for some fields under their own names, each after a comma."""
        return "".join(f", {self.value(field)} AS {quote(field)}" for field in fields)

    def column_groups(self, fields: Iterable[str]) -> list[list[str]]:
        """Group fields that are best read together: the unpacked ones, and those of each list."""
        groups: dict[str, list[str]] = {}
        for field in fields:
            place = None if self.schema is None else self.schema.places.get(field)
            column = "" if place is None else place.column
            groups.setdefault(column, []).append(field)
        return list(groups.values())


def feature_columns(schema: ModelSchema) -> list[tuple[str, str]]:
    """Return name and type of the stored columns that contain a model's features."""
    columns = [
        (feature.field, TYPES[feature.kind])
        for feature in schema.features
        if feature.field not in schema.places
    ]
    for name in _lists(schema):
        type_ = "DOUBLE[]" if name.startswith("numbers") else "VARCHAR[]"
        columns.append((name, type_))
    return columns


def pack_rows(rows: pa.Table, schema: ModelSchema) -> pa.Table | pa.RecordBatchReader:
    """Convert rows with a column for each feature to their stored form; to be read once."""
    if not schema.places:
        return rows
    lists = _lists(schema)
    unpacked = [f for f in rows.schema if f.name not in schema.places]
    form = pa.schema(unpacked)
    for name, fields in lists.items():
        values = rows.schema.field(fields[0]).type
        form = form.append(pa.field(name, pa.list_(values)))

    def pack_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [batch[f.name] for f in unpacked]
        packed = [
            _to_list([batch[field] for field in fields]) for fields in lists.values()
        ]
        return pa.record_batch([*columns, *packed], schema=form)

    size = max(1, MAX_PACKED_CELLS // len(schema.features))
    batches = rows.to_batches(max_chunksize=size)
    return pa.RecordBatchReader.from_batches(form, map(pack_batch, batches))


def _lists(schema: ModelSchema) -> dict[str, list[str]]:
    """Return the fields of each list column, in their order there."""
    lists: dict[str, list[str]] = {}
    for field, place in schema.places.items():
        lists.setdefault(place.column, []).append(field)
    return lists


def _to_list(columns: Sequence[pa.Array]) -> pa.Array:
    """Join columns into one list a row."""
    width, rows = len(columns), len(columns[0])
    by_row = np.arange(width * rows).reshape(width, rows).T.ravel()
    values = pa.concat_arrays(columns).take(pa.array(by_row))
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, values)
