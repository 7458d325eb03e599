"""Cost of one logged event in its thread: in memory, with a spool, and by logging."""

import argparse
import io
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figure import quantile
from monitor.client import Client

FEATURES = {f"feature_{i:02d}": i * 0.37 + 0.123456 for i in range(20)}
MIXED = (
    FEATURES
    | {f"feature_{i:02d}": i for i in range(4)}
    | {f"feature_{i:02d}": f"category {i}" for i in range(4, 8)}
)
BETWEEN = (
    # seconds between two events: 5,000 a second, as a busy service has them, not a loop
    # that starves its sender
    0.0002
)


def costs(log: Callable[[], object], events: int) -> list[float]:
    """Microseconds of each call, one after the other with a pause between."""
    took = []
    for _ in range(events):
        began = time.perf_counter()
        log()
        took.append((time.perf_counter() - began) * 1e6)
        time.sleep(BETWEEN)
    return took


def main() -> None:
    """Log events to the server at --url in each way; print the p50 of the microseconds a call took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--spool", type=Path, required=True)
    parser.add_argument("--events", type=int, required=True)
    given = parser.parse_args()
    lines = logging.getLogger("bench")
    lines.setLevel(logging.INFO)
    lines.propagate = False
    lines.addHandler(logging.StreamHandler(io.StringIO()))
    found = {
        "logger": quantile(
            costs(
                lambda: lines.info("features %s prediction %s", FEATURES, 0.83),
                given.events,
            ),
            0.5,
        )
    }
    ways = (
        ("memory", None, FEATURES),
        ("spool", given.spool, FEATURES),
        ("mixed", given.spool, MIXED),
    )
    for name, spool, features in ways:
        with Client(given.url, model="m", spool=spool, timeout=60) as client:

            def log(
                client: Client = client, features: dict[str, Any] = features
            ) -> None:
                client.log(features, 0.83, latency_ms=12.5)

            took = costs(log, given.events)
            found[name], found[f"{name}_p99"] = (
                quantile(took, 0.5),
                quantile(took, 0.99),
            )
            client.flush(60)
            found[f"{name}_lost"] = given.events - client.stats()["accepted"]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
