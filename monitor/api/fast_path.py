"""Fast path of POST /v1/events and /v1/labels: plain JSON bodies without the framework.

A task, six layers of applications and a request object for each body took two thirds of
the time of a request with a single event. The fast path handles what nearly all clients
send; every other request goes to the routes, which do the same and report the error.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from monitor.api.authorization import Authenticator, scoped_idempotency_key
from monitor.api.browser_guard import BrowserGuard
from monitor.api.rate_limit import RateLimiter
from monitor.api.request_body import BodyMemory
from monitor.api.response import ARROW
from monitor.errors import Overloaded
from monitor.ingest.ingest_result import IngestResult
from monitor.ingest.json_lines import JSON_TYPES
from monitor.server.server import Server

MAX_IDEMPOTENCY_KEY_LENGTH = 200
# Bodies up to here are validated on the event loop: a thread costs more. Larger ones
# would hold up every other request.
MAX_INLINE_EVENT_BYTES = 512 << 10
MAX_INLINE_LABEL_BYTES = 64 << 10
_ROUTE_ONLY_HEADERS = frozenset(
    {
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        # of a browser
        b"origin",
        b"sec-fetch-site",
    }
)
_ARROW = ARROW.encode()
Ingest = Callable[..., IngestResult]


class RawResponse(NamedTuple):
    """A response as it is written to the socket."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class FastRequest(NamedTuple):
    """A request that the fast path handles, without its body."""

    ingest: Ingest  # the collector's method for its path
    headers: Mapping[bytes, bytes]
    media_type: str
    memory: BodyMemory  # reserved for its body, until the response


class FastPath:
    """Matches requests by their headers and hands their bodies to the collector."""

    def __init__(
        self,
        server: Server,
        authenticator: Authenticator,
        rate_limiter: RateLimiter,
        guard: BrowserGuard,
    ) -> None:
        self.server = server
        self.guard = guard
        self.authenticator = authenticator
        self.rate_limiter = rate_limiter
        self.max_body_bytes = int(server.config.limits.max_body_mb * (1 << 20))
        max_event_bytes = min(MAX_INLINE_EVENT_BYTES, self.max_body_bytes)
        max_label_bytes = min(MAX_INLINE_LABEL_BYTES, self.max_body_bytes)
        # path -> (method of the collector, size limit in bytes)
        self.endpoints: dict[str, tuple[Ingest, int]] = {
            "/v1/events": (server.collector.events, max_event_bytes),
            "/v1/labels": (server.collector.labels, max_label_bytes),
        }

    def match(self, scope: Mapping[str, Any]) -> FastRequest | None:
        """Return the request if the fast path handles it; None if the routes do."""
        endpoint = self.endpoints.get(scope["path"])
        if endpoint is None or scope["method"] != "POST" or scope["query_string"]:
            return None
        ingest, max_bytes = endpoint
        header_list = scope["headers"]
        headers = dict(header_list)
        length = headers.get(b"content-length", b"")
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        media_type = content_type.split(";")[0].strip().lower()
        is_plain = (
            len(headers) == len(header_list)  # no header appears twice
            and length.isdigit()
            and int(length) <= max_bytes
            and media_type in JSON_TYPES
            and _ROUTE_ONLY_HEADERS.isdisjoint(headers)
            and len(headers.get(b"idempotency-key", b"")) <= MAX_IDEMPOTENCY_KEY_LENGTH
            and _ARROW not in headers.get(b"accept", b"")
            and self.guard.knows(headers.get(b"host", b"").decode("latin-1"))
        )
        if not is_plain:
            return None
        memory = BodyMemory(self.max_body_bytes)
        try:
            # before the body is received, as the work would be in vain
            self.server.spool.check_room(int(length))
            memory.reserve(int(length))
        except Overloaded:
            return None
        return FastRequest(ingest, headers, media_type, memory)

    def ingest(self, request: FastRequest, body: bytes) -> IngestResult:
        """Hand a body to the collector; its result's `durable` must still be awaited.

        Raises DriftdeckError, as the routes do.
        """
        caller = self.authenticator.authenticate(request.headers.items())
        caller.require("ingest")
        self.rate_limiter.check(caller)
        header = request.headers.get(b"idempotency-key")
        key = None if header is None else header.decode("latin-1")
        result = request.ingest(
            body,
            request.media_type,
            scoped_idempotency_key(caller, key),
            None,
            None,
            caller.models,
        )
        self.rate_limiter.charge(caller, result.accepted + result.refused)
        return result


def response_of(result: IngestResult) -> RawResponse:
    """Return the JSON response to a body that is on disk."""
    body = msgspec.json.encode(result.body())
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    if result.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    return RawResponse(200, headers, body)
