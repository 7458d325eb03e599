"""One step of the server that a thread of its own repeats, whatever happens in it."""

import logging
import threading
import time
from collections.abc import Callable

import duckdb

from monitor.store import Store

log = logging.getLogger("driftdeck.scheduler")

MAX_PAUSE_S = 2.0
PAUSE_AFTER_FAILURE_S = 2.0


class BackgroundStep:
    """A step and its thread.

    An attempt that fails is logged, stays visible as `problem` until one succeeds, and
    never ends the thread. After a fatal error of the engine the next attempt of any
    step opens the database again.
    """

    def __init__(
        self,
        name: str,
        action: Callable[[], object],
        pause_s: float,
        store: Store,
        stopping: threading.Event,
    ) -> None:
        self.name = name
        self.problem: str | None = None
        self._action = action
        self._pause_s = pause_s
        self._store = store
        self._stopping = stopping
        self._thread = threading.Thread(
            target=self._repeat, name=f"driftdeck-{name}", daemon=True
        )

    def start(self) -> None:
        """Repeat the step until the server stops."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until the running attempt ends."""
        if self._thread.is_alive():
            self._thread.join(timeout=timeout_s)

    def attempt(self, action: Callable[[], object] | None = None) -> bool:
        """Run the step, or `action` in its place, once.

        False, with the reason in `problem`, when it failed.
        """
        try:
            self._store.reopen_if_failed()
            (action or self._action)()
        except duckdb.FatalException as error:
            self._store.note_failure()
            self.problem = (
                f"the database failed and is being opened again: {_first_line(error)}"
            )
            log.error("%s: %s", self.name, self.problem)
            return False
        # a failure of any kind must not end the thread
        except Exception as error:
            self.problem = f"{self.name}: {_first_line(error)}"
            log.exception("the step %r failed; it is tried again", self.name)
            return False
        self.problem = None
        return True

    def _repeat(self) -> None:
        wait_s = self._pause_s
        while not self._stopping.wait(wait_s):
            begun = time.monotonic()
            if not self.attempt():
                wait_s = PAUSE_AFTER_FAILURE_S
                continue
            # a step has a fixed cost: under thin traffic it runs less often, so that it
            # uses a fifth of a core at most
            duration_s = time.monotonic() - begun
            wait_s = min(max(self._pause_s, 4 * duration_s), MAX_PAUSE_S)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
