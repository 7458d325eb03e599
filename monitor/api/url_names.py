"""Names in addresses: a slash that was sent as %2F belongs to the name."""

from urllib.parse import unquote

from starlette.convertors import Convertor
from starlette.types import ASGIApp, Receive, Scope, Send

# stands for such a slash until the route is found: half a surrogate pair is in no name
HELD = "\ud800"


class NameConvertor(Convertor[str]):
    """`{model:name}` in a route: a name, encoded or as it is."""

    regex = r"[\s\S]*"  # a name may hold a line break

    def convert(self, value: str) -> str:
        """The name as it was meant."""
        return value.replace(HELD, "/")

    def to_string(self, value: str) -> str:
        """The name as it stands in a path."""
        return value.replace("/", HELD)


class Naming:
    """Keeps encoded slashes apart from those between the parts of an address: a model may be called `a/columns/b`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its path decoded part by part."""
        sent: bytes = scope.get("raw_path") or b""
        if b"%2" in sent and scope["type"] == "http":
            parts = (
                unquote(part).replace("/", HELD)
                for part in sent.decode("latin-1").split("/")
            )
            scope = {**scope, "path": "/".join(parts)}
        await self.app(scope, receive, send)
