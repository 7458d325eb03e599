"""Two processes under one command: start, watch, stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from monitor.errors import StorageError

GRACE_S = 15.0


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Raises StorageError, in one sentence, when nothing can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            why = (
                "is in use by another program"
                if error.errno == 98
                else f"cannot be used: {error.strerror}"
            )
            raise StorageError(
                f"port {port} on {host} {why}; choose another with {option}"
            ) from None


def run_dashboard(url: str, host: str, port: int) -> int:
    """Run Streamlit on the pages of app/ until it ends; its exit code."""
    root = pages_root()
    environment = {**os.environ, "DRIFTDECK_URL": url, "PYTHONPATH": str(root)}
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(root / "app" / "main.py"),
        "--server.port",
        str(port),
        "--server.address",
        host,
    ]
    process = subprocess.Popen(
        [*command, "--server.headless", "true"], cwd=root, env=environment
    )
    return _wait(process)


def supervise(server: list[str], dashboard: list[str]) -> int:
    """Run both verbs; a dashboard that dies is started again, a server that dies ends all.

    The server's exit code.
    """
    base = [sys.executable, "-m", "monitor.cli"]
    processes = {"server": subprocess.Popen([*base, *server])}
    signal.signal(signal.SIGTERM, _interrupt)
    started = 0.0
    try:
        while processes["server"].poll() is None:
            page = processes.get("dashboard")
            if (
                page is None or page.poll() is not None
            ) and time.monotonic() - started > 5:
                started = time.monotonic()
                processes["dashboard"] = subprocess.Popen([*base, *dashboard])
            time.sleep(0.5)
    except KeyboardInterrupt:
        pass
    finally:
        for process in processes.values():
            _stop(process)
    return processes["server"].returncode or 0


def pages_root() -> Path:
    """The folder that holds app/ and .streamlit/: inside the installed package, else the checkout."""
    inside = Path(__file__).parents[1] / "_app"
    return inside if inside.is_dir() else Path(__file__).parents[2]


def _wait(process: "subprocess.Popen[bytes]") -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return process.wait()
    except KeyboardInterrupt:
        _stop(process)
        return 0


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
