"""A foreign web page gets nowhere: not by a form, not under a name of its own, not in a frame."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Served
from events import NDJSON, event, lines
from starlette.datastructures import Headers

from monitor.api import create_app
from monitor.api.browser_guard import BrowserGuard
from monitor.config.config import Config
from monitor.send.session import serving
from monitor.server.server import Server

CLOUD_EVENT = {
    "specversion": "1.0",
    "type": "a.inference.request",
    "source": "x",
    "id": "1",
    "inferenceservicename": "m",
    "data": {"instances": [[1.0]]},
}


@pytest.mark.parametrize(
    ("bound_to", "allowed", "host", "is_known"),
    [
        ("127.0.0.1", (), "127.0.0.1:8700", True),
        ("127.0.0.1", (), "LOCALHOST:8700", True),
        ("127.0.0.1", (), "localhost.", True),
        ("::1", (), "[::1]:8700", True),
        ("127.0.0.1", (), "rebind.example:8700", False),
        ("127.0.0.1", (), "localhost.evil.example", False),
        ("127.0.0.1", (), "127.0.0.1.evil.example", False),
        ("127.0.0.1", (), "", False),
        ("127.0.0.1", ("watch.example",), "watch.example", True),
        ("127.0.0.1", ("watch.example",), "localhost", True),
        ("0.0.0.0", (), "anything.example", True),
        ("0.0.0.0", ("watch.example",), "watch.example:80", True),
        ("0.0.0.0", ("watch.example",), "other.example", False),
    ],
)
def test_names_of_the_server(
    bound_to: str, allowed: tuple[str, ...], host: str, is_known: bool
) -> None:
    assert BrowserGuard(bound_to, allowed).knows(host) is is_known


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ({}, False),
        ({"origin": "http://localhost:1"}, False),
        ({"origin": "http://localhost:2"}, True),
        ({"origin": "http://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
    ],
)
def test_writes_of_other_origins_are_refused(
    headers: dict[str, str], is_refused: bool
) -> None:
    guard = BrowserGuard("127.0.0.1")
    request = Headers({"host": "localhost:1", **headers})
    for method in ("POST", "PUT", "DELETE"):
        assert (guard.problem(method, request) is not None) is is_refused
    assert guard.problem("GET", request) is None


def test_a_request_under_a_foreign_name_reads_and_writes_nothing(
    served: Served,
) -> None:
    headers = {"host": "rebind.example", "content-type": NDJSON}
    for method, path in (
        ("GET", "/v1/models"),
        ("GET", "/docs"),
        ("GET", "/healthz"),
        ("POST", "/v1/events"),
        ("POST", "/v1/labels"),
        ("POST", "/v1/keys"),
        ("POST", "/v1/erase"),
    ):
        answer = served.client.request(
            method, path, content=lines(event(0)), headers=headers
        )
        assert answer.status_code == 403, (method, path)
        assert "allowed_hosts" in answer.json()["error"]
    assert served.server.collector.pending.rows() == 0


def test_names_of_the_configuration_are_known(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", Config(allowed_hosts=("watch.example",)))
    with serving(create_app(server, background=False)) as url:
        for host, status in (("watch.example", 200), ("other.example", 403)):
            answer = httpx.get(f"{url}/healthz", headers={"host": host})
            assert answer.status_code == status


@pytest.mark.parametrize("kind", ["text/plain", "application/json", ""])
def test_a_structured_cloudevent_needs_its_own_type(served: Served, kind: str) -> None:
    body = json.dumps(CLOUD_EVENT).encode()
    answer = served.post("/v1/cloudevents", body, kind)
    assert answer.status_code == 415
    assert "application/cloudevents+json" in answer.json()["error"]
    answer = served.post("/v1/cloudevents", body, "application/cloudevents+json")
    assert answer.json()["accepted"] == 1


def test_responses_keep_pages_and_caches_away(served: Served) -> None:
    answers = [
        served.client.get("/v1/models"),
        served.client.get("/v1/nothing"),
        served.client.get("/docs"),
        served.post("/v1/events", b"<script>", "text/plain"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    fast = served.post("/v1/events", lines(event(0)))
    assert fast.headers["x-content-type-options"] == "nosniff"
    assert fast.headers["cache-control"] == "no-store"


def test_the_docs_page_names_every_route_and_no_other_host(served: Served) -> None:
    page = served.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    paths = served.get("/openapi.json")["paths"]
    for path in paths:
        assert path in page.text
    assert "<script" not in page.text
    assert "http://" not in page.text.replace("http://127.0.0.1", "")


class Page(BaseHTTPRequestHandler):
    """A hostile page that uses everything a browser lets it send to another site."""

    target = ""

    def do_GET(self) -> None:
        """Send the page."""
        event_text = json.dumps(json.dumps(CLOUD_EVENT))
        script = f"""
        const sent = [];
        const send = (path, options) => fetch("{self.target}" + path, options)
          .then(r => r.text().then(t => sent.push([path, r.type, r.status, t.length])))
          .catch(e => sent.push([path, "failed"]));
        Promise.all([
          send("/v1/cloudevents", {{method: "POST", mode: "no-cors",
            headers: {{"content-type": "text/plain"}}, body: {event_text}}}),
          send("/v1/rebuild", {{method: "POST", mode: "no-cors"}}),
          send("/v1/flush", {{method: "POST", mode: "no-cors"}}),
          send("/v1/models", {{}}),
        ]).then(() => document.body.textContent = JSON.stringify(sent));
        """
        body = f"<body>waiting<script>{script}</script></body>".encode()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""


@pytest.fixture
def page(served: Served) -> Iterator[str]:
    """The address of a hostile page about a server."""
    handler = type("Page", (Page,), {"target": str(served.client.base_url).rstrip("/")})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://evil.example:{httpd.server_address[1]}/"
        httpd.shutdown()


@pytest.mark.slow
def test_a_real_browser_on_a_hostile_page_changes_nothing(
    served: Served, page: str, chromium: str, tmp_path: Path
) -> None:
    assert shutil.which(chromium)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-sync"]
    flags += ["--disable-background-networking", "--no-first-run", "--disable-quic"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000"]
    flags += ["--host-resolver-rules=MAP evil.example 127.0.0.1", "--dump-dom"]
    done = subprocess.run(
        [chromium, *flags, page], capture_output=True, text=True, timeout=240
    )
    assert "/v1/cloudevents" in done.stdout, done.stderr[-2000:]
    assert "200" not in done.stdout
    assert served.server.pairs.unpaired_count() == 0
    assert served.server.collector.pending.rows() == 0
