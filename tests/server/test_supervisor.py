"""`driftdeck up` starts again what dies, and leaves no orphan behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.server import supervisor
from monitor.server.supervisor import Child

SLEEP = [sys.executable, "-c", "import time; time.sleep(3600)"]


def children_of(parent: int) -> list[int]:
    """All processes below a process, by /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found += [int(entry.name), *children_of(int(entry.name))]
    return found


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_process_that_dies_is_started_again(
    monkeypatch: pytest.MonkeyPatch, wait_for: Any
) -> None:
    monkeypatch.setattr(supervisor, "MIN_UPTIME_S", 0.0)
    monkeypatch.setattr(supervisor, "MIN_RESTART_PAUSE_S", 0.01)
    child = Child(SLEEP)
    assert child.keep_running() is None
    first = child._process
    assert first is not None
    wait_for(lambda: child.keep_running() is None and child.has_worked, "it to work")
    first.kill()
    first.wait()
    wait_for(lambda: child.keep_running() is None, "it to be started again")
    assert child._process is not first
    child.stop()


def test_the_pauses_of_a_process_that_dies_at_once_grow(
    monkeypatch: pytest.MonkeyPatch, wait_for: Any
) -> None:
    monkeypatch.setattr(supervisor, "MIN_RESTART_PAUSE_S", 0.01)
    child = Child([sys.executable, "-c", "raise SystemExit(3)"])
    wait_for(lambda: child.keep_running() == 3, "it to end")
    assert not child.has_worked
    wait_for(lambda: child.keep_running() == 3 and child._pause_s > 0.03, "two starts")
    child.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_a_process_ends_with_its_parent(tmp_path: Path, wait_for: Any) -> None:
    script = (
        "import subprocess, sys, time\n"
        "from monitor.server.supervisor import end_with_parent\n"
        f"child = subprocess.Popen({SLEEP!r}, preexec_fn=end_with_parent)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(3600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout as output:
        child = int(output.readline())
    assert is_running(child)
    parent.kill()
    parent.wait()
    wait_for(lambda: not is_running(child), "the child to end")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.slow
def test_up_survives_the_death_of_its_children_and_takes_them_along(
    tmp_path: Path, wait_for: Any
) -> None:
    port, ui_port = free_port(), free_port()
    command = [sys.executable, "-m", "monitor.cli", "up", "--data", str(tmp_path / "d")]
    command += ["--port", str(port), "--ui-port", str(ui_port)]
    up = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ready, page = (
        f"http://127.0.0.1:{port}/readyz",
        f"http://127.0.0.1:{ui_port}/_stcore/health",
    )
    try:
        for _ in range(2):
            wait_for(lambda: is_ready(ready) and is_ready(page), "server and dashboard")
            time.sleep(supervisor.MIN_UPTIME_S + 1)
            for pid in children_of(up.pid):
                if is_running(pid):
                    os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not is_ready(ready), "the server to be dead")
        wait_for(lambda: is_ready(ready) and is_ready(page), "both to be back")
        family = children_of(up.pid)
        assert len(family) >= 3
        up.kill()
        up.wait()
        wait_for(lambda: not any(map(is_running, family)), "the children to end")
    finally:
        up.kill()


def test_up_stops_when_the_configuration_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "driftdeck.toml"
    config.write_text("nonsense = 1\n")
    command = [sys.executable, "-m", "monitor.cli", "up", "--data", str(tmp_path / "d")]
    done = subprocess.run(
        [*command, "--config", str(config), "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode not in (0, -9)
    assert "nonsense" in done.stderr + done.stdout
