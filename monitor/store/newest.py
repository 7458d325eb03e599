"""When each model's newest event was, and how many labels found theirs: asked once, then kept true by what is loaded."""

import threading
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TypeVar

T = TypeVar("T")


class Newest:
    """By model. A thousand models have a table each: asking every one of them for a page takes seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes = 0
        self._last: dict[str, datetime | None] = {}
        self._labels: dict[str, int] = {}

    def note(self, last: Mapping[str, datetime], new: Collection[str], labelled: Collection[str]) -> None:
        """A load stored events until `last`; these models are `new`, and labels of those found their events."""
        with self._lock:
            self._changes += 1
            self._labels |= dict.fromkeys(new, 0)
            for name in labelled:
                self._labels.pop(name, None)
            for name, at in last.items():
                if name in new or name in self._last:
                    self._last[name] = max(at, self._last.get(name) or at)

    def forget(self) -> None:
        """Rows were deleted: everything is asked again."""
        with self._lock:
            self._changes += 1
            self._last.clear()
            self._labels.clear()

    def last(self, name: str, ask: Callable[[], datetime | None]) -> datetime | None:
        """The time of a model's newest event; None without events."""
        return self._kept(self._last, name, ask)

    def labels(self, name: str, ask: Callable[[], int]) -> int:
        """How many labels of a model found their events."""
        return self._kept(self._labels, name, ask)

    def _kept(self, kept: dict[str, T], name: str, ask: Callable[[], T]) -> T:
        with self._lock:
            if name in kept:
                return kept[name]
            before = self._changes
        found = ask()
        with self._lock:
            if self._changes == before:  # else a load may have stored what the answer does not know
                kept[name] = found
        return found
