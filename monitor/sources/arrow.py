"""Arrow IPC: a stream as a body, a stream or a file on disk."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from monitor.contracts import UNLIMITED, BodyLimits, Chunk
from monitor.errors import PayloadError
from monitor.sources._arrow_batches import batch_sizes
from monitor.sources._table_limits import check_table

MEDIA_TYPES = ("application/vnd.apache.arrow.stream",)
SUFFIXES = (".arrow", ".arrows", ".feather", ".ipc")


def read_bytes(body: bytes, limits: BodyLimits = UNLIMITED) -> Chunk:
    """Return the table of a stream; its batches are counted before they are unpacked."""
    try:
        _check_sizes(body, limits)
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            limits.check_columns(len(reader.schema))
            table = reader.read_all()
            table.validate(full=True)
        check_table(table, limits)
        return Chunk(table, 1, (), len(body))
    except (
        pa.ArrowInvalid,
        pa.ArrowNotImplementedError,
        OSError,
        ValueError,
        struct.error,
    ) as error:
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


def _check_sizes(body: bytes, limits: BodyLimits) -> None:
    rows = unpacked = 0
    for size in batch_sizes(body):
        rows += size.rows
        unpacked += size.bytes
        limits.check_rows(rows)
        limits.check_bytes(unpacked)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0][:160]
