"""A reverse proxy before a model server: every byte passes unchanged, every prediction is logged aside.

The answer never waits for the monitoring: a request and its answer are read and logged
after the answer is out, through the client, whose backlog is bounded. What cannot be
read is forwarded all the same and counted.
"""

import asyncio
import logging
import os
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from monitor.client import Client, new_event_id
from monitor.contracts import FieldChoice, NotUnderstood, ServingProtocol, Target

log = logging.getLogger("driftdeck.proxy")

EVENT_ID_HEADER = "X-Driftdeck-Event-Id"
# bytes of a body that are kept to be read; a longer one is forwarded and counted
MAX_READ = 4 << 20
WHOLE = 256 << 10  # an answer up to here is passed on in one piece
# bytes that are read on the event loop; more would hold up other requests
READ_AT_ONCE = 32 << 10
MAX_WAITING = 200  # large bodies that wait to be read; what comes then is counted
# seconds; less than a model server's own (uvicorn: 5), so that no request meets a
# closing connection
KEEP_ALIVE = 4.0
REPORT_EVERY = 60.0
# RFC 9110, section 7.6.1, and what RFC 9112 replaces with the framing of each
# connection
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class Proxy:
    """Forwards to one upstream; `counts` says what became of every request."""

    def __init__(
        self,
        upstream: str,
        protocol: ServingProtocol,
        client: Client,
        *,
        model: str | None = None,
        wanted: FieldChoice | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.upstream = upstream.rstrip("/")
        self.protocol, self.client = protocol, client
        self.model, self.wanted = model, wanted or FieldChoice()
        self.timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=min(timeout, 10.0), sock_read=timeout
        )
        self.counts: Counter[str] = Counter()
        self.last_reason = ""
        self._session: aiohttp.ClientSession | None = None
        self._reader = ThreadPoolExecutor(1, "driftdeck-proxy-reader")
        self._waiting = 0
        self._reported = 0.0

    async def open(self) -> None:
        """Make ready to forward."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            timeout=self.timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=(
                "Accept",
                "Accept-Encoding",
                "User-Agent",
                "Content-Type",
            ),
        )

    async def close(self) -> None:
        """Read what waits and let go of the connections."""
        await asyncio.to_thread(self._reader.shutdown)
        if self._session is not None:
            await self._session.close()
        self._report(final=True)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The upstream's answer to one request."""
        assert self._session is not None  # noqa: S101 - open() comes first
        target = (
            self.protocol.target(request.raw_path.partition("?")[0])
            if request.method in ("POST", "PUT")
            else None
        )
        watched = _Exchange(target) if target is not None else None
        self.counts["requests"] += 1
        try:
            body = await _body(request, watched)
            answer = await self._session.request(
                request.method,
                URL(self.upstream + request.raw_path, encoded=True),
                headers=_passed(request.headers),
                data=body,
                allow_redirects=False,
            )
        except TimeoutError:
            return self._failed(504, "the model server did not answer in time", watched)
        except (aiohttp.ClientError, OSError) as error:
            return self._failed(
                502,
                f"the model server at {self.upstream} cannot be reached: {_kind(error)}",
                watched,
            )
        async with answer:
            return await self._pass_on(request, answer, watched)

    async def _pass_on(
        self,
        request: web.BaseRequest,
        answer: aiohttp.ClientResponse,
        watched: "_Exchange | None",
    ) -> web.StreamResponse:
        headers = _passed(answer.headers)
        if watched is not None:
            headers[EVENT_ID_HEADER] = watched.event_id
        length = answer.content_length
        if request.method != "HEAD" and length is not None and length <= WHOLE:
            try:
                body = await answer.read()
            except (aiohttp.ClientError, OSError) as error:
                return self._failed(
                    502,
                    f"the model server broke off its answer: {_kind(error)}",
                    watched,
                )
            if watched is not None:
                watched.answered(answer.status)
                watched.response.add(body)
                # after this answer is written: the loop comes to it when it has nothing
                # else to do for this request
                asyncio.get_running_loop().call_soon(
                    self._log, watched, request.headers, answer.headers
                )
            return web.Response(
                body=body, status=answer.status, reason=answer.reason, headers=headers
            )
        return await self._stream(request, answer, headers, watched)

    async def _stream(
        self,
        request: web.BaseRequest,
        answer: aiohttp.ClientResponse,
        headers: CIMultiDict[str],
        watched: "_Exchange | None",
    ) -> web.StreamResponse:
        streamed = web.StreamResponse(
            status=answer.status, reason=answer.reason, headers=headers
        )
        await streamed.prepare(request)
        try:
            async for part in answer.content.iter_any():
                await streamed.write(part)
                if watched is not None:
                    watched.response.add(part)
        except (aiohttp.ClientError, OSError) as error:
            # the head is out: only a broken connection can still tell the caller that
            # this is not all
            if watched is not None:
                watched.failed(
                    502, f"the model server broke off its answer: {_kind(error)}"
                )
                self._log(watched, request.headers, answer.headers)
            if request.transport is not None:
                request.transport.abort()
            return streamed
        if watched is not None:
            watched.answered(answer.status)
            self._log(watched, request.headers, answer.headers)
        await streamed.write_eof()
        return streamed

    def _failed(
        self, status: int, sentence: str, watched: "_Exchange | None"
    ) -> web.Response:
        self.counts["upstream_failed"] += 1
        headers = {}
        if watched is not None:
            headers[EVENT_ID_HEADER] = watched.event_id
            watched.failed(status, sentence)
            self._log(watched, {}, {})
        return web.json_response({"error": sentence}, status=status, headers=headers)

    # logging aside

    def _log(self, watched: "_Exchange", asked: Any, answered: Any) -> None:
        encodings = (
            asked.get("Content-Encoding", ""),
            answered.get("Content-Encoding", ""),
        )
        if (
            watched.request.size + watched.response.size <= READ_AT_ONCE
            and encodings == ("", "")
        ):
            self._read(watched, encodings)
        elif self._waiting >= MAX_WAITING:
            self._not_understood("too many large bodies wait to be read")
        else:
            self._waiting += 1
            done = asyncio.get_running_loop().run_in_executor(
                self._reader, self._read, watched, encodings
            )
            done.add_done_callback(lambda _: self._one_less())
        self._report()

    def _one_less(self) -> None:
        self._waiting -= 1

    def _read(self, watched: "_Exchange", encodings: tuple[str, str]) -> None:
        try:
            request = watched.request.whole(encodings[0])
            failed = watched.status >= 400
            response = None if failed else watched.response.whole(encodings[1])
            rows = self.protocol.read(request, response, self.wanted)
        except NotUnderstood as reason:
            self._not_understood(str(reason))
            if watched.status < 500:
                return
            rows = []
        # a body of a shape nobody thought of must not cost the service its answer
        except Exception as error:
            self._not_understood(f"unexpected: {type(error).__name__}: {error}")
            return
        model, version = self.model or watched.target.model, watched.target.version
        for i, row in enumerate(rows) if rows else [(0, None)]:
            self.counts["logged"] += 1
            self.client.log(
                row.features if row else {},
                row.prediction if row else None,
                model=model,
                version=version or None,
                event_id=watched.event_id if i == 0 else f"{watched.event_id}-{i}",
                ts=watched.began,
                latency_ms=watched.latency_ms,
                status=watched.status,
                error=watched.error or None,
            )

    def _not_understood(self, reason: str) -> None:
        self.counts["not_understood"] += 1
        self.last_reason = reason

    def _report(self, final: bool = False) -> None:
        if final or (
            self.counts["not_understood"]
            and time.monotonic() - self._reported > REPORT_EVERY
        ):
            self._reported = time.monotonic()
            log.info(
                "%d requests, %d rows logged, %d exchanges not understood%s, %d times no answer from the model server",
                self.counts["requests"],
                self.counts["logged"],
                self.counts["not_understood"],
                f" (the newest: {self.last_reason})" if self.last_reason else "",
                self.counts["upstream_failed"],
            )


class _Kept:
    """A copy of a body that passes by, up to MAX_READ bytes; a longer one is forgotten."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size <= MAX_READ:
            self._parts.append(part)
        else:
            self._parts.clear()

    def whole(self, encoding: str) -> bytes:
        """The body, unpacked. Raises NotUnderstood when it is too long."""
        if self.size > MAX_READ:
            raise NotUnderstood(f"the body has more than {MAX_READ >> 20} MB")
        body = b"".join(self._parts)
        if encoding in ("", "identity"):
            return body
        if encoding != "gzip":
            raise NotUnderstood(f"Content-Encoding {encoding[:40]!r} is not read")
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            unpacked = unpacker.decompress(body, MAX_READ)
        except zlib.error:
            raise NotUnderstood(
                "the body is not gzip, as its Content-Encoding says"
            ) from None
        if unpacker.unconsumed_tail:
            raise NotUnderstood(
                f"the body has more than {MAX_READ >> 20} MB when unpacked"
            )
        return unpacked


class _Exchange:
    """One prediction that passes by."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.event_id = new_event_id()
        self.request, self.response = _Kept(), _Kept()
        self.began, self._start = time.time(), time.perf_counter()
        self.latency_ms = 0.0
        self.status, self.error = 200, ""

    def answered(self, status: int) -> None:
        """The last byte of the answer is here."""
        self.status = status
        self.latency_ms = round((time.perf_counter() - self._start) * 1e3, 3)

    def failed(self, status: int, sentence: str) -> None:
        """There is no whole answer."""
        self.answered(status)
        self.error = sentence


async def _body(
    request: web.BaseRequest, watched: _Exchange | None
) -> bytes | AsyncIterator[bytes] | None:
    """What to send upstream: the whole body when it is short, else a stream of it."""
    if not request.body_exists:
        return None
    if (
        request.headers.get("Expect", "").lower() == "100-continue"
        and request.transport is not None
    ):
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = request.content_length
    if length is not None and length <= WHOLE:
        body = await request.content.read(length) if length else b""
        while len(body) < length and not request.content.at_eof():
            body += await request.content.read(length - len(body))
        if watched is not None:
            watched.request.add(body)
        return body

    async def parts() -> AsyncIterator[bytes]:
        async for part in request.content.iter_any():
            if watched is not None:
                watched.request.add(part)
            yield part

    return parts()


def _passed(headers: Any) -> CIMultiDict[str]:
    """The headers that go on to the next hop."""
    named = {
        name.strip().lower()
        for value in headers.getall("Connection", ())
        for name in value.split(",")
    }
    dropped = HOP_BY_HOP | named | {"expect"}  # the proxy has answered it itself
    return CIMultiDict(
        [
            (name, value)
            for name, value in headers.items()
            if name.lower() not in dropped
        ]
    )


def _kind(error: BaseException) -> str:
    inner = getattr(error, "os_error", None) or error
    number = getattr(inner, "errno", None)
    return os.strerror(number) if number else type(inner).__name__


async def serve(proxy: Proxy, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until told to stop; requests under way are finished first."""
    await proxy.open()
    runner = web.ServerRunner(
        web.Server(proxy.handle, access_log=None, auto_decompress=False),
        shutdown_timeout=10,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await stop.wait()
    finally:
        await runner.cleanup()
        await proxy.close()
