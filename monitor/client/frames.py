"""Frames of predictions as Arrow tables, or as rows where pyarrow is not installed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .event_id import new_event_id
from .request_batch import EVENTS, MAX_BODY_BYTES, arrow_stream

MAX_REQUEST_ROWS = 5_000  # the server accepts 10,000
MAX_NAMES_IN_ERROR = 20


class FrameColumns(NamedTuple):
    """The columns of a frame by their meaning.

    `ts` may also be one time, and `latency_ms` one number, for all rows.
    """

    prediction: str | None
    features: Sequence[str] | None
    event_id: str | None
    ts: str | datetime | None
    latency_ms: str | float | None
    status: str | None

    def without_features(self) -> set[str]:
        """Names of the columns that are not features."""
        columns = (
            self.prediction,
            self.event_id,
            self.ts,
            self.latency_ms,
            self.status,
        )
        return {name for name in columns if isinstance(name, str)}

    def feature_names(self, names: Sequence[str]) -> list[str]:
        """Names of the feature columns among all columns of a frame."""
        others = self.without_features()
        candidates = names if self.features is None else self.features
        return [name for name in candidates if name not in others]

    def check(self, names: Sequence[str]) -> None:
        """Raise ValueError for a column that the frame does not have."""
        for name in (*self.without_features(), *(self.features or ())):
            if name not in names:
                listed = ", ".join(map(str, names[:MAX_NAMES_IN_ERROR]))
                raise ValueError(f"the frame has no column {name!r}; it has {listed}")


def has_pyarrow() -> bool:
    """True if pyarrow can be imported."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


def event_table(frame: Any, columns: FrameColumns, version: str) -> Any:
    """Convert a frame to an Arrow table of events, with the server's column names.

    A feature is named `features.NAME`. Needs pyarrow; raises ValueError for a column
    that the frame does not have.
    """
    import pyarrow as pa

    table = _arrow_table(frame)
    columns.check(table.column_names)
    rows = table.num_rows
    events: dict[str, Any] = {
        "event_id": _id_column(table, columns.event_id),
        "version": pa.repeat(version, rows),
        "ts": _time_column(table, columns.ts),
    }
    if isinstance(columns.latency_ms, str):
        events["latency_ms"] = table[columns.latency_ms]
    elif columns.latency_ms is not None:
        events["latency_ms"] = pa.repeat(float(columns.latency_ms), rows)
    if columns.status is not None:
        events["status"] = table[columns.status]
    if columns.prediction is not None:
        events["prediction"] = _plain_column(table[columns.prediction])
    for name in columns.feature_names(table.column_names):
        events[f"features.{name}"] = _plain_column(table[name])
    return pa.table(events)


def events_path(model: str) -> str:
    """Return the path to which the events of a model are sent as Arrow tables."""
    from urllib.parse import quote

    return f"{EVENTS}?model={quote(model, safe='')}"


def request_bodies(events: Any) -> Iterator[tuple[bytes, int]]:
    """Split an Arrow table into bodies of one request each; yield them with their rows."""
    # half of the limit, because rows differ in size
    rows_by_size = events.num_rows * (MAX_BODY_BYTES // 2) // max(1, events.nbytes)
    rows = min(MAX_REQUEST_ROWS, max(1, rows_by_size))
    for start in range(0, events.num_rows, rows):
        part = events.slice(start, rows)
        yield arrow_stream(part), part.num_rows


def new_event_ids(rows: int) -> Any:
    """Make UUIDv7 texts of one millisecond as an Arrow array, in one step."""
    import pyarrow as pa
    import pyarrow.compute as pc

    start = new_event_id()[:15]  # time and version
    noise = os.urandom(9 * rows).hex().encode()  # 18 hexadecimal digits a row
    digits = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(18), rows, [None, pa.py_buffer(noise)]
    )
    text = digits.cast(pa.binary()).cast(pa.string())

    def cut(first: int, last: int) -> Any:
        return pc.utf8_slice_codeunits(text, first, last)

    third_group = pc.binary_join_element_wise(start, cut(0, 3), "")
    fourth_group = pc.binary_join_element_wise("a", cut(3, 6), "")
    return pc.binary_join_element_wise(third_group, fourth_group, cut(6, 18), "-")


def count_rows(frame: Any) -> int:
    """Return the length of a frame; 1 if it has none, or is a dict of columns."""
    if isinstance(frame, dict) or not hasattr(frame, "__len__"):
        return 1
    return len(frame)


def event_rows(frame: Any, columns: FrameColumns) -> Iterator[dict[str, Any]]:
    """Yield the arguments of `Client.log` for each row, without pyarrow.

    Raises ValueError at once for a column that the frame does not have.
    """
    values = _column_lists(frame)
    columns.check(list(values))
    return _rows(values, columns)


def _rows(
    values: dict[str, list[Any]], columns: FrameColumns
) -> Iterator[dict[str, Any]]:
    features = columns.feature_names(list(values))
    now = time.time()

    def value(column: Any, i: int, default: Any = None) -> Any:
        if column is None:
            return default
        return values[column][i] if isinstance(column, str) else column

    for i in range(len(next(iter(values.values()), ()))):
        yield {
            "features": {name: values[name][i] for name in features},
            "prediction": value(columns.prediction, i),
            "event_id": value(columns.event_id, i),
            "ts": value(columns.ts, i, now),
            "latency_ms": value(columns.latency_ms, i),
            "status": value(columns.status, i, 200),
        }


def _arrow_table(frame: Any) -> Any:
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if type(frame).__module__.startswith("pandas"):
        return pa.Table.from_pandas(frame, preserve_index=False)
    # a dict of columns, a record batch, or an object with the Arrow PyCapsule interface
    return pa.table(frame)


def _id_column(table: Any, column: str | None) -> Any:
    """Return the event ids as text; a missing one is made."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column is None:
        return new_event_ids(table.num_rows)
    ids = table[column].cast(pa.string())
    if ids.null_count:
        ids = pc.coalesce(ids, new_event_ids(table.num_rows))
    return ids


def _time_column(table: Any, ts: str | datetime | None) -> Any:
    """Return the times of the events: a column, or one time (now if None) for all."""
    import pyarrow as pa

    if isinstance(ts, str):
        return table[ts]
    time_of_all = pa.scalar(ts or datetime.now(UTC), pa.timestamp("us", "UTC"))
    return pa.repeat(time_of_all, table.num_rows)


def _plain_column(column: Any) -> Any:
    """Decode a dictionary column; texts as Arrow `string`, times as ISO 8601 text."""
    import pyarrow as pa

    encoded = pa.types.is_dictionary(column.type)
    kind = column.type.value_type if encoded else column.type
    becomes_text = (
        pa.types.is_large_string(kind)
        or pa.types.is_temporal(kind)
        or str(kind) == "string_view"
    )
    if becomes_text or (encoded and pa.types.is_string(kind)):
        return column.cast(kind).cast(pa.string())
    return column.cast(kind) if encoded else column


def _column_lists(frame: Any) -> dict[str, list[Any]]:
    """Return the columns of a pandas or polars frame, or a dict of columns, as lists."""
    if isinstance(frame, dict):
        return {str(name): list(column) for name, column in frame.items()}
    is_pandas = type(frame).__module__.startswith("pandas")
    options = {"orient": "list"} if is_pandas else {"as_series": False}
    columns = frame.to_dict(**options)
    return {str(name): column for name, column in columns.items()}
