"""One watched HTTP request with its response, as both middlewares measure and log it."""

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
    """Extract features and prediction from two JSON bodies; None without features.

    The request is `{"features": {...}}`, the response `{"prediction": ...}`. `response`
    is None when the service failed: its features are logged then too.
    """
    features = request.get("features") if isinstance(request, dict) else None
    if not isinstance(features, dict):
        return None
    prediction = response.get("prediction") if isinstance(response, dict) else None
    return {"features": features, "prediction": prediction}


class ExchangeOptions:
    """The watched paths, and how their predictions are extracted and logged."""

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
        self._prefixes = tuple(path[:-1] for path in paths if path.endswith("*"))

    def match(self, method: str, path: str) -> bool:
        """True for a call of a watched path.

        "/predict" matches exactly, "/models/*" every path that starts with "/models/".
        """
        if method in ("OPTIONS", "HEAD"):
            return False
        return path in self._exact or path.startswith(self._prefixes)


class CappedBody:
    """A copy of a passing body of at most `limit` bytes; a longer one is not copied."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """Append a part; drop the whole copy once it is above the limit."""
        self._size += len(part)
        if self._size <= self._limit:
            self._parts.append(bytes(part))
        else:
            self._parts.clear()

    def parse(self) -> Any:
        """Parse the body as JSON; None if it is empty, too long, or not JSON."""
        if self._size > self._limit:
            return None
        try:
            return json.loads(b"".join(self._parts))
        except ValueError:
            return None


class Exchange:
    """One request, from its arrival to the last byte of the response.

    It is logged once, by `finish` or by `fail`.
    """

    def __init__(self, options: ExchangeOptions) -> None:
        self.event_id = new_event_id()
        self.request = CappedBody(options.max_body)
        self.response = CappedBody(options.max_body)
        self.status = 200
        self._options = options
        self._arrived = time.time()
        self._start = time.perf_counter()
        self._latency_ms: float | None = None
        self._logged = False

    def end_response(self) -> None:
        """Set the latency: the last byte of the response is out.

        A 5xx is logged a little later, when its cause may be known.
        """
        self._latency_ms = (time.perf_counter() - self._start) * 1_000
        if self.status < 500:
            self.finish()

    def finish(self) -> None:
        """Log the response: a prediction, or a failure if its status is 400 or above."""
        self._log(self.status, None)

    def fail(self, error: BaseException, status: int = 500) -> None:
        """Log that the response was not given, or not as a whole, and the error."""
        self._log(status, f"{type(error).__name__}: {error}".rstrip(": "))

    def _log(self, status: int, error: str | None) -> None:
        if self._logged:
            return
        self._logged = True
        latency_ms = self._latency_ms or (time.perf_counter() - self._start) * 1_000
        failed = status >= 400
        extracted = self._extract(failed)
        if extracted is None and not failed:
            return  # a page or a health check on a watched path: no prediction was made
        extracted = extracted or {}
        self._options.client.log(
            extracted.get("features") or {},
            extracted.get("prediction"),
            model=self._options.model,
            version=self._options.version,
            event_id=self.event_id,
            ts=self._arrived,
            latency_ms=round(latency_ms, 3),
            status=status,
            error=error,
            tags=extracted.get("tags"),
        )

    def _extract(self, failed: bool) -> Mapping[str, Any] | None:
        try:
            request = self.request.parse()
            response = None if failed else self.response.parse()
            return self._options.extract(request, response)
        # an extract written for another body must not cost the service its response
        except Exception:
            return None
