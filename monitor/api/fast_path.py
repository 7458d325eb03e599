"""The lane of usual bodies: POST /v1/events and /v1/labels answered by the connection itself, without the framework.

A task, six layers of applications and a request object for each body took two thirds of
the time of a request with a single event. The lane takes what is usual; everything else
goes to the routes, which do the same and say what is wrong.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from monitor.api.authorization import Callers, own_key
from monitor.api.rate_limit import Allowance
from monitor.api.request_body import BodyMemory
from monitor.api.response import ARROW
from monitor.errors import Overloaded
from monitor.ingest.collector import IngestResult
from monitor.ingest.json_lines import JSON_TYPES
from monitor.server.server import Server

MAX_KEY = 200
SMALL = 64 << 10  # bytes of labels that are read on the event loop: a thread costs more
_UNUSUAL = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"})
Take = Callable[..., IngestResult]


class Reply(NamedTuple):
    """An answer as it goes out."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Post(NamedTuple):
    """A request that the lane takes: whom it is for, and its headers."""

    take: Take
    headers: Mapping[bytes, bytes]
    kind: str
    held: BodyMemory  # room for its body, until it is answered


class FastPath:
    """Hands bodies to the collector."""

    def __init__(self, server: Server, callers: Callers, allowance: Allowance) -> None:
        self.server, self.callers, self.allowance = server, callers, allowance
        self.longest = int(server.config.limits.max_body_mb * (1 << 20))
        events, labels = server.collector.events, server.collector.labels
        self.takes: dict[str, tuple[Take, int]] = {
            "/v1/events": (events, self.longest),
            "/v1/labels": (labels, min(SMALL, self.longest)),
        }

    def post(self, scope: Mapping[str, Any]) -> Post | None:
        """The request, by its head; None when it is one for the routes."""
        take, longest = self.takes.get(scope["path"], (None, 0))
        if take is None or scope["method"] != "POST" or scope["query_string"]:
            return None
        given = scope["headers"]
        headers = dict(given)
        length = headers.get(b"content-length", b"")
        kind = (
            headers.get(b"content-type", b"")
            .decode("latin-1")
            .split(";")[0]
            .strip()
            .lower()
        )
        usual = (
            len(headers) == len(given)  # none came twice
            and length.isdigit()
            and int(length) <= longest
            and kind in JSON_TYPES
            and _UNUSUAL.isdisjoint(headers)
            and len(headers.get(b"idempotency-key", b"")) <= MAX_KEY
            and ARROW.encode() not in headers.get(b"accept", b"")
        )
        if not usual:
            return None
        held = BodyMemory(self.longest)
        try:
            # said before a body is taken: receiving and checking it would be for
            # nothing
            self.server.spool.check_room(int(length))
            held.take(int(length))
        except Overloaded:
            return None
        return Post(take, headers, kind, held)

    def taken(self, post: Post, body: bytes) -> IngestResult:
        """What the collector answers; its `durable` is still to be waited for.

        Raises DriftdeckError, as the routes do.
        """
        caller = self.callers.caller(post.headers.items())
        caller.require("ingest")
        self.allowance.check(caller)
        key = post.headers.get(b"idempotency-key")
        answer = post.take(
            body,
            post.kind,
            own_key(caller, None if key is None else key.decode("latin-1")),
            None,
            None,
            caller.models,
        )
        self.allowance.charge(caller, answer.accepted + answer.refused)
        return answer


def reply_to(answer: IngestResult) -> Reply:
    """The JSON of an answer, once it is durable."""
    body = msgspec.json.encode(answer.body())
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    return Reply(
        200,
        [*headers, *([(b"idempotency-replayed", b"true")] if answer.replayed else ())],
        body,
    )
