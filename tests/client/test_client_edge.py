"""A device without a network: a real ONNX Runtime session, the documented script, a real server that comes up later."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from onnx_file import linear

from monitor.client import Client
from monitor.config.config import Config
from monitor.server.server import Server

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "ways-in" / "edge_onnx.py"


def run(*arguments: object) -> dict:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return eval(done.stdout.splitlines()[-1])


def test_predictions_of_two_days_without_a_network_arrive_once(
    tmp_path, unused_url, real_server
):
    model = tmp_path / "vibration.onnx"
    model.write_bytes(linear(2.0, -1.0))
    spool = tmp_path / "spool"
    for rows in (40, 25):  # the device is switched off in between
        stats = run(model, spool, unused_url, rows)
        assert stats["accepted"] == stats["dropped"] == 0
    assert stats["queued"] == 65  # what the first day left was found
    with real_server(tmp_path / "data", unused_url):
        stats = run(model, spool, unused_url, 1)
        assert stats["accepted"] == 66 and stats["queued"] == 0, stats
        httpx.post(f"{unused_url}/v1/flush", trust_env=False, timeout=30)
        accounting = httpx.get(
            f"{unused_url}/v1/status", trust_env=False, timeout=60
        ).json()["accounting"]
        assert (
            accounting["stored"] == 66
            and accounting["duplicate"] == accounting["refused"] == 0
        )
    assert list(spool.iterdir()) == []


@pytest.mark.slow
def test_device_and_server_that_are_killed_again_and_again_lose_and_double_nothing(
    tmp_path, unused_url, real_server
):
    script = (
        "import sys, time; from monitor.client import Client\n"
        "client = Client(sys.argv[1], model='m', spool=sys.argv[2], flush_interval=0.02)\n"
        "while True: print(client.log({'a': 1.5}, 1), flush=True); time.sleep(0.0005)"
    )
    logged = []

    def live_for(lines):
        command = [sys.executable, "-c", script, unused_url, str(tmp_path / "spool")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            logged.extend(process.stdout.readline().strip() for _ in range(lines))
            process.kill()
            logged.extend(
                line.strip() for line in process.stdout if line.endswith("\n")
            )

    for lines in (300, 900, 50):
        with real_server(tmp_path / "data", unused_url, signal.SIGKILL):
            live_for(lines)
        live_for(lines)
    with real_server(tmp_path / "data", unused_url):
        with Client(
            unused_url, model="m", spool=tmp_path / "spool", timeout=30
        ) as client:
            logged.append(client.log({"a": 1.5}, 1))
            assert client.flush(60)
        httpx.post(f"{unused_url}/v1/flush", trust_env=False, timeout=30)
    server = Server(tmp_path / "data", Config())
    stored = [
        row[0]
        for row in server.store.query(
            f"SELECT event_id FROM {server.store.model('m').events}"
        )
    ]
    server.close()
    assert len(stored) == len(set(stored))
    assert set(logged) <= set(stored)
    # of each life one may have been kept and not yet printed
    assert len(stored) - len(logged) <= 6
