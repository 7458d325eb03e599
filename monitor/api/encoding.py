"""Answers as JSON or Arrow, and bodies read with a limit."""

import asyncio
import gzip
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import zstandard
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from monitor.errors import DriftdeckError, InvalidRequest, Overloaded, PayloadError, TooLarge, TooMany, UnsupportedMedia
from monitor.finding import Finding
from monitor.ipc import to_ipc
from monitor.views.overview import finding_data

IN_FLIGHT = 64 << 20  # bytes of small bodies that are received at once
ZSTD_WINDOW = 8 << 20
ARROW = "application/vnd.apache.arrow.stream"


def plain(value: Any) -> Any:
    """The value as JSON data: times as RFC 3339 in UTC, what is not finite as null."""
    if isinstance(value, Finding):
        return plain(finding_data(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return [plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {f: plain(getattr(value, f)) for f in value.__dataclass_fields__}
    return value


def answer(request: Request, body: Mapping[str, Any], rows: str, status: int = 200) -> Response:
    """JSON of the whole body, or an Arrow stream of its list `rows` where the request's Accept asks for it."""
    data = plain(body)
    if ARROW in request.headers.get("accept", ""):
        listed = data[rows] if isinstance(data.get(rows), list) else [data]
        table = pa.Table.from_pylist([_flat(row) for row in listed])
        rest = {k: v for k, v in data.items() if k != rows}
        return Response(
            to_ipc(table.replace_schema_metadata({"driftdeck": msgspec.json.encode(rest)})), status, media_type=ARROW
        )
    return Response(msgspec.json.encode(data), status, media_type="application/json")


def error(sentence: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An error answer: one sentence."""
    return Response(
        msgspec.json.encode({"error": sentence.encode("utf-8", "replace").decode()}),
        status,
        headers,
        "application/json",
    )


def failure(problem: DriftdeckError) -> Response:
    """The answer to an expected failure: its sentence, its status, and when to come again."""
    headers = {"retry-after": str(problem.retry_after)} if isinstance(problem, Overloaded) else None
    return error(str(problem), problem.status, headers)


async def read_body(request: Request, most: int) -> bytes:
    """The request's body, decompressed. Raises TooLarge as soon as it passes `most` bytes, on the wire or unpacked."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit():
        raise InvalidRequest("Content-Length is not a number")
    if int(announced) > most:
        raise _too_large(most)
    # bodies that may be large, as references, wait for each other and not for the small ones
    room = _small if most <= IN_FLIGHT else _large
    allowed = max(IN_FLIGHT, most)
    if room.bytes + int(announced) > allowed:
        raise _too_many()
    unpack = _decoder(request.headers.get("content-encoding", "identity"))
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            room.bytes += len(part)
            if size > most:
                raise _too_large(most)
            if room.bytes > allowed and size < room.bytes:  # it did not say how long it is, and others are here too
                raise _too_many()
            parts.append(part)
        body = b"".join(parts)
        if unpack is None:
            return body
        # off the event loop: a small body may unpack to megabytes
        return await asyncio.to_thread(_unpacked, body, unpack, most)
    except ClientDisconnect:  # nobody is left to read the answer, and the server did nothing wrong
        raise PayloadError("the connection ended before the whole body had come") from None
    finally:
        room.bytes -= size


def _decoder(encoding: str) -> Callable[[bytes, int], bytes] | None:
    match encoding.strip().lower():
        case "identity" | "":
            return None
        case "gzip" | "x-gzip":
            return _gunzip
        case "zstd":
            return _unzstd
    raise UnsupportedMedia(f"Content-Encoding {encoding[:40]!r} is not supported; use gzip, zstd, or none")


def _unpacked(body: bytes, unpack: Callable[[bytes, int], bytes], most: int) -> bytes:
    """The decompressed body, never more than `most` + 1 bytes of it in memory."""
    try:
        unpacked = unpack(body, most + 1)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as problem:
        reason = str(problem) or type(problem).__name__
        raise PayloadError(f"the body does not match its Content-Encoding: {reason[:100]}") from None
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
    return decoder.decompress(body, max_output_size=size, allow_extra_data=False) if size else b""


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"the body has more than {most / (1 << 20):g} MB; send smaller batches, or raise limits.max_body_mb"
    )


class _InFlight:
    """Bytes of bodies that are being received, on the event loop's thread only."""

    bytes = 0


_small, _large = _InFlight(), _InFlight()


def _too_many() -> TooMany:
    return TooMany("too many bodies are being received at once; send again in a second", 1)


def _flat(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        return {"value": row}
    return {
        k: msgspec.json.encode(v).decode()
        if isinstance(v, dict) or (isinstance(v, list) and v and isinstance(v[0], dict))
        else v
        for k, v in row.items()
    }
