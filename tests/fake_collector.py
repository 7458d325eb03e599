"""A real HTTP server that can be told to be up, slow, refusing, or to lose its answers; and a real driftdeck to start later."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest


@dataclass
class Received:
    """One request as it arrived."""

    path: str
    key: str
    authorization: str | None
    records: list[dict[str, Any]]
    at: float


@dataclass
class Collector:
    """What the server got, and what it answers next (`plan`; plain acceptance once the plan is used up)."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    plan: list[Any] = field(default_factory=list)

    def records(self, path: str = "/v1/events") -> list[dict[str, Any]]:
        """The records of one path, each batch once however often it was sent."""
        by_key = {
            request.key: request.records
            for request in self.requests
            if request.path == path
        }
        return [record for records in by_key.values() for record in records]

    def of(self, path: str) -> list[dict[str, Any]]:
        """Every record that came to one path, repeats included, in order."""
        return [
            record
            for request in self.requests
            if request.path == path
            for record in request.records
        ]


def _records(body: bytes, media_type: str) -> list[dict[str, Any]]:
    if media_type == "application/x-ndjson":
        return [json.loads(line) for line in body.splitlines()]
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        return list(reader.read_all().to_pylist())


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            records = _records(body, self.headers["Content-Type"])
            request = Received(
                self.path,
                self.headers["Idempotency-Key"],
                self.headers["Authorization"],
                records,
                time.monotonic(),
            )
            collector.requests.append(request)
            step = collector.plan.pop(0) if collector.plan else {}
            if step == "lose":
                self.close_connection = True
                return
            if callable(step):
                step = step(records)
            time.sleep(step.get("sleep", 0))
            answer = step.get(
                "body", {"accepted": len(records), "refused": 0, "refusals": []}
            )
            raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(step.get("status", 200))
            for name, value in step.get("headers", {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that gave up is part of the test


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    server = _QuietServer(("127.0.0.1", 0), _handler(collector))
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    yield collector
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def unused_url() -> str:
    """An address on which nothing listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def wait(condition: Any, what: str, seconds: float = 60) -> None:
    """Return when the condition holds; a bound for a hanging test, not an expectation."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (httpx.HTTPError, OSError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


@contextmanager
def driftdeck_server(
    folder: Path, url: str, ends_with: int = signal.SIGTERM
) -> Iterator[str]:
    """A real driftdeck server over a data folder, at the address given; the signal ends it."""
    port = url.rsplit(":", 1)[1]
    command = [
        sys.executable,
        "-m",
        "monitor.cli",
        "server",
        "--data",
        str(folder),
        "--port",
        port,
    ]
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait(
                lambda: (
                    httpx.get(f"{url}/readyz", trust_env=False, timeout=60).status_code
                    == 200
                ),
                f"{url} to be ready",
            )
            yield url
        finally:
            process.send_signal(ends_with)
            process.wait(60)


@pytest.fixture
def real_server() -> Any:
    """`with real_server(folder, url):` runs a real driftdeck server there."""
    return driftdeck_server


@pytest.fixture
def wait_for() -> Any:
    """`wait_for(condition, what)`."""
    return wait
