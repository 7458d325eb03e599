"""Frames of predictions as Arrow tables, without a Python loop over rows where pyarrow is installed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .event_id import new_event_id
from .request_batch import EVENTS, MAX_BODY_BYTES

if TYPE_CHECKING:
    from .client import Client

MAX_ROWS = 5_000  # of one request; the server takes 10,000


class FrameColumns(NamedTuple):
    """Which columns of a frame mean what; `ts` may be one time and `latency_ms` one number for all rows."""

    prediction: str | None
    features: Sequence[str] | None
    event_id: str | None
    ts: str | datetime | None
    latency_ms: str | float | None
    status: str | None

    def own(self) -> set[str]:
        """Names of the columns that are no features."""
        return {
            c
            for c in (
                self.prediction,
                self.event_id,
                self.ts,
                self.latency_ms,
                self.status,
            )
            if isinstance(c, str)
        }

    def missing(self, there: Sequence[str]) -> str | None:
        """What is wrong with the names, None if all are there."""
        for name in (*self.own(), *(self.features or ())):
            if name not in there:
                return f"the frame has no column {name!r}; it has {', '.join(map(str, there[:20]))}"
        return None


def log_columns(
    client: Client, frame: Any, named: FrameColumns, model: str | None, version: str
) -> list[str]:
    """Log the rows; their ids."""
    try:
        import pyarrow  # noqa: F401 - is it there?
    except ImportError:
        return _one_by_one(client, frame, named, model, version)
    try:
        if model is None:
            raise ValueError("no model: give it to log_frame() or to Client()")
        table = _arrow(frame)
        if problem := named.missing(table.column_names):
            raise ValueError(problem)
        events = _events(table, named, version)
        for part in _parts(events):
            client._put(_path(model), _body(part), part.num_rows)
        ids: list[str] = events["event_id"].to_pylist()
        return ids
    except Exception as problem:  # monitoring must never break the service it watches
        rows = (
            len(frame)
            if hasattr(frame, "__len__") and not isinstance(frame, dict)
            else 1
        )
        client._backlog.tally.refuse_unseen(
            f"the frame could not be logged: {problem}", rows
        )
        return [new_event_id() for _ in range(rows)]


def new_event_ids(rows: int) -> Any:
    """UUIDv7 texts of one millisecond as an Arrow array, made in one step."""
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

    return pc.binary_join_element_wise(
        pc.binary_join_element_wise(start, cut(0, 3), ""),
        pc.binary_join_element_wise("a", cut(3, 6), ""),
        cut(6, 18),
        "-",
    )


def halved(body: bytes) -> Iterator[tuple[bytes, int]]:
    """The rows of an Arrow stream in two streams."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        table = reader.read_all()
    middle = table.num_rows // 2
    for part in (table.slice(0, middle), table.slice(middle)):
        yield _body(part), part.num_rows


def _arrow(frame: Any) -> Any:
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame
    if type(frame).__module__.startswith("pandas"):
        return pa.Table.from_pandas(frame, preserve_index=False)
    # a dict of columns, a record batch, or whatever speaks the Arrow PyCapsule
    # interface
    return pa.table(frame)


def _events(table: Any, named: FrameColumns, version: str) -> Any:
    """The table as the server takes it: its own columns by their names there, every feature as `features.NAME`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = table.num_rows
    now = datetime.now(UTC)
    if named.event_id is None:
        ids = new_event_ids(rows)
    else:
        ids = table[named.event_id].cast(pa.string())
        if ids.null_count:
            ids = pc.coalesce(ids, new_event_ids(rows))
    columns: dict[str, Any] = {"event_id": ids, "version": pa.repeat(version, rows)}
    if isinstance(named.ts, str):
        columns["ts"] = table[named.ts]
    else:
        columns["ts"] = pa.repeat(
            pa.scalar(named.ts or now, pa.timestamp("us", "UTC")), rows
        )
    if named.latency_ms is not None:
        single = not isinstance(named.latency_ms, str)
        columns["latency_ms"] = (
            pa.repeat(float(named.latency_ms), rows)
            if single
            else table[named.latency_ms]
        )
    if named.status is not None:
        columns["status"] = table[named.status]
    if named.prediction is not None:
        columns["prediction"] = _known(table[named.prediction])
    own = named.own()
    for name in table.column_names if named.features is None else named.features:
        if name not in own:
            columns[f"features.{name}"] = _known(table[name])
    return pa.table(columns)


def _known(column: Any) -> Any:
    """Texts in the one form of text that every server knows; times as ISO 8601 text."""
    import pyarrow as pa

    kind = (
        column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    )
    textual = (
        pa.types.is_large_string(kind)
        or pa.types.is_temporal(kind)
        or str(kind) == "string_view"
    )
    if textual or pa.types.is_dictionary(column.type):
        return (
            column.cast(kind).cast(pa.string())
            if textual or pa.types.is_string(kind)
            else column.cast(kind)
        )
    return column


def _parts(table: Any) -> Iterator[Any]:
    rows = min(
        MAX_ROWS, max(1, table.num_rows * (MAX_BODY_BYTES // 2) // max(1, table.nbytes))
    )
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def _body(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _path(model: str) -> str:
    from urllib.parse import quote

    return f"{EVENTS}?model={quote(model, safe='')}"


def _one_by_one(
    client: Client, frame: Any, named: FrameColumns, model: str | None, version: str
) -> list[str]:
    try:
        columns = _lists(frame)
        if problem := named.missing(list(columns)):
            raise ValueError(problem)
    except Exception as problem:
        client._backlog.tally.refuse_unseen(f"the frame could not be logged: {problem}")
        return []
    own = named.own()
    features = (
        [n for n in columns if n not in own]
        if named.features is None
        else list(named.features)
    )
    now = time.time()

    def value(name: Any, i: int, default: Any) -> Any:
        return (
            columns[name][i]
            if isinstance(name, str)
            else default
            if name is None
            else name
        )

    return [
        client.log(
            {name: columns[name][i] for name in features},
            value(named.prediction, i, None),
            model=model,
            version=version,
            event_id=value(named.event_id, i, None),
            ts=value(named.ts, i, now),
            latency_ms=value(named.latency_ms, i, None),
            status=value(named.status, i, 200),
        )
        for i in range(len(next(iter(columns.values()), ())))
    ]


def _lists(frame: Any) -> dict[str, list[Any]]:
    """The columns of a pandas or polars frame, or of a dict of columns, as lists."""
    if isinstance(frame, dict):
        return {str(name): list(column) for name, column in frame.items()}
    pandas = type(frame).__module__.startswith("pandas")
    found = frame.to_dict(orient="list") if pandas else frame.to_dict(as_series=False)
    return {str(name): column for name, column in found.items()}
