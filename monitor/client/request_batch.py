"""What one request carries: lines of JSON for one path, or one Arrow table."""

from typing import NamedTuple

MAX_BODY_BYTES = 4_000_000
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
EVENTS, LABELS = "/v1/events", "/v1/labels"


class RequestBatch(NamedTuple):
    """The body of one request in parts, under one key that stays the same on every try."""

    path: str
    media_type: str
    parts: list[bytes]
    rows: int
    key: str

    def halves(self) -> "list[RequestBatch]":
        """The same rows in two requests, the same two every time; empty if there is nothing to halve."""
        if self.rows < 2:
            return []
        if self.media_type == ARROW:
            from .frames import halved

            pieces = [([body], rows) for body, rows in halved(self.parts[0])]
        else:
            middle = len(self.parts) // 2
            pieces = [
                (half, len(half)) for half in (self.parts[:middle], self.parts[middle:])
            ]
        return [
            RequestBatch(self.path, self.media_type, p, n, f"{self.key}{i}")
            for i, (p, n) in enumerate(pieces)
        ]


class Gathered:
    """Records collected until a request is full: events before labels, each Arrow table a request of its own."""

    def __init__(self) -> None:
        self.rows = self.size = 0
        self._lines: dict[str, list[bytes]] = {EVENTS: [], LABELS: []}
        self._tables: list[tuple[str, bytes, int]] = []

    def add(self, path: str, body: bytes, rows: int, table: bool) -> None:
        """One more line, or one more table of `rows` rows."""
        if table:
            self._tables.append((path, body, rows))
        else:
            self._lines[path].append(body)
        self.rows += rows
        self.size += len(body)

    def batches(self, key: str) -> list[RequestBatch]:
        """The requests, their keys made of `key`."""
        events, labels = (
            [RequestBatch(path, NDJSON, lines, len(lines), f"{key}{mark}")]
            if (lines := self._lines[path])
            else []
            for path, mark in ((EVENTS, "e"), (LABELS, "l"))
        )
        tables = [
            RequestBatch(p, ARROW, [body], rows, f"{key}t{i}")
            for i, (p, body, rows) in enumerate(self._tables)
        ]
        return [*events, *tables, *labels]
