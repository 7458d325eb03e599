"""Where the server that owns a data directory can be reached."""

import json
import os
from pathlib import Path


def announce(folder: Path, url: str) -> None:
    """Leave the server's address beside the data, so that other verbs find it."""
    (folder / "server.json").write_text(json.dumps({"url": url, "pid": os.getpid()}))


def withdraw(folder: Path) -> None:
    """Take the address away: nobody owns the data any more."""
    (folder / "server.json").unlink(missing_ok=True)


def announced(folder: Path) -> str | None:
    """The address of the server that owns the data directory; None when none does."""
    try:
        found = json.loads((folder / "server.json").read_text())
        os.kill(found["pid"], 0)
        return str(found["url"])
    except (OSError, ValueError, KeyError):
        return None
