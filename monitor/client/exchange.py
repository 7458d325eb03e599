"""One watched request and its response: what both middlewares measure and log."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .client import Client
from .event_id import new_event_id

EVENT_ID_HEADER = "X-Driftdeck-Event-Id"
MAX_BODY_BYTES = 1_000_000

Extract = Callable[[Any, Any], Mapping[str, Any] | None]


def extract_prediction(request: Any, response: Any) -> dict[str, Any] | None:
    """Features and prediction of a request {"features": {...}} and its answer {"prediction": ...}; None if absent.

    `response` is None when the service failed: the features are worth keeping then too.
    """
    features = request.get("features") if isinstance(request, dict) else None
    if not isinstance(features, dict):
        return None
    prediction = response.get("prediction") if isinstance(response, dict) else None
    return {"features": features, "prediction": prediction}


class ExchangeOptions:
    """Which requests are watched, and where and how what is found in them is logged."""

    def __init__(
        self,
        client: Client,
        extract: Extract,
        paths: Sequence[str],
        model: str | None,
        version: str | None,
        max_body: int,
    ) -> None:
        self.client = client
        self.extract = extract
        self.model = model
        self.version = version
        self.max_body = max_body
        self._exact = {path for path in paths if not path.endswith("*")}
        self._starts = tuple(path[:-1] for path in paths if path.endswith("*"))

    def wants(self, method: str, path: str) -> bool:
        """True for a call of one of the paths ("/predict" exactly, "/models/*" whatever follows)."""
        return method not in ("OPTIONS", "HEAD") and (
            path in self._exact or path.startswith(self._starts)
        )


class CappedBody:
    """A copy of at most `limit` bytes of a body that passes by; a longer one is forgotten, not cut."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """Keep one more part, or forget all once it is too much."""
        self._size += len(part)
        if self._size <= self._limit:
            self._parts.append(bytes(part))
        else:
            self._parts.clear()

    def parsed(self) -> Any:
        """The body read as JSON; None if it is empty, too long, or not JSON."""
        if self._size > self._limit:
            return None
        try:
            return json.loads(b"".join(self._parts))
        except ValueError:
            return None


class Exchange:
    """One request from its arrival to the last byte of the answer; logged once, by `finish` or by `fail`."""

    def __init__(self, watch: ExchangeOptions) -> None:
        self.event_id = new_event_id()
        self.request = CappedBody(watch.max_body)
        self.response = CappedBody(watch.max_body)
        self.status = 200
        self._watch = watch
        self._arrived = time.time()
        self._start = time.perf_counter()
        self._latency_ms: float | None = None
        self._logged = False

    def end_of_answer(self) -> None:
        """The last byte is out: the latency is known.

        A 5xx is logged a little later, when its cause may be known.
        """
        self._latency_ms = (time.perf_counter() - self._start) * 1_000
        if self.status < 500:
            self.finish()

    def finish(self) -> None:
        """Log the answer as it was given: a prediction, or a failure if the status says so (400 and above)."""
        self._log(self.status, None)

    def fail(self, error: BaseException, status: int = 500) -> None:
        """Log that no (whole) answer was given, and why."""
        self._log(status, f"{type(error).__name__}: {error}".rstrip(": "))

    def _log(self, status: int, error: str | None) -> None:
        if self._logged:
            return
        self._logged = True
        latency_ms = self._latency_ms or (time.perf_counter() - self._start) * 1_000
        failed = status >= 400
        found = self._extracted(failed)
        if found is None and not failed:
            return  # a page or a health check on a watched path: no prediction was made
        found = found or {}
        self._watch.client.log(
            found.get("features") or {},
            found.get("prediction"),
            model=self._watch.model,
            version=self._watch.version,
            event_id=self.event_id,
            ts=self._arrived,
            latency_ms=round(latency_ms, 3),
            status=status,
            error=error,
            tags=found.get("tags"),
        )

    def _extracted(self, failed: bool) -> Mapping[str, Any] | None:
        try:
            return self._watch.extract(
                self.request.parsed(), None if failed else self.response.parsed()
            )
        # an extract written for another body must not cost the service its answer
        except Exception:
            return None
