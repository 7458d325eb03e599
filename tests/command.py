"""The command line, as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path


def run(
    *arguments: str, cwd: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """The command in a folder of its own, with a clean environment."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DRIFTDECK_")}
    command = [sys.executable, "-m", "monitor.cli", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, **environment, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
