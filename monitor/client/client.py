"""Client: what a watched service calls. Every method returns at once and never raises because of the monitoring."""

import atexit
import os
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import SplitResult, urlsplit
from weakref import WeakSet

from .backlog import Backlog, Entry
from .event_id import new_event_id
from .sender import Sender

_open_clients: "WeakSet[Client]" = WeakSet()


class Client:
    """Sends predictions and labels to a driftdeck server from a background thread.

    At most `max_queue` records wait in memory; when that many wait (the server is down or too slow), new ones are
    dropped, counted in `stats()` and reported once a minute through the logger "driftdeck.client". A batch goes out
    when `batch` records wait or the oldest is `flush_interval` seconds old. `timeout` bounds one request and the flush
    at exit. Raises ValueError here, and only here, for an address or a setting that cannot work.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8700",
        key: str | None = None,
        *,
        model: str | None = None,
        version: str = "",
        max_queue: int = 10_000,
        batch: int = 500,
        flush_interval: float = 1.0,
        timeout: float = 5.0,
    ) -> None:
        address = _checked_address(url)
        for name, value in (("max_queue", max_queue), ("batch", batch), ("timeout", timeout)):
            if value <= 0:
                raise ValueError(f"{name} = {value!r} must be greater than 0")
        self.model = model
        self.version = version
        self._timeout = timeout
        self._backlog = Backlog(max_queue, batch)
        self._sender = Sender(self._backlog, address, key, flush_interval, timeout)
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()
        _open_clients.add(self)

    def log(
        self,
        features: Mapping[str, Any],
        prediction: Any,
        *,
        model: str | None = None,
        version: str | None = None,
        event_id: str | None = None,
        ts: datetime | float | str | None = None,
        latency_ms: float | None = None,
        status: int = 200,
        error: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Log one prediction; the event id under which its label can be sent later.

        `ts` is the time of the prediction (now if None; a naive datetime means UTC). Features are copied shallowly;
        values that JSON cannot carry become text later, in the background.
        """
        event_id = event_id or new_event_id()
        try:
            self._put(
                "/v1/events",
                {
                    "event_id": event_id,
                    "model": model or self.model,
                    "version": self.version if version is None else version,
                    "ts": time.time() if ts is None else ts,
                    "features": dict(features),
                    "prediction": dict(prediction) if isinstance(prediction, Mapping) else prediction,
                    "latency_ms": latency_ms,
                    "status": status,
                    "error": error,
                    "tags": None if tags is None else dict(tags),
                },
            )
        except Exception as problem:  # monitoring must never break the service it watches
            self._backlog.refuse_unseen(f"the event could not be logged: {problem!r}")
        return event_id

    def label(
        self, event_id: str, label: Any, *, model: str | None = None, ts: datetime | float | str | None = None
    ) -> None:
        """Send the truth for an event logged before; `ts` is the time it became known (now if None)."""
        try:
            moment = time.time() if ts is None else ts
            record = {"event_id": event_id, "model": model or self.model, "label": label, "ts": moment}
            self._put("/v1/labels", record)
        except Exception as problem:  # as in log()
            self._backlog.refuse_unseen(f"the label could not be logged: {problem!r}")

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged so far has a final outcome; False if `timeout` seconds were too short."""
        end = time.monotonic() + (self._timeout if timeout is None else timeout)
        target = self._backlog.entered()
        if self._backlog.finished() < target:
            self._backlog.ask_to_hurry()
        while self._backlog.finished() < target:
            if time.monotonic() >= end:
                return False
            time.sleep(0.005)
        return True

    def close(self, timeout: float | None = None) -> None:
        """Flush within `timeout` seconds, drop and count what is left, and end the background thread."""
        self.flush(timeout)
        self._backlog.close()
        _open_clients.discard(self)
        if self._thread is not None:
            self._thread.join(0.5)

    def stats(self) -> dict[str, Any]:
        """Counts since the start of this process, and the newest error.

        `logged = accepted + refused + dropped + queued`. `sent` counts records the server gave a final answer to,
        `retries` the tries that failed and were repeated.
        """
        return self._backlog.counts()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, path: str, record: dict[str, Any]) -> None:
        if record["model"] is None:
            raise ValueError("no model: give it to log() or to Client()")
        if self._backlog.put(Entry(path, record)) and self._thread is None:
            self._start()

    def _start(self) -> None:
        if not self._start_lock.acquire(blocking=False):
            return  # another thread is starting it right now
        try:
            if self._thread is None:
                _flush_at_the_end_of_a_worker_process()
                thread = threading.Thread(target=self._sender.run, name="driftdeck-client", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:  # no new thread (yet): the record waits, the next one tries again, close() counts it
            return
        finally:
            self._start_lock.release()

    def _start_anew(self) -> None:
        """In a forked child: no records, no thread and no connection of the parent's."""
        self._backlog.reset()
        self._sender = self._sender.fresh()
        self._thread = None
        self._start_lock = threading.Lock()


def _checked_address(url: str) -> SplitResult:
    address = urlsplit(url)
    try:
        usable = address.scheme in ("http", "https") and address.hostname and (address.port or 1)
    except ValueError:  # the port is not a number
        usable = False
    if not usable:
        raise ValueError(f"url = {url!r} is not an address like http://127.0.0.1:8700 or https://monitor.example.com")
    if address.username is not None:
        raise ValueError("url must not hold a user name or password: it is written to the log; use key=")
    return address


def _close_all() -> None:
    """Flush and close every client, all together within the longest time-out of one."""
    clients = list(_open_clients)
    end = time.monotonic() + max((client._timeout for client in clients), default=0.0)
    for client in clients:
        client.close(max(0.0, end - time.monotonic()))


def _start_all_anew() -> None:
    for client in list(_open_clients):
        client._start_anew()


def _flush_at_the_end_of_a_worker_process() -> None:
    """Workers of multiprocessing leave by os._exit, which skips atexit; they have a list of their own."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _close_all, exitpriority=0)


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_all_anew)
