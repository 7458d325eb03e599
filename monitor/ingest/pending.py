"""Rows that are acknowledged or about to be, and not in the database yet."""

import threading
from collections.abc import Collection, Mapping
from datetime import datetime

Key = tuple[str, str]  # model, and kind: events or labels


class Pending:
    """Counts of this process's life, by model and kind; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[Key, tuple[int, datetime]] = {}

    def add(self, rows: Mapping[Key, int], now: datetime) -> None:
        """Rows that were taken."""
        with self._lock:
            for key, n in rows.items():
                before, since = self._rows.get(key, (0, now))
                self._rows[key] = (before + n, since)

    def settle(self, rows: Mapping[Key, int], now: datetime) -> None:
        """Rows that reached the database, or will not because they could not be written."""
        with self._lock:
            for key, n in rows.items():
                left = self._rows.pop(key, (0, now))[0] - n
                if left > 0:
                    # the rest came after those that were loaded
                    self._rows[key] = (left, now)

    def rows(self, models: Collection[str] | None = None) -> int:
        """How many rows wait, of all models or of some."""
        with self._lock:
            return sum(
                n
                for (model, _), (n, _) in self._rows.items()
                if models is None or model in models
            )

    def of(self, model: str, kind: str) -> tuple[int, datetime | None]:
        """How many rows of a model and kind wait, and since about when; None when none does."""
        with self._lock:
            return self._rows.get((model, kind), (0, None))

    def waiting(self) -> list[Key]:
        """Models and kinds of which rows wait."""
        with self._lock:
            return list(self._rows)
