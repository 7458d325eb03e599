"""A model of many features, and many models, each in a real server."""

import io
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figure import Figure
from benchmarks.process import server

NDJSON, PARQUET = "application/x-ndjson", "application/vnd.apache.parquet"
ROWS, HOURS = 500, 48
REFERENCE = f"with a reference of {ROWS} rows over {HOURS} hours"
SETTLED_S = 12  # the server evaluates once nothing more has come for eight seconds
BODY_BYTES = 4_900_000  # below the usual limit of 5 MB


@dataclass(frozen=True)
class Size:
    """Features of the wide model and its events; models that get an event each."""

    features: int
    events: int
    models: int


QUICK = Size(features=2_000, events=50, models=100)
DEFAULT = Size(features=10_000, events=500, models=1_000)


def measure(folder: Path, size: Size) -> list[Figure]:
    """Seconds until what was sent can be queried, and the server's peak memory."""
    return [*_features(folder / "features", size), *_models(folder / "models", size)]


def _features(data: Path, size: Size) -> list[Figure]:
    data.mkdir()
    what = f"{size.features:,} features"
    with server(data, core=None) as running:
        began = time.perf_counter()
        running.request(
            "POST", "/v1/events", _line("first", "wide", size.features), NDJSON
        )
        running.drained()
        first = time.perf_counter() - began
        before = running.cpu_s()
        for body in _bodies(size):
            running.request("POST", "/v1/events", body, NDJSON)
        _expect(running.drained()["stored"], size.events + 1)
        cpu_s, rss = running.cpu_s() - before, running.peak_rss_mib()
        running.request(
            "PUT", "/v1/models/wide/reference", _reference(size.features), PARQUET
        )
        running.request(
            "POST", "/v1/events", _line("last", "wide", size.features), NDJSON
        )
        time.sleep(SETTLED_S)
        running.quiet()
        return [
            Figure(f"{what}: the first event can be queried", "s", [first], goal=5),
            Figure(
                f"{what}: {size.events} further events",
                "server CPU s",
                [cpu_s],
                goal=30,
            ),
            Figure(f"{what}: server peak RSS", "MiB", [rss], goal=600),
            Figure(
                f"{what}: the same, {REFERENCE} and their evaluation too",
                "MiB",
                [running.peak_rss_mib()],
                goal=600,
            ),
        ]


def _models(data: Path, size: Size) -> list[Figure]:
    data.mkdir()
    what, waited = f"{size.models:,} models, an event each", []
    with server(data, core=None) as running:
        for turn in range(2):
            body = b"".join(
                _line(f"{turn}-{i}", f"model {i}", 2) for i in range(size.models)
            )
            began = time.perf_counter()
            running.request("POST", "/v1/events", body, NDJSON)
            _expect(running.drained()["stored"], size.models * (turn + 1))
            waited.append(time.perf_counter() - began)
        rss = running.peak_rss_mib()
    with server(data, core=None) as running:
        ready = running.ready_s
    return [
        Figure(f"{what}: the first time", "s", waited[:1], goal=4),
        Figure(f"{what}: again", "s", waited[1:], goal=2),
        Figure(f"{what}: server peak RSS", "MiB", [rss], goal=600),
        Figure(f"{what}: ready after a restart", "s", [ready]),
    ]


def _bodies(size: Size) -> Iterator[bytes]:
    body = b""
    for i in range(size.events):
        line = _line(str(i), "wide", size.features)
        if body and len(body) + len(line) > BODY_BYTES:
            yield body
            body = b""
        body += line
    yield body


def _reference(features: int) -> bytes:
    """Rows of the same features at even times, as Parquet."""
    rng = np.random.default_rng(0)
    numbers, texts = (
        rng.normal(0, 1, (features, ROWS)).round(4),
        rng.choice(list("abc"), (features, ROWS)),
    )
    columns: dict[str, Any] = {
        f"feature {j}": numbers[j] if j % 50 else texts[j] for j in range(features)
    }
    times = [
        datetime.now(UTC) - timedelta(hours=1 + HOURS * i / ROWS) for i in range(ROWS)
    ]
    body = io.BytesIO()
    pq.write_table(
        pa.table(columns | {"ts": times, "prediction": rng.random(ROWS)}), body
    )
    return body.getvalue()


def _line(id_: str, model: str, features: int) -> bytes:
    """An event; every fiftieth feature is a text."""
    rng = random.Random(id_)
    values = {
        f"feature {j}": round(rng.gauss(0, 1), 4) if j % 50 else rng.choice("abc")
        for j in range(features)
    }
    ts = datetime.now(UTC).isoformat()
    record: dict[str, Any] = {
        "event_id": id_,
        "model": model,
        "ts": ts,
        "features": values,
        "prediction": 0.5,
    }
    return json.dumps(record).encode() + b"\n"


def _expect(stored: int, sent: int) -> None:
    if stored != sent:
        raise RuntimeError(f"the server stored {stored} rows of {sent}")
