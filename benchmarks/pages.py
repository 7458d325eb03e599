"""The read API that the dashboard's pages call, over a store and over another ten times its size."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure, quantile
from benchmarks.process import Server, python, run, server

PAGES = {
    "overview": "/v1/models/m/overview",
    "service": "/v1/models/m/service",
    "drift": "/v1/models/m/drift",
    "column": "/v1/models/m/columns/n03",
}
DAYS = 28


@dataclass(frozen=True)
class Size:
    """Events in the small and the large store, rows of the reference, and requests of each page to each."""

    small: int
    large: int
    reference: int
    requests: int


QUICK = Size(small=20_000, large=200_000, reference=20_000, requests=8)
DEFAULT = Size(small=1_000_000, large=10_000_000, reference=100_000, requests=40)


@dataclass(frozen=True)
class Seen:
    """The requests of one page to one server: milliseconds each, and server CPU ms for each."""

    took_ms: Sequence[float]
    cpu_ms: float


def measure(folder: Path, size: Size) -> list[Figure]:
    """Latency and server CPU of every page at 7 days, in turns on both servers, and bytes a row."""
    stores = [folder / "small", folder / "large"]
    filled = [
        _fill(store, rows, size)
        for store, rows in zip(stores, (size.small, size.large), strict=True)
    ]
    figures: list[Figure] = []
    with server(stores[0]) as small, server(stores[1]) as large:
        for running in (small, large):
            running.quiet()
        for name, path in PAGES.items():
            figures += _figures(
                name, *_in_turns(small, large, path, size.requests), size
            )
    for rows, bytes_ in zip((size.small, size.large), filled, strict=True):
        name = f"database file, {rows:,} events over {DAYS} days, profiles included"
        figures.append(Figure(name, "bytes / row", [bytes_ / rows]))
    return figures


def _fill(folder: Path, rows: int, size: Size) -> float:
    folder.mkdir()
    options = {"--rows": rows, "--reference": size.reference, "--days": DAYS}
    arguments = [x for pair in options.items() for x in pair]
    return float(run(python("benchmarks.sides.fill", folder, *arguments)).said["bytes"])


def _in_turns(
    small: Server, large: Server, path: str, requests: int
) -> tuple[Seen, Seen]:
    took: dict[int, list[float]] = {small.pid: [], large.pid: []}
    cpu = {small.pid: 0.0, large.pid: 0.0}
    for i in range(requests + 2):
        for running in (small, large):
            before = running.cpu_s()
            began = time.perf_counter()
            running.request("GET", path)
            if i >= 2:  # the first two warm it up
                took[running.pid].append((time.perf_counter() - began) * 1e3)
                cpu[running.pid] += (running.cpu_s() - before) * 1e3 / requests
    return Seen(took[small.pid], cpu[small.pid]), Seen(took[large.pid], cpu[large.pid])


def _figures(name: str, small: Seen, large: Seen, size: Size) -> list[Figure]:
    many, few = f"{size.large:,} events", f"{size.small:,} events"
    slowest = [quantile(seen.took_ms, 0.95) for seen in (large, small)]
    return [
        Figure(
            f"{name} page, p50, {many}",
            "ms",
            large.took_ms,
            few,
            small.took_ms,
            goal=1.2,
            of="ratio",
        ),
        Figure(
            f"{name} page, p95, {many}", "ms", [slowest[0]], few, [slowest[1]], goal=100
        ),
        Figure(
            f"{name} page, server CPU, {many}",
            "CPU ms",
            [large.cpu_ms],
            few,
            [small.cpu_ms],
        ),
    ]
