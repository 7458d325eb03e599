"""The background thread: takes records from the backlog, sends them in batches, tries again what may succeed later."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult

from .backlog import Backlog
from .event_id import new_event_id
from .wire import encode

if TYPE_CHECKING:
    from .connection import Answer, Connection

MAX_BODY_BYTES = 4_000_000
FIRST_DELAY = 0.25  # seconds before the second try; doubled with every further one
LONGEST_DELAY = 30.0
LONGEST_RETRY_AFTER = 300.0
TRIES_AT_A_FAILING_SERVER = 20  # about eight minutes of 500s: then this batch is the cause, and others must get through
REPORT_EVERY = 60.0  # seconds between two lines in the log about lost records
TRY_AGAIN = {408, 425, 429, 502, 503, 504}


class Batch(NamedTuple):
    """Some lines for one path, under one key that stays the same on every try."""

    path: str
    lines: list[bytes]
    key: str


class Sender:
    """Works through one backlog until it is closed. `run` is the thread's target and returns only then."""

    def __init__(self, backlog: Backlog, address: SplitResult, key: str | None, flush_interval: float, timeout: float):
        self.backlog = backlog
        self.address = address
        self._key = key
        self._flush_interval = flush_interval
        self._timeout = timeout
        self._connection: Connection | None = None
        self._reported_lost = 0
        self._reported_at = -REPORT_EVERY

    def fresh(self) -> Sender:
        """The same sender without a connection, for a forked child."""
        return Sender(self.backlog, self.address, self._key, self._flush_interval, self._timeout)

    def run(self) -> None:
        """Send until the backlog is closed and empty."""
        while self.backlog.wait_for_batch(self._flush_interval):
            for batch in self._next_batches():
                self._deliver(batch)
            self.report_losses()
        self._connected().close()
        self.report_losses(final=True)

    def _connected(self) -> Connection:
        if self._connection is None:
            from .connection import Connection

            self._connection = Connection(self.address, self._key, self._timeout)
        return self._connection

    def _next_batches(self) -> list[Batch]:
        """The oldest records that fit into one request, events before labels."""
        lines: dict[str, list[bytes]] = {"/v1/events": [], "/v1/labels": []}
        size = count = 0
        while count < self.backlog.batch and size < MAX_BODY_BYTES and (entry := self.backlog.take()):
            try:
                line = encode(entry.record)
            except Exception as error:  # whatever a value of the service does, the other records must go on
                self.backlog.settle(refused=1, error=f"a record could not be written as JSON: {error!r}")
                continue
            lines[entry.path].append(line)
            size += len(line)
            count += 1
        return [Batch(path, found, new_event_id()) for path, found in lines.items() if found]

    def _deliver(self, batch: Batch) -> None:
        """Send until there is a final answer, or until the client was closed."""
        body = b"".join(batch.lines)
        tries = 0
        while True:
            tries += 1
            problem, wait = self._try(batch, body, tries)
            if problem is None:
                return
            if tries >= TRIES_AT_A_FAILING_SERVER and problem.startswith("HTTP 500"):
                self.backlog.settle(dropped=len(batch.lines), error=f"given up after {tries} tries: {problem}")
                return
            self.backlog.retry(problem)
            self.report_losses()
            if not self._wait(wait if wait is not None else _delay(tries)):
                self.backlog.settle(dropped=len(batch.lines), error=f"closed before it could be sent: {problem}")
                return

    def _try(self, batch: Batch, body: bytes, tries: int) -> tuple[str | None, float | None]:
        """None if the batch is settled; otherwise what went wrong and the wait the server asked for."""
        connection = self._connected()
        try:
            answer = connection.post(batch.path, body, batch.key)
        except Exception as error:  # no network, TLS, name or protocol problem may end this thread
            connection.close()
            return f"no answer from {self.address.geturl()}: {error!r}", None
        if answer.status == 200:
            return self._settle_accepted(batch, answer), None
        problem = f"HTTP {answer.status} from {batch.path}: {_sentence(answer.body)}"
        if answer.status in TRY_AGAIN or answer.status >= 500:
            wait = None if answer.retry_after is None else min(answer.retry_after, LONGEST_RETRY_AFTER)
            return problem, wait
        if answer.status == 413 and len(batch.lines) > 1:
            self._deliver_in_halves(batch)
            return None, None
        self.backlog.answered(len(batch.lines))
        self.backlog.settle(refused=len(batch.lines), error=problem)
        return None, None

    def _settle_accepted(self, batch: Batch, answer: Answer) -> str | None:
        """None once counted; a problem if another web server answered: nothing may count as stored by mistake."""
        try:
            counts = json.loads(answer.body)
            refused = min(max(int(counts["refused"]), 0), len(batch.lines))
            reasons = [refusal["reason"] for refusal in counts.get("refusals", ())]
        except (ValueError, TypeError, LookupError, AttributeError):
            return f"the answer of {self.address.geturl()} is not one of a driftdeck server"
        error = f"the server refused {refused} records: {(reasons or ['no reason given'])[0]}" if refused else None
        self.backlog.answered(len(batch.lines))
        self.backlog.settle(accepted=len(batch.lines) - refused, refused=refused, error=error)
        return None

    def _deliver_in_halves(self, batch: Batch) -> None:
        middle = len(batch.lines) // 2
        for half in (batch.lines[:middle], batch.lines[middle:]):
            self._deliver(Batch(batch.path, half, new_event_id()))

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
        counts = self.backlog.counts()
        lost = counts["dropped"] + counts["refused"]
        if lost == self._reported_lost or (not final and time.monotonic() - self._reported_at < REPORT_EVERY):
            return
        import logging

        logging.getLogger("driftdeck.client").warning(
            "%d records did not reach %s since the last report (in all: %d dropped, %d refused, %d still queued of at "
            "most %d); last error: %s",
            lost - self._reported_lost,
            self.address.geturl(),
            counts["dropped"],
            counts["refused"],
            counts["queued"],
            self.backlog.limit,
            counts["last_error"],
        )
        self._reported_lost, self._reported_at = lost, time.monotonic()


def _delay(tries: int) -> float:
    """Exponential, with jitter so that many clients do not come back together."""
    import random

    return float(min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (tries - 1)) * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret


def _sentence(body: bytes) -> str:
    """The server's own explanation, or the start of what it said instead."""
    try:
        return str(json.loads(body)["error"])[:300]
    except (ValueError, TypeError, LookupError):
        return body[:300].decode(errors="replace")
