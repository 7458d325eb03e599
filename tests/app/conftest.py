"""A dashboard without a network: a seeded world responds to the reader."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from app import reader, text
from monitor.queries.known_statistics import statistic_rows
from tests.app.fake_server import World

# the dashboard asks the server for it; tests of its words have no server
text.use_statistics(statistic_rows())
MAIN = Path(__file__).parents[2] / "app" / "main.py"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def transport_of(world: World) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        status, content = world.answer(
            request.method, request.url.raw_path.decode(), body
        )
        return httpx.Response(status, json=content)

    return httpx.MockTransport(answer)


def _silent(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


SILENT = httpx.MockTransport(_silent)


@pytest.fixture(autouse=True)
def _fresh_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("DRIFTDECK_URL", raising=False)
    monkeypatch.delenv("DRIFTDECK_KEY", raising=False)
    monkeypatch.setattr(reader, "transport", SILENT)
    reader.forget()
    text.use_statistics(statistic_rows())
    yield
    reader.forget()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A server with open alerts that responds."""
    server = World(datetime.now(UTC))
    monkeypatch.setattr(reader, "transport", transport_of(server))
    return server


@pytest.fixture
def open_page() -> Callable[..., AppTest]:
    """Run the dashboard at this page with these URL parameters."""

    def run(page: str = "overview", **url: str) -> AppTest:
        app = AppTest.from_file(str(MAIN), default_timeout=30)
        for name, value in url.items():
            app.query_params[name] = value
        app.run()
        return app if page == "overview" else app.switch_page(f"views/{page}.py").run()

    return run
