"""WSGI middleware (Flask, Django, Bottle, ...) that logs each prediction.

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


class DriftdeckWSGIMiddleware:
    """Log the prediction of every request to a watched path; pass everything through.

    Options and behaviour are those of `monitor.client.asgi.DriftdeckASGIMiddleware`.
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
        self._options = ExchangeOptions(
            client, extract, paths, model, version, max_body
        )

    def __call__(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if not self._options.match(environ["REQUEST_METHOD"], path):
            return self.app(environ, start_response)
        exchange = Exchange(self._options)
        request_body = _CopiedInput(environ["wsgi.input"], exchange)
        environ = {**environ, "wsgi.input": request_body}
        try:
            body = self.app(environ, _measure_response(start_response, exchange))
        except Exception as error:
            exchange.fail(error)
            raise
        return _WatchedBody(body, exchange)


# the short name in guides and in services of today
DriftdeckMiddleware = DriftdeckWSGIMiddleware


def _measure_response(
    start_response: StartResponse, exchange: Exchange
) -> StartResponse:
    def start_and_measure(
        status: str, headers: list[tuple[str, str]], *exc_info: Any
    ) -> Callable[[bytes], Any]:
        exchange.status = int(status.split(" ", 1)[0])
        headers = [*headers, (EVENT_ID_HEADER, exchange.event_id)]
        write = start_response(status, headers, *exc_info)

        def write_and_copy(part: bytes) -> None:
            exchange.response.add(part)
            write(part)

        return write_and_copy

    return start_and_measure


class _CopiedInput:
    """A request body that is copied while the application reads it."""

    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._body = exchange.request

    def read(self, *size: int) -> bytes:
        return self._copy(self._stream.read(*size))

    def readline(self, *size: int) -> bytes:
        return self._copy(self._stream.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        return [self._copy(line) for line in self._stream.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        return map(self._copy, self._stream)

    def _copy(self, part: bytes) -> bytes:
        self._body.add(part)
        return part


class _WatchedBody:
    """A response body, passed on part by part; the exchange ends with its last part."""

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
        """End the exchange.

        The server calls this after the response, also when the caller left early.
        """
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._exchange.finish()
