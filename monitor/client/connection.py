"""A kept-alive HTTP connection to one server.

Imported by the sender's thread only: http.client takes 30 ms to load.
"""

import http.client
import ssl
from email.utils import parsedate_to_datetime
from time import time
from typing import NamedTuple
from urllib.parse import SplitResult


class ServerResponse(NamedTuple):
    """Status, body and Retry-After in seconds (None if absent)."""

    status: int
    body: bytes
    retry_after: float | None


class ServerConnection:
    """POST requests to one server; a broken connection is opened again.

    No proxy is used.
    """

    def __init__(self, address: SplitResult, key: str | None, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._headers = {"User-Agent": "driftdeck-client"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._http: http.client.HTTPConnection | None = None

    def post(
        self, path: str, body: bytes, media_type: str, idempotency_key: str
    ) -> ServerResponse:
        """Send one request; return the response.

        Raises OSError or HTTPException if there is no response. The server may have
        closed a connection that was kept open: then the request is sent once more on a
        new one, which the Idempotency-Key makes safe.
        """
        kept_open = self._http is not None
        headers = self._headers | {
            "Content-Type": media_type,
            "Idempotency-Key": idempotency_key,
        }
        try:
            return self._send(path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not kept_open or isinstance(error, TimeoutError):
                raise
        try:
            return self._send(path, body, headers)
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def _send(self, path: str, body: bytes, headers: dict[str, str]) -> ServerResponse:
        if self._http is None:
            self._http = self._open()
        self._http.request("POST", self._address.path.rstrip("/") + path, body, headers)
        response = self._http.getresponse()
        body = response.read()
        retry_after = _parse_retry_after(response.getheader("Retry-After"))
        if response.will_close:
            self.close()
        return ServerResponse(response.status, body, retry_after)

    def _open(self) -> http.client.HTTPConnection:
        host = self._address.hostname or "127.0.0.1"
        if self._address.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                host, self._address.port, timeout=self._timeout, context=context
            )
        return http.client.HTTPConnection(
            host, self._address.port, timeout=self._timeout
        )

    def close(self) -> None:
        """Close the connection; the next post opens a new one."""
        if self._http is not None:
            self._http.close()
            self._http = None


def _parse_retry_after(retry_after: str | None) -> float | None:
    """Parse a number or an HTTP date as seconds from now; None if absent or unreadable."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time())
    except (ValueError, TypeError):
        return None
