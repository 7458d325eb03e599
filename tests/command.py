"""The command line, as a user runs it."""

import io
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from monitor.cli import main

TIMEOUT_S = 600
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_process(
    *arguments: str, cwd: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command as a process of its own, in `cwd`, with a clean environment."""
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", *arguments],
        cwd=cwd,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def run(
    *arguments: str, cwd: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command in this process: the same result as `run_process`, seconds faster."""
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    folder = Path.cwd()
    os.chdir(cwd)
    try:
        with (
            mock.patch.dict(os.environ, _environment(environment), clear=True),
            mock.patch.object(sys, "argv", ["driftdeck", *arguments]),
            redirect_stdout(output),
            redirect_stderr(errors),
        ):
            code = _exit_code()
    finally:
        os.chdir(folder)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess(
        ["driftdeck", *arguments], code, _text_of(output), _text_of(errors)
    )


def _exit_code() -> int:
    try:
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    return 0


def _environment(changes: dict[str, str]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DRIFTDECK_")}
    return {**inherited, **changes, "COLUMNS": "160"}


def _text_of(stream: io.TextIOWrapper) -> str:
    stream.flush()
    written: bytes = stream.buffer.getvalue()  # type: ignore[attr-defined]
    return written.decode()
