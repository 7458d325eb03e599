"""HTTP session with a running server, or with the data directory when none runs."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from monitor.errors import DriftdeckError, Overloaded, StorageError, Unreachable
from monitor.server.address import announced

if TYPE_CHECKING:
    from fastapi import FastAPI

TIMEOUT = httpx.Timeout(600.0, connect=5.0)
MAX_STOP_S = 60


class Session:
    """Requests to a server; every failure is a DriftdeckError of one sentence."""

    def __init__(self, client: httpx.Client, server: str) -> None:
        self.client = client
        self.server = server

    def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Send one request; return its JSON.

        It has the key "replayed" when the server had received the same request before.
        Raises DriftdeckError with the server's sentence, Unreachable without a server.
        """
        try:
            response = self.client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"no driftdeck server responds at {self.server} ({error});"
                " start one with `driftdeck up`"
            ) from None
        status = response.status_code
        try:
            body = response.json()
        except ValueError:
            question = f"is {self.server} a driftdeck server?"
            body = {"error": f"HTTP {status} without JSON: {question}"}
        if status >= 400:
            raise _error_of(response, body.get("error", f"HTTP {status}"))
        if "idempotency-replayed" in response.headers:
            return {**body, "replayed": True}
        return dict(body)


def _error_of(response: httpx.Response, sentence: str) -> DriftdeckError:
    retry_after = response.headers.get("retry-after", "")
    error = DriftdeckError(sentence)
    if retry_after.isdigit():
        error = Overloaded(sentence, int(retry_after))
    error.status = response.status_code
    return error


@contextmanager
def connect(
    url: str | None, data: Path, config: Path | None, existing: bool = False
) -> Iterator[Session]:
    """Open a session with a server: the one at `url`, else the one that owns `data`.

    Without such a server this process opens `data` itself. With `existing` a directory
    without data is an error; otherwise it is created.
    """
    url = url or announced(data)
    if url:
        with _client(url, os.environ.get("DRIFTDECK_KEY")) as client:
            yield Session(client, url)
        return
    if existing and not (data / "driftdeck.duckdb").exists() and not data.is_file():
        raise StorageError(
            f"there is no data in {data} yet; start `driftdeck up`,"
            " or name another directory with --data"
        )
    from monitor.api import create_app
    from monitor.server.server import open_server

    # the same routes, served to this process only: there is no second way to read or
    # write the data
    server = open_server(data, config)
    # a user who may open the directory may do everything; others on this machine may not
    secret = secrets.token_urlsafe(32)
    app = create_app(server, background=False, key=secret)
    with serving(app) as address, _client(address, secret) as client:
        yield Session(client, str(data))
        server.scheduler.tick()


def _client(url: str, key: str | None) -> httpx.Client:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False)


@contextmanager
def serving(app: "FastAPI") -> Iterator[str]:
    """Serve an application from a thread on a free loopback port; yield its address."""
    import socket
    import threading

    import uvicorn

    from monitor.api.http_protocol import server_options

    listener = socket.create_server(("127.0.0.1", 0))
    options = {**server_options(app), "log_level": "error"}
    server = uvicorn.Server(uvicorn.Config(app, **options))
    thread = threading.Thread(
        target=server.run,
        kwargs={"sockets": [listener]},
        name="driftdeck-local",
        daemon=True,
    )
    thread.start()
    try:
        while not server.started and thread.is_alive():
            thread.join(0.01)
        if not thread.is_alive():
            raise StorageError(
                "the data directory could not be opened; see the log above"
            )
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(MAX_STOP_S)
        listener.close()
