"""Protection from web pages: the names of the server, the origin of writes, response headers."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.api.response import failure_response
from monitor.errors import DriftdeckError, Forbidden, InvalidRequest

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# what a browser of today says of a page that is not the server's own
FOREIGN_SITES = frozenset({"cross-site", "same-site"})
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
}


# the same for responses that are written to the socket
RAW_SECURITY_HEADERS = [
    (name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()
]


class BrowserGuard:
    """Decides whether a request may be the work of a foreign web page.

    A server on the loopback address needs no key, so any page in a browser on the
    machine could use it: under a name of its own that leads to the machine (DNS
    rebinding), or by a form. `bound_to` is the address that the server listens on,
    `allowed_hosts` are further names that it is reached by.
    """

    def __init__(self, bound_to: str, allowed_hosts: Iterable[str] = ()) -> None:
        names = {_name_of(host) for host in allowed_hosts}
        is_loopback = bound_to in LOOPBACK_NAMES
        if is_loopback:
            names |= {*LOOPBACK_NAMES, bound_to}
        # on a public address keys protect, and its names are not known
        self.names = names if is_loopback or names else None

    def knows(self, host: str | None) -> bool:
        """Return True when the Host header of a request names this server."""
        if not host:
            return False
        return self.names is None or _name_of(host) in self.names

    def problem(self, method: str, headers: Headers) -> DriftdeckError | None:
        """Return why a request is refused; None when it is not."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not hosts[0]:
            return InvalidRequest("the request must have exactly one Host header")
        if not self.knows(hosts[0]):
            return Forbidden(
                f"the host {hosts[0][:60]!r} is not this server's; use its address,"
                " or add the name to `allowed_hosts` in the configuration"
            )
        if method in READING_METHODS:
            return None
        origin = headers.get("origin")
        is_foreign = headers.get("sec-fetch-site") in FOREIGN_SITES
        if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
            is_foreign = True
        if is_foreign:
            return Forbidden(
                f"a page of {(origin or 'another site')[:60]!r} may not write here;"
                " send the request from a program"
            )
        return None


class BrowserGuardMiddleware:
    """Refuses requests of foreign pages, and sends headers that keep pages away."""

    def __init__(self, app: ASGIApp, guard: BrowserGuard) -> None:
        self.app = app
        self.guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or respond with 400 or 403."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        problem = self.guard.problem(scope["method"], Headers(scope=scope))
        app = self.app if problem is None else failure_response(problem)
        await app(scope, receive, send_with_headers)


def _name_of(host: str) -> str:
    """Return the name in a Host header, without its port, in lower case."""
    name = host.strip().lower()
    if name.startswith("["):  # IPv6
        return name[1:].partition("]")[0]
    if name.count(":") == 1:
        name = name.partition(":")[0]
    return name.rstrip(".")
