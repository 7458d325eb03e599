"""The outcome of one request: counts, refusals, and the write that makes it durable."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from monitor.event import Refusal

MAX_REFUSALS_SHOWN = 100


@dataclass(frozen=True)
class IngestResult:
    """The outcome of one request; `durable` is done when all of it is on disk."""

    accepted: int
    refused: int
    refusals: Sequence[Refusal]
    durable: "Future[None]"
    # values of the wrong type in accepted rows
    mistyped: Sequence[Mapping[str, Any]] = ()
    # True: the first result of this Idempotency-Key again, nothing was added
    replayed: bool = False

    def body(self) -> dict[str, Any]:
        """Return the JSON response: counts, the first refusals, type mismatches if any."""
        shown = [
            {
                "line": refused.line,
                "event_id": refused.event_id,
                "reason": refused.reason,
            }
            for refused in self.refusals[:MAX_REFUSALS_SHOWN]
        ]
        body = {"accepted": self.accepted, "refused": self.refused, "refusals": shown}
        return {**body, "mistyped": self.mistyped} if self.mistyped else body


def _finished() -> "Future[None]":
    finished: Future[None] = Future()
    finished.set_result(None)
    return finished


NOTHING_TO_WRITE = _finished()
