"""What the tests of the server share: a server on an empty directory, its HTTP client."""

import functools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from events import NDJSON
from fake_collector import collector, real_server, unused_url, wait_for
from httpx._transports import default as _default
from hypothesis import settings

from monitor.api import create_app
from monitor.config.config import Config
from monitor.send.session import serving
from monitor.server.server import Server

# every HTTP client reads the certificates of the system, 35 ms: here once for all
_default.create_ssl_context = functools.cache(httpx.create_ssl_context)  # type: ignore[attr-defined]
# the machines are shared: how long an example takes says nothing
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# fixtures of another file
__all__ = ["collector", "real_server", "unused_url", "wait_for"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on an empty directory, without background threads: tests call its steps."""
    server = Server(tmp_path / "data", Config())
    server.start(background=False)
    yield server
    server.close()


@dataclass
class Served:
    """A server behind its real HTTP server."""

    server: Server
    client: httpx.Client

    def post(
        self, path: str, body: bytes, kind: str = NDJSON, **headers: str
    ) -> httpx.Response:
        """POST a body of a Content-Type."""
        return self.client.post(
            path, content=body, headers={"content-type": kind, **headers}
        )

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The HTTP application over a fresh server, on a real socket, without background threads."""
    server = Server(tmp_path / "data", Config())
    with (
        serving(create_app(server, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield Served(server, client)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; the test is skipped without one, unless DRIFTDECK_REQUIRE_BROWSER is set."""
    path = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if path is None:
        if os.environ.get("DRIFTDECK_REQUIRE_BROWSER"):
            pytest.fail("no Chromium found; apt-get install chromium")
        pytest.skip("no Chromium found; apt-get install chromium")
    return path
