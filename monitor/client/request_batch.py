"""The body of one request: lines of JSON for one path, or one Arrow table."""

from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_BODY_BYTES = 4_000_000
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
EVENTS, LABELS = "/v1/events", "/v1/labels"


class RequestBatch(NamedTuple):
    """The body of one request in parts.

    `key` is the Idempotency-Key; it stays the same in every attempt.
    """

    path: str
    media_type: str
    parts: list[bytes]
    rows: int
    key: str

    def split(self) -> "list[RequestBatch]":
        """Split the rows into two requests, always the same two; empty for one row."""
        if self.rows < 2:
            return []
        if self.media_type == ARROW:
            tables = split_arrow_stream(self.parts[0])
            halves = [([body], rows) for body, rows in tables]
        else:
            middle = len(self.parts) // 2
            first, second = self.parts[:middle], self.parts[middle:]
            halves = [(first, len(first)), (second, len(second))]
        return [
            RequestBatch(self.path, self.media_type, parts, rows, f"{self.key}{i}")
            for i, (parts, rows) in enumerate(halves)
        ]


class BatchBuilder:
    """Records collected until a request is full; an Arrow table is a request of its own."""

    def __init__(self) -> None:
        self.rows = 0
        self.size = 0
        self._lines: dict[str, list[bytes]] = {EVENTS: [], LABELS: []}
        self._tables: list[tuple[str, bytes, int]] = []

    def add(self, path: str, body: bytes, rows: int, table: bool) -> None:
        """Add one line, or one table of `rows` rows."""
        if table:
            self._tables.append((path, body, rows))
        else:
            self._lines[path].append(body)
        self.rows += rows
        self.size += len(body)

    def batches(self, key: str) -> list[RequestBatch]:
        """Return the requests, events before labels; their keys start with `key`."""
        tables = [
            RequestBatch(path, ARROW, [body], rows, f"{key}t{i}")
            for i, (path, body, rows) in enumerate(self._tables)
        ]
        events = self._line_batches(EVENTS, f"{key}e")
        labels = self._line_batches(LABELS, f"{key}l")
        return [*events, *tables, *labels]

    def _line_batches(self, path: str, key: str) -> list[RequestBatch]:
        lines = self._lines[path]
        return [RequestBatch(path, NDJSON, lines, len(lines), key)] if lines else []


def arrow_stream(table: Any) -> bytes:
    """Write an Arrow table as an IPC stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    body: bytes = sink.getvalue().to_pybytes()
    return body


def split_arrow_stream(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the two halves of an Arrow IPC stream as streams, with their rows."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        table = reader.read_all()
    middle = table.num_rows // 2
    for half in (table.slice(0, middle), table.slice(middle)):
        yield arrow_stream(half), half.num_rows
