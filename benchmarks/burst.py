"""A loader that cannot keep up: many producers send without pause; memory, refusals, and what is stored in the end."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, quantile
from benchmarks.process import Server, python, run, server

GOAL_MIB = 600e6 / (1 << 20)
SMALL_SPOOL = "[limits]\nmax_spool_mb = 64\n"


@dataclass(frozen=True)
class Burst:
    """Result of one flood: rows acknowledged and stored, responses by status, memory, drain time."""

    accepted: int
    accounting: dict[str, Any]
    statuses: dict[str, int]
    unsaid: int
    rss_mib: list[float]
    peak_mib: float
    wall_s: float
    drained_s: float

    @property
    def refusals(self) -> int:
        """Count the requests that were refused with a time to retry."""
        return sum(n for status, n in self.statuses.items() if status in ("429", "503"))


def flood(
    folder: Path,
    seconds: float,
    connections: int,
    features: int,
    config: str = SMALL_SPOOL,
) -> Burst:
    """Flood a fresh server whose loader is slower than its intake, wait until all is stored, and see that it serves again."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "driftdeck.toml"
    settings.write_text(config)
    with server(folder / "data", None, "--config", str(settings)) as running:
        samples, stop = list[float](), threading.Event()
        watcher = threading.Thread(
            target=_watch, args=(running, samples, stop), daemon=True
        )
        watcher.start()
        options = [
            "--connections",
            connections,
            "--seconds",
            seconds,
            "--features",
            features,
        ]
        said = run(
            python("benchmarks.sides.flood", "--port", running.port, *options)
        ).said
        ended = time.monotonic()
        accounting = running.drained()
        drained = time.monotonic() - ended
        stop.set()
        watcher.join()
        after = run(
            python(
                "benchmarks.sides.flood",
                "--port",
                running.port,
                "--connections",
                1,
                "--seconds",
                0.1,
                "--first",
                10_000_000,
            )
        ).said
        if set(after["statuses"]) != {"200"}:
            raise RuntimeError(
                f"after the burst the server answered {after['statuses']}"
            )
        peak = running.peak_rss_mib()
    return Burst(
        said["accepted"],
        accounting,
        said["statuses"],
        said["unsaid"],
        samples,
        peak,
        said["wall_s"],
        drained,
    )


def measure(folder: Path, seconds: float) -> list[Figure]:
    """64 producers with the largest batches, narrow and wide rows."""
    figures = []
    for features in (20, 300):
        found = flood(folder / f"burst{features}", seconds, 64, features)
        stored = found.accounting["stored"]
        if stored != found.accepted or found.unsaid:
            raise RuntimeError(
                f"{found.accepted} rows were acknowledged, {stored} are stored, {found.unsaid} unsaid"
            )
        name = f"64 producers, {features} features, a spool of 64 MB"
        figures += [
            Figure(f"{name}: peak RSS", "MiB", [found.peak_mib], goal=round(GOAL_MIB)),
            Figure(f"{name}: RSS p50", "MiB", [quantile(found.rss_mib, 0.5)]),
            Figure(
                f"{name}: refused requests",
                "of 1",
                [found.refusals / sum(found.statuses.values())],
            ),
            Figure(
                f"{name}: stored",
                "rows / s",
                [stored / (found.wall_s + found.drained_s)],
            ),
            Figure(f"{name}: until all was stored", "s", [found.drained_s]),
        ]
    return figures


def _watch(running: Server, samples: list[float], stop: threading.Event) -> None:
    while not stop.wait(0.2):
        samples.append(running.rss_mib())
