"""Open clients at a fork and at the end of their process: at exit, SIGTERM, in workers."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Protocol
from weakref import WeakSet


class OpenClient(Protocol):
    """The part of a client that the end of a process, or a fork, needs."""

    timeout: float

    def close(self, timeout: float | None = None) -> None:
        """Flush within `timeout` seconds and end the background thread."""

    def reset_after_fork(self) -> None:
        """Drop the parent's records, thread and connection."""


_open: WeakSet[OpenClient] = WeakSet()


def register(client: OpenClient) -> None:
    """Close this client when the process ends, in every way but kill -9."""
    _open.add(client)
    flush_on_sigterm()


def unregister(client: OpenClient) -> None:
    """Remove a client that was closed."""
    _open.discard(client)


def close_all() -> None:
    """Flush and close every client, all together within the longest of their time-outs."""
    clients = list(_open)
    end = time.monotonic() + max((client.timeout for client in clients), default=0.0)
    for client in clients:
        client.close(max(0.0, end - time.monotonic()))


def flush_on_sigterm() -> None:
    """Close all clients at SIGTERM, unless the service has a handler of its own.

    SIGTERM ends a Python process without atexit.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    close_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def flush_when_a_worker_ends() -> None:
    """Close all clients at the end of a multiprocessing worker.

    Workers end by os._exit, which skips atexit; they have a list of their own.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, close_all, exitpriority=0)


def _reset_all_after_fork() -> None:
    for client in list(_open):
        client.reset_after_fork()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all_after_fork)
