"""How a verb reaches the data: a running server's address, or the data directory itself when no server holds it."""

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


class Session:
    """Requests to a server; every failure is a DriftdeckError of one sentence."""

    def __init__(self, client: httpx.Client, where: str) -> None:
        self.client, self.where = client, where

    def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON answer, with "replayed" when the server had it all before.

        Raises DriftdeckError with its sentence.
        """
        try:
            response = self.client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"no driftdeck server answers at {self.where} ({error}); start one with `driftdeck up`"
            ) from None
        try:
            body = response.json()
        except ValueError:
            body = {
                "error": f"HTTP {response.status_code} without JSON: is {self.where} a driftdeck server?"
            }
        if response.status_code >= 400:
            sentence = body.get("error", f"HTTP {response.status_code}")
            later = response.headers.get("retry-after", "")
            failed = (
                Overloaded(sentence, int(later))
                if later.isdigit()
                else DriftdeckError(sentence)
            )
            failed.status = response.status_code
            raise failed
        return (
            {**body, "replayed": True}
            if "idempotency-replayed" in response.headers
            else dict(body)
        )


@contextmanager
def connect(
    url: str | None, data: Path, config: Path | None, existing: bool = False
) -> Iterator[Session]:
    """A session with the server at `url`, else with the one that owns `data`, else with `data` opened by this process.

    With `existing` a directory without data is an error; otherwise it is made.
    """
    url = url or announced(data)
    if url:
        key = os.environ.get("DRIFTDECK_KEY")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(
            base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False
        ) as client:
            yield Session(client, url)
        return
    if existing and not (data / "driftdeck.duckdb").exists() and not data.is_file():
        raise StorageError(
            f"there is no data in {data} yet; start `driftdeck up`, or name another directory with --data"
        )
    from monitor.api import create_app
    from monitor.server.server import open_server

    # the same routes, served to this process alone: no second way to read or write the
    # data
    server = open_server(data, config)
    # who may open the directory may do everything; others on this machine may not
    secret = secrets.token_urlsafe(32)
    with (
        serving(create_app(server, background=False, key=secret)) as address,
        httpx.Client(
            base_url=address,
            headers={"authorization": f"Bearer {secret}"},
            timeout=TIMEOUT,
            trust_env=False,
        ) as local,
    ):
        yield Session(local, str(data))
        server.scheduler.tick()


@contextmanager
def serving(app: "FastAPI") -> Iterator[str]:
    """Serve an application on a free loopback port from a thread of this process; its address."""
    import socket
    import threading

    import uvicorn

    from monitor.api.http_protocol import server_options

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, **{**server_options(app), "log_level": "error"})
    )
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
        thread.join(60)
        listener.close()
