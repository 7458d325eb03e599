"""Request bodies: read up to a limit, decompressed, and counted while in memory."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO

import zstandard
from starlette.requests import ClientDisconnect, Request

from monitor.errors import (
    InvalidRequest,
    PayloadError,
    TooLarge,
    TooMany,
    UnsupportedMedia,
)

# of all small bodies together, each from its first byte to the response
MAX_IN_FLIGHT_BYTES = 64 << 20
# memory that one frame may make the decoder allocate
MAX_ZSTD_WINDOW_BYTES = 8 << 20

Decoder = Callable[[bytes, int], bytes]


class _MemoryPool:
    """Bytes of the bodies in memory; changed on the event loop's thread only."""

    bytes = 0


# Bodies that may be large, such as references, wait for each other and not for the
# small ones.
_small_bodies, _large_bodies = _MemoryPool(), _MemoryPool()


class BodyMemory:
    """The reservation of one body in its pool of memory."""

    def __init__(self, max_bytes: int) -> None:
        is_small = max_bytes <= MAX_IN_FLIGHT_BYTES
        self.pool = _small_bodies if is_small else _large_bodies
        self.allowed = max(MAX_IN_FLIGHT_BYTES, max_bytes)
        self.bytes = 0

    def reserve(self, size: int) -> None:
        """Raise or lower the reservation to `size` bytes in all.

        Raises TooMany when other bodies leave too little of the pool. A body alone
        always fits.
        """
        others = self.pool.bytes - self.bytes
        if size > self.bytes and others > 0 and others + size > self.allowed:
            raise TooMany(
                "too many bodies are being received at once; send again in a second", 1
            )
        self.pool.bytes += size - self.bytes
        self.bytes = size

    def release(self) -> None:
        """Return the whole reservation to the pool."""
        self.pool.bytes -= self.bytes
        self.bytes = 0


@asynccontextmanager
async def receive_body(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the decompressed body; its memory counts until the `with` block ends.

    Raises TooLarge as soon as the body passes `max_bytes`, compressed or not, and
    TooMany when other bodies take up the memory.
    """
    memory = BodyMemory(max_bytes)
    try:
        yield await _read_body(request, max_bytes, memory)
    finally:
        memory.release()


async def _read_body(request: Request, max_bytes: int, memory: BodyMemory) -> bytes:
    content_length = request.headers.get("content-length", "0")
    if not content_length.isdigit():
        raise InvalidRequest("Content-Length is not a number")
    if int(content_length) > max_bytes:
        raise _too_large(max_bytes)
    decode = _decoder_of(request.headers.get("content-encoding", "identity"))
    # A compressed body may grow to the limit, so that much is reserved before.
    memory.reserve(int(content_length) if decode is None else max_bytes)
    body = await _read_stream(request, max_bytes, memory)
    if decode is not None:
        # off the event loop: a small body may grow to megabytes
        body = await asyncio.to_thread(_decompress, body, decode, max_bytes)
    memory.reserve(len(body))
    return body


async def _read_stream(request: Request, max_bytes: int, memory: BodyMemory) -> bytes:
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > max_bytes:
                raise _too_large(max_bytes)
            if size > memory.bytes:  # a chunked body has no Content-Length
                memory.reserve(size)
            parts.append(part)
    # no fault of the server, and no client is left to read the response
    except ClientDisconnect:
        raise PayloadError(
            "the connection ended before the whole body was received"
        ) from None
    return b"".join(parts)


def _decoder_of(encoding: str) -> Decoder | None:
    match encoding.strip().lower():
        case "identity" | "":
            return None
        case "gzip" | "x-gzip":
            return _decompress_gzip
        case "zstd":
            return _decompress_zstd
    raise UnsupportedMedia(
        f"Content-Encoding {encoding[:40]!r} is not supported; use gzip, zstd, or none"
    )


def _decompress(body: bytes, decode: Decoder, max_bytes: int) -> bytes:
    """Decompress a body; never more than `max_bytes` + 1 bytes of it are in memory."""
    try:
        decoded = decode(body, max_bytes + 1)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        reason = str(error) or type(error).__name__
        raise PayloadError(
            f"the body does not match its Content-Encoding: {reason[:100]}"
        ) from None
    if len(decoded) > max_bytes:
        raise _too_large(max_bytes)
    return decoded


def _decompress_gzip(body: bytes, max_bytes: int) -> bytes:
    with gzip.GzipFile(fileobj=BytesIO(body)) as stream:
        return stream.read(max_bytes)


def _decompress_zstd(body: bytes, max_bytes: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES)
    size = zstandard.frame_content_size(body)
    if size < 0:  # the frame does not state its size: count up to the limit
        with decoder.stream_reader(body) as stream:
            size = len(stream.read(max_bytes))
    if size >= max_bytes:
        raise _too_large(max_bytes - 1)
    if size == 0:
        return b""
    return decoder.decompress(body, max_output_size=size, allow_extra_data=False)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"the body has more than {max_bytes / (1 << 20):g} MB; "
        "send smaller batches, or raise limits.max_body_mb"
    )
