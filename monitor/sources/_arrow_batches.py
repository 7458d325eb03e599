"""Sizes of the batches of an Arrow IPC stream, from their metadata: nothing is unpacked."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

# positions in the flatbuffers of Arrow's format, Message.fbs and Schema.fbs
MESSAGE_HEADER = 2
DICTIONARY_DATA = 1
BATCH_LENGTH, BATCH_BUFFERS, BATCH_COMPRESSION = 0, 2, 3
BUFFER_BYTES = 16  # of one (offset, length) pair
NOT_COMPRESSED = -1  # in the place of an unpacked size


class BatchSize(NamedTuple):
    """The rows of one batch, and the bytes of its buffers once unpacked."""

    rows: int
    bytes: int


def batch_sizes(body: bytes) -> Iterator[BatchSize]:
    """Yield the size of every record batch and dictionary of a stream.

    Raises ValueError or struct.error when a message is damaged.
    """
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        if message.type in ("record batch", "dictionary"):
            yield _size_of(message)


def _size_of(message: pa.ipc.Message) -> BatchSize:
    metadata = message.metadata.to_pybytes()
    header = _Table.root(metadata).table(MESSAGE_HEADER)
    if header is not None and message.type == "dictionary":
        header = header.table(DICTIONARY_DATA)
    if header is None:
        raise ValueError("a batch without a header")
    rows = header.int64(BATCH_LENGTH)
    body = message.body
    if header.table(BATCH_COMPRESSION) is None or body is None:
        return BatchSize(rows, body.size if body is not None else 0)
    content = memoryview(body)
    unpacked = 0
    for offset, length in header.buffers(BATCH_BUFFERS):
        if length < 8:
            continue
        (size,) = struct.unpack_from("<q", content, offset)
        unpacked += length if size == NOT_COMPRESSED else size
    return BatchSize(rows, unpacked)


class _Table(NamedTuple):
    """A table of a flatbuffer: its bytes and the position of the table in them."""

    buffer: bytes
    position: int

    @classmethod
    def root(cls, buffer: bytes) -> "_Table":
        (position,) = struct.unpack_from("<I", buffer, 0)
        return cls(buffer, position)

    def table(self, number: int) -> "_Table | None":
        """Return the table in field `number`; None when the field is absent."""
        at = self._field(number)
        if at is None:
            return None
        (offset,) = struct.unpack_from("<I", self.buffer, at)
        return _Table(self.buffer, at + offset)

    def int64(self, number: int) -> int:
        """Return the number in field `number`; 0 when the field is absent."""
        at = self._field(number)
        if at is None:
            return 0
        (value,) = struct.unpack_from("<q", self.buffer, at)
        return int(value)

    def buffers(self, number: int) -> list[tuple[int, int]]:
        """Return the (offset, length) pairs in field `number`."""
        at = self._field(number)
        if at is None:
            return []
        (offset,) = struct.unpack_from("<I", self.buffer, at)
        start = at + offset
        (count,) = struct.unpack_from("<I", self.buffer, start)
        first = start + 4
        end = first + count * BUFFER_BYTES
        return list(struct.iter_unpack("<qq", self.buffer[first:end]))

    def _field(self, number: int) -> int | None:
        """Return the position of a field's value; None when the field is absent."""
        (back,) = struct.unpack_from("<i", self.buffer, self.position)
        vtable = self.position - back
        (vtable_bytes,) = struct.unpack_from("<H", self.buffer, vtable)
        place = 4 + 2 * number
        if place + 2 > vtable_bytes:
            return None
        (offset,) = struct.unpack_from("<H", self.buffer, vtable + place)
        return self.position + offset if offset else None
