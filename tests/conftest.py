"""What the tests of the server share: a deck on an empty directory, its HTTP client, and made-up events."""

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from monitor.api import create_app
from monitor.config import Config
from monitor.deck import Deck
from monitor.session import serving

NOW = datetime.now(UTC).replace(microsecond=0)
NDJSON = "application/x-ndjson"


def event(i: int, **changes: Any) -> dict[str, Any]:
    """One plausible event of model "m"; the same `i` gives the same one."""
    rng = random.Random(i)
    return {
        "event_id": f"e{i}",
        "model": "m",
        "version": "v1",
        "ts": (NOW - timedelta(minutes=i % 5000)).isoformat(),
        "features": {"age": round(rng.gauss(40, 10), 3), "country": rng.choice("abc"), "premium": rng.random() < 0.5},
        "prediction": round(rng.random(), 6),
        "latency_ms": round(rng.lognormvariate(2, 1), 3),
        **changes,
    }


def lines(*events: dict[str, Any]) -> bytes:
    """Events as NDJSON."""
    return b"".join(json.dumps(e).encode() + b"\n" for e in events)


@pytest.fixture
def deck(tmp_path: Path) -> Iterator[Deck]:
    """A deck on an empty directory, without background threads: tests call its steps."""
    deck = Deck(tmp_path / "data", Config())
    deck.start(background=False)
    yield deck
    deck.close()


@dataclass
class Served:
    """A deck behind its real HTTP server."""

    deck: Deck
    client: httpx.Client

    def post(self, path: str, body: bytes, kind: str = NDJSON, **headers: str) -> httpx.Response:
        """POST a body of a Content-Type."""
        return self.client.post(path, content=body, headers={"content-type": kind, **headers})

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The HTTP application over a fresh deck, on a real socket, without background threads."""
    deck = Deck(tmp_path / "data", Config())
    with serving(create_app(deck, background=False)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield Served(deck, client)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; the test is skipped without one, unless DRIFTDECK_REQUIRE_BROWSER is set."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("DRIFTDECK_REQUIRE_BROWSER"):
            pytest.fail("no Chromium found; apt-get install chromium")
        pytest.skip("no Chromium found; apt-get install chromium")
    return path
