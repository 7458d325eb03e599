"""The address of the server that owns a data directory, in a file beside the data."""

import json
import os
from pathlib import Path


def announce(folder: Path, url: str) -> None:
    """Write the server's address beside the data, where other commands read it."""
    (folder / "server.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))


def withdraw(folder: Path) -> None:
    """Delete the address: no server owns the data any more."""
    (folder / "server.json").unlink(missing_ok=True)


def announced(folder: Path) -> str | None:
    """Return the address of the server that owns the data directory; None without one."""
    try:
        entry = json.loads((folder / "server.json").read_text())
        os.kill(entry["pid"], 0)
        return str(entry["url"])
    except (OSError, ValueError, KeyError):
        return None
