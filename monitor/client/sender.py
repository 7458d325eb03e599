"""The background thread: batches from the backlog to the server, with retries."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult

if TYPE_CHECKING:
    from .connection import ServerConnection, ServerResponse
    from .counters import Counters
    from .request_batch import RequestBatch

FIRST_DELAY_S = 0.25  # before the second attempt; doubled with every further one
MAX_DELAY_S = 30.0
MAX_RETRY_AFTER_S = 300.0
# about eight minutes of 500s: then this batch is the cause, and others must get through
MAX_ATTEMPTS_AT_500 = 20
REPORT_INTERVAL_S = 60.0  # between two log lines about lost records
MAX_REASON_CHARACTERS = 300
RETRIED_STATUSES = {408, 425, 429, 502, 503, 504}


class Backlog(Protocol):
    """The part of a backlog, in memory or on disk, that the sender needs."""

    counters: Counters
    closed: bool

    def wait_for_batch(self, flush_interval: float) -> bool:
        """Block until a batch is due: full, old enough, or requested by a flush.

        False once there is no more to do.
        """

    def wait_for_change(self, seconds: float | None) -> None:
        """Block until a record, a flush or the end arrives, or the time is over."""

    def batches(self) -> list[RequestBatch]:
        """Return the oldest records that fit into one request of each kind."""

    def advance(self) -> None:
        """Mark the batches that were returned last as settled."""

    def abandon(self, rows: int, error: str) -> None:
        """Give up rows without a final response: the client was closed before."""

    def keeps(self, status: int) -> bool:
        """True if a batch with this status waits until an operator corrects the cause."""


# outcomes of an attempt; CLOSED: the client was closed before a part of it was sent
SETTLED, RETRY, CLOSED = "settled", "retry", "closed"


class Attempt:
    """The outcome of one attempt; for a retry its reason and the wait in seconds.

    `wait_s` is None if the server asked for no wait.
    """

    # no NamedTuple and no Enum: they take long to create when a service starts
    __slots__ = ("outcome", "problem", "wait_s")

    def __init__(
        self, outcome: str, problem: str = "", wait_s: float | None = None
    ) -> None:
        self.outcome = outcome
        self.problem = problem
        self.wait_s = wait_s


class Sender:
    """Sends the batches of one backlog until it is closed.

    `run` is the target of the thread and returns only then.
    """

    def __init__(
        self,
        backlog: Backlog,
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
        self._reported_losses = 0
        self._reported_at = -REPORT_INTERVAL_S

    def without_connection(self) -> Sender:
        """Return the same sender without its connection, for a forked child."""
        return Sender(
            self.backlog, self.address, self._key, self._flush_interval, self._timeout
        )

    def run(self) -> None:
        """Send until the backlog is closed."""
        while self.backlog.wait_for_batch(self._flush_interval):
            # a list: each batch is delivered, and so counted, also after a failed one
            delivered = [self._deliver(batch) for batch in self.backlog.batches()]
            if all(delivered):
                self.backlog.advance()
            self.report_losses()
        self._open_connection().close()
        self.report_losses(final=True)

    def _open_connection(self) -> ServerConnection:
        if self._connection is None:
            from .connection import ServerConnection

            self._connection = ServerConnection(self.address, self._key, self._timeout)
        return self._connection

    def _deliver(self, batch: RequestBatch) -> bool:
        """Send until there is a final response; False if the client was closed before."""
        body = b"".join(batch.parts)
        counters = self.backlog.counters
        attempts = 0
        while True:
            attempts += 1
            attempt = self._attempt(batch, body)
            if attempt.outcome != RETRY:
                return attempt.outcome == SETTLED
            problem = attempt.problem
            if attempts >= MAX_ATTEMPTS_AT_500 and problem.startswith("HTTP 500"):
                error = f"given up after {attempts} attempts: {problem}"
                counters.settle(dropped=batch.rows, error=error)
                return True
            counters.retry(problem)
            self.report_losses()
            wait_s = _backoff(attempts) if attempt.wait_s is None else attempt.wait_s
            if not self._wait(wait_s):
                error = f"closed before it could be sent: {problem}"
                self.backlog.abandon(batch.rows, error)
                return False

    def _attempt(self, batch: RequestBatch, body: bytes) -> Attempt:
        """Send a batch once."""
        connection = self._open_connection()
        try:
            response = connection.post(batch.path, body, batch.media_type, batch.key)
        # no network, TLS, name or protocol problem may end this thread
        except Exception as error:
            connection.close()
            problem = f"no response from {self.address.geturl()}: {error!r}"
            return Attempt(RETRY, problem)
        if response.status == 200:
            return self._settle_accepted(batch, response)
        reason = _error_text(response.body)
        problem = f"HTTP {response.status} from {batch.path}: {reason}"
        if self._can_retry(response.status):
            wait_s = response.retry_after
            if wait_s is not None:
                wait_s = min(wait_s, MAX_RETRY_AFTER_S)
            return Attempt(RETRY, problem, wait_s)
        halves = batch.split() if response.status == 413 else []
        if halves:
            delivered = [self._deliver(half) for half in halves]
            return Attempt(SETTLED if all(delivered) else CLOSED)
        self.backlog.counters.add_sent(batch.rows)
        self.backlog.counters.settle(refused=batch.rows, error=problem)
        return Attempt(SETTLED)

    def _can_retry(self, status: int) -> bool:
        return status in RETRIED_STATUSES or status >= 500 or self.backlog.keeps(status)

    def _settle_accepted(
        self, batch: RequestBatch, response: ServerResponse
    ) -> Attempt:
        """Count the rows of a response with status 200.

        Retry if another web server responded: no row may count as stored in error.
        """
        try:
            counts = json.loads(response.body)
            refused = min(max(int(counts["refused"]), 0), batch.rows)
            reasons = [refusal["reason"] for refusal in counts.get("refusals", ())]
        except (ValueError, TypeError, LookupError, AttributeError):
            url = self.address.geturl()
            problem = f"the response of {url} is not that of a driftdeck server"
            return Attempt(RETRY, problem)
        error = None
        if refused:
            reason = reasons[0] if reasons else "no reason given"
            error = f"the server refused {refused} records: {reason}"
        accepted = batch.rows - refused
        self.backlog.counters.add_sent(batch.rows)
        self.backlog.counters.settle(accepted=accepted, refused=refused, error=error)
        return Attempt(SETTLED)

    def _wait(self, seconds: float) -> bool:
        """Wait; False as soon as the client is closed."""
        end = time.monotonic() + seconds
        while not self.backlog.closed:
            remaining = end - time.monotonic()
            if remaining <= 0:
                return True
            self.backlog.wait_for_change(remaining)
        return False

    def report_losses(self, final: bool = False) -> None:
        """Log the number of records lost since the last report, at most once a minute."""
        counts = self.backlog.counters.counts()
        lost = counts["dropped"] + counts["refused"]
        if lost == self._reported_losses:
            return
        now = time.monotonic()
        if not final and now - self._reported_at < REPORT_INTERVAL_S:
            return
        import logging

        logging.getLogger("driftdeck.client").warning(
            "%d records did not reach %s since the last report"
            " (in all: %d dropped, %d refused, %d still queued); last error: %s",
            lost - self._reported_losses,
            self.address.geturl(),
            counts["dropped"],
            counts["refused"],
            counts["queued"],
            counts["last_error"],
        )
        self._reported_losses = lost
        self._reported_at = now


def _backoff(attempts: int) -> float:
    """Seconds to wait: exponential, with jitter so that clients do not return together."""
    import random

    delay = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** (attempts - 1))
    return delay * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret


def _error_text(body: bytes) -> str:
    """Return the error that the server gives, or the start of the body."""
    try:
        return str(json.loads(body)["error"])[:MAX_REASON_CHARACTERS]
    except (ValueError, TypeError, LookupError):
        return body[:MAX_REASON_CHARACTERS].decode(errors="replace")
