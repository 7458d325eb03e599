"""Arrow IPC: a stream as a body, a stream or a file on disk."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from monitor.contracts import Chunk
from monitor.errors import PayloadError

MEDIA_TYPES = ("application/vnd.apache.arrow.stream",)
SUFFIXES = (".arrow", ".arrows", ".feather", ".ipc")


def read_bytes(body: bytes) -> Chunk:
    """The table of a stream."""
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
            table.validate(full=True)
        return Chunk(table, 1, (), len(body))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, ValueError) as error:
        raise PayloadError(
            f"the body is not an Arrow IPC stream: {_first_line(error)}"
        ) from None


def read_file(path: Path, rows: int) -> Iterator[Chunk]:
    """The record batches of an IPC file or stream."""
    try:
        with pa.memory_map(str(path)) as file:
            try:
                reader = pa.ipc.open_file(file)
                batches = (
                    reader.get_batch(i) for i in range(reader.num_record_batches)
                )
            except pa.ArrowInvalid:
                file.seek(0)
                batches = iter(pa.ipc.open_stream(file))
            first = 1
            for batch in batches:
                table = pa.Table.from_batches([batch])
                for start in range(0, table.num_rows, rows):
                    part = table.slice(start, rows)
                    yield Chunk(part, first, (), part.nbytes)
                    first += part.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise PayloadError(
            f"{path.name} is not an Arrow IPC file: {_first_line(error)}"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0][:160]
