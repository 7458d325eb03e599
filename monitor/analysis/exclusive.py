"""Lock for long work on one core: it refuses a second caller instead of waiting."""

import threading
from contextlib import ContextDecorator

from monitor.errors import TooMany

RETRY_S = 60


class Exclusive(ContextDecorator):
    """Admit one thread at a time, as context manager or as decorator of a function.

    Raises TooMany, with the time to retry, while another thread is inside.
    """

    def __init__(self, work: str) -> None:
        self.work = work
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise TooMany(
                f"another {self.work} is under way; try again in a minute", RETRY_S
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()
