"""Client: what a watched service calls.

Every method returns at once and never raises because of the monitoring.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from . import shutdown
from .event_id import new_event_id
from .memory_backlog import Backlog
from .request_batch import EVENTS, LABELS
from .sender import Sender

if TYPE_CHECKING:
    from .disk_spool.disk_backlog import DiskBacklog

# asked first: whether something is a mapping is a slow question
_PLAIN = (float, int, str, type(None))
Function = TypeVar("Function", bound=Callable[..., Any])


class Client:
    """Sends predictions and labels to a driftdeck server from a background thread.

    At most `max_queue` records wait in memory; when that many wait (the server is down
    or too slow), new ones are dropped, counted in `stats()` and reported once a minute
    through the logger "driftdeck.client". A batch goes out when `batch` records wait or
    the oldest is `flush_interval` seconds old. `timeout` bounds one request and the
    flush at exit. With `spool`, a folder, records wait on disk instead, at most
    `spool_bytes` of them, outlive the process and are sent in order once the server can
    be reached (see `spool.DiskBacklog`); it needs a POSIX system. Raises ValueError
    here, and only here, for an address or a setting that cannot work.
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
        spool: str | PathLike[str] | None = None,
        spool_bytes: int = 64_000_000,
    ) -> None:
        address = _checked_address(url)
        for name, value in (
            ("max_queue", max_queue),
            ("batch", batch),
            ("timeout", timeout),
        ):
            if value <= 0:
                raise ValueError(f"{name} = {value!r} must be greater than 0")
        self.model = model
        self.version = version
        self._timeout = timeout
        self._backlog = (
            Backlog(max_queue, batch)
            if spool is None
            else _on_disk(spool, spool_bytes, batch)
        )
        self._sender = Sender(self._backlog, address, key, flush_interval, timeout)
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()
        shutdown.remember(self)
        if self._backlog.pending():
            self._start()

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

        `ts` is the time of the prediction (now if None; a naive datetime means UTC).
        Features are copied shallowly; values that JSON cannot carry become text later,
        in the background.
        """
        event_id = event_id or new_event_id()
        try:
            record = {
                "event_id": event_id,
                "model": model or self.model or _no_model(),
                "version": self.version if version is None else version,
                "ts": time.time() if ts is None else ts,
                "features": dict(features),
                "prediction": prediction
                if isinstance(prediction, _PLAIN)
                else _copied(prediction),
                "latency_ms": latency_ms,
                "status": status,
                "error": error,
                "tags": None if tags is None else dict(tags),
            }
            self._put(EVENTS, record)
        # monitoring must never break the service it watches
        except Exception as problem:
            self._backlog.tally.refuse_unseen(
                f"the event could not be logged: {problem!r}"
            )
        return event_id

    def label(
        self,
        event_id: str,
        label: Any,
        *,
        model: str | None = None,
        ts: datetime | float | str | None = None,
    ) -> None:
        """Send the truth for an event logged before; `ts` is the time it became known (now if None)."""
        try:
            moment = time.time() if ts is None else ts
            record = {
                "event_id": event_id,
                "model": model or self.model or _no_model(),
                "label": label,
                "ts": moment,
            }
            self._put(LABELS, record)
        except Exception as problem:  # as in log()
            self._backlog.tally.refuse_unseen(
                f"the label could not be logged: {problem!r}"
            )

    def log_frame(
        self,
        frame: Any,
        prediction: str | None = "prediction",
        *,
        features: Sequence[str] | None = None,
        model: str | None = None,
        version: str | None = None,
        event_id: str | None = None,
        ts: str | datetime | None = None,
        latency_ms: str | float | None = None,
        status: str | None = None,
    ) -> list[str]:
        """Log one prediction for each row of a frame (pandas, polars, Arrow, a dict of columns); the events' ids.

        `prediction`, `event_id`, `ts`, `latency_ms` and `status` name columns;
        `features` names the feature columns (all others if None). With pyarrow
        installed the rows travel as Arrow tables and no Python code runs for a single
        row; without it they are logged one by one. Like log() it never raises: rows
        that cannot be sent count as refused.
        """
        from .frames import FrameColumns, log_columns

        named = FrameColumns(prediction, features, event_id, ts, latency_ms, status)
        return log_columns(
            self,
            frame,
            named,
            model or self.model,
            self.version if version is None else version,
        )

    def watch(
        self,
        function: Function | None = None,
        *,
        extract: Callable[[dict[str, Any], Any], Mapping[str, Any] | None]
        | None = None,
        event_id: str | None = None,
        model: str | None = None,
        version: str | None = None,
    ) -> Any:
        """Decorator: logs every call of a function, `async` or not, as one prediction with its latency.

        The features are the arguments by name, or, when the only argument is a mapping,
        what is in it; the prediction is what the function returns. Otherwise
        `extract(arguments, result)` gives `{"features", "prediction", "tags"}`, or None
        for "no prediction" (`result` is None when the function failed). `event_id`
        names the argument that holds the event's id. An exception is logged as status
        500 with its text and raised again.
        """
        from .decorator import watching

        wrap = watching(self, extract, event_id, model, version)
        return wrap if function is None else wrap(function)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged so far has a final outcome; False if `timeout` seconds were too short."""
        end = time.monotonic() + (self._timeout if timeout is None else timeout)
        tally = self._backlog.tally
        logged = tally.entered - tally.adopted
        if tally.finished < logged + tally.adopted:
            self._backlog.ask_to_hurry()
        while tally.finished < logged + tally.adopted:
            if time.monotonic() >= end:
                return False
            time.sleep(0.005)
        return True

    def close(self, timeout: float | None = None) -> None:
        """Flush within `timeout` seconds and end the background thread; what is left is dropped and counted.

        With a spool it stays on disk instead, and the next process sends it.
        """
        self.flush(timeout)
        self._backlog.close()
        shutdown.forget(self)
        if self._thread is not None:
            self._thread.join(0.5)
        if self._thread is None or not self._thread.is_alive():
            self._backlog.leave()

    def stats(self) -> dict[str, Any]:
        """Counts since the start of this process, and the newest error.

        `logged = accepted + refused + dropped + queued`. `sent` counts records the
        server gave a final answer to, `retries` the tries that failed and were
        repeated. Records found in the spool count as logged when they are found.
        """
        return self._backlog.tally.counts()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, path: str, record: dict[str, Any] | bytes, rows: int = 1) -> None:
        if self._backlog.put(path, record, rows) and self._thread is None:
            self._start()

    def _start(self) -> None:
        if not self._start_lock.acquire(blocking=False):
            return  # another thread is starting it right now
        try:
            if self._thread is None:
                shutdown.flush_when_a_worker_ends()
                thread = threading.Thread(
                    target=self._sender.run, name="driftdeck-client", daemon=True
                )
                thread.start()
                self._thread = thread
        # no new thread (yet): the record waits, the next one tries again, close()
        # counts it
        except RuntimeError:
            return
        finally:
            self._start_lock.release()

    def _start_anew(self) -> None:
        """In a forked child: no records, no thread and no connection of the parent's."""
        self._backlog.reset()
        self._sender = self._sender.fresh()
        self._thread = None
        self._start_lock = threading.Lock()


def _copied(prediction: Any) -> Any:
    return dict(prediction) if isinstance(prediction, Mapping) else prediction


def _no_model() -> str:
    raise ValueError("no model: give it to log() or to Client()")


def _checked_address(url: str) -> SplitResult:
    address = urlsplit(url)
    try:
        usable = (
            address.scheme in ("http", "https")
            and address.hostname
            and (address.port or 1)
        )
    except ValueError:  # the port is not a number
        usable = False
    if not usable:
        raise ValueError(
            f"url = {url!r} is not an address like http://127.0.0.1:8700 or https://monitor.example.com"
        )
    if address.username is not None:
        raise ValueError(
            "url must not hold a user name or password: it is written to the log; use key="
        )
    return address


def _on_disk(folder: str | PathLike[str], limit: int, batch: int) -> DiskBacklog:
    from pathlib import Path

    try:
        from .disk_spool.disk_backlog import DiskBacklog
    except ImportError:
        raise ValueError(
            "spool = ... needs a POSIX system: its files are guarded by flock"
        ) from None
    return DiskBacklog(Path(folder), limit, batch)
