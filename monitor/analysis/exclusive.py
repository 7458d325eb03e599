"""Work that takes a core for long: only one of a kind at a time, whoever asks for it."""

import threading
from contextlib import ContextDecorator

from monitor.errors import TooMany

RETRY_S = 60


class Exclusive(ContextDecorator):
    """`with` one, or a function under one, is entered by one thread at a time. Raises TooMany, with when to come again, when
    another is in it.
    """

    def __init__(self, work: str) -> None:
        self.work = work
        self._taken = threading.Lock()

    def __enter__(self) -> None:
        if not self._taken.acquire(blocking=False):
            raise TooMany(
                f"another {self.work} is under way; try again in a minute", RETRY_S
            )

    def __exit__(self, *_: object) -> None:
        self._taken.release()
