"""The background thread: takes records from the backlog, sends them in batches, tries again what may succeed later."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING
from urllib.parse import SplitResult

if TYPE_CHECKING:
    from .connection import ServerConnection, ServerResponse
    from .memory_backlog import Waiting
    from .request_batch import RequestBatch

FIRST_DELAY = 0.25  # seconds before the second try; doubled with every further one
MAX_DELAY = 30.0
MAX_RETRY_AFTER = 300.0
# about eight minutes of 500s: then this batch is the cause, and others must get through
TRIES_AT_A_FAILING_SERVER = 20
REPORT_EVERY = 60.0  # seconds between two lines in the log about lost records
TRY_AGAIN = {408, 425, 429, 502, 503, 504}
CLOSED = "closed while a part of it was sent"


class Sender:
    """Works through one backlog until it is closed.

    `run` is the thread's target and returns only then.
    """

    def __init__(
        self,
        backlog: Waiting,
        address: SplitResult,
        key: str | None,
        flush_interval: float,
        timeout: float,
    ):
        self.backlog = backlog
        self.address = address
        self._key = key
        self._flush_interval = flush_interval
        self._timeout = timeout
        self._connection: ServerConnection | None = None
        self._reported_lost = 0
        self._reported_at = -REPORT_EVERY

    def fresh(self) -> Sender:
        """The same sender without a connection, for a forked child."""
        return Sender(
            self.backlog, self.address, self._key, self._flush_interval, self._timeout
        )

    def run(self) -> None:
        """Send until the backlog is closed."""
        while self.backlog.wait_for_batch(self._flush_interval):
            delivered = [
                self._deliver(batch) for batch in self.backlog.batches()
            ]  # each, so that each is accounted for
            if all(delivered):
                self.backlog.advance()
            self.report_losses()
        self._connected().close()
        self.report_losses(final=True)

    def _connected(self) -> ServerConnection:
        if self._connection is None:
            from .connection import ServerConnection

            self._connection = ServerConnection(self.address, self._key, self._timeout)
        return self._connection

    def _deliver(self, batch: RequestBatch) -> bool:
        """Send until there is a final answer; False if the client was closed before."""
        body = b"".join(batch.parts)
        tries = 0
        while True:
            tries += 1
            problem, wait = self._try(batch, body)
            if problem is None or problem is CLOSED:
                return problem is None
            if tries >= TRIES_AT_A_FAILING_SERVER and problem.startswith("HTTP 500"):
                self.backlog.tally.settle(
                    dropped=batch.rows, error=f"given up after {tries} tries: {problem}"
                )
                return True
            self.backlog.tally.retry(problem)
            self.report_losses()
            if not self._wait(wait if wait is not None else _delay(tries)):
                self.backlog.abandon(
                    batch.rows, f"closed before it could be sent: {problem}"
                )
                return False

    def _try(self, batch: RequestBatch, body: bytes) -> tuple[str | None, float | None]:
        """None if the batch is settled; otherwise what went wrong and the wait the server asked for."""
        connection = self._connected()
        try:
            answer = connection.post(batch.path, body, batch.media_type, batch.key)
        # no network, TLS, name or protocol problem may end this thread
        except Exception as error:
            connection.close()
            return f"no answer from {self.address.geturl()}: {error!r}", None
        if answer.status == 200:
            return self._settle_accepted(batch, answer), None
        problem = f"HTTP {answer.status} from {batch.path}: {_sentence(answer.body)}"
        if (
            answer.status in TRY_AGAIN
            or answer.status >= 500
            or self.backlog.keeps(answer.status)
        ):
            wait = (
                None
                if answer.retry_after is None
                else min(answer.retry_after, MAX_RETRY_AFTER)
            )
            return problem, wait
        if answer.status == 413 and (halves := batch.halves()):
            delivered = [self._deliver(half) for half in halves]
            return (None if all(delivered) else CLOSED), None
        self.backlog.tally.answered(batch.rows)
        self.backlog.tally.settle(refused=batch.rows, error=problem)
        return None, None

    def _settle_accepted(
        self, batch: RequestBatch, answer: ServerResponse
    ) -> str | None:
        """None once counted; a problem if another web server answered: nothing may count as stored by mistake."""
        try:
            counts = json.loads(answer.body)
            refused = min(max(int(counts["refused"]), 0), batch.rows)
            reasons = [refusal["reason"] for refusal in counts.get("refusals", ())]
        except (ValueError, TypeError, LookupError, AttributeError):
            return f"the answer of {self.address.geturl()} is not one of a driftdeck server"
        error = (
            f"the server refused {refused} records: {(reasons or ['no reason given'])[0]}"
            if refused
            else None
        )
        self.backlog.tally.answered(batch.rows)
        self.backlog.tally.settle(
            accepted=batch.rows - refused, refused=refused, error=error
        )
        return None

    def _wait(self, seconds: float) -> bool:
        """True after the time is over; False as soon as the client is closed."""
        end = time.monotonic() + seconds
        while not self.backlog.closed:
            left = end - time.monotonic()
            if left <= 0:
                return True
            self.backlog.wait_for_bell(left)
        return False

    def report_losses(self, final: bool = False) -> None:
        """Say in the log, at most once a minute, how many records were lost since the last time."""
        counts = self.backlog.tally.counts()
        lost = counts["dropped"] + counts["refused"]
        if lost == self._reported_lost or (
            not final and time.monotonic() - self._reported_at < REPORT_EVERY
        ):
            return
        import logging

        logging.getLogger("driftdeck.client").warning(
            "%d records did not reach %s since the last report (in all: %d dropped, %d refused, %d still queued); "
            "last error: %s",
            lost - self._reported_lost,
            self.address.geturl(),
            counts["dropped"],
            counts["refused"],
            counts["queued"],
            counts["last_error"],
        )
        self._reported_lost, self._reported_at = lost, time.monotonic()


def _delay(tries: int) -> float:
    """Exponential, with jitter so that many clients do not come back together."""
    import random

    delay = min(MAX_DELAY, FIRST_DELAY * 2.0 ** (tries - 1))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret


def _sentence(body: bytes) -> str:
    """The server's own explanation, or the start of what it said instead."""
    try:
        return str(json.loads(body)["error"])[:300]
    except (ValueError, TypeError, LookupError):
        return body[:300].decode(errors="replace")
