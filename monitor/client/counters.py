"""The count of what became of every record, kept by both backlogs: at every moment nothing is unaccounted for."""

import threading
from typing import Any


class Counters:
    """`logged = accepted + refused + dropped + queued`, always; safe from several threads."""

    def __init__(self) -> None:
        # re-entrant: a signal handler of the service may log as well
        self.lock = threading.RLock()
        self.logged = self.sent = self.accepted = self.refused = self.dropped = (
            self.retries
        ) = 0
        self.entered = self.finished = 0
        # of those that entered: left by an earlier process, and sent before all others
        self.adopted = 0
        self.last_error: str | None = None

    @property
    def queued(self) -> int:
        """Records without a final outcome."""
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

    def turn_away(self, rows: int, error: str | None = None) -> None:
        """Count records that found no room."""
        with self.lock:
            self.logged += rows
            self.dropped += rows
            self.last_error = error or self.last_error

    def refuse_unseen(self, reason: str, rows: int = 1) -> None:
        """Count records that cannot be made into events at all."""
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
        """Count what became of records that waited."""
        with self.lock:
            self.finished += accepted + refused + dropped
            self.accepted += accepted
            self.refused += refused
            self.dropped += dropped
            self.last_error = error or self.last_error

    def answered(self, rows: int) -> None:
        """Count records to which the server gave a final answer."""
        with self.lock:
            self.sent += rows

    def retry(self, error: str) -> None:
        """Count one failed try of a batch that will be sent again."""
        with self.lock:
            self.retries += 1
            self.last_error = error

    def counts(self) -> dict[str, Any]:
        """What became of every record, and the newest error (None if there was none)."""
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
