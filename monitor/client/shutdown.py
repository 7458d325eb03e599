"""What happens to open clients when their process forks or ends: at exit, in a worker, by SIGTERM."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from .client import Client

_open: WeakSet[Client] = WeakSet()


def remember(client: Client) -> None:
    """Flush and close this client when the process ends, however it ends, kill -9 aside."""
    _open.add(client)
    flush_on_sigterm()


def forget(client: Client) -> None:
    """It has been closed."""
    _open.discard(client)


def close_all() -> None:
    """Flush and close every client, all together within the longest time-out of one."""
    clients = list(_open)
    end = time.monotonic() + max((client._timeout for client in clients), default=0.0)
    for client in clients:
        client.close(max(0.0, end - time.monotonic()))


def flush_on_sigterm() -> None:
    """SIGTERM ends a Python process without atexit: where nobody handles it, flush first, then end as before."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    close_all()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def flush_when_a_worker_ends() -> None:
    """Workers of multiprocessing leave by os._exit, which skips atexit; they have a list of their own."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, close_all, exitpriority=0)


def _start_all_anew() -> None:
    for client in list(_open):
        client._start_anew()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_all_anew)
