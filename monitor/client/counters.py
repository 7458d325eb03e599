"""Counts of every record's outcome, shared by both backlogs; no record is uncounted."""

import threading
from typing import Any


class Counters:
    """Counts with `logged = accepted + refused + dropped + queued`; thread-safe."""

    def __init__(self) -> None:
        # re-entrant: a signal handler of the service may log as well
        self.lock = threading.RLock()
        self.logged = 0
        self.sent = 0
        self.accepted = 0
        self.refused = 0
        self.dropped = 0
        self.retries = 0
        self.entered = 0
        self.finished = 0
        # part of `entered`: left by an earlier process, and sent before all others
        self.adopted = 0
        self.last_error: str | None = None

    @property
    def queued(self) -> int:
        """Number of records without a final outcome."""
        return self.entered - self.finished

    def enter(self, rows: int) -> None:
        """Count records that wait from now on."""
        with self.lock:
            self.logged += rows
            self.entered += rows

    def adopt(self, rows: int) -> None:
        """Count records that an earlier process left."""
        with self.lock:
            self.enter(rows)
            self.adopted += rows

    def drop_unqueued(self, rows: int, error: str | None = None) -> None:
        """Count records that the backlog had no room for."""
        with self.lock:
            self.logged += rows
            self.dropped += rows
            self.last_error = error or self.last_error

    def refuse_unqueued(self, reason: str, rows: int = 1) -> None:
        """Count records that cannot be made into events."""
        with self.lock:
            self.logged += rows
            self.refused += rows
            self.last_error = reason

    def settle(
        self,
        *,
        accepted: int = 0,
        refused: int = 0,
        dropped: int = 0,
        error: str | None = None,
    ) -> None:
        """Count the final outcome of records that waited."""
        with self.lock:
            self.finished += accepted + refused + dropped
            self.accepted += accepted
            self.refused += refused
            self.dropped += dropped
            self.last_error = error or self.last_error

    def add_sent(self, rows: int) -> None:
        """Count records with a final response of the server."""
        with self.lock:
            self.sent += rows

    def retry(self, error: str) -> None:
        """Count a failed attempt of a batch that will be sent again."""
        with self.lock:
            self.retries += 1
            self.last_error = error

    def counts(self) -> dict[str, Any]:
        """Return all counts, and the newest error (None if there was none)."""
        with self.lock:
            return {
                "logged": self.logged,
                "sent": self.sent,
                "accepted": self.accepted,
                "refused": self.refused,
                "dropped": self.dropped,
                "retries": self.retries,
                "queued": self.queued,
                "last_error": self.last_error,
            }
