"""A server as a process of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

READY_S = 300  # an idle machine needs two


def start_server(
    folder: Path,
    *options: str,
    host: str = "127.0.0.1",
    log: Any = subprocess.DEVNULL,
    **environment: str,
) -> tuple["subprocess.Popen[bytes]", str]:
    """A server as a process of its own, and its address, once it is ready."""
    import socket

    with socket.create_server((host, 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "monitor.cli",
        "server",
        "--data",
        str(folder),
        "--port",
        str(port),
    ]
    process = subprocess.Popen(
        [*command, "--host", host, *options],
        stdout=subprocess.DEVNULL,
        stderr=log,
        env={**os.environ, **environment},
    )
    url = f"http://{host}:{port}"
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        try:
            if (
                httpx.get(f"{url}/readyz", trust_env=False, timeout=60).status_code
                == 200
            ):
                return process, url
        except httpx.HTTPError:
            time.sleep(0.05)
        assert process.poll() is None, "the server ended"
    raise AssertionError("the server did not become ready")
