"""Deadlines and limits of connections, against a real server with raw sockets."""

import select
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from events import NDJSON, event, lines
from server_process import start_server

Address = tuple[str, int]
POST = b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
QUICK = "[limits]\nheader_seconds = 2\nbody_seconds = 2\nkeep_alive_seconds = 1\nmax_connections = 540\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """A server with short deadlines."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "driftdeck.toml").write_text(QUICK)
    log = (folder / "log").open("wb")
    process, url = start_server(
        folder / "data", "--config", str(folder / "driftdeck.toml"), log=log
    )
    try:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)
    finally:
        process.terminate()
        process.wait()
        log.close()
    assert "Traceback" not in (folder / "log").read_text()


def connect(address: Address) -> socket.socket:
    return socket.create_connection(address, timeout=30)


def read_all(raw: socket.socket) -> bytes:
    """Return everything that the server sends until it closes."""
    try:
        return b"".join(iter(lambda: raw.recv(65536), b""))
    except ConnectionResetError:
        return b""


def healthy(address: Address) -> bool:
    return (
        httpx.get(
            f"http://{address[0]}:{address[1]}/healthz", trust_env=False, timeout=60
        ).status_code
        == 200
    )


def post(address: Address, *rows: dict[str, Any]) -> int:
    url = f"http://{address[0]}:{address[1]}/v1/events"
    answer = httpx.post(
        url,
        content=lines(*rows),
        headers={"content-type": NDJSON},
        trust_env=False,
        timeout=60,
    )
    return int(answer.json()["accepted"])


@pytest.mark.parametrize(
    "begin", [b"", b"GET", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-a: "]
)
def test_a_missing_header_is_408(address: Address, begin: bytes) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(begin)
        answer = read_all(raw)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the header was not complete within 2 s" in answer


def test_a_slow_header_is_408(address: Address) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\n")
        answer = b""
        for i in range(400):  # far longer than the deadline; the server ends it
            if select.select([raw], [], [], 0.05)[0]:
                answer = read_all(raw)
                break
            raw.sendall(b"x-%d: y\r\n" % i)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [0, 500])
def test_a_missing_body_is_408(address: Address, sent: int) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(POST + b"content-length: 1000\r\n\r\n" + b"x" * sent)
        answer = read_all(raw)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body was not complete within 2 s" in answer


def test_a_slow_chunked_body_is_408(address: Address) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
        answer = b""
        for _ in range(400):
            if select.select([raw], [], [], 0.05)[0]:
                answer = read_all(raw)
                break
            raw.sendall(b"1\r\nx\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_long_body_that_arrives_steadily_gets_more_time(address: Address) -> None:
    row = lines(event(0))
    body = row * (1_500_000 // len(row))
    parts = [body[i : i + 50_000] for i in range(0, len(body), 50_000)]
    with closing(connect(address)) as raw:
        raw.sendall(
            POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        # takes longer than body_seconds in all, at well over 64 kB a second
        for part in parts:
            assert not select.select([raw], [], [], 0.1)[0], read_all(raw)
            raw.sendall(part)
        answer = read_all(raw)
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]


@pytest.mark.parametrize(
    "header",
    [
        b"x-long: " + b"a" * 9000 + b"\r\n",
        b"".join(b"x-%d: %s\r\n" % (i, b"a" * 90) for i in range(100)),
        b"x-long: " + b"a" * 60_000,  # and it never ends
    ],
    ids=["one long", "many", "endless"],
)
def test_a_large_header_is_431(address: Address, header: bytes) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + header + b"\r\n")
        answer = read_all(raw)
    assert answer.startswith(b"HTTP/1.1 431 "), answer[:100]
    assert b"more than 8 kB" in answer


def test_a_large_address_is_431(address: Address) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(
            b"GET /v1/models?x=" + b"a" * 9000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n"
        )
        assert read_all(raw).startswith(b"HTTP/1.1 431 ")


def test_a_body_in_the_same_packet_does_not_count_as_header(address: Address) -> None:
    body = lines(*(event(i) for i in range(60)))
    assert len(body) > 8 << 10
    with closing(connect(address)) as raw:
        raw.sendall(
            POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        assert read_all(raw).startswith(b"HTTP/1.1 200 ")


def test_requests_one_after_the_other_and_pipelined_are_all_answered(
    address: Address,
) -> None:
    ask = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with closing(connect(address)) as raw:
        for _ in range(3):
            raw.sendall(ask)
            answer = b""
            while not answer.endswith(b'{"status":"ok"}'):
                answer += raw.recv(65536) or b"closed"
                assert answer.startswith(b"HTTP/1.1 200 ")
                assert b"closed" not in answer
        raw.sendall(ask * 3)
        # the server closes the idle connection after keep_alive_seconds
        answer = read_all(raw)
    assert answer.count(b"HTTP/1.1 200 ") == 3


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/events",
        b"/v1/refused",
        *(
            pytest.param(path, marks=pytest.mark.slow)
            for path in (b"/v1/events?model=m", b"/v1/labels")
        ),
    ],
)
def test_a_client_that_disconnects_in_a_body_is_no_server_error(
    tmp_path: Path, path: bytes
) -> None:
    log = (tmp_path / "log").open("wb")
    process, url = start_server(tmp_path / "data", log=log)
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        with closing(connect((host, int(port)))) as raw:
            raw.sendall(
                POST.replace(b"/v1/events", path)
                + b"content-length: 99\r\nexpect: 100-continue\r\n\r\n"
            )
            # the body is being waited for
            assert raw.recv(100).startswith(b"HTTP/1.1 100 ")
            raw.sendall(b"{")
        assert healthy((host, int(port)))
    finally:
        process.terminate()
        process.wait()  # by then the request has ended
        log.close()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_500_slow_connections_are_closed_and_others_are_served(
    address: Address,
) -> None:
    slow = [connect(address) for _ in range(500)]
    try:
        for i, raw in enumerate(slow):
            raw.sendall((b"GET /h", POST + b"content-length: 99\r\n\r\n{")[i % 2])
        assert healthy(address)
        assert post(address, *(event(i) for i in range(100))) == 100
        assert [read_all(raw)[:13] for raw in slow] == [b"HTTP/1.1 408 "] * 500
    finally:
        for raw in slow:
            raw.close()
    assert healthy(address)


def test_over_the_limit_the_oldest_incomplete_header_is_closed(
    address: Address,
) -> None:
    slow = [connect(address) for _ in range(560)]
    try:
        assert healthy(address)
        first = read_all(slow[0])
        assert first.startswith(b"HTTP/1.1 408 ")
    finally:
        for raw in slow:
            raw.close()


def test_over_the_limit_of_busy_connections_a_new_one_is_429(tmp_path: Path) -> None:
    (tmp_path / "driftdeck.toml").write_text("[limits]\nmax_connections = 2\n")
    process, url = start_server(
        tmp_path / "data", "--config", str(tmp_path / "driftdeck.toml")
    )
    host, _, port = url.removeprefix("http://").partition(":")
    busy: list[socket.socket] = []
    try:
        for _ in range(2):  # in the middle of a body
            busy.append(connect((host, int(port))))
            busy[-1].sendall(
                POST + b"content-length: 99\r\nexpect: 100-continue\r\n\r\n"
            )
            assert busy[-1].recv(100).startswith(b"HTTP/1.1 100 ")
        with closing(connect((host, int(port)))) as raw:
            answer = read_all(raw)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1" in answer
        assert b"there are 2 connections" in answer
    finally:
        for raw in busy:
            raw.close()
        process.terminate()
        process.wait()
