"""Two processes under one command: start, watch, stop."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from monitor.errors import StorageError

GRACE_S = 15.0
MIN_RESTART_PAUSE_S = 5.0


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Check that a program can listen on the port. Raises StorageError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            is_in_use = error.errno == errno.EADDRINUSE
            reason = f"cannot be used: {error.strerror}"
            if is_in_use:
                reason = "is in use by another program"
            raise StorageError(
                f"port {port} on {host} {reason}; choose another with {option}"
            ) from None


def run_dashboard(url: str, host: str, port: int) -> int:
    """Run Streamlit on the pages of app/ until it ends; return its exit code."""
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
    """Run both commands; restart the dashboard when it dies, stop when the server does.

    Returns the server's exit code.
    """
    base = [sys.executable, "-m", "monitor.cli"]
    processes = {"server": subprocess.Popen([*base, *server])}
    signal.signal(signal.SIGTERM, _interrupt)
    started = 0.0
    try:
        while processes["server"].poll() is None:
            page = processes.get("dashboard")
            is_down = page is None or page.poll() is not None
            if is_down and time.monotonic() - started > MIN_RESTART_PAUSE_S:
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
    """Return the folder with app/ and .streamlit/: of the installed package, or the checkout."""
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
