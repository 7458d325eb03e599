"""A size limit for the bodies that the framework reads as a whole."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.api.response import failure_response
from monitor.errors import TooLarge

MAX_JSON_BYTES = 1 << 20
# rows in JSON, such as those of the quarantine: as large as a body of events
ROW_ROUTES = frozenset({"/v1/refused", "/v1/quarantine/resend"})
# routes that read their bodies themselves, up to limits of their own
OWN_LIMIT = re.compile(
    r"/v1/(events|labels|cloudevents|models/.+/(reference|importance))"
)


class BodyLimitMiddleware:
    """Refuses a body over its route's limit with 413, while it is being received."""

    def __init__(self, app: ASGIApp, max_row_bytes: int) -> None:
        self.app = app
        self.max_row_bytes = max_row_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; reading its body raises TooLarge at the limit."""
        if scope["type"] != "http" or OWN_LIMIT.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        is_rows = scope["path"] in ROW_ROUTES
        max_bytes = self.max_row_bytes if is_rows else MAX_JSON_BYTES
        problem = TooLarge(
            f"the body has more than {max_bytes / (1 << 20):g} MB; send less at once"
        )
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdigit() and int(length) > max_bytes:
            await failure_response(problem)(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise problem
            return message

        await self.app(scope, receive_counted, send)
