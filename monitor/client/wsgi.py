"""WSGI middleware (Flask, Django, Bottle, ...): logs each prediction with its real latency and status.

app.wsgi_app = DriftdeckMiddleware(app.wsgi_app, client)        # Flask
application = DriftdeckMiddleware(application, client)           # any WSGI application
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .client import Client
from .exchange import (
    EVENT_ID_HEADER,
    MAX_BODY_BYTES,
    Exchange,
    ExchangeOptions,
    Extract,
    extract_prediction,
)

StartResponse = Callable[..., Callable[[bytes], Any]]
WSGIApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class DriftdeckMiddleware:
    """Passes everything through, adds the header X-Driftdeck-Event-Id, logs the prediction that `extract` finds.

    The same promises as the ASGI one: see `monitor.client.asgi.DriftdeckMiddleware`.
    """

    def __init__(
        self,
        app: WSGIApp,
        client: Client,
        extract: Extract = extract_prediction,
        *,
        paths: Sequence[str] = ("/predict",),
        model: str | None = None,
        version: str | None = None,
        max_body: int = MAX_BODY_BYTES,
    ) -> None:
        self.app = app
        self._watch = ExchangeOptions(client, extract, paths, model, version, max_body)

    def __call__(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if not self._watch.wants(environ["REQUEST_METHOD"], path):
            return self.app(environ, start_response)
        exchange = Exchange(self._watch)
        watched = {
            **environ,
            "wsgi.input": _CopiedInput(environ["wsgi.input"], exchange),
        }
        try:
            body = self.app(watched, _measuring(start_response, exchange))
        except Exception as error:
            exchange.fail(error)
            raise
        return _WatchedBody(body, exchange)


def _measuring(start_response: StartResponse, exchange: Exchange) -> StartResponse:
    def start_and_measure(
        status: str, headers: list[tuple[str, str]], *exc_info: Any
    ) -> Callable[[bytes], Any]:
        exchange.status = int(status.split(" ", 1)[0])
        write = start_response(
            status, [*headers, (EVENT_ID_HEADER, exchange.event_id)], *exc_info
        )

        def write_and_copy(part: bytes) -> None:
            exchange.response.add(part)
            write(part)

        return write_and_copy

    return start_and_measure


class _CopiedInput:
    """The request body as the application reads it, copied on the way."""

    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._copy = exchange.request

    def read(self, *size: int) -> bytes:
        return self._copied(self._stream.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._copied(self._stream.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._copied(line) for line in self._stream.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        return map(self._copied, self._stream)

    def _copied(self, part: bytes) -> bytes:
        self._copy.add(part)
        return part


class _WatchedBody:
    """The response body, part by part as the application gives it; the exchange ends with the last part."""

    def __init__(self, body: Iterable[bytes], exchange: Exchange) -> None:
        self._body = body
        self._parts = iter(body)
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            part = next(self._parts)
        except StopIteration:
            self._exchange.finish()
            raise
        except Exception as error:
            self._exchange.fail(error)
            raise
        self._exchange.response.add(part)
        return part

    def close(self) -> None:
        """Called by the server when the answer is done, also when the caller left early."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._exchange.finish()
