"""The child processes of the demo: started in order, stopped in reverse order."""

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

MAX_STOP_S = 15.0  # between SIGTERM and SIGKILL


class DemoError(DriftdeckError):
    """The demo cannot go on; the sentence has the reason and the remedy."""


class Children:
    """Driftdeck commands, each in its own session, so that Ctrl-C reaches only the demo."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command = list(command)
        self._folder = folder
        self._running: list[tuple[str, subprocess.Popen[bytes], IO[bytes]]] = []

    def start(self, name: str, *arguments: str) -> None:
        """Start a command that runs until it is stopped; its output goes to NAME.log."""
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
        """Run a command to its end, with its output on the console; DemoError if it fails."""
        process = subprocess.Popen([*self._command, *arguments], start_new_session=True)
        try:
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
        if code != 0:
            name = " ".join(arguments[:2])
            raise DemoError(
                f"`driftdeck {name}` failed with exit code {code};"
                " see its message above"
            )

    def check(self) -> None:
        """Raise DemoError if a started command has ended, with its last line of output."""
        for name, process, log in self._running:
            code = process.poll()
            if code is not None:
                path = Path(log.name)
                lines = path.read_text(errors="replace").strip().splitlines()
                last_line = lines[-1] if lines else "(no output)"
                raise DemoError(
                    f"the {name} stopped with exit code {code}: {last_line}"
                    f" (the whole output: {path})"
                )

    def stop(self) -> None:
        """Stop the children, newest first; kill one that does not stop in time."""
        while self._running:
            _, process, log = self._running.pop()
            _stop(process)
            log.close()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(MAX_STOP_S)
    except subprocess.TimeoutExpired:
        _kill_session(process)
        process.wait()


def _kill_session(process: "subprocess.Popen[bytes]") -> None:
    """Kill the child and its own children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


@contextmanager
def children(command: Sequence[str], folder: Path) -> Iterator[Children]:
    """Yield children that are stopped when the block ends, for whatever reason.

    SIGTERM ends it like Ctrl-C.
    """
    started = Children(command, folder)
    on_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _interrupt) if on_main_thread else None
    try:
        yield started
    finally:
        if on_main_thread:  # a second, impatient Ctrl-C must not leave children behind
            before_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        started.stop()
        if on_main_thread:
            signal.signal(signal.SIGTERM, before)
            signal.signal(signal.SIGINT, before_interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def require_free_port(host: str, port: int, program: str) -> None:
    """Raise DemoError if the port cannot be used."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise DemoError(
                f"port {port} on {host} for the {program} cannot be used"
                f" ({reason.lower()}): stop the program that uses it,"
                " or choose another port"
            ) from None
