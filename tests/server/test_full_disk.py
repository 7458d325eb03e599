"""A disk that fills and empties under a real server: nothing acknowledged is lost or doubled."""

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from events import NDJSON, event, lines
from server_process import start_server

NIGHTLY = bool(os.environ.get("DRIFTDECK_NIGHTLY"))
FILLS = 50 if NIGHTLY else 5
DISK_MB = 600
FULL_S = 2.0
FREE_S = 3.0
CLIENTS = 4
RECOVERY_S = 120  # a shared machine; the goal, 10 s, is measured by the battery


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of DISK_MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Client(threading.Thread):
    """Sends requests with a key each, again until they are acknowledged."""

    def __init__(self, number: int, url: str, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.url, self.stopping = number, url, stopping
        self.acknowledged: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.slowest_refusal_s = 0.0

    def run(self) -> None:
        rng = random.Random(self.number)
        with httpx.Client(base_url=self.url, trust_env=False, timeout=60) as client:
            for i in range(1_000_000):
                if self.stopping.is_set():
                    return
                model, body = self._body(rng, i)
                if not self._send(client, body, f"{self.number}-{i}"):
                    return
                self.acknowledged[model] += 100

    def _body(self, rng: random.Random, i: int) -> tuple[str, bytes]:
        is_new = rng.random() < 0.1
        model = f"model-{self.number}-{i}" if is_new else f"m{self.number % 2}"
        features: dict[str, Any] = {"x": rng.random(), "pad": "p" * 200}
        if rng.random() < 0.1:
            features[f"feature_{self.number}_{i}"] = 1.0
        first = (self.number * 100_000 + i) * 100
        rows = [
            event(n, model=model, features=features) for n in range(first, first + 100)
        ]
        if rng.random() < 0.3:  # ids of the key
            rows = [{k: v for k, v in r.items() if k != "event_id"} for r in rows]
        return model, lines(*rows)

    def _send(self, client: httpx.Client, body: bytes, key: str) -> bool:
        headers = {"content-type": NDJSON, "idempotency-key": key}
        while not self.stopping.is_set():
            begun = time.monotonic()
            answer = client.post("/v1/events", content=body, headers=headers)
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                assert answer.json()["accepted"] == 100
                return True
            assert answer.status_code in (429, 503), answer.text
            assert int(answer.headers["retry-after"]) > 0
            took_s = time.monotonic() - begun
            self.slowest_refusal_s = max(self.slowest_refusal_s, took_s)
            time.sleep(0.1)
        return False


def fill(disk: Path) -> None:
    """Write a ballast file until the disk is full."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError:
            return


@pytest.mark.slow
def test_fills_of_the_disk_lose_and_double_nothing(small_disk: Path) -> None:
    data = small_disk / "data"
    log_path = small_disk.parent / "server.log"
    config = small_disk.parent / "driftdeck.toml"
    config.write_text("[limits]\nmax_models = 100000\nnew_names_per_hour = 1000000\n")
    with log_path.open("wb") as log:
        process, url = start_server(data, "--config", str(config), log=log)
    stopping = threading.Event()
    clients = [Client(i, url, stopping) for i in range(CLIENTS)]
    reads: Counter[bool] = Counter()
    recoveries = []
    try:
        for client in clients:
            client.start()
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as reader:
            for _ in range(FILLS):
                fill(small_disk)
                full_until = time.monotonic() + FULL_S
                while time.monotonic() < full_until:
                    reads[reader.get("/v1/status").status_code == 200] += 1
                    time.sleep(0.05)
                before = sum(client.statuses[200] for client in clients)
                (small_disk / "ballast").unlink()
                freed = time.monotonic()
                while sum(client.statuses[200] for client in clients) == before:
                    assert time.monotonic() < freed + RECOVERY_S, "it did not recover"
                    time.sleep(0.02)
                recoveries.append(time.monotonic() - freed)
                time.sleep(FREE_S)
            stopping.set()
            for client in clients:
                client.join(120)
            assert reader.post("/v1/flush", timeout=300).status_code == 200
            accounting = reader.get("/v1/status").json()["accounting"]
            ready = reader.get("/readyz")
    finally:
        stopping.set()
        process.terminate()
        process.wait(120)
    statuses = sum((client.statuses for client in clients), Counter())
    report = {
        "acknowledged_rows": sum(sum(c.acknowledged.values()) for c in clients),
        "statuses": dict(statuses),
        "reads_answered": reads[True] / reads.total(),
        "slowest_refusal_s": max(client.slowest_refusal_s for client in clients),
        "slowest_recovery_s": max(recoveries),
    }
    print(json.dumps(report))
    assert statuses[503], "the disk was never full"
    assert ready.status_code == 200, ready.text
    assert report["reads_answered"] >= 0.99, report
    acknowledged = sum((client.acknowledged for client in clients), Counter())
    with duckdb.connect(str(data / "driftdeck.duckdb"), read_only=True) as con:
        tables = con.execute("SELECT id, name FROM models").fetchall()
        stored = {}
        for id_, name in tables:
            sql = f"SELECT count(*), count(DISTINCT event_id) FROM events_{id_}"
            rows, distinct = con.execute(sql).fetchone() or (0, 0)
            assert rows == distinct, name
            stored[name] = rows
    # the last request of a client may be stored without its answer having arrived
    lost = {m: n for m, n in acknowledged.items() if stored.get(m, 0) < n}
    more = {m: n for m, n in stored.items() if n > acknowledged[m] + 100 * CLIENTS}
    assert (lost, more) == ({}, {}), report
    assert accounting["received"] == sum(
        accounting[name] for name in ("stored", "duplicate", "refused")
    ) + accounting.get("pending", 0)
