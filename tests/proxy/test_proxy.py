"""The proxy as it runs: a real process between real HTTP on both sides."""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from names import ALL, NAMES, encoded

ROOT = Path(__file__).parents[2]
V2 = {
    "inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}]
}
ANSWER = {
    "model_name": "m",
    "outputs": [
        {"name": "score", "shape": [2], "datatype": "FP64", "data": [0.1, 0.2]}
    ],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Upstream:
    """A model server that notes every request and answers as it is told, with bytes and headers of its own."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, list[tuple[str, str]], bytes]] = []
        self.answer: tuple[int, list[tuple[str, str]], bytes] = (
            200,
            [],
            json.dumps(ANSWER).encode(),
        )
        self.before: Callable[[], Any] = lambda: None
        self.pieces: list[bytes] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                if self.headers["Transfer-Encoding"] == "chunked":
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                upstream.requests.append(
                    (self.command, self.path, list(self.headers.items()), body)
                )
                upstream.before()
                status, headers, content = upstream.answer
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                if upstream.pieces:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for piece in upstream.pieces:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                        self.wfile.flush()
                        upstream.before()
                    self.wfile.write(b"0\r\n\r\n")
                    return
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever,
            kwargs={"poll_interval": 0.02},
            daemon=True,
        ).start()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.server.shutdown()
    upstream.server.server_close()


@contextmanager
def proxy(
    upstream: str, monitor: str, *options: str, log: Path, protocol: str = "v2"
) -> Iterator[httpx.Client]:
    """A running `driftdeck proxy`, and a client of it."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "monitor.cli",
        "proxy",
        "--upstream",
        upstream,
        "--protocol",
        protocol,
    ]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--url", monitor, "--port", str(port), *options],
            stdout=file,
            stderr=file,
            cwd=ROOT,
        )
        try:
            _listening(port, process)
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30
            ) as http:
                yield http
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            assert "Traceback" not in log.read_text(), log.read_text()


def _listening(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the proxy does not listen")


def test_prediction_passes_unchanged_and_is_logged_by_row(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    upstream.before = lambda: time.sleep(0.05)
    upstream.answer = (
        200,
        [("Content-Type", "application/json"), ("X-Own", "a"), ("X-Own", "b")],
        upstream.answer[2],
    )
    with proxy(upstream.url, collector.url, log=tmp_path / "log") as http:
        body = json.dumps(V2, indent=3).encode()
        answer = http.post(
            "/v2/models/m/versions/3/infer?a=%20b",
            content=body,
            headers={"X-Trace": "t"},
        )
    assert answer.content == upstream.answer[2]
    assert answer.headers.get_list("x-own") == ["a", "b"]
    [(method, path, headers, received)] = upstream.requests
    assert (method, path, received) == (
        "POST",
        "/v2/models/m/versions/3/infer?a=%20b",
        body,
    )
    assert ("X-Trace", "t") in headers
    first, second = collector.of("/v1/events")
    id_ = answer.headers["x-driftdeck-event-id"]
    assert (first["event_id"], second["event_id"]) == (id_, f"{id_}-1")
    assert (first["features"], second["features"]) == (
        {"x_0": 1, "x_1": 2},
        {"x_0": 3, "x_1": 4},
    )
    assert (first["prediction"], second["prediction"]) == (0.1, 0.2)
    assert (first["model"], first["version"], first["status"]) == ("m", "3", 200)
    assert first["latency_ms"] >= 50


def test_every_name_passes_and_is_logged_as_it_is(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    inputs = [
        {"name": n, "shape": [1], "datatype": "FP64", "data": [value]}
        for n, value in ALL.items()
    ]
    upstream.answer = (
        200,
        [],
        json.dumps(
            {"outputs": [{**ANSWER["outputs"][0], "shape": [1], "data": [0.1]}]}
        ).encode(),
    )  # type: ignore[dict-item]
    with proxy(upstream.url, collector.url, log=tmp_path / "log") as http:
        for name in NAMES:
            assert (
                http.post(
                    f"/v2/models/{encoded(name)}/infer", json={"inputs": inputs}
                ).status_code
                == 200
            )
    assert [path for _, path, _, _ in upstream.requests] == [
        f"/v2/models/{encoded(name)}/infer" for name in NAMES
    ]
    assert [event["model"] for event in collector.of("/v1/events")] == list(NAMES)
    assert all(event["features"] == ALL for event in collector.of("/v1/events"))


def test_headers_are_the_same_as_without_the_proxy(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    date = "Tue, 24 Nov 2026 12:00:00 GMT"
    own = [
        ("Content-Type", "application/json"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Date", date),
        ("Server", "s"),
    ]
    upstream.answer = (
        200,
        [*own, ("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5")],
        b"{}",
    )
    asked = {
        "Connection": "X-Mine, keep-alive",
        "X-Mine": "1",
        "Authorization": "Bearer k",
        "Accept-Encoding": "br",
    }
    with proxy(upstream.url, collector.url, log=tmp_path / "log") as http:
        through = http.post("/v2/models/m/infer", content=b"{}", headers=asked)
        http.get("/v2")
    hop = {"x-driftdeck-event-id", "content-length"}
    assert [h for h in through.headers.multi_items() if h[0] not in hop] == [
        (n.lower(), v) for n, v in own
    ]
    received = {name.lower(): value for name, value in upstream.requests[0][2]}
    assert (
        "x-mine" not in received
        and received["authorization"] == "Bearer k"
        and received["accept-encoding"] == "br"
    )
    assert received["host"] == str(http.base_url.netloc, "ascii")
    assert "content-type" not in {name.lower() for name, _ in upstream.requests[1][2]}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_everything_else_passes_and_is_not_logged(
    upstream: Upstream, collector: Any, tmp_path: Path, method: str
) -> None:
    upstream.answer = (404, [("X-Own", "1")], b"nothing here")
    with proxy(upstream.url, collector.url, log=tmp_path / "log") as http:
        answer = http.request(method, "/v2/models/m/ready")
    assert answer.status_code == 404 and answer.headers["x-own"] == "1"
    assert answer.headers["content-length"] == "12"
    assert answer.content == (b"" if method == "HEAD" else b"nothing here")
    assert "x-driftdeck-event-id" not in answer.headers
    assert collector.requests == []


def test_streamed_response_passes_part_by_part(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    seen, go_on = [], threading.Semaphore(1)
    whole = json.dumps(ANSWER).encode()
    upstream.pieces = [whole[:20], whole[20:40], whole[40:]]
    upstream.before = lambda: go_on.acquire(timeout=30)
    with (
        proxy(upstream.url, collector.url, log=tmp_path / "log") as http,
        http.stream("POST", "/v2/models/m/infer", json=V2) as answer,
    ):
        # a piece is only sent after the one before was seen here
        for part in answer.iter_raw():
            seen.append(part)
            go_on.release()
    assert b"".join(seen) == whole and len(seen) == 3
    assert [e["prediction"] for e in collector.of("/v1/events")] == [0.1, 0.2]


def test_request_in_pieces_and_large_bodies_pass_whole(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    large = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [1, 200_000],
                    "datatype": "FP64",
                    "data": [0.5] * 200_000,
                }
            ]
        }
    ).encode()
    huge = b"[" + b"1," * 3_000_000 + b"1]"
    with proxy(upstream.url, collector.url, log=tmp_path / "log") as http:
        upstream.answer = (
            200,
            [],
            json.dumps({"outputs": []}).encode() + b" " * 600_000,
        )
        for body in (large, huge):
            pieces = [body[i : i + 100_000] for i in range(0, len(body), 100_000)]
            assert (
                len(http.post("/v2/models/m/infer", content=iter(pieces)).content)
                > 600_000
            )
            assert http.post("/v2/models/m/infer", content=body).status_code == 200
    assert [len(r[3]) for r in upstream.requests] == [len(large)] * 2 + [len(huge)] * 2
    events = collector.of("/v1/events")
    assert [e["features"]["x.count"] for e in events] == [200_000, 200_000]
    assert (
        "2 exchanges not understood (the newest: the body has more than 4 MB)"
        in (tmp_path / "log").read_text()
    )


def test_gzip_passes_packed_and_is_read_unpacked(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    asked, packed = (gzip.compress(json.dumps(body).encode()) for body in (V2, ANSWER))
    upstream.answer = (200, [("Content-Encoding", "gzip")], packed)
    with (
        proxy(upstream.url, collector.url, log=tmp_path / "log") as http,
        http.stream(
            "POST",
            "/v2/models/m/infer",
            content=asked,
            headers={"Content-Encoding": "gzip"},
        ) as answer,
    ):
        assert b"".join(answer.iter_raw()) == packed
    assert upstream.requests[0][3] == asked
    assert [e["prediction"] for e in collector.of("/v1/events")] == [0.1, 0.2]


def test_model_server_that_is_down_is_one_sentence_and_an_error_event(
    unused_url: str, collector: Any, tmp_path: Path
) -> None:
    with proxy(unused_url, collector.url, log=tmp_path / "log") as http:
        answer = http.post("/v2/models/m/infer", json=V2)
        assert http.get("/v2/health/ready").status_code == 502
    assert answer.status_code == 502
    assert answer.json() == {
        "error": f"the model server at {unused_url} cannot be reached: Connection refused"
    }
    [first, second] = collector.of("/v1/events")
    assert (first["status"], first["features"]) == (502, {"x_0": 1, "x_1": 2})
    assert first["error"] == answer.json()["error"] and "prediction" not in second


def test_model_server_that_hangs_is_504(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    release = threading.Event()
    upstream.before = lambda: release.wait(30)
    with proxy(
        upstream.url, collector.url, "--timeout", "0.3", log=tmp_path / "log"
    ) as http:
        answer = http.post("/v2/models/m/infer", json=V2)
        release.set()
    assert (answer.status_code, answer.json()["error"]) == (
        504,
        "the model server did not respond in time",
    )
    assert {e["status"] for e in collector.of("/v1/events")} == {504}


def test_error_answer_is_logged_with_its_status_and_without_a_prediction(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    upstream.answer = (400, [], b'{"error": "bad shape"}')
    with proxy(upstream.url, collector.url, log=tmp_path / "log") as http:
        assert http.post("/v2/models/m/infer", json=V2).json() == {"error": "bad shape"}
    assert [(e["status"], "prediction" in e) for e in collector.of("/v1/events")] == [
        (400, False)
    ] * 2


def test_collector_that_is_down_costs_the_caller_nothing_and_misses_nothing_with_a_spool(
    upstream: Upstream, unused_url: str, real_server: Any, tmp_path: Path, wait_for: Any
) -> None:
    spool = ("--spool", str(tmp_path / "spool"))
    with proxy(upstream.url, unused_url, *spool, log=tmp_path / "log") as http:
        for _ in range(20):
            assert http.post("/v2/models/m/infer", json=V2).json() == ANSWER
    with (
        real_server(tmp_path / "data", unused_url),
        proxy(upstream.url, unused_url, *spool, log=tmp_path / "log") as http,
    ):
        assert http.post("/v2/models/m/infer", json=V2).status_code == 200

        def stored() -> bool:
            httpx.post(f"{unused_url}/v1/flush", trust_env=False, timeout=30)
            return bool(
                httpx.get(f"{unused_url}/v1/status", trust_env=False, timeout=60)
                .json()["accounting"]
                .get("stored")
                == 42
            )

        wait_for(stored, "42 rows")


def test_binary_body_is_forwarded_and_counted(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    body = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}\0\0\x80?'
    with proxy(upstream.url, collector.url, log=tmp_path / "log") as http:
        headers = {"Inference-Header-Content-Length": str(len(body) - 4)}
        assert (
            http.post("/v2/models/m/infer", content=body, headers=headers).json()
            == ANSWER
        )
    assert upstream.requests[0][3] == body
    assert collector.requests == []
    assert (
        "1 exchanges not understood (the newest: the body is not JSON)"
        in (tmp_path / "log").read_text()
    )


def test_tfserving_and_own_json_through_the_proxy(
    upstream: Upstream, collector: Any, tmp_path: Path
) -> None:
    upstream.answer = (200, [], b'{"predictions": [0.5]}')
    with proxy(
        upstream.url, collector.url, log=tmp_path / "log", protocol="tfserving"
    ) as http:
        http.post(
            "/v1/models/half_plus_two/labels/stable:predict", json={"instances": [1.0]}
        )
    upstream.answer = (200, [], b'{"result": {"score": 0.75}}')
    options = (
        "--model",
        "own",
        "--features-at",
        "row",
        "--prediction-at",
        "result.score",
    )
    with proxy(
        upstream.url, collector.url, *options, log=tmp_path / "log", protocol="json"
    ) as http:
        http.post("/any/path", json={"row": {"age": 3}})
    first, second = collector.of("/v1/events")
    assert (
        first["model"],
        first["version"],
        first["features"],
        first["prediction"],
    ) == (
        "half_plus_two",
        "stable",
        {"x": 1.0},
        0.5,
    )
    assert (second["model"], second["features"], second["prediction"]) == (
        "own",
        {"age": 3},
        0.75,
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--upstream", "http://127.0.0.1:9", "--protocol", "v3"],
            "use one of json, tfserving, torchserve, v2",
        ),
        (["--upstream", "http://127.0.0.1:9", "--protocol", "json"], "needs --model"),
        (["--upstream", "127.0.0.1:9", "--protocol", "v2"], "is not an address like"),
    ],
)
def test_wrong_options_are_named(options: list[str], sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "proxy", *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 2 and sentence in done.stderr


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLServer with the documented model; skipped without one, unless it is required."""
    program = ROOT / ".venv-mlserver" / "bin" / "mlserver"
    if not program.exists():
        sentence = "no MLServer found; python -m venv .venv-mlserver && .venv-mlserver/bin/pip install mlserver==1.7.1"
        if os.environ.get("DRIFTDECK_REQUIRE_MLSERVER"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    port = free_port()
    environment = {
        **os.environ,
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": str(free_port()),
    }
    log = (tmp_path_factory.mktemp("mlserver") / "log").open("w+b")
    process = subprocess.Popen(
        [program, "start", ROOT / "docs" / "ways-in" / "mlserver"],
        env=environment,
        stdout=log,
        stderr=log,
    )
    try:
        end = time.monotonic() + 300
        while time.monotonic() < end and process.poll() is None:
            try:
                if (
                    httpx.get(
                        f"http://127.0.0.1:{port}/v2/health/ready",
                        trust_env=False,
                        timeout=60,
                    ).status_code
                    == 200
                ):
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        else:
            log.seek(0)
            raise AssertionError(log.read().decode())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def test_real_mlserver_through_the_proxy(
    mlserver: str, collector: Any, tmp_path: Path
) -> None:
    asked = {
        "id": "r1",
        "inputs": [
            {"name": "age", "shape": [2, 1], "datatype": "FP64", "data": [41, 42]},
            {"name": "xy", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]},
            {
                "name": "country",
                "shape": [2, 1],
                "datatype": "BYTES",
                "data": ["TW", "DE"],
            },
        ],
    }
    path = "/v2/models/adds-up/versions/v1/infer"
    direct = httpx.post(mlserver + path, json=asked, trust_env=False, timeout=60)
    with proxy(mlserver, collector.url, log=tmp_path / "log") as http:
        through = http.post(path, json=asked)
        assert http.get("/v2/models/adds-up").json()["name"] == "adds-up"
        assert http.get("/v2/health/live").status_code == 200
        wrong = http.post("/v2/models/nope/infer", json=asked)
    assert through.status_code == 200 and through.content == direct.content, (
        through.text
    )
    assert set(through.headers) == set(direct.headers) | {"x-driftdeck-event-id"}
    rows = [e for e in collector.of("/v1/events") if e["model"] == "adds-up"]
    assert [e["features"] for e in rows] == [
        {"age": 41, "xy_0": 1, "xy_1": 2, "country": "TW"},
        {"age": 42, "xy_0": 3, "xy_1": 4, "country": "DE"},
    ]
    assert [e["prediction"] for e in rows] == [44.0, 49.0]
    assert wrong.status_code == 404
    assert {
        e["status"] for e in collector.of("/v1/events") if e["model"] == "nope"
    } == {404}


# the proxy is no way to another host, and reads a request as its model server does


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Upstream, str]]:
    """A model server and the address of a proxy before it; nothing is logged."""
    upstream = Upstream()
    log = tmp_path_factory.mktemp("gateway") / "log"
    with proxy(upstream.url, "http://127.0.0.1:9", log=log) as http:
        yield upstream, str(http.base_url).rstrip("/")
    upstream.server.shutdown()
    upstream.server.server_close()


@pytest.fixture
def proxied(gateway: tuple[Upstream, str]) -> str:
    """The address of the proxy; its model server has received nothing yet."""
    gateway[0].requests.clear()
    return gateway[1]


OTHER = b"127.0.0.2"  # another host on the loopback network
SMUGGLING = {
    "length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "two lengths in one": b"Content-Length: 4, 5\r\n\r\nabcde",
    "a length with a sign": b"Content-Length: +4\r\n\r\nabcd",
    "a length that is none": b"Content-Length: 0x4\r\n\r\nabcd",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a bare line feed": b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"X: a\r\n Content-Length: 4\r\n\r\nabcd",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a coding that is none": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk size with a sign": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk size that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\na\r\n0\r\n\r\n",
    "a NUL in a header": b"X: a\x00b\r\n\r\n",
    "8,000 headers": b"".join(b"X-%d: a\r\n" % i for i in range(8000)) + b"\r\n",
}


def raw_answer(url: str, request: bytes) -> bytes:
    """What a socket receives for the bytes of a request, until the end or a second of silence."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        answer = connection.recv(65536)
    return answer


@pytest.mark.parametrize(
    "line",
    [
        b"CONNECT @%s:%d HTTP/1.1",
        b"CONNECT %s:%d HTTP/1.1",
        b"GET @%s:%d/x HTTP/1.1",
        b"GET http://%s:%d/x HTTP/1.1",
        b"GET .%s:%d/x HTTP/1.1",
        b"POST :80@%s:%d/x HTTP/1.1",
    ],
)
def test_a_target_that_is_no_path_reaches_no_host(
    gateway: tuple[Upstream, str], proxied: str, line: bytes
) -> None:
    other = Upstream()  # a server that the proxy must not reach
    port = int(other.url.rsplit(":", 1)[1])
    for host in (b"127.0.0.1", OTHER):
        request = line % (host, port) + b"\r\nHost: a\r\n\r\n"
        assert b" 400 " in raw_answer(proxied, request).split(b"\r\n")[0]
    assert (other.requests, gateway[0].requests) == ([], [])


def test_options_of_the_whole_server_and_requests_without_one_host_are_400(
    gateway: tuple[Upstream, str], proxied: str
) -> None:
    for request in (
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ):
        assert b" 400 " in raw_answer(proxied, request).split(b"\r\n")[0]
    assert gateway[0].requests == []


@pytest.mark.parametrize("name", SMUGGLING)
def test_a_request_that_two_servers_would_read_differently_is_400(
    gateway: tuple[Upstream, str], proxied: str, name: str
) -> None:
    request = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\n" + SMUGGLING[name]
    assert b" 400 " in raw_answer(proxied, request).split(b"\r\n")[0]
    assert gateway[0].requests == []


def test_headers_of_one_connection_are_not_forwarded(
    gateway: tuple[Upstream, str], proxied: str
) -> None:
    request = (
        b"GET /v2/health HTTP/1.1\r\nHost: a\r\nConnection: close, X-Private\r\n"
        b"X-Private: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: h2c\r\n"
        b"Proxy-Authorization: Basic eA==\r\nX-Kept: 2\r\n\r\n"
    )
    assert raw_answer(proxied, request).startswith(b"HTTP/1.1 200 ")
    [(_, path, headers, _)] = gateway[0].requests
    names = {name.lower() for name, _ in headers}
    assert (path, "x-kept" in names) == ("/v2/health", True)
    assert not names & {
        "x-private",
        "keep-alive",
        "te",
        "upgrade",
        "proxy-authorization",
    }
