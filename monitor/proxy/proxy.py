"""Reverse proxy before a model server: forwards every byte unchanged.

A response never waits for the monitoring: an exchange is read and logged after its
response was sent, through the client, whose backlog is bounded. An exchange that cannot
be read is forwarded all the same and counted.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from monitor.client import Client
from monitor.contracts import FieldChoice, ServingProtocol
from monitor.proxy.exchange_logger import ExchangeLogger, ProxiedExchange

EVENT_ID_HEADER = "X-Driftdeck-Event-Id"
# a longer body is streamed
MAX_WHOLE_BYTES = 256 << 10
# less than a model server's own (uvicorn: 5), so that no request meets a closing
# connection
KEEP_ALIVE_S = 4.0
MAX_CONNECT_S = 10.0
SHUTDOWN_S = 10
# RFC 9110, section 7.6.1, and the headers that RFC 9112 replaces on each connection
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
    """Forwards requests to one model server; `counts` counts their outcomes."""

    def __init__(
        self,
        upstream: str,
        protocol: ServingProtocol,
        client: Client,
        *,
        model: str | None = None,
        fields: FieldChoice | None = None,
        timeout: float = 60.0,
    ) -> None:
        self.upstream = upstream.rstrip("/")
        self.timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=min(timeout, MAX_CONNECT_S), sock_read=timeout
        )
        self._logger = ExchangeLogger(protocol, client, model, fields or FieldChoice())
        self.counts = self._logger.counts
        self._session: aiohttp.ClientSession | None = None

    @property
    def last_reason(self) -> str:
        """Reason of the newest exchange that could not be read; empty if none."""
        return self._logger.last_reason

    async def open(self) -> None:
        """Open the session to the model server."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
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
        """Log the exchanges that wait, and close the connections."""
        await self._logger.close()
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Forward one request; return the model server's response."""
        assert self._session is not None  # noqa: S101 - open() is called first
        mistake = _mistake_in(request)
        if mistake is not None:
            return web.json_response({"error": mistake}, status=400)
        path = request.raw_path.partition("?")[0]
        exchange = self._logger.start_exchange(request.method, path)
        try:
            body = await _request_body(request, exchange)
            response = await self._session.request(
                request.method,
                URL(self.upstream + request.raw_path, encoded=True),
                headers=_forwarded_headers(request.headers),
                data=body,
                allow_redirects=False,
            )
        except TimeoutError:
            error = "the model server did not respond in time"
            return self._fail(504, error, exchange)
        except (aiohttp.ClientError, OSError) as problem:
            server = f"the model server at {self.upstream}"
            error = f"{server} cannot be reached: {_describe(problem)}"
            return self._fail(502, error, exchange)
        async with response:
            return await self._forward(request, response, exchange)

    async def _forward(
        self,
        request: web.BaseRequest,
        response: aiohttp.ClientResponse,
        exchange: ProxiedExchange | None,
    ) -> web.StreamResponse:
        """Send the response to the caller: whole when it is short, else as a stream."""
        headers = _forwarded_headers(response.headers)
        if exchange is not None:
            headers[EVENT_ID_HEADER] = exchange.event_id
        length = response.content_length
        if request.method == "HEAD" or length is None or length > MAX_WHOLE_BYTES:
            return await self._stream(request, response, headers, exchange)
        try:
            body = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            return self._fail(502, _cut_short(error), exchange)
        if exchange is not None:
            exchange.end(response.status)
            exchange.response.add(body)
            # runs after this response is written, when the loop has nothing else to do
            # for this request
            asyncio.get_running_loop().call_soon(
                self._logger.log, exchange, request.headers, response.headers
            )
        return web.Response(
            body=body, status=response.status, reason=response.reason, headers=headers
        )

    async def _stream(
        self,
        request: web.BaseRequest,
        response: aiohttp.ClientResponse,
        headers: CIMultiDict[str],
        exchange: ProxiedExchange | None,
    ) -> web.StreamResponse:
        stream = web.StreamResponse(
            status=response.status, reason=response.reason, headers=headers
        )
        await stream.prepare(request)
        try:
            async for part in response.content.iter_any():
                await stream.write(part)
                if exchange is not None:
                    exchange.response.add(part)
        except (aiohttp.ClientError, OSError) as error:
            # the head is sent: only a broken connection can show the caller that the
            # response is not whole
            if exchange is not None:
                exchange.fail(502, _cut_short(error))
                self._logger.log(exchange, request.headers, response.headers)
            if request.transport is not None:
                request.transport.abort()
            return stream
        if exchange is not None:
            exchange.end(response.status)
            self._logger.log(exchange, request.headers, response.headers)
        await stream.write_eof()
        return stream

    def _fail(
        self, status: int, error: str, exchange: ProxiedExchange | None
    ) -> web.Response:
        self.counts["upstream_failed"] += 1
        headers = {}
        if exchange is not None:
            headers[EVENT_ID_HEADER] = exchange.event_id
            exchange.fail(status, error)
            self._logger.log(exchange, {}, {})
        return web.json_response({"error": error}, status=status, headers=headers)


def _mistake_in(request: web.BaseRequest) -> str | None:
    """Return why a request is not for this proxy; None when it is.

    The proxy is a gateway to one server: a target in any form but a path could name
    another host (RFC 9112, section 3.2).
    """
    if request.method == "CONNECT":
        return "CONNECT is not supported: this proxy forwards to its model server only"
    if not request.raw_path.startswith("/"):
        return (
            "the request target must be a path that begins with /, such as /v2/models"
        )
    hosts = request.headers.getall("Host", [])
    if len(hosts) > 1 or (not hosts and request.version >= aiohttp.HttpVersion11):
        return "the request must have exactly one Host header"
    return None


async def _request_body(
    request: web.BaseRequest, exchange: ProxiedExchange | None
) -> bytes | AsyncIterator[bytes] | None:
    """Return the request's body: whole when it is short, else a stream; None if absent."""
    if not request.body_exists:
        return None
    expects_continue = request.headers.get("Expect", "").lower() == "100-continue"
    if expects_continue and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = request.content_length
    if length is not None and length <= MAX_WHOLE_BYTES:
        body = await request.content.read(length) if length else b""
        while len(body) < length and not request.content.at_eof():
            body += await request.content.read(length - len(body))
        if exchange is not None:
            exchange.request.add(body)
        return body

    async def parts() -> AsyncIterator[bytes]:
        async for part in request.content.iter_any():
            if exchange is not None:
                exchange.request.add(part)
            yield part

    return parts()


def _forwarded_headers(headers: Any) -> CIMultiDict[str]:
    """Return the headers without those that belong to one connection."""
    listed = {
        name.strip().lower()
        for value in headers.getall("Connection", ())
        for name in value.split(",")
    }
    # the proxy itself responds to Expect
    dropped = HOP_BY_HOP | listed | {"expect"}
    return CIMultiDict(
        [
            (name, value)
            for name, value in headers.items()
            if name.lower() not in dropped
        ]
    )


def _cut_short(error: BaseException) -> str:
    return f"the model server's response was cut short: {_describe(error)}"


def _describe(error: BaseException) -> str:
    """Describe a network error: the system's text, or else its class."""
    inner = getattr(error, "os_error", None) or error
    number = getattr(inner, "errno", None)
    return os.strerror(number) if number else type(inner).__name__


class _MalformedRequests(logging.Filter):
    """Log a request that is not HTTP in one line: anybody can send one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the stack trace of a malformed request by its reason."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.exc_info = None
            reason = error.message.split("\n")[0]
            record.msg, record.args = "a request cannot be read: %s", (reason,)
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


log = logging.getLogger("driftdeck.proxy")
log.addFilter(_MalformedRequests())


async def serve(proxy: Proxy, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; finish the requests under way first."""
    await proxy.open()
    runner = web.ServerRunner(
        web.Server(proxy.handle, access_log=None, auto_decompress=False, logger=log),
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await stop.wait()
    finally:
        await runner.cleanup()
        await proxy.close()
