"""The class Client: log predictions and labels without blocking or raising."""

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
from .memory_backlog import MemoryBacklog
from .request_batch import EVENTS, LABELS
from .sender import Sender

if TYPE_CHECKING:
    from .disk_spool.disk_backlog import DiskBacklog
    from .frames import FrameColumns

# checked first, because isinstance() is slow for Mapping
_PLAIN = (float, int, str, type(None))
Function = TypeVar("Function", bound=Callable[..., Any])


class Client:
    """Sends predictions and labels to a driftdeck server from a background thread.

    At most `max_queue` records wait in memory. When that many wait (the server is down
    or too slow), new ones are dropped, counted in `stats()` and reported once a minute
    through the logger "driftdeck.client". A batch is sent when `batch` records wait or
    the oldest is `flush_interval` seconds old. `timeout` (seconds) bounds one request,
    and the flush at exit.

    With `spool`, a folder, records wait on disk instead, at most `spool_bytes` of them.
    They survive the end of the process and are sent in order once the server can be
    reached (see `disk_spool.disk_backlog`). A spool needs a POSIX system.

    Only the constructor raises: ValueError for an unusable address or setting.
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
        address = _check_address(url)
        _check_positive("max_queue", max_queue)
        _check_positive("batch", batch)
        _check_positive("timeout", timeout)
        self.model = model
        self.version = version
        self.timeout = timeout
        self._backlog: MemoryBacklog | DiskBacklog
        if spool is None:
            self._backlog = MemoryBacklog(max_queue, batch)
        else:
            self._backlog = _open_spool(spool, spool_bytes, batch)
        self._sender = Sender(self._backlog, address, key, flush_interval, timeout)
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()
        shutdown.register(self)
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
        """Log one prediction; return its event id, which its label needs later.

        `ts` is the time of the prediction (now if None; a naive datetime means UTC).
        Features are copied shallowly; values that JSON cannot carry become text later,
        in the background.
        """
        event_id = event_id or new_event_id()
        try:
            if not isinstance(prediction, _PLAIN):
                prediction = _copy(prediction)
            record = {
                "event_id": event_id,
                "model": model or self.model or _raise_no_model(),
                "version": self.version if version is None else version,
                "ts": time.time() if ts is None else ts,
                "features": dict(features),
                "prediction": prediction,
                "latency_ms": latency_ms,
                "status": status,
                "error": error,
                "tags": None if tags is None else dict(tags),
            }
            self._put(EVENTS, record)
        # monitoring must never break the service it watches
        except Exception as problem:
            self._refuse(f"the event could not be logged: {problem!r}")
        return event_id

    def label(
        self,
        event_id: str,
        label: Any,
        *,
        model: str | None = None,
        ts: datetime | float | str | None = None,
    ) -> None:
        """Send the label of an event.

        `ts` is the time at which the label became known (now if None).
        """
        try:
            record = {
                "event_id": event_id,
                "model": model or self.model or _raise_no_model(),
                "label": label,
                "ts": time.time() if ts is None else ts,
            }
            self._put(LABELS, record)
        except Exception as problem:  # as in log()
            self._refuse(f"the label could not be logged: {problem!r}")

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
        """Log one prediction for each row of a frame; return their event ids.

        A frame is one of pandas, polars or Arrow, or a dict of columns. `prediction`,
        `event_id`, `ts`, `latency_ms` and `status` name columns; `features` names the
        feature columns (all others if None). With pyarrow installed the rows travel as
        Arrow tables and no Python code runs for a single row; without it they are
        logged one by one. Like log() it never raises: rows that cannot be sent count as
        refused.
        """
        from . import frames

        columns = frames.FrameColumns(
            prediction, features, event_id, ts, latency_ms, status
        )
        model = model or self.model
        version = self.version if version is None else version
        if frames.has_pyarrow():
            return self._log_table(frame, columns, model, version)
        return self._log_rows(frame, columns, model, version)

    def _log_table(
        self, frame: Any, columns: FrameColumns, model: str | None, version: str
    ) -> list[str]:
        from . import frames

        try:
            path = frames.events_path(model or _raise_no_model("log_frame"))
            events = frames.event_table(frame, columns, version)
            for body, rows in frames.request_bodies(events):
                self._put(path, body, rows)
            event_ids: list[str] = events["event_id"].to_pylist()
        except Exception as problem:  # as in log()
            rows = frames.count_rows(frame)
            self._refuse(f"the frame could not be logged: {problem}", rows)
            return [new_event_id() for _ in range(rows)]
        return event_ids

    def _log_rows(
        self, frame: Any, columns: FrameColumns, model: str | None, version: str
    ) -> list[str]:
        from . import frames

        try:
            rows = frames.event_rows(frame, columns)
        except Exception as problem:  # as in log()
            self._refuse(f"the frame could not be logged: {problem}")
            return []
        return [self.log(**row, model=model, version=version) for row in rows]

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
        """Decorator: log every call of a function, `async` or not, as one prediction.

        The features are the arguments by name, or the content of a mapping that is the
        only argument. The prediction is the function's result. Otherwise
        `extract(arguments, result)` gives `{"features", "prediction", "tags"}`, or None
        for "no prediction" (`result` is None when the function failed). `event_id`
        names the argument that holds the event's id. The latency is that of the call.
        An exception is logged as status 500 with its text and raised again.
        """
        from .decorator import log_calls

        wrap = log_calls(self, extract, event_id, model, version)
        return wrap if function is None else wrap(function)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until every record logged so far has a final outcome.

        False if `timeout` seconds were too short.
        """
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        counters = self._backlog.counters
        logged = counters.entered - counters.adopted
        if counters.finished < logged + counters.adopted:
            self._backlog.request_flush()
        while counters.finished < logged + counters.adopted:
            if time.monotonic() >= end:
                return False
            time.sleep(0.005)
        return True

    def close(self, timeout: float | None = None) -> None:
        """Flush within `timeout` seconds and end the background thread.

        Records that remain are dropped and counted. With a spool they stay on disk, and
        the next process sends them.
        """
        self.flush(timeout)
        self._backlog.close()
        shutdown.unregister(self)
        if self._thread is not None:
            self._thread.join(0.5)
        if self._thread is None or not self._thread.is_alive():
            self._backlog.release()

    def stats(self) -> dict[str, Any]:
        """Return the counts since the start of this process, and the newest error.

        `logged = accepted + refused + dropped + queued`. `sent` counts the records with
        a final response of the server, `retries` the attempts that failed and were
        repeated. Records of an earlier process count as logged when their spool is
        opened.
        """
        return self._backlog.counters.counts()

    def report_error(self, error: str) -> None:
        """Set the newest error of `stats()`; no count changes."""
        self._backlog.counters.last_error = error

    def reset_after_fork(self) -> None:
        """Drop the parent's records, thread and connection; runs in a forked child."""
        self._backlog.reset()
        self._sender = self._sender.without_connection()
        self._thread = None
        self._start_lock = threading.Lock()

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

    def _refuse(self, reason: str, rows: int = 1) -> None:
        self._backlog.counters.refuse_unqueued(reason, rows)

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
        # no new thread now: the record waits, the next one starts the thread, or
        # close() counts it
        except RuntimeError:
            return
        finally:
            self._start_lock.release()


def _copy(prediction: Any) -> Any:
    return dict(prediction) if isinstance(prediction, Mapping) else prediction


def _raise_no_model(method: str = "log") -> str:
    raise ValueError(f"no model: give it to {method}() or to Client()")


def _check_positive(name: str, value: float) -> None:
    if value <= 0:
        raise ValueError(f"{name} = {value!r} must be greater than 0")


def _check_address(url: str) -> SplitResult:
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
            f"url = {url!r} is not an address like http://127.0.0.1:8700"
            " or https://monitor.example.com"
        )
    if address.username is not None:
        raise ValueError(
            "url must not hold a user name or password:"
            " it is written to the log; use key="
        )
    return address


def _open_spool(folder: str | PathLike[str], limit: int, batch: int) -> DiskBacklog:
    from pathlib import Path

    try:
        from .disk_spool.disk_backlog import DiskBacklog
    except ImportError:
        raise ValueError(
            "spool = ... needs a POSIX system: its files are locked with flock"
        ) from None
    return DiskBacklog(Path(folder), limit, batch)
