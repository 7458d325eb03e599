"""ASGI middleware (FastAPI, Starlette, Litestar, ...) that logs each prediction.

app.add_middleware(DriftdeckMiddleware, client=client)          # FastAPI, Starlette
app = DriftdeckMiddleware(app, client)                          # any ASGI application
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
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

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

# nginx's status for a caller who left before the response
_CLIENT_CLOSED_REQUEST = 499


class DriftdeckASGIMiddleware:
    """Log the prediction of every request to a watched path; pass everything through.

    The response gets one more header, X-Driftdeck-Event-Id.

    `extract(request_json, response_json)` returns features and prediction (and tags),
    or None for "no prediction". It gets None for a body above `max_body` bytes, for a
    compressed one and for one that is not JSON: put this middleware inside one that
    compresses. Latency is from the request's arrival to the last byte of the response.
    An exception is logged as status 500 and raised again.
    """

    def __init__(
        self,
        app: ASGIApp,
        client: Client,
        extract: Extract = extract_prediction,
        *,
        paths: Sequence[str] = ("/predict",),
        model: str | None = None,
        version: str | None = None,
        max_body: int = MAX_BODY_BYTES,
    ) -> None:
        self.app = app
        self._client = client
        self._options = ExchangeOptions(
            client, extract, paths, model, version, max_body
        )

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if not self._watches(scope):
            await self.app(scope, receive, send)
            return
        exchange = Exchange(self._options)
        copying_receive = _copy_request(receive, exchange)
        measuring_send = _measure_response(send, exchange)
        try:
            await self.app(scope, copying_receive, measuring_send)
        except asyncio.CancelledError as error:
            exchange.fail(error, _CLIENT_CLOSED_REQUEST)
            raise
        except Exception as error:
            exchange.fail(error)
            raise
        exchange.finish()

    def _watches(self, scope: MutableMapping[str, Any]) -> bool:
        return scope["type"] == "http" and self._options.match(
            scope["method"], scope["path"]
        )

    async def _lifespan(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Flush before the end of the shutdown is reported.

        uvicorn ends by SIGTERM right after that message, without atexit.
        """

        async def flush_and_send(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown"):
                await asyncio.to_thread(self._client.flush)
            await send(message)

        await self.app(scope, receive, flush_and_send)


# the short name in guides and in services of today
DriftdeckMiddleware = DriftdeckASGIMiddleware


def _copy_request(receive: Receive, exchange: Exchange) -> Receive:
    async def receive_and_copy() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            exchange.request.add(message.get("body", b""))
        return message

    return receive_and_copy


def _measure_response(send: Send, exchange: Exchange) -> Send:
    header = (EVENT_ID_HEADER.lower().encode(), exchange.event_id.encode())

    async def send_and_measure(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await send(message)
        if message["type"] == "http.response.body":
            exchange.response.add(message.get("body", b""))
            if not message.get("more_body", False):
                # not when the application returns: background tasks are not latency
                exchange.end_response()

    return send_and_measure
