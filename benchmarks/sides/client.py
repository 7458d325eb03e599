"""A load generator on kept connections: at full speed, or at a fixed rate of requests."""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import quantile

HEAD = b"POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-ndjson\r\ncontent-length: %d\r\n\r\n"


def requests(file: Path, first: int, rows: int, batch: int) -> list[bytes]:
    """Whole HTTP requests of `batch` lines each."""
    with file.open("rb") as lines:
        for _ in range(first):
            next(lines)
        taken = [next(lines) for _ in range(rows)]
    bodies = (b"".join(taken[i : i + batch]) for i in range(0, rows, batch))
    return [HEAD % len(body) + body for body in bodies]


async def drive(
    port: int, prepared: list[bytes], connections: int, rate: float
) -> tuple[list[float], int]:
    """Return the seconds from due time to response of each request, and the number of failures."""
    took: list[float] = []
    bad = 0
    began = time.perf_counter()
    todo: Iterator[tuple[int, bytes]] = iter(enumerate(prepared))

    async def work() -> None:
        nonlocal bad
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for i, request in todo:
            due = began + i / rate if rate else time.perf_counter()
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - due)
            bad += b" 200 " not in head[:16]
        writer.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return took, bad


def main() -> None:
    """Send rows of a file of JSON lines; print latencies in ms and the seconds it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    for name in ("port", "first", "rows", "batch", "connections"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument(
        "--rate",
        type=float,
        default=0.0,
        help="requests a second; 0 is as fast as possible",
    )
    given = parser.parse_args()
    prepared = requests(given.file, given.first, given.rows, given.batch)
    began = time.perf_counter()
    took, bad = asyncio.run(drive(given.port, prepared, given.connections, given.rate))
    wall = time.perf_counter() - began
    print(
        json.dumps(
            {
                "wall_s": wall,
                "p50_ms": quantile(took, 0.5) * 1e3,
                "p99_ms": quantile(took, 0.99) * 1e3,
                "max_ms": max(took) * 1e3,
                "bad": bad,
            }
        )
    )


if __name__ == "__main__":
    main()
