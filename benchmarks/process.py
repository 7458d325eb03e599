"""Fresh processes measured from outside.

This process must stay small: Linux counts a child's peak RSS from what its parent had
when it was started.
"""

import http.client
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SERVER_CORE, CLIENT_CORE = "0", "1"
TICK = os.sysconf("SC_CLK_TCK")


def keep_bytecode(folder: Path) -> None:
    """Let children compile each module once, into `folder`, like an installed program."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


@dataclass(frozen=True)
class Run:
    """One finished process: user and system CPU seconds of all its threads, peak RSS, and the JSON line it printed."""

    cpu_s: float
    rss_mib: float
    wall_s: float
    said: dict[str, Any]


def python(
    module: str, *arguments: object, executable: str = sys.executable
) -> list[str]:
    """The command that runs a module with arguments."""
    return [executable, "-m", module, *map(str, arguments)]


def run(command: Sequence[str], core: str | None = None) -> Run:
    """Run a command to its end.

    Raises RuntimeError with the end of its stderr when it fails.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        child = subprocess.Popen(
            _pinned(command, core), cwd=ROOT, stdout=out, stderr=err
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode:
            raise RuntimeError(
                f"{' '.join(command[:5])} failed: {err.read().decode(errors='replace')[-1500:]}"
            )
        lines = [
            line for line in out.read().decode().splitlines() if line.startswith("{")
        ]
    said = json.loads(lines[-1]) if lines else {}
    return Run(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, wall, said)


class Server:
    """A running driftdeck server."""

    def __init__(
        self, port: int, child: "subprocess.Popen[bytes]", ready_s: float
    ) -> None:
        self.port, self.pid, self.ready_s = port, child.pid, ready_s
        self.ready_cpu_s = self.cpu_s()
        self.whole_cpu_s = 0.0  # of its whole life, known once it was stopped

    def cpu_s(self) -> float:
        """User and system CPU seconds since its start, to the clock tick (10 ms)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss_mib(self) -> float:
        """Resident memory now."""
        return self._memory("VmRSS")

    def peak_rss_mib(self) -> float:
        """Peak resident memory so far."""
        return self._memory("VmHWM")

    def _memory(self, name: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return (
            next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
        )

    def request(
        self, method: str, path: str, body: bytes | None = None, kind: str = ""
    ) -> dict[str, Any]:
        """Send a request; return its JSON.

        Raises RuntimeError for any status but 200.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(
                method, path, body, {"content-type": kind} if kind else {}
            )
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return dict(json.loads(text))

    def drained(self, patience_s: float = 600) -> dict[str, Any]:
        """The accounting once everything acknowledged is stored and profiled."""
        until = time.monotonic() + patience_s
        while (accounting := self.request("GET", "/v1/status")["accounting"])[
            "pending"
        ]:
            if time.monotonic() > until:
                raise RuntimeError(f"the server is still loading: {accounting}")
            time.sleep(0.1)
        return dict(accounting)

    def quiet(self, patience_s: float = 300) -> None:
        """Return when the server has used little CPU for a second: nothing is loaded or evaluated any more."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            before = self.cpu_s()
            time.sleep(1)
            if self.cpu_s() - before < 0.15:
                return


@contextmanager
def server(
    data: Path, core: str | None = SERVER_CORE, *options: str
) -> Iterator[Server]:
    """A real server over a data directory, ready to serve; stopped in the end."""
    port = free_port()
    command = _pinned(
        python("monitor.cli", "server", "--data", data, "--port", port, *options), core
    )
    with (data.parent / f"{data.name}.log").open("ab") as log:
        began = time.perf_counter()
        child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        running = None
        try:
            _wait_ready(child, port)
            running = Server(port, child, time.perf_counter() - began)
            yield running
        finally:
            before = _ended_cpu_s()
            child.terminate()
            try:
                child.wait(timeout=120)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                raise
            if running is not None:
                running.whole_cpu_s = _ended_cpu_s() - before


def _ended_cpu_s() -> float:
    """User and system CPU seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def free_port() -> int:
    """Return an unused TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(
    child: "subprocess.Popen[bytes]", port: int, patience_s: float = 120
) -> None:
    until = time.monotonic() + patience_s
    while time.monotonic() < until and child.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    raise RuntimeError("the server did not become ready")


def _pinned(command: Sequence[str], core: str | None) -> list[str]:
    cores = {str(c) for c in os.sched_getaffinity(0)}
    usable = core in cores and shutil.which("taskset")
    return ["taskset", "-c", str(core), *command] if usable else list(command)
