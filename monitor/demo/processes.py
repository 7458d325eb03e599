"""The child processes of the demo: started in order, stopped in reverse, never left behind."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from monitor.errors import DriftdeckError

GRACE = 15.0  # seconds between asking a child to stop and killing it


class DemoError(DriftdeckError):
    """The demo cannot go on; the sentence says why and what to do."""


class Children:
    """Runs `command` with a verb's arguments, in a session of its own, so that one Ctrl-C reaches only this process."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command = list(command)
        self._folder = folder
        self._running: list[tuple[str, subprocess.Popen[bytes], IO[bytes]]] = []

    def start(self, name: str, *arguments: str) -> None:
        """Start a verb that goes on until it is stopped; what it says goes to NAME.log."""
        log = (self._folder / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [*self._command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._running.append((name, process, log))

    def run(self, *arguments: str) -> None:
        """Run a verb to its end, its output (a progress bar, say) passing through; DemoError if it fails."""
        process = subprocess.Popen([*self._command, *arguments], start_new_session=True)
        try:
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
        if code != 0:
            raise DemoError(
                f"`driftdeck {' '.join(arguments[:2])}` failed with exit code {code}; see its message above"
            )

    def check(self) -> None:
        """DemoError if a started verb has ended, with the last line it wrote."""
        for name, process, log in self._running:
            code = process.poll()
            if code is not None:
                path = Path(log.name)
                lines = path.read_text(errors="replace").strip().splitlines() or [
                    "(it wrote nothing)"
                ]
                raise DemoError(
                    f"the {name} stopped with exit code {code}: {lines[-1]} (all of it: {path})"
                )

    def stop(self) -> None:
        """Ask the children to stop, newest first; kill what does not within the grace."""
        while self._running:
            _, process, log = self._running.pop()
            _stop(process)
            log.close()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        _kill_session(process)
        process.wait()


def _kill_session(process: "subprocess.Popen[bytes]") -> None:
    """Kill the child and what it started itself."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


@contextmanager
def children(command: Sequence[str], folder: Path) -> Iterator[Children]:
    """Children that are stopped when the block ends, however it ends; a SIGTERM ends it as Ctrl-C does."""
    found = Children(command, folder)
    on_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _interrupt) if on_main_thread else None
    try:
        yield found
    finally:
        if on_main_thread:  # a second, impatient Ctrl-C must not leave children behind
            before_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        found.stop()
        if on_main_thread:
            signal.signal(signal.SIGTERM, before)
            signal.signal(signal.SIGINT, before_interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def require_free_port(host: str, port: int, what: str) -> None:
    """DemoError if something listens on the port already."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise DemoError(
                f"port {port} on {host}, wanted for the {what}, cannot be used ({reason.lower()}): "
                "stop what uses it, or choose another port"
            ) from None
