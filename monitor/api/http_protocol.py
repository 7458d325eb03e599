"""One HTTP connection: uvicorn's protocol with deadlines, size limits and fast path.

uvicorn's own protocol waits for a header or a body without a limit of time.
"""

import asyncio
import logging
from typing import Any

from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from monitor.api.browser_guard import RAW_SECURITY_HEADERS
from monitor.api.durability import DiskWrite, when_durable
from monitor.api.fast_path import FastPath, FastRequest, RawResponse, response_of
from monitor.api.response import failure_response
from monitor.config.limits import Limits
from monitor.errors import DriftdeckError
from monitor.ingest.ingest_result import IngestResult

log = logging.getLogger("driftdeck.api")

# A long body that arrives at this rate gets more time than body_seconds.
MIN_BODY_BYTES_PER_SECOND = 64 << 10
# Closing a socket while it has unread bytes would lose the response.
LINGER_SECONDS = 1.0


def server_options(app: FastAPI) -> dict[str, Any]:
    """Return uvicorn's options for the application: its limits and its fast path."""
    limits = app.state.server.config.limits
    awaiting_header = dict[HttpConnection, None]()
    protocol = type(
        "LimitedConnection",
        (HttpConnection,),
        {
            "limits": limits,
            "awaiting_header": awaiting_header,
            "fast_path": app.state.fast_path,
        },
    )
    return {
        "http": protocol,
        "ws": "none",
        "proxy_headers": False,  # the address of the client is not used
        "timeout_keep_alive": limits.keep_alive_seconds,
        "log_level": "warning",
        "access_log": False,
    }


class HttpConnection(HttpToolsProtocol):
    """uvicorn's connection, closed with an error when its header or body is late.

    The same happens when one of them is too large. Timers run only while a header or a
    body is incomplete: a request that arrives in one piece starts none.
    """

    limits: Limits
    fast_path: FastPath
    # shared by all connections: those with an incomplete header, the oldest first
    awaiting_header: "dict[HttpConnection, None]"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._in_body = False
        self._closing_with_error = False
        self._header_bytes = 0  # of the current request
        self._body_bytes = 0
        self._body_started = 0.0  # the loop's time
        # a request of the fast path whose body is incomplete
        self._incomplete: tuple[RequestResponseCycle, FastRequest] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a header.

        Over the limit of connections, the one that has waited longest for its header is
        closed; if none waits for a header, this one is.
        """
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            if not self.awaiting_header:
                self._close_with_error(
                    429,
                    f"there are {self.limits.max_connections} connections "
                    "(limits.max_connections); try again in a second",
                    retry_after=1,
                )
                return
            next(iter(self.awaiting_header))._close_with_error(
                408,
                "the header is incomplete and other clients wait for the connection; "
                "send the request again",
            )
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadline and release the memory of an incomplete body."""
        self._stop_timer()
        self._drop_incomplete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then start a timer for the part that is still missing."""
        if self._closing_with_error or self.parser is None:
            return
        if not self._in_body:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._closing_with_error or self.transport.is_closing():
            return
        if self._in_body:
            if self._timer is None:
                self._timer = self.loop.call_later(
                    self.limits.body_seconds, self._check_body_deadline
                )
        elif self._header_bytes > self.limits.max_header_kb << 10:
            self._refuse_header()
        elif self._header_bytes and self._timer is None:
            self._start_header_timer()

    def on_headers_complete(self) -> None:
        """Let the request begin, unless its header is too large."""
        self._stop_timer()
        max_bytes = self.limits.max_header_kb << 10
        # The bytes counted so far may include some of the body. The exact size is
        # counted only when it may be too much.
        if self._header_bytes > max_bytes:
            sizes = (len(name) + len(value) + 4 for name, value in self.headers)
            if len(self.url) + sum(sizes) > max_bytes:
                self._refuse_header()
                return
        self._in_body = True
        self._body_bytes = 0
        self._body_started = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        if not self._closing_with_error:
            self._body_bytes += len(body)
            super().on_body(body)
            if self._incomplete is not None:
                # the memory of the whole body is reserved, so reading never pauses
                self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """End the request's deadline; the fast path ingests a body that is complete."""
        if not self._closing_with_error:
            self._stop_timer()
            self._in_body = False
            self._header_bytes = 0
            super().on_message_complete()
            if self._incomplete is not None and self._incomplete[0] is self.cycle:
                cycle, request = self._incomplete
                self._incomplete = None
                self._ingest(cycle, request)

    # fast path: match, ingest, respond once durable

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # A client that does not read its responses waits in the framework until the
        # socket accepts more.
        request = None
        if not self.flow.write_paused:
            request = self.fast_path.match(cycle.scope)
        if request is None:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._incomplete = cycle, request
        else:  # a pipelined request: its body arrived before the previous response
            self.loop.call_soon(self._ingest, cycle, request)

    def _ingest(self, cycle: RequestResponseCycle, request: FastRequest) -> None:
        """Hand the body to the collector; the response follows once it is on disk."""
        try:
            result = self.fast_path.ingest(request, bytes(cycle.body))
        except DriftdeckError as error:
            request.memory.release()
            self._respond_with_failure(cycle, error)
        except Exception:
            # The framework runs the request again; its handlers log and report the
            # error.
            request.memory.release()
            super()._start_asgi_task(cycle, self.app)
        else:
            cycle.body = bytearray()
            when_durable(
                result.durable,
                self.loop,
                lambda write: self._acknowledge(cycle, request, result, write),
            )

    def _drop_incomplete(self) -> None:
        """Release the memory of a body whose rest will not arrive."""
        if self._incomplete is not None:
            _, request = self._incomplete
            request.memory.release()
            self._incomplete = None

    def _acknowledge(
        self,
        cycle: RequestResponseCycle,
        request: FastRequest,
        result: IngestResult,
        write: DiskWrite,
    ) -> None:
        request.memory.release()
        error = write.exception()
        if isinstance(error, DriftdeckError):
            self._respond_with_failure(cycle, error)
        elif error is None:
            self._respond(cycle, response_of(result))
        else:
            log.error("a body could not be written to the spool", exc_info=error)
            self.transport.close()

    def _respond_with_failure(
        self, cycle: RequestResponseCycle, error: DriftdeckError
    ) -> None:
        response = failure_response(error)
        self._respond(
            cycle,
            RawResponse(
                response.status_code, response.raw_headers, bytes(response.body)
            ),
        )

    def _respond(self, cycle: RequestResponseCycle, response: RawResponse) -> None:
        if cycle.disconnected or self.transport.is_closing():
            return
        headers = [
            *self.server_state.default_headers,
            *response.headers,
            *RAW_SECURITY_HEADERS,
        ]
        if not cycle.keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(
            b"%b%b\r\n%b" % (STATUS_LINE[response.status], lines, response.body)
        )
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    # deadlines and limits

    def _start_header_timer(self) -> None:
        self.awaiting_header[self] = None
        self._timer = self.loop.call_later(
            self.limits.header_seconds, self._on_header_timeout
        )

    def _stop_timer(self) -> None:
        self.awaiting_header.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_header_timeout(self) -> None:
        self._close_with_error(
            408,
            f"the header was not complete within {self.limits.header_seconds:g} s "
            "(limits.header_seconds); send the request again",
        )

    def _refuse_header(self) -> None:
        self._close_with_error(
            431,
            f"the header has more than {self.limits.max_header_kb} kB "
            "(limits.max_header_kb); send fewer or shorter header lines",
        )

    def _check_body_deadline(self) -> None:
        """Close the connection, unless the body arrives fast enough for more time."""
        extra_seconds = self._body_bytes / MIN_BODY_BYTES_PER_SECOND
        deadline = self._body_started + self.limits.body_seconds + extra_seconds
        if self.loop.time() < deadline:
            self._timer = self.loop.call_at(deadline, self._check_body_deadline)
            return
        self._close_with_error(
            408,
            f"the body was not complete within {self.limits.body_seconds:g} s "
            "(limits.body_seconds); send a smaller one",
        )

    def _close_with_error(
        self, status: int, sentence: str, retry_after: int | None = None
    ) -> None:
        """Write an error response if none has begun, and close the connection."""
        self._stop_timer()
        self._drop_incomplete()
        self._closing_with_error = True
        self._unset_keepalive_if_required()
        response_started = False
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            response_started = cycle.response_started
            # wakes a route that waits for the rest of the body
            cycle.disconnected = True
            cycle.message_event.set()
        if not response_started and not self.transport.is_closing():
            self.transport.write(_error_bytes(status, sentence, retry_after))
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _error_bytes(status: int, sentence: str, retry_after: int | None) -> bytes:
    body = b'{"error":"%s"}' % sentence.encode()
    head = (
        b"content-type: application/json\r\n"
        b"connection: close\r\n"
        b"content-length: %d\r\n" % len(body)
    )
    if retry_after is not None:
        head += b"retry-after: %d\r\n" % retry_after
    return STATUS_LINE[status] + head + b"\r\n" + body
