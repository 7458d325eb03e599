"""Time that the proxy adds to a model server's response, in one run."""

import http.client
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.process import ROOT, free_port, python, run, server

DIRECT = "the same model server asked directly"


def measure(folder: Path, pairs: int, requests: int) -> list[Figure]:
    """Measure p50 and p99 directly and through the proxy, and the difference at p50."""
    model, between = free_port(), free_port()
    command = python(
        "monitor.cli",
        "proxy",
        "--upstream",
        f"http://127.0.0.1:{model}",
        "--protocol",
        "v2",
    )
    with (
        server(folder / "data", core=None) as running,
        _running(
            python("benchmarks.sides.model_server", "--port", model),
            model,
            folder / "model.log",
        ),
        _running(
            [
                *command,
                "--url",
                f"http://127.0.0.1:{running.port}",
                "--port",
                str(between),
            ],
            between,
            folder / "proxy.log",
        ),
    ):
        ask = python(
            "benchmarks.sides.ask_model",
            "--direct",
            model,
            "--proxy",
            between,
            "--requests",
            requests,
        )
        found = [run(ask).said for _ in range(pairs)]
        time.sleep(2)  # the client's last batch
        stored = running.drained()["stored"]
    if stored != pairs * (requests + 50):
        raise RuntimeError(
            f"{pairs * (requests + 50)} predictions passed the proxy, {stored} were stored"
        )
    added = [said["proxy_p50"] - said["direct_p50"] for said in found]
    return [
        Figure("proxy, v2, 20 inputs: what it adds at p50", "ms", added, goal=1),
        *(
            Figure(
                f"through the proxy, p{q}",
                "ms",
                [s[f"proxy_p{q}"] for s in found],
                DIRECT,
                [s[f"direct_p{q}"] for s in found],
            )
            for q in (50, 99)
        ),
    ]


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        child = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
        try:
            _wait(port, child)
            yield
        finally:
            child.terminate()
            child.wait(timeout=60)


def _wait(port: int, child: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and child.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.connect()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError(f"nothing listens on port {port}")
