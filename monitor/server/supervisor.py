"""Two processes under one command: start, watch, stop."""

import ctypes
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from monitor.errors import StorageError

log = logging.getLogger("driftdeck.supervisor")

GRACE_S = 15.0
CHECK_EVERY_S = 0.5
MIN_UPTIME_S = 5.0  # after which a process counts as working
MIN_RESTART_PAUSE_S = 1.0
MAX_RESTART_PAUSE_S = 30.0
PR_SET_PDEATHSIG = 1  # of prctl, on Linux
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)


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


def run_dashboard(url: str, host: str, port: int, is_public: bool = False) -> int:
    """Run Streamlit on the pages of app/ until it ends; return its exit code.

    Of a public one the pages say that whoever reaches them sees what its key may.
    """
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
        # without it Streamlit asks a host on the Internet for this machine's address
        "--browser.serverAddress",
        "localhost" if host in ANY_ADDRESS else host,
    ]
    if is_public:
        environment["DRIFTDECK_PUBLIC"] = "1"
    process = subprocess.Popen(
        [*command, "--server.headless", "true"],
        cwd=root,
        env=environment,
        preexec_fn=end_with_parent,
    )
    return _wait(process)


def supervise(server: list[str], dashboard: list[str]) -> int:
    """Run both commands and start again the one that dies; return the exit code.

    A server that ends within MIN_UPTIME_S of its first start has a mistake in its
    configuration or its data folder, which it names: then both stop with its code.
    """
    base = [sys.executable, "-m", "monitor.cli"]
    children = {
        "server": Child([*base, *server]),
        "dashboard": Child([*base, *dashboard]),
    }
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        while True:
            for name, child in children.items():
                code = child.keep_running()
                if name == "server" and code is not None and not child.has_worked:
                    return code
            time.sleep(CHECK_EVERY_S)
    except KeyboardInterrupt:
        return 0
    finally:
        for child in children.values():
            child.stop()


class Child:
    """A process that is started again whenever it ends, later each time in a row."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.has_worked = False  # it ran for MIN_UPTIME_S once
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause_s = MIN_RESTART_PAUSE_S

    def keep_running(self) -> int | None:
        """Start the process if it is time; return its exit code while it is down."""
        now = time.monotonic()
        if self._process is None:
            self._start(now)
            return None
        code = self._process.poll()
        if now - self._started > MIN_UPTIME_S and code is None:
            self.has_worked = True
            self._pause_s = MIN_RESTART_PAUSE_S
        if code is not None and now - self._started > self._pause_s:
            log.error(
                "%s ended with %d; it is started again", " ".join(self.command), code
            )
            self._pause_s = min(2 * self._pause_s, MAX_RESTART_PAUSE_S)
            self._start(now)
        return code

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            _stop(self._process)

    def _start(self, now: float) -> None:
        self._process = subprocess.Popen(self.command, preexec_fn=end_with_parent)
        self._started = now


def end_with_parent() -> None:
    """Make the kernel end this process when its parent dies, on Linux."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


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
