"""One HTTP connection with deadlines and limits, as uvicorn's own protocol waits for ever for a header or a body; usual bodies it
hands to the lane itself."""

import asyncio
import logging
from typing import Any

from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from monitor.api.durability import Durable, when_durable
from monitor.api.fast_path import FastPath, Post, Reply, reply_to
from monitor.api.response import failure
from monitor.config.limits import Limits
from monitor.errors import DriftdeckError
from monitor.ingest.collector import IngestResult

log = logging.getLogger("driftdeck.api")

MIN_RATE = 64 << 10  # bytes a second that earn a long body more time
# an answer is lost when the socket is closed on bytes that were not read
LINGER_S = 1.0


def server_options(app: FastAPI) -> dict[str, Any]:
    """What uvicorn needs to know to serve the application within its limits, usual bodies on its lane."""
    limits, waiting = app.state.server.config.limits, dict[HttpConnection, None]()
    protocol = type(
        "LimitedConnection",
        (HttpConnection,),
        {"limits": limits, "waiting": waiting, "lane": app.state.lane},
    )
    return {
        "http": protocol,
        "ws": "none",
        "proxy_headers": False,  # nobody asks where a request came from
        "timeout_keep_alive": limits.keep_alive_seconds,
        "log_level": "warning",
        "access_log": False,
    }


class HttpConnection(HttpToolsProtocol):
    """uvicorn's connection, closed with a sentence when its header or body is too large or does not come.

    Timers run only while a header or a body is incomplete: a request that comes in one
    piece starts none.
    """

    limits: Limits
    lane: FastPath
    # those whose header has not come, the oldest first
    waiting: "dict[HttpConnection, None]"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._in_body = self._refused = False
        self._head = self._body = 0  # bytes of the current request
        self._since = 0.0
        # what the lane takes when its body is whole
        self._incomplete: tuple[RequestResponseCycle, Post] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a header.

        Over the limit of connections the one that has waited longest has to go.
        """
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            if not self.waiting:
                self._refuse(
                    429,
                    f"there are {self.limits.max_connections} connections; come again in a second",
                    1,
                )
                return
            next(iter(self.waiting))._refuse(
                408, "no whole header came, and others wait for the connection"
            )
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        self._stop()
        self._let_go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then see what is still to come."""
        if self._refused or self.parser is None:
            return
        if not self._in_body:
            self._head += len(data)
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        if self._in_body:
            if self._timer is None:
                self._timer = self.loop.call_later(
                    self.limits.body_seconds, self._body_is_late
                )
        elif self._head > self.limits.max_header_kb << 10:
            self._refuse_head()
        elif self._head and self._timer is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Let the request begin, unless its header is too large."""
        self._stop()
        # bytes that came with the header may be the body's, so the exact size is only
        # counted when it may be too much
        if self._head > self.limits.max_header_kb << 10:
            size = len(self.url) + sum(
                len(name) + len(value) + 4 for name, value in self.headers
            )
            if size > self.limits.max_header_kb << 10:
                self._refuse_head()
                return
        self._in_body, self._body, self._since = True, 0, self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        if not self._refused:
            self._body += len(body)
            super().on_body(body)
            if self._incomplete is not None:
                self.flow.resume_reading()  # there is room for the whole of it

    def on_message_complete(self) -> None:
        """The request is whole."""
        if not self._refused:
            self._stop()
            self._in_body, self._head = False, 0
            super().on_message_complete()
            if self._incomplete is not None and self._incomplete[0] is self.cycle:
                taken, self._incomplete = self._incomplete, None
                self._take(*taken)

    # the lane

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # who does not read the answers waits with the framework until there is room for
        # one
        post = None if self.flow.write_paused else self.lane.post(cycle.scope)
        if post is None:
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._incomplete = cycle, post
        else:  # it came behind another request, and waited for its answer
            self.loop.call_soon(self._take, cycle, post)

    def _take(self, cycle: RequestResponseCycle, post: Post) -> None:
        """Hand the body to the lane, and answer when all of it is on disk."""
        try:
            answer = self.lane.taken(post, bytes(cycle.body))
        except DriftdeckError as problem:
            post.held.release()
            self._fail(cycle, problem)
        except Exception:  # what nobody expects, the framework's handlers tell and log
            post.held.release()
            super()._start_asgi_task(cycle, self.app)
        else:
            cycle.body = bytearray()
            when_durable(
                answer.durable,
                self.loop,
                lambda done: self._acknowledge(cycle, answer, post, done),
            )

    def _let_go(self) -> None:
        """No more of a body will come."""
        if self._incomplete is not None:
            self._incomplete[1].held.release()
            self._incomplete = None

    def _acknowledge(
        self,
        cycle: RequestResponseCycle,
        answer: IngestResult,
        post: Post,
        done: Durable,
    ) -> None:
        post.held.release()
        problem = done.exception()
        if isinstance(problem, DriftdeckError):
            self._fail(cycle, problem)
        elif problem is None:
            self._reply(cycle, reply_to(answer))
        else:
            log.error("a body could not be written", exc_info=problem)
            self.transport.close()

    def _fail(self, cycle: RequestResponseCycle, problem: DriftdeckError) -> None:
        answer = failure(problem)
        self._reply(
            cycle, Reply(answer.status_code, answer.raw_headers, bytes(answer.body))
        )

    def _reply(self, cycle: RequestResponseCycle, reply: Reply) -> None:
        if cycle.disconnected or self.transport.is_closing():
            return
        head = [*self.server_state.default_headers, *reply.headers]
        if not cycle.keep_alive:
            head.append((b"connection", b"close"))
        lines = b"".join(b"%b: %b\r\n" % header for header in head)
        self.transport.write(
            b"%b%b\r\n%b" % (STATUS_LINE[reply.status], lines, reply.body)
        )
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    # deadlines

    def _wait_for_head(self) -> None:
        self.waiting[self] = None
        self._timer = self.loop.call_later(
            self.limits.header_seconds, self._head_is_late
        )

    def _stop(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._refuse(
            408,
            f"no whole header came in {self.limits.header_seconds:g} s (limits.header_seconds)",
        )

    def _refuse_head(self) -> None:
        self._refuse(
            431,
            f"the header has more than {self.limits.max_header_kb} kB (limits.max_header_kb)",
        )

    def _body_is_late(self) -> None:
        end = self._since + self.limits.body_seconds + self._body / MIN_RATE
        if self.loop.time() < end:
            self._timer = self.loop.call_at(end, self._body_is_late)
            return
        self._refuse(
            408,
            f"the body did not come within {self.limits.body_seconds:g} s (limits.body_seconds)",
        )

    def _refuse(
        self, status: int, sentence: str, retry_after: int | None = None
    ) -> None:
        """IngestResult, where an answer can still be given, and close."""
        self._stop()
        self._let_go()
        self._refused = True
        self._unset_keepalive_if_required()
        cycle = self.cycle
        begun = cycle is not None and not cycle.response_complete
        answered = begun and cycle.response_started
        if begun:
            # what waits for the body learns that none will come
            cycle.disconnected = True
            cycle.message_event.set()
        if not answered and not self.transport.is_closing():
            body = b'{"error":"%s"}' % sentence.encode()
            head = (
                b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n"
                % len(body)
            )
            if retry_after is not None:
                head += b"retry-after: %d\r\n" % retry_after
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
            if self.transport.can_write_eof():
                self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)
