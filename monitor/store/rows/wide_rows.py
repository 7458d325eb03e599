"""How rows are stored: the first features of a model in columns of their own, the others packed in lists of 500.

A column costs DuckDB a block for each table that has it, and buffers for 2,048 rows
wherever rows go: ten thousand of them need more memory than a server should have. A
list costs that once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from monitor.schema import ModelSchema
from monitor.sql import quote

TYPES = {"numeric": "DOUBLE", "categorical": "VARCHAR"}
# left to choose, the engine takes DICT_FSST for ids: 1.9 to 3.3 µs each at the
# checkpoint, where zstd takes 0.5 to 0.8, for 1 to 3 bytes
# of 16 to 24 (UUIDs, version 7 and random)
ID_TYPE = "VARCHAR USING COMPRESSION zstd"
CELLS = 500_000  # values, of the rows that are moved at once


@dataclass(frozen=True)
class Relation:
    """A table or view that the connection knows: in the form of an events table if it has a schema, else as it is."""

    name: str
    schema: ModelSchema | None = None

    def value(self, field: str) -> str:
        """SQL for a field of a row."""
        place = None if self.schema is None else self.schema.places.get(field)
        return (
            quote(field) if place is None else f"{quote(place.column)}[{place.element}]"
        )

    def values(self, fields: Iterable[str]) -> str:
        """SQL for some fields of a row, each under its own name, after a comma; nothing for none."""
        return "".join(f", {self.value(field)} AS {quote(field)}" for field in fields)

    def together(self, fields: Iterable[str]) -> list[list[str]]:
        """The fields that are best read together: those with columns of their own, and those of each list."""
        groups: dict[str, list[str]] = {}
        for field in fields:
            place = None if self.schema is None else self.schema.places.get(field)
            groups.setdefault("" if place is None else place.column, []).append(field)
        return list(groups.values())


def columns_of(schema: ModelSchema) -> list[tuple[str, str]]:
    """Name and type of the columns that hold a model's features."""
    own = [
        (f.field, TYPES[f.kind])
        for f in schema.features
        if f.field not in schema.places
    ]
    return own + [
        (name, "DOUBLE[]" if name.startswith("numbers") else "VARCHAR[]")
        for name in _lists(schema)
    ]


def pack(rows: pa.Table, schema: ModelSchema) -> pa.Table | pa.RecordBatchReader:
    """Rows with a column for each feature, in the form in which they are stored; to be read once."""
    if not schema.places:
        return rows
    lists = _lists(schema)
    own = [f for f in rows.schema if f.name not in schema.places]
    form = pa.schema(
        [
            *own,
            *(
                (name, pa.list_(rows.schema.field(fields[0]).type))
                for name, fields in lists.items()
            ),
        ]
    )

    def packed(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [batch[f.name] for f in own]
        columns += [
            _list([batch[field] for field in fields]) for fields in lists.values()
        ]
        return pa.record_batch(columns, schema=form)

    batches = rows.to_batches(max_chunksize=max(1, CELLS // len(schema.features)))
    return pa.RecordBatchReader.from_batches(form, map(packed, batches))


def _lists(schema: ModelSchema) -> dict[str, list[str]]:
    """The fields of each list column, in their order there."""
    lists: dict[str, list[str]] = {}
    for field, place in schema.places.items():
        lists.setdefault(place.column, []).append(field)
    return lists


def _list(columns: Sequence[pa.Array]) -> pa.Array:
    """A list for each row, of the values that the columns have there."""
    width, rows = len(columns), len(columns[0])
    by_row = np.arange(width * rows).reshape(width, rows).T.ravel()
    values = pa.concat_arrays(columns).take(pa.array(by_row))
    return pa.ListArray.from_arrays(
        pa.array(np.arange(rows + 1, dtype=np.int32) * width), values
    )
