"""Fast path: the same responses as the routes, in the order of the requests."""

import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from events import NDJSON, event, lines
from fake_collector import wait

from monitor.api import create_app
from monitor.api.fast_path import MAX_INLINE_LABEL_BYTES, FastPath
from monitor.api.request_body import _small_bodies
from monitor.config.config import Config
from monitor.config.limits import Limits
from monitor.send.session import serving
from monitor.server.server import Server

HEAD = b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"


@pytest.fixture
def fast_bodies(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the bodies that the fast path handled."""
    bodies: list[bytes] = []
    ingest = FastPath.ingest

    def recorded(fast_path: FastPath, request: Any, body: bytes) -> Any:
        bodies.append(body)
        return ingest(fast_path, request, body)

    monkeypatch.setattr(FastPath, "ingest", recorded)
    return bodies


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[tuple[str, Server]]:
    """A server that requires a key, with a limit on rows."""
    server = Server(tmp_path, Config(limits=Limits(max_rows=3)))
    with serving(create_app(server, background=False, key="boot")) as url:
        yield url, server


def answers(raw: socket.socket, n: int) -> list[tuple[int, bytes]]:
    """Return (status, body) of the next `n` responses on a connection."""
    result = []
    with raw.makefile("rb") as file:
        for _ in range(n):
            status = int(file.readline().split()[1])
            length = 0
            while (line := file.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            result.append((status, file.read(length)))
    return result


@pytest.mark.parametrize("path", ["/v1/events", "/v1/labels"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (lines(event(0)), {}),
        (lines(event(0), {"model": "m"}), {}),
        (lines(event(0), event(1), event(2), event(3)), {}),  # more rows than allowed
        (b"", {}),
        (b"\x00{", {}),
        (lines(event(0)), {"authorization": "Bearer wrong"}),
        (lines(event(0)), {"authorization": ""}),
        (lines(event(0)), {"content-type": "application/json"}),
    ],
)
def test_the_fast_path_responds_as_the_route_does(
    keyed: tuple[str, Server],
    fast_bodies: list[bytes],
    path: str,
    body: bytes,
    headers: dict[str, str],
) -> None:
    url, _ = keyed
    headers = {"content-type": NDJSON, "authorization": "Bearer boot", **headers}
    responses = []
    with httpx.Client(
        base_url=url, trust_env=False, headers=headers, timeout=60
    ) as client:
        for address in (f"{path}?max_age=400", path):
            answer = client.post(address, content=body)
            stored_headers = {k: v for k, v in answer.headers.items() if k != "date"}
            responses.append((answer.status_code, stored_headers, answer.json()))
    assert responses[0] == responses[1]
    assert fast_bodies == [body]  # the fast path handled one of the two


def test_other_requests_go_to_the_routes(
    keyed: tuple[str, Server], fast_bodies: list[bytes]
) -> None:
    url, server = keyed
    key = {"authorization": "Bearer boot"}
    with httpx.Client(
        base_url=url,
        trust_env=False,
        headers={"content-type": NDJSON, **key},
        timeout=60,
    ) as client:
        for content, more in (
            (lines(event(1)), {"accept": "application/vnd.apache.arrow.stream"}),
            (lines(event(2)), {"content-encoding": "identity"}),
            (iter([lines(event(3))]), {}),  # chunked
            (lines(event(4)), {"idempotency-key": "k" * 201}),
        ):
            client.post("/v1/events", content=content, headers=more)
        labels = lines(
            {
                "event_id": "e1",
                "model": "m",
                "label": 1,
                "ts": event(1)["ts"],
                "note": "x" * MAX_INLINE_LABEL_BYTES,
            }
        )
        assert client.post("/v1/labels", content=labels).status_code == 200
        assert fast_bodies == []
    server.scheduler.load_all()
    assert server.store.ledger.totals()["stored"] == 3


def test_a_repeated_key_repeats_the_response_and_adds_nothing(
    keyed: tuple[str, Server], fast_bodies: list[bytes]
) -> None:
    url, server = keyed
    headers = {
        "content-type": NDJSON,
        "authorization": "Bearer boot",
        "idempotency-key": "k",
    }
    with httpx.Client(
        base_url=url, trust_env=False, headers=headers, timeout=60
    ) as client:
        first, again = (
            client.post("/v1/events", content=lines(event(0))) for _ in range(2)
        )
        assert client.post("/v1/events", content=lines(event(1))).status_code == 409
    assert first.json() == again.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(fast_bodies) == 3
    server.scheduler.load_all()
    assert server.store.ledger.totals()["received"] == 1


def test_a_thousand_pipelined_requests_are_answered_in_order(
    keyed: tuple[str, Server], fast_bodies: list[bytes]
) -> None:
    url, server = keyed
    good = b"authorization: Bearer boot\r\n"
    requests, expected = [], []
    for i in range(1000):
        body = lines(event(i))
        bad = i % 3 > 0  # two in a row, so that immediate responses follow each other
        requests.append(
            HEAD
            + (b"" if bad else good)
            + b"content-length: %d\r\n\r\n" % len(body)
            + body
        )
        expected.append(401 if bad else 200)
    host, _, port = url.removeprefix("http://").partition(":")
    with closing(socket.create_connection((host, int(port)), timeout=60)) as raw:
        raw.sendall(b"".join(requests))
        assert [status for status, _ in answers(raw, len(requests))] == expected
    server.scheduler.load_all()
    assert server.store.ledger.totals()["stored"] == expected.count(200)


def test_a_body_in_pieces_and_a_closing_connection(
    keyed: tuple[str, Server], fast_bodies: list[bytes]
) -> None:
    url, _ = keyed
    host, _, port = url.removeprefix("http://").partition(":")
    body = lines(event(0), event(1))
    request = (
        HEAD
        + b"authorization: Bearer boot\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        % len(body)
        + body
    )
    with closing(socket.create_connection((host, int(port)), timeout=60)) as raw:
        for at in range(0, len(request), 50):
            raw.sendall(request[at : at + 50])
        assert answers(raw, 1) == [(200, b'{"accepted":2,"refused":0,"refusals":[]}')]
        assert raw.recv(10) == b""  # closed
    assert fast_bodies == [body]


def test_a_failing_disk_is_503_and_leaves_nothing_pending(
    keyed: tuple[str, Server], fast_bodies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, server = keyed

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    headers = {"content-type": NDJSON, "authorization": "Bearer boot"}
    with httpx.Client(
        base_url=url, trust_env=False, headers=headers, timeout=60
    ) as client:
        refused = client.post("/v1/events", content=lines(event(0)))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert "free disk space" in refused.json()["error"]
        monkeypatch.undo()
        assert server.collector.pending.rows() == 0
        assert client.post("/v1/events", content=lines(event(0))).status_code == 200


def test_a_client_that_disconnects_early_disturbs_no_other(
    keyed: tuple[str, Server],
) -> None:
    url, server = keyed
    host, _, port = url.removeprefix("http://").partition(":")
    body = lines(event(0))
    for _ in range(20):
        with closing(socket.create_connection((host, int(port)), timeout=60)) as raw:
            raw.sendall(
                HEAD
                + b"authorization: Bearer boot\r\ncontent-length: %d\r\n\r\n"
                % len(body)
                + body
            )
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    headers = {"content-type": NDJSON, "authorization": "Bearer boot"}
    connection.request("POST", "/v1/events", lines(event(1)), headers)
    assert connection.getresponse().status == 200
    connection.close()
    server.scheduler.load_all()
    assert server.store.ledger.totals()["stored"] == 2


def test_a_long_body_in_pieces_is_accepted_and_its_memory_released(
    keyed: tuple[str, Server], fast_bodies: list[bytes]
) -> None:
    url, _ = keyed
    host, _, port = url.removeprefix("http://").partition(":")
    body = lines(event(0, tags={"note": "x" * (500 << 10)}))
    head = HEAD + b"authorization: Bearer boot\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    with closing(socket.create_connection((host, int(port)), timeout=60)) as raw:
        raw.sendall(head + body)
        assert answers(raw, 1)[0][0] == 200
        assert fast_bodies == [body]
        raw.sendall(head + body[: 200 << 10])
        wait(
            lambda: _small_bodies.bytes == len(body),
            "memory is reserved while the body arrives",
        )
    wait(lambda: _small_bodies.bytes == 0, "memory is released after the disconnect")


def test_without_memory_for_a_body_the_routes_report_it(
    keyed: tuple[str, Server], fast_bodies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, server = keyed
    monkeypatch.setattr(_small_bodies, "bytes", 64 << 20)
    headers = {"content-type": NDJSON, "authorization": "Bearer boot"}
    with httpx.Client(
        base_url=url, trust_env=False, headers=headers, timeout=60
    ) as client:
        assert client.post("/v1/events", content=lines(event(0))).status_code == 429
        monkeypatch.undo()
        server.spool.capacity = 10
        assert client.post("/v1/events", content=lines(event(0))).status_code == 503
    assert fast_bodies == []
