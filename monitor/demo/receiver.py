"""The demo's webhook receiver, which checks signatures as a team's receiver would."""

import secrets
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

MAX_BODY_BYTES = 1_000_000


class Receiver:
    """Messages received at `url`: verified ones by webhook-id, and the number rejected.

    A repeated message counts once.
    """

    def __init__(self) -> None:
        self.url = ""
        self.secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        self.rejected = 0
        self._messages: dict[str, Any] = {}
        self._webhook = Webhook(self.secret)

    @property
    def messages(self) -> list[Any]:
        """The verified bodies, oldest first."""
        return list(self._messages.values())

    def accept(self, body: bytes, headers: dict[str, str]) -> bool:
        """Store a message; False if its signature is wrong."""
        try:
            message = self._webhook.verify(body, headers)
        except (WebhookVerificationError, ValueError):
            self.rejected += 1
            return False
        identifier = next(
            value for name, value in headers.items() if name.lower() == "webhook-id"
        )
        self._messages.setdefault(identifier, message)
        return True


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Yield a receiver on a free loopback port."""
    receiver = Receiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(receiver))
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="demo-webhook"
    )
    thread.daemon = True
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != "/hook" or length > MAX_BODY_BYTES:
                self.send_error(404 if self.path != "/hook" else 413)
                return
            verified = receiver.accept(
                self.rfile.read(length), dict(self.headers.items())
            )
            self.send_response(204 if verified else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: the demo's console is for the story."""

    return Handler
