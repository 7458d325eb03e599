"""Deadlines and limits of connections, against a real server with raw sockets; how much one key may send."""

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

from monitor.access import Caller
from monitor.api import create_app
from monitor.api.rate_limit import RateLimiter
from monitor.config.config import Config
from monitor.config.limits import Limits
from monitor.errors import TooMany
from monitor.send.session import serving
from monitor.server.server import Server

Address = tuple[str, int]
POST = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n"
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


def rest(raw: socket.socket) -> bytes:
    """All that the server says until it closes."""
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
    "begin", [b"", b"GET", b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: "]
)
def test_a_header_that_does_not_come_is_408(address: Address, begin: bytes) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(begin)
        answer = rest(raw)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the header was not complete within 2 s" in answer


def test_a_header_that_drips_is_408_too(address: Address) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\n")
        answer = b""
        for i in range(400):  # far longer than the deadline; the server ends it
            if select.select([raw], [], [], 0.05)[0]:
                answer = rest(raw)
                break
            raw.sendall(b"x-%d: y\r\n" % i)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [0, 500])
def test_a_body_that_does_not_come_is_408_and_nothing_of_it_is_kept(
    address: Address, sent: int
) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(POST + b"content-length: 1000\r\n\r\n" + b"x" * sent)
        answer = rest(raw)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body was not complete within 2 s" in answer


def test_a_chunked_body_that_drips_is_408(address: Address) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(POST + b"transfer-encoding: chunked\r\n\r\n")
        answer = b""
        for _ in range(400):
            if select.select([raw], [], [], 0.05)[0]:
                answer = rest(raw)
                break
            raw.sendall(b"1\r\nx\r\n")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_long_body_earns_more_time_while_it_comes_steadily(address: Address) -> None:
    row = lines(event(0))
    body = row * (1_500_000 // len(row))
    parts = [body[i : i + 50_000] for i in range(0, len(body), 50_000)]
    with closing(connect(address)) as raw:
        raw.sendall(
            POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        # takes longer than body_seconds in all, at well over 64 kB a second
        for part in parts:
            assert not select.select([raw], [], [], 0.1)[0], rest(raw)
            raw.sendall(part)
        answer = rest(raw)
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
        raw.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + header + b"\r\n")
        answer = rest(raw)
    assert answer.startswith(b"HTTP/1.1 431 "), answer[:100]
    assert b"more than 8 kB" in answer


def test_a_large_address_is_431(address: Address) -> None:
    with closing(connect(address)) as raw:
        raw.sendall(
            b"GET /v1/models?x=" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"
        )
        assert rest(raw).startswith(b"HTTP/1.1 431 ")


def test_a_body_in_the_same_packet_does_not_count_as_header(address: Address) -> None:
    body = lines(*(event(i) for i in range(60)))
    assert len(body) > 8 << 10
    with closing(connect(address)) as raw:
        raw.sendall(
            POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )
        assert rest(raw).startswith(b"HTTP/1.1 200 ")


def test_requests_one_after_the_other_and_pipelined_are_all_answered(
    address: Address,
) -> None:
    ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
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
        answer = rest(raw)
    assert answer.count(b"HTTP/1.1 200 ") == 3


@pytest.mark.parametrize(
    "path", [b"/v1/events", b"/v1/events?model=m", b"/v1/labels", b"/v1/refused"]
)
def test_who_goes_away_in_the_middle_of_a_body_is_no_error_of_the_server(
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


def test_500_slow_connections_leave_the_others_served_and_are_closed(
    address: Address,
) -> None:
    slow = [connect(address) for _ in range(500)]
    try:
        for i, raw in enumerate(slow):
            raw.sendall((b"GET /h", POST + b"content-length: 99\r\n\r\n{")[i % 2])
        assert healthy(address)
        assert post(address, *(event(i) for i in range(100))) == 100
        assert [rest(raw)[:13] for raw in slow] == [b"HTTP/1.1 408 "] * 500
    finally:
        for raw in slow:
            raw.close()
    assert healthy(address)


def test_over_the_limit_whoever_has_waited_longest_with_a_header_goes_first(
    address: Address,
) -> None:
    slow = [connect(address) for _ in range(560)]
    try:
        assert healthy(address)
        first = rest(slow[0])
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
            answer = rest(raw)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1" in answer
        assert b"there are 2 connections" in answer
    finally:
        for raw in busy:
            raw.close()
        process.terminate()
        process.wait()


# how much one key may send


def test_a_bucket_holds_a_burst_fills_again_and_keeps_the_rate() -> None:
    now = [0.0]
    limiter = RateLimiter(Limits(rows_per_second=10, burst_rows=50), lambda: now[0])
    one, other = Caller("one", frozenset()), Caller("other", frozenset())
    limiter.check(one)
    limiter.charge(one, 90)  # more than is there: counted only when it had come
    with pytest.raises(
        TooMany,
        match=r"this key sent more than 10 rows a second .*; send again in 5 s",
    ) as refused:
        limiter.check(one)
    assert refused.value.retry_after == 5
    limiter.check(other)
    now[0] = 4.0
    with pytest.raises(TooMany):
        limiter.check(one)
    now[0] = 5.0
    limiter.check(one)
    now[0] = 1000.0
    limiter.charge(one, 50)
    with pytest.raises(TooMany):
        limiter.check(one)  # an idle hour does not save up more than a burst


def test_over_its_rate_a_key_gets_429_and_another_key_does_not(tmp_path: Path) -> None:
    server = Server(tmp_path, Config(limits=Limits(rows_per_second=1, burst_rows=100)))
    with (
        serving(create_app(server, background=False, key="boot")) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        admin = {"authorization": "Bearer boot"}
        made = client.post(
            "/v1/keys", json={"name": "svc", "scopes": ["ingest"]}, headers=admin
        ).json()["secret"]
        send = lambda key, n, path="/v1/events": client.post(  # noqa: E731
            path,
            content=lines(*(event(i) for i in range(n))),
            headers={"content-type": NDJSON, "authorization": f"Bearer {key}"},
        )
        assert send(made, 150).json()["accepted"] == 150
        for path in ("/v1/events", "/v1/labels", "/v1/events?model=m"):
            refused = send(made, 1, path)
            assert refused.status_code == 429
            assert 30 <= int(refused.headers["retry-after"]) <= 60
            assert "this key sent more than 1 rows a second" in refused.json()["error"]
        assert send("boot", 50).json()["accepted"] == 50
        # nothing was half taken
        assert (
            client.get("/v1/status", headers=admin).json()["accounting"]["received"]
            == 200
        )
