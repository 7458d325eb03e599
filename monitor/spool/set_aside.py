"""Records that could not be loaded: each is kept in a file of its own, beside the spool."""

import os
from pathlib import Path

from monitor.spool.record import Record


class SetAside:
    """The folder of the records that could not be loaded, until a person deletes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, record: Record) -> str:
        """Write a record to a file, synced, and return the file's name; again is harmless.

        The file has the form of a spool file with one record.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{record.end.segment:08d}-{record.end.offset}.record"
        unfinished = path.with_suffix(".unfinished")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(record.parts())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        return path.name

    def names(self) -> list[str]:
        """Return the names of the files, oldest first."""
        return sorted(path.name for path in self.folder.glob("*.record"))
