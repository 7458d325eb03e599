"""Cost of logging in the calling thread, beside one line of the logging module."""

from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.process import CLIENT_CORE, python, run, server

MIXED = "log() with a spool, 12 numbers, 4 whole ones, 4 texts"
BASELINE = "logging.Logger.info into memory, the same values"


def measure(folder: Path, pairs: int, events: int) -> list[Figure]:
    """Measure p50 and p99 of `log()` with 20 features, in memory and with a spool."""
    found = []
    with server(folder / "data") as running:
        for i in range(pairs):
            spool = folder / f"spool{i}"
            command = python(
                "benchmarks.sides.log_events", "--spool", spool, "--events", events
            )
            said = run(
                [*command, "--url", f"http://127.0.0.1:{running.port}"], CLIENT_CORE
            ).said
            if said["memory_lost"] or said["spool_lost"] or said["mixed_lost"]:
                raise RuntimeError(f"events were lost: {said}")
            found.append(said)
    baseline = [said["logger"] for said in found]
    return [
        Figure(
            "log(), 20 features, p50",
            "µs",
            [s["memory"] for s in found],
            BASELINE,
            baseline,
            goal=20,
        ),
        Figure("log(), 20 features, p99", "µs", [s["memory_p99"] for s in found]),
        Figure(
            "log() with a spool, 20 features, p50",
            "µs",
            [s["spool"] for s in found],
            BASELINE,
            baseline,
            goal=20,
        ),
        Figure(
            "log() with a spool, 20 features, p99",
            "µs",
            [s["spool_p99"] for s in found],
        ),
        Figure(
            f"{MIXED}, p50",
            "µs",
            [s["mixed"] for s in found],
            BASELINE,
            baseline,
            goal=20,
        ),
        Figure(f"{MIXED}, p99", "µs", [s["mixed_p99"] for s in found]),
    ]
