"""Requests to a model server directly and through the proxy, in turns, on kept connections."""

import argparse
import json
import socket
import time

from benchmarks.figure import quantile

FEATURES = {
    "inputs": [
        {"name": f"f{i:02d}", "shape": [1], "datatype": "FP64", "data": [i * 0.37]}
        for i in range(20)
    ]
}
BODY = json.dumps(FEATURES).encode()
REQUEST = (
    b"POST /v2/models/m/infer HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
    % (len(BODY), BODY)
)


def ask(connection: socket.socket) -> float:
    """Return the milliseconds from the request to the last byte of the response."""
    began = time.perf_counter()
    connection.sendall(REQUEST)
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    if b" 200 " not in head[:20]:
        raise RuntimeError(f"answer {head[:100]!r}")
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    """Print p50 and p99 of both ways, in ms."""
    parser = argparse.ArgumentParser()
    for name in ("direct", "proxy", "requests"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    ways = {}
    for name in ("direct", "proxy"):
        ways[name] = socket.create_connection(("127.0.0.1", getattr(given, name)))
        ways[name].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for way in ways.values():
        for _ in range(50):
            ask(way)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.requests):
        for name, way in ways.items():
            took[name].append(ask(way))
            time.sleep(0.001)
    print(
        json.dumps(
            {
                f"{n}_p{int(q * 100)}": quantile(t, q)
                for n, t in took.items()
                for q in (0.5, 0.99)
            }
        )
    )


if __name__ == "__main__":
    main()
