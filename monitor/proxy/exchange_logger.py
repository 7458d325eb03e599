"""Copies of proxied requests and responses, and the predictions logged from them."""

import asyncio
import logging
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from monitor.client import Client, new_event_id
from monitor.contracts import FieldChoice, NotUnderstood, Row, ServingProtocol, Target

log = logging.getLogger("driftdeck.proxy")

# a longer body is not copied; its exchange is forwarded and counted
MAX_COPY_BYTES = 4 << 20
# of one exchange, read on the event loop; more would delay other requests
MAX_INLINE_BYTES = 32 << 10
# large exchanges that wait for the reader; further ones are counted
MAX_WAITING_EXCHANGES = 200
REPORT_INTERVAL_S = 60.0
MAX_ENCODING_CHARACTERS = 40  # of a Content-Encoding in a reason


class BodyCopy:
    """A copy of a passing body of at most MAX_COPY_BYTES; a longer one is not copied."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        """Append a part; drop the whole copy once it is above the limit."""
        self.size += len(part)
        if self.size <= MAX_COPY_BYTES:
            self._parts.append(part)
        else:
            self._parts.clear()

    def decode(self, encoding: str) -> bytes:
        """Return the body, decompressed.

        Raises NotUnderstood when it is too long or its Content-Encoding is not gzip.
        """
        limit = f"{MAX_COPY_BYTES >> 20} MB"
        if self.size > MAX_COPY_BYTES:
            raise NotUnderstood(f"the body has more than {limit}")
        body = b"".join(self._parts)
        if encoding in ("", "identity"):
            return body
        if encoding != "gzip":
            name = encoding[:MAX_ENCODING_CHARACTERS]
            raise NotUnderstood(f"Content-Encoding {name!r} is not supported")
        decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            decompressed = decompressor.decompress(body, MAX_COPY_BYTES)
        except zlib.error:
            raise NotUnderstood(
                "the body is not gzip, although its Content-Encoding is"
            ) from None
        if decompressor.unconsumed_tail:
            raise NotUnderstood(f"the decompressed body has more than {limit}")
        return decompressed


class ProxiedExchange:
    """One request for a prediction and its response."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.event_id = new_event_id()
        self.request = BodyCopy()
        self.response = BodyCopy()
        self.ts = time.time()
        self._start = time.perf_counter()
        self.latency_ms = 0.0
        self.status = 200
        self.error = ""

    def end(self, status: int) -> None:
        """Set status and latency: the last byte of the response has arrived."""
        self.status = status
        self.latency_ms = round((time.perf_counter() - self._start) * 1e3, 3)

    def fail(self, status: int, error: str) -> None:
        """Set status and error: the response is missing or not whole."""
        self.end(status)
        self.error = error


class ExchangeLogger:
    """Reads exchanges in a model server's protocol and logs their predictions.

    `counts` counts the outcome of every exchange.
    """

    def __init__(
        self,
        protocol: ServingProtocol,
        client: Client,
        model: str | None,
        fields: FieldChoice,
    ) -> None:
        self.protocol = protocol
        self.client = client
        self.model = model
        self.fields = fields
        self.counts: Counter[str] = Counter()
        self.last_reason = ""
        self._reader = ThreadPoolExecutor(1, "driftdeck-proxy-reader")
        self._waiting = 0
        self._reported_at = 0.0

    def start_exchange(self, method: str, path: str) -> ProxiedExchange | None:
        """Start to watch a request; None if it is not one for a prediction."""
        self.counts["requests"] += 1
        if method not in ("POST", "PUT"):
            return None
        target = self.protocol.target(path)
        return None if target is None else ProxiedExchange(target)

    def log(
        self,
        exchange: ProxiedExchange,
        request_headers: Mapping[str, str],
        response_headers: Mapping[str, str],
    ) -> None:
        """Read and log an exchange, now if it is small, else in the reader's thread."""
        encodings = (
            request_headers.get("Content-Encoding", ""),
            response_headers.get("Content-Encoding", ""),
        )
        size = exchange.request.size + exchange.response.size
        if size <= MAX_INLINE_BYTES and encodings == ("", ""):
            self._log(exchange, encodings)
        elif self._waiting >= MAX_WAITING_EXCHANGES:
            self._count_not_understood("too many large bodies wait to be read")
        else:
            self._waiting += 1
            future = asyncio.get_running_loop().run_in_executor(
                self._reader, self._log, exchange, encodings
            )
            future.add_done_callback(lambda _: self._end_waiting())
        self.report()

    def _end_waiting(self) -> None:
        self._waiting -= 1

    async def close(self) -> None:
        """Log the exchanges that wait, and report the counts."""
        await asyncio.to_thread(self._reader.shutdown)
        self.report(final=True)

    def _log(self, exchange: ProxiedExchange, encodings: tuple[str, str]) -> None:
        try:
            rows = self._read(exchange, encodings)
        except NotUnderstood as reason:
            self._count_not_understood(str(reason))
            if exchange.status < 500:
                return
            rows = []
        # a body of an unforeseen shape must not cost the service its response
        except Exception as error:
            self._count_not_understood(f"unexpected: {type(error).__name__}: {error}")
            return
        event_id = exchange.event_id
        if not rows:
            self._log_row(exchange, event_id, {}, None)
        for i, row in enumerate(rows):
            row_id = event_id if i == 0 else f"{event_id}-{i}"
            self._log_row(exchange, row_id, row.features, row.prediction)

    def _read(self, exchange: ProxiedExchange, encodings: tuple[str, str]) -> list[Row]:
        request_encoding, response_encoding = encodings
        request = exchange.request.decode(request_encoding)
        response = None
        if exchange.status < 400:
            response = exchange.response.decode(response_encoding)
        return self.protocol.read(request, response, self.fields)

    def _log_row(
        self,
        exchange: ProxiedExchange,
        event_id: str,
        features: Mapping[str, object],
        prediction: object,
    ) -> None:
        self.counts["logged"] += 1
        self.client.log(
            features,
            prediction,
            model=self.model or exchange.target.model,
            version=exchange.target.version or None,
            event_id=event_id,
            ts=exchange.ts,
            latency_ms=exchange.latency_ms,
            status=exchange.status,
            error=exchange.error or None,
        )

    def _count_not_understood(self, reason: str) -> None:
        self.counts["not_understood"] += 1
        self.last_reason = reason

    def report(self, final: bool = False) -> None:
        """Write the counts to the log: at the end, and once a minute when some failed."""
        now = time.monotonic()
        due = now - self._reported_at > REPORT_INTERVAL_S
        if not final and not (due and self.counts["not_understood"]):
            return
        self._reported_at = now
        newest = f" (the newest: {self.last_reason})" if self.last_reason else ""
        log.info(
            "%d requests, %d rows logged, %d exchanges not understood%s,"
            " %d times no response from the model server",
            self.counts["requests"],
            self.counts["logged"],
            self.counts["not_understood"],
            newest,
            self.counts["upstream_failed"],
        )
