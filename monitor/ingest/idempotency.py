"""The results of requests with an Idempotency-Key, so that each has its effect once."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from monitor.errors import Conflict
from monitor.event import Refusal, TimeBounds
from monitor.ingest.ingest_result import NOTHING_TO_WRITE, IngestResult

MAX_RESULTS_IN_MEMORY = 10_000  # older ones are in the database
FORM = "2:"  # begins a fingerprint that covers more than the body
# (fingerprint, response as JSON) by stored key, of those keys that are stored
StoredResults = Callable[[Sequence[str]], Mapping[str, tuple[str, str]]]


@dataclass(frozen=True)
class KeyedRequest:
    """A request with an Idempotency-Key, and what makes it the same request again.

    A key belongs to its route: the same key for events and for labels names two
    requests. Body, model and accepted times must be equal when a key comes again.
    """

    route: str
    key: str
    body: bytes = field(repr=False)
    model: str | None = None
    bounds: TimeBounds | None = None

    @property
    def stored_key(self) -> str:
        """The key as it is stored: with its route."""
        return f"{self.route}:{self.key}"

    @cached_property
    def fingerprint(self) -> str:
        """The hash of everything that the result depends on."""
        bounds = self.bounds
        times = bounds and [
            bounds.max_age.total_seconds(),
            bounds.max_ahead.total_seconds(),
        ]
        query = json.dumps([self.model, times]).encode()
        return FORM + hashlib.sha256(query + b"\n" + self.body).hexdigest()

    def is_same(self, fingerprint: str) -> bool:
        """Return True when a stored fingerprint, of today's or the first form, is this one's."""
        if fingerprint.startswith(FORM):
            return fingerprint == self.fingerprint
        return fingerprint == hashlib.sha256(self.body).hexdigest()


class IdempotencyResults:
    """The results by stored key: those of this process, and those in the database."""

    def __init__(self, stored: StoredResults) -> None:
        self._stored = stored
        self._recent: dict[str, tuple[str, IngestResult]] = {}

    def find(self, request: KeyedRequest) -> IngestResult | None:
        """Return the result of this request; None when its key is new.

        Raises Conflict when the key was used for another request.
        """
        earlier = self._recent.get(request.stored_key) or self._read(request)
        if earlier is None:
            return None
        fingerprint, result = earlier
        if not request.is_same(fingerprint):
            raise Conflict(
                f"Idempotency-Key {request.key[:60]!r} was used for another body or query;"
                " send a new key"
            )
        return result

    def remember(self, request: KeyedRequest, result: IngestResult) -> None:
        """Keep the result of a request, unless it cannot be written to disk."""
        key = request.stored_key
        self._recent[key] = (request.fingerprint, result)
        result.durable.add_done_callback(
            lambda done: done.exception() and self._recent.pop(key, None)
        )
        if len(self._recent) > MAX_RESULTS_IN_MEMORY:
            self._recent.pop(next(iter(self._recent)))

    def forget(self) -> None:
        """Forget the results of this process; the database has them once they are loaded."""
        self._recent.clear()

    def _read(self, request: KeyedRequest) -> tuple[str, IngestResult] | None:
        # keys were stored without their route before fingerprints had a form
        stored = self._stored([request.stored_key, request.key])
        current = stored.get(request.stored_key)
        first_form = stored.get(request.key)
        if current is None and first_form and not first_form[0].startswith(FORM):
            current = first_form
        if current is None:
            return None
        fingerprint, text = current
        return fingerprint, _result_of(json.loads(text))


def _result_of(body: Mapping[str, Any]) -> IngestResult:
    refusals = [
        Refusal(row["line"], row["event_id"], row["reason"]) for row in body["refusals"]
    ]
    mistyped = body.get("mistyped", ())
    return IngestResult(
        body["accepted"], body["refused"], refusals, NOTHING_TO_WRITE, mistyped
    )
