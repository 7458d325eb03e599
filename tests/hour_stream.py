"""Three weeks of traffic by the hour, and a server whose clock is at their end."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from events import NDJSON

from monitor.alert import Alert
from monitor.config.config import Config
from monitor.server.server import Server

HOUR = timedelta(hours=1)


DAY = timedelta(days=1)


NOW = (datetime.now(UTC) - HOUR).replace(minute=30, second=0, microsecond=0)


DAYS = 21


START = (NOW - DAYS * DAY).replace(hour=0, minute=0)


HOURS = (NOW - START) // HOUR


Change = Callable[[datetime, dict[str, Any], np.random.Generator], None]


def nothing(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
    """The world as it always was."""


def traffic(
    change: Change = nothing, rows: int = 60, seed: int = 3
) -> list[dict[str, Any]]:
    """About `rows` events an hour, a little fewer at night; the same seed gives the same rows."""
    rng = np.random.default_rng(seed)
    found = []
    for h in range(HOURS):
        for i in range(rng.poisson(rows * (1 + 0.3 * np.sin(2 * np.pi * h / 24)))):
            at = START + h * HOUR + timedelta(seconds=int(rng.integers(3600)))
            features = {
                "x": float(rng.normal()),
                "y": float(rng.normal()),
                "c": str(rng.choice(["a", "b", "d"], p=[0.6, 0.3, 0.1])),
            }
            row = {
                "event_id": f"{h}-{i}",
                "model": "m",
                "ts": at.isoformat(),
                "features": features,
                "prediction": float(rng.beta(2, 5)),
                "latency_ms": float(rng.lognormal(3, 0.3)),
                "status": 500 if rng.random() < 0.01 else 200,
            }
            change(at, row, rng)
            found.append(row)
    return found


def send(server: Server, rows: Sequence[dict[str, Any]]) -> None:
    for i in range(0, len(rows), 5000):
        body = "\n".join(json.dumps(row) for row in rows[i : i + 5000]).encode()
        answer = server.collector.events(body, NDJSON)
        answer.durable.result(60)
        assert answer.refused == 0
    server.scheduler.load_all()


def before(rows: Sequence[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
    return [row for row in rows if datetime.fromisoformat(row["ts"]) < at]


def opened(
    folder: Path,
    config: Config | None = None,
    now: Callable[[], datetime] = lambda: NOW,
) -> Server:
    server = Server(folder, config or Config(default_rules=False))
    server.scheduler.clock = now
    server.start(background=False)
    return server


def evaluate(server: Server) -> list[Alert]:
    server.scheduler.evaluate_due(settle=timedelta(0))
    return sorted(server.store.alerts.listing(["m"], "all", 100), key=lambda a: a.since)


def state(server: Server) -> tuple[datetime, dict[str, Any]]:
    found = server.scheduler.detector_runner.detector_store.state(
        server.store.model("m").id
    )
    assert found is not None
    return found[0], json.loads(found[1])


def shifted(days: float, size: float = 0.6) -> Change:
    """x is higher by `size` from so many days before now on."""

    def change(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        if at >= NOW - days * DAY:
            row["features"]["x"] += size

    return change
