"""Live traffic of the demo: requests to the model service, and labels a minute later."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import httpx
import pandas as pd

from monitor.client import Client
from monitor.client.exchange import EVENT_ID_HEADER

from .flights import features_of

LABEL_DELAY_S = 60.0  # the real arrivals are hours away
MAX_STOP_S = 15.0


class RequestStream:
    """Requests for one flight after the other; `sent` and `failed` count them."""

    def __init__(
        self,
        service_url: str,
        schedule: pd.DataFrame,
        client: Client,
        per_second: float,
    ) -> None:
        self.sent = 0
        self.failed = 0
        self._url = f"{service_url}/predict"
        self._schedule = schedule
        self._client = client
        self._pause = 1.0 / per_second
        self._labels: deque[tuple[float, str, bool]] = deque()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Send until `stop` is called; the target of a thread."""
        with httpx.Client(timeout=10.0, trust_env=False) as http:
            for position in cycle(range(len(self._schedule))):
                self._request(http, self._schedule.iloc[position])
                self._send_due_labels()
                if self._stopped.wait(self._pause):
                    return

    def stop(self) -> None:
        """Stop after the current request."""
        self._stopped.set()

    def _request(self, http: httpx.Client, flight: "pd.Series[Any]") -> None:
        try:
            response = http.post(self._url, json={"features": features_of(flight)})
            response.raise_for_status()
        except httpx.HTTPError:
            self.failed += 1
            return
        self.sent += 1
        if not pd.isna(flight["label"]):
            event_id = response.headers[EVENT_ID_HEADER]
            self._labels.append(
                (time.monotonic() + LABEL_DELAY_S, event_id, bool(flight["label"]))
            )

    def _send_due_labels(self) -> None:
        while self._labels and self._labels[0][0] <= time.monotonic():
            _, event_id, label = self._labels.popleft()
            self._client.label(event_id, label)


@contextmanager
def flowing(
    service_url: str, schedule: pd.DataFrame, client: Client, per_second: float
) -> Iterator[RequestStream]:
    """Yield a running request stream; stop it when the block ends."""
    traffic = RequestStream(service_url, schedule, client, per_second)
    thread = threading.Thread(target=traffic.run, name="demo-traffic", daemon=True)
    thread.start()
    try:
        yield traffic
    finally:
        traffic.stop()
        thread.join(MAX_STOP_S)
