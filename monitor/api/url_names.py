"""Names in URL paths: a slash that was sent as %2F belongs to the name."""

from urllib.parse import unquote

from starlette.convertors import Convertor
from starlette.types import ASGIApp, Receive, Scope, Send

# Stands for an encoded slash until the route is matched. Half a surrogate pair is in
# no name.
ENCODED_SLASH = "\ud800"


class NameConvertor(Convertor[str]):
    """`{model:name}` in a route: a name with or without encoded characters."""

    regex = r"[\s\S]*"  # a name may hold a line break

    def convert(self, value: str) -> str:
        """Return the name with its slashes."""
        return value.replace(ENCODED_SLASH, "/")

    def to_string(self, value: str) -> str:
        """Return the name as one segment of a path."""
        return value.replace("/", ENCODED_SLASH)


class EncodedSlashMiddleware:
    """Decodes a path segment by segment, so that encoded slashes do not separate.

    A model may be called `a/columns/b`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its decoded path."""
        raw_path: bytes = scope.get("raw_path") or b""
        if b"%2" in raw_path and scope["type"] == "http":
            segments = [
                unquote(segment).replace("/", ENCODED_SLASH)
                for segment in raw_path.decode("latin-1").split("/")
            ]
            scope = {**scope, "path": "/".join(segments)}
        await self.app(scope, receive, send)
