"""Request bodies: received with a limit, unpacked, and counted for as long as they are held in memory."""

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

# bytes of small bodies that are held at once, from their first byte to the answer
IN_FLIGHT = 64 << 20
ZSTD_WINDOW = 8 << 20


class _Room:
    """Bytes of bodies that are held; changed on the event loop's thread only."""

    bytes = 0


# bodies that may be large, as references, wait for each other and not for the small
# ones
_small, _large = _Room(), _Room()


class BodyMemory:
    """The part of a room that one body takes."""

    def __init__(self, most: int) -> None:
        self.room, self.allowed = (
            (_small if most <= IN_FLIGHT else _large),
            max(IN_FLIGHT, most),
        )
        self.bytes = 0

    def take(self, size: int) -> None:
        """Have room for `size` bytes in all.

        Raises TooMany when others hold too much of it; a body alone always fits.
        """
        if (
            size > self.bytes < self.room.bytes
            and self.room.bytes - self.bytes + size > self.allowed
        ):
            raise _too_many()
        self.room.bytes += size - self.bytes
        self.bytes = size

    def release(self) -> None:
        """Let go of all of it."""
        self.room.bytes -= self.bytes
        self.bytes = 0


@asynccontextmanager
async def body_of(request: Request, most: int) -> AsyncIterator[bytes]:
    """The request's body, decompressed; its memory counts until the end of the `with`, which is after the answer is known.

    Raises TooLarge as soon as it passes `most` bytes, on the wire or unpacked, and
    TooMany when too much is held already.
    """
    held = BodyMemory(most)
    try:
        yield await _received(request, most, held)
    finally:
        held.release()


async def _received(request: Request, most: int, held: BodyMemory) -> bytes:
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit():
        raise InvalidRequest("Content-Length is not a number")
    if int(announced) > most:
        raise _too_large(most)
    unpack = _decoder(request.headers.get("content-encoding", "identity"))
    # what is packed may unpack to the limit: room for that is needed before, not when
    # it is there
    held.take(int(announced) if unpack is None else most)
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise _too_large(most)
            if size > held.bytes:  # it did not say how long it is
                held.take(size)
            parts.append(part)
    # nobody is left to read the answer, and the server did nothing wrong
    except ClientDisconnect:
        raise PayloadError(
            "the connection ended before the whole body had come"
        ) from None
    body = b"".join(parts)
    if unpack is not None:
        # off the event loop: a small body may unpack to megabytes
        body = await asyncio.to_thread(_unpacked, body, unpack, most)
    held.take(len(body))
    return body


def _decoder(encoding: str) -> Callable[[bytes, int], bytes] | None:
    match encoding.strip().lower():
        case "identity" | "":
            return None
        case "gzip" | "x-gzip":
            return _gunzip
        case "zstd":
            return _unzstd
    raise UnsupportedMedia(
        f"Content-Encoding {encoding[:40]!r} is not supported; use gzip, zstd, or none"
    )


def _unpacked(body: bytes, unpack: Callable[[bytes, int], bytes], most: int) -> bytes:
    """The decompressed body, never more than `most` + 1 bytes of it in memory."""
    try:
        unpacked = unpack(body, most + 1)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as problem:
        reason = str(problem) or type(problem).__name__
        raise PayloadError(
            f"the body does not match its Content-Encoding: {reason[:100]}"
        ) from None
    if len(unpacked) > most:
        raise _too_large(most)
    return unpacked


def _gunzip(body: bytes, most: int) -> bytes:
    with gzip.GzipFile(fileobj=BytesIO(body)) as stream:
        return stream.read(most)


def _unzstd(body: bytes, most: int) -> bytes:
    # the window is what a frame may make the decoder allocate
    decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    size = zstandard.frame_content_size(body)
    if size < 0:  # the frame does not say: count, but no further than allowed
        with decoder.stream_reader(body) as stream:
            size = len(stream.read(most))
    if size >= most:
        raise _too_large(most - 1)
    return (
        decoder.decompress(body, max_output_size=size, allow_extra_data=False)
        if size
        else b""
    )


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"the body has more than {most / (1 << 20):g} MB; send smaller batches, or raise limits.max_body_mb"
    )


def _too_many() -> TooMany:
    return TooMany(
        "too many bodies are being received at once; send again in a second", 1
    )
