"""One channel: its messages sent in order, retried, recorded; it delays no other channel."""

import asyncio
import email.utils
import logging
import random
import threading
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx

from monitor.config.channel import ChannelConfig
from monitor.contracts import Request
from monitor.plugins import channels as channel_types
from monitor.store.alert_store import AlertStore, Message

log = logging.getLogger("driftdeck.notify")

# after the first attempt nine retries over about three days, as Standard Webhooks
# recommends
RETRIES = [
    timedelta(seconds=s)
    for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
]
DEADLINE_S = 30.0  # of one attempt, from the connection to the last header
STOP_CHECK_S = 0.1
MAX_RETRY_AFTER = timedelta(days=1)  # that a receiver may ask for
RETRY_AFTER_STATUSES = (429, 502, 503, 504)
GONE = 410
MAX_ERROR_LENGTH = 120


class Outcome(NamedTuple):
    """The result of an attempt: a status of the outbox, its reason, the wait until the next."""

    status: str
    detail: str
    wait: timedelta | None = None


class Stopped(Exception):
    """The server stops: the attempt does not count, and is made again after the start."""


class ChannelSender:
    """Sends the messages of one channel, one at a time.

    An attempt has one deadline for everything, and only the status and the headers of
    the response are read. A receiver that answers 410 Gone gets nothing more until the
    server starts again (`is_gone`).
    """

    def __init__(
        self,
        channel: ChannelConfig,
        book: AlertStore,
        stopping: threading.Event | None = None,
    ) -> None:
        self.channel = channel
        self.book = book
        self.is_gone = False
        self._stopping = stopping or threading.Event()

    def send_due(self, now: datetime) -> int:
        """Send the messages that are due; return the number of those that were settled.

        A failed attempt is retried on a later call, with the same id.
        """
        settled = 0
        for message in self.book.due(now, self.channel.name):
            try:
                outcome = self._outcome_of(message, now)
            except Stopped:
                break
            self.book.settle(message, outcome.status, outcome.detail, now, outcome.wait)
            settled += 1
        return settled

    def _outcome_of(self, message: Message, now: datetime) -> Outcome:
        if self.is_gone:
            detail = "the receiver answered 410 Gone earlier; correct its address"
            return Outcome("failed", f"{detail}, then start the server again")
        plugin = channel_types()[self.channel.type]
        request = plugin.render(self.channel, message.body, message.id, now)
        try:
            status, retry_after = asyncio.run(self._send(request))
        except TimeoutError:
            detail = f"no response within {DEADLINE_S:g} s"
            return _retry(message, detail, None)
        except httpx.HTTPError as error:
            detail = f"{type(error).__name__}: {str(error)[:MAX_ERROR_LENGTH]}"
            return _retry(message, detail, None)
        if 200 <= status < 300:
            return Outcome("delivered", f"HTTP {status}")
        if status == GONE:
            self.is_gone = True
            name = self.channel.name
            log.error(
                "channel %s: HTTP 410, the receiver is gone; it gets no more", name
            )
            return Outcome("failed", "HTTP 410: the receiver is gone")
        wait = None
        if status in RETRY_AFTER_STATUSES:
            wait = _retry_after(retry_after, now)
        return _retry(message, f"HTTP {status}", wait)

    async def _send(self, request: Request) -> tuple[int, str | None]:
        """Return status and Retry-After. Raises TimeoutError at the deadline, or Stopped."""
        attempt = asyncio.create_task(_exchange(request))
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not attempt.done():
                    if self._stopping.is_set():
                        raise Stopped
                    await asyncio.wait({attempt}, timeout=STOP_CHECK_S)
            return attempt.result()
        finally:
            attempt.cancel()


async def _exchange(request: Request) -> tuple[int, str | None]:
    async with (
        httpx.AsyncClient(
            trust_env=False, timeout=DEADLINE_S, follow_redirects=False
        ) as client,
        client.stream(
            "POST", request.url, content=request.body, headers=request.headers
        ) as response,
    ):
        return response.status_code, response.headers.get("retry-after")


def drop_unconfigured(book: AlertStore, names: list[str], now: datetime) -> None:
    """Settle the messages of channels that are no longer configured as failed."""
    for message in book.due_elsewhere(now, names):
        book.settle(message, "failed", "the channel is no longer configured", now)


def _retry(message: Message, detail: str, requested: timedelta | None) -> Outcome:
    """Return the wait until the next attempt, at least `requested`; failed after the last."""
    attempt = message.tries + 1
    if message.tries >= len(RETRIES):
        return Outcome("failed", f"{detail}; failed after {attempt} attempts")
    spread = random.uniform(1.0, 1.2)  # noqa: S311 (spreads load, no secret)
    wait = RETRIES[message.tries] * spread
    log.warning(
        "channel %s: %s, attempt %d, next in %.0f s",
        message.channel,
        detail,
        attempt,
        wait.total_seconds(),
    )
    return Outcome("waiting", detail, max(wait, requested or timedelta(0)))


def _retry_after(header: str | None, now: datetime) -> timedelta | None:
    """The wait that a Retry-After header asks for; None if there is none."""
    if not header:
        return None
    if header.isdigit():
        return timedelta(seconds=min(int(header), MAX_RETRY_AFTER.total_seconds()))
    try:
        at = email.utils.parsedate_to_datetime(header).astimezone(UTC)
    except ValueError:
        return None
    return min(max(at - now, timedelta(0)), MAX_RETRY_AFTER)
