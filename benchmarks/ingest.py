"""Ingest over HTTP into a real server, beside DuckDB's own read_json of the same lines."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.process import CLIENT_CORE, SERVER_CORE, Server, python, run, server

BATCH = 500
GOAL_ROWS_PER_CPU_S = 100_000


@dataclass(frozen=True)
class Size:
    """Load: rows before the timing, at full speed, at a fixed rate, single events; and pairs."""

    first: int
    rows: int
    paced: int
    single: int
    reference: int
    pairs: int


QUICK = Size(
    first=5_000, rows=50_000, paced=25_000, single=2_000, reference=20_000, pairs=1
)
DEFAULT = Size(
    first=20_000, rows=300_000, paced=250_000, single=10_000, reference=100_000, pairs=5
)


@dataclass(frozen=True)
class Sample:
    """One server's life."""

    rows_per_cpu_s: float
    checkpointed_per_cpu_s: float
    rows_per_s: float
    single_per_cpu_s: float
    paced_rate: float
    p50_ms: float
    p99_ms: float
    rss_mib: float


def measure(folder: Path, size: Size) -> list[Figure]:
    """Rows per server CPU second, ack latency and single events, against read_json."""
    lines, alone, reference = (
        folder / "events.ndjson",
        folder / "alone.ndjson",
        folder / "reference.parquet",
    )
    total = size.first + size.rows + size.paced + size.single
    now = datetime.now(UTC).isoformat()
    run(
        python(
            "benchmarks.rows",
            lines,
            "--rows",
            total,
            "--seed",
            3,
            "--drifted",
            "--hours",
            1,
            "--end",
            now,
        )
    )
    run(python("benchmarks.rows", reference, "--rows", size.reference, "--seed", 1))
    _head(lines, alone, size.rows)
    ours: list[Sample] = []
    theirs: list[float] = []
    for i in range(size.pairs):
        ours.append(_ours(folder / f"ingest{i}", lines, reference, size))
        theirs.append(
            size.rows
            / run(python("benchmarks.sides.read_json", alone), SERVER_CORE).said[
                "cpu_s"
            ]
        )
    rate = ours[0].paced_rate
    return [
        Figure(
            f"HTTP ingest, NDJSON batches of {BATCH}",
            "rows / server CPU s",
            [s.rows_per_cpu_s for s in ours],
            goal=GOAL_ROWS_PER_CPU_S,
            bound="least",
            note="fdatasync before the answer, validated, until the profile can be queried",
        ),
        Figure(
            "the same against read_json alone",
            "rows / CPU s",
            [s.rows_per_cpu_s for s in ours],
            "DuckDB read_json into a table, without imports",
            theirs,
            goal=0.4,
            of="ratio",
            bound="least",
        ),
        Figure(
            "the same until the server has stopped, all of it in the checkpointed file",
            "rows / server CPU s",
            [s.checkpointed_per_cpu_s for s in ours],
            "DuckDB read_json into a table, without imports",
            theirs,
            note="the other side's table is checkpointed, too",
        ),
        Figure(
            "HTTP ingest, wall clock",
            "rows / s",
            [s.rows_per_s for s in ours],
            note="server on one core",
        ),
        Figure(
            f"ack p50 at {rate:.0f} rows/s", "ms", [s.p50_ms for s in ours], goal=10
        ),
        Figure(
            f"ack p99 at {rate:.0f} rows/s", "ms", [s.p99_ms for s in ours], goal=60
        ),
        Figure(
            "single events, 16 connections",
            "events / server CPU s",
            [s.single_per_cpu_s for s in ours],
            goal=4000,
            bound="least",
            note="durable, until the profile can be queried",
        ),
        Figure("server peak RSS", "MiB", [s.rss_mib for s in ours]),
    ]


def _ours(data: Path, lines: Path, reference: Path, size: Size) -> Sample:
    data.mkdir()
    with server(data) as running:
        running.request(
            "PUT",
            "/v1/models/m/reference",
            reference.read_bytes(),
            "application/vnd.apache.parquet",
        )
        # once for each reference, with its first rows, the detector learns from it:
        # half a second that is no row's
        _send(running, lines, 0, size.first, BATCH, connections=4)
        running.quiet()
        before = running.cpu_s()
        _, cpu, wall = _send(
            running, lines, size.first, size.rows, BATCH, connections=4
        )
        rss = running.peak_rss_mib()
    checkpointed = running.whole_cpu_s - before
    with server(data) as running:
        sent = size.first + size.rows
        rate = min(GOAL_ROWS_PER_CPU_S / 2, size.rows / wall / 2)
        paced, *_ = _send(
            running, lines, sent, size.paced, BATCH, connections=8, rate=rate / BATCH
        )
        sent += size.paced
        _, single_cpu, _ = _send(running, lines, sent, size.single, 1, connections=16)
        sent += size.single
        stored = running.drained()["stored"]
        if stored != sent:
            raise RuntimeError(f"the server stored {stored} rows of {size}")
        if not running.request("GET", "/v1/models/m/drift")["columns"]:
            raise RuntimeError("the server has no profile of what it stored")
        rss = max(rss, running.peak_rss_mib())
    return Sample(
        size.rows / cpu,
        size.rows / checkpointed,
        size.rows / wall,
        size.single / single_cpu,
        rate,
        paced["p50_ms"],
        paced["p99_ms"],
        rss,
    )


def _send(
    running: Server,
    lines: Path,
    first: int,
    rows: int,
    batch: int,
    connections: int,
    rate: float = 0.0,
) -> tuple[dict[str, Any], float, float]:
    """Return the client's figures, and the server's CPU and wall seconds until all is profiled."""
    options: dict[str, object] = {
        "first": first,
        "rows": rows,
        "batch": batch,
        "connections": connections,
    }
    arguments = [
        str(x) for k, v in {**options, "rate": rate}.items() for x in (f"--{k}", v)
    ]
    command = python(
        "benchmarks.sides.client", lines, "--port", running.port, *arguments
    )
    before = running.cpu_s()
    said = run(command, CLIENT_CORE).said
    sent = time.perf_counter()
    running.drained()
    wall = said["wall_s"] + time.perf_counter() - sent
    if said["bad"]:
        raise RuntimeError(f"{said['bad']} requests were not accepted")
    return said, running.cpu_s() - before, wall


def _head(source: Path, target: Path, rows: int) -> None:
    with source.open("rb") as lines, target.open("wb") as file:
        for _ in range(rows):
            file.write(next(lines))
