"""The lane of small bodies: POST /v1/events and /v1/labels answered by the connection itself, without the framework.

A task, six layers of applications and a request object for each body took two thirds of the time of a request with a single event.
The lane takes what is usual; everything else goes to the routes, which do the same and say what is wrong.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from monitor.api.access import Callers, own_key
from monitor.api.allowance import Allowance
from monitor.api.encoding import ARROW
from monitor.collector import Answer
from monitor.deck import Deck
from monitor.lines import JSON_TYPES

MAX_KEY = 200
SMALL = 64 << 10  # bytes: read on the event loop, as a thread costs more; uvicorn holds as much of any body
_UNUSUAL = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"})
Take = Callable[..., Answer]


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


class Lane:
    """Hands small bodies to the collector."""

    def __init__(self, deck: Deck, callers: Callers, allowance: Allowance) -> None:
        self.deck, self.callers, self.allowance = deck, callers, allowance
        self.longest = min(SMALL, int(deck.config.limits.max_body_mb * (1 << 20)))
        self.takes: dict[str, Take] = {"/v1/events": deck.collector.events, "/v1/labels": deck.collector.labels}

    def post(self, scope: Mapping[str, Any]) -> Post | None:
        """The request, by its head; None when it is one for the routes."""
        take = self.takes.get(scope["path"])
        if take is None or scope["method"] != "POST" or scope["query_string"]:
            return None
        given = scope["headers"]
        headers = dict(given)
        length = headers.get(b"content-length", b"")
        kind = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
        usual = (
            len(headers) == len(given)  # none came twice
            and length.isdigit()
            and int(length) <= self.longest
            and kind in JSON_TYPES
            and _UNUSUAL.isdisjoint(headers)
            and len(headers.get(b"idempotency-key", b"")) <= MAX_KEY
            and ARROW.encode() not in headers.get(b"accept", b"")
        )
        return Post(take, headers, kind) if usual else None

    def taken(self, post: Post, body: bytes) -> Answer:
        """What the collector answers; its `durable` is still to be waited for. Raises DriftdeckError, as the routes do."""
        caller = self.callers.caller(post.headers.items())
        caller.require("ingest")
        self.allowance.check(caller)
        self.deck.spool.check_room(len(body))
        key = post.headers.get(b"idempotency-key")
        answer = post.take(
            body, post.kind, own_key(caller, None if key is None else key.decode("latin-1")), None, None, caller.models
        )
        self.allowance.charge(caller, answer.accepted + answer.refused)
        return answer


def reply_to(answer: Answer) -> Reply:
    """The JSON of an answer, once it is durable."""
    body = msgspec.json.encode(answer.body())
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Reply(200, [*headers, *([(b"idempotency-replayed", b"true")] if answer.replayed else ())], body)
