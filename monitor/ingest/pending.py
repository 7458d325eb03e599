"""Rows that are accepted, or about to be, and not in the database yet."""

import threading
from collections.abc import Collection, Mapping
from datetime import datetime

Key = tuple[str, str]  # model, and kind: "events" or "labels"


class Pending:
    """Counts of this process by model and kind; safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[Key, tuple[int, datetime]] = {}

    def add(self, rows: Mapping[Key, int], now: datetime) -> None:
        """Count rows that were accepted."""
        with self._lock:
            for key, count in rows.items():
                before, since = self._rows.get(key, (0, now))
                self._rows[key] = (before + count, since)

    def settle(self, rows: Mapping[Key, int], now: datetime) -> None:
        """Subtract rows that are in the database, or that could not be written."""
        with self._lock:
            for key, count in rows.items():
                waiting = self._rows.pop(key, (0, now))[0] - count
                if waiting > 0:
                    # these arrived after the ones that were loaded
                    self._rows[key] = (waiting, now)

    def rows(self, models: Collection[str] | None = None) -> int:
        """Return how many rows wait, of some models or of all."""
        with self._lock:
            return sum(
                count
                for (model, _), (count, _) in self._rows.items()
                if models is None or model in models
            )

    def of(self, model: str, kind: str) -> tuple[int, datetime | None]:
        """Return how many rows wait, and about since when; (0, None) when none does."""
        with self._lock:
            return self._rows.get((model, kind), (0, None))

    def waiting(self) -> list[Key]:
        """Return the models and kinds with waiting rows."""
        with self._lock:
            return list(self._rows)
