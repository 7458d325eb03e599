"""The drop folders of a server, scanned by one thread."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monitor.config.config import DropConfig
from monitor.errors import StorageError
from monitor.ingest.collector import Collector
from monitor.ingest.drop_folder.folder import DropFolder

log = logging.getLogger("driftdeck.drop")

SCAN_EVERY_S = 1.0


class DropFolderWatcher:
    """Scans folders while it runs.

    A scan works on every file system; notifications of changes do not.
    """

    def __init__(
        self, sections: Sequence[DropConfig], base: Path, collector: Collector
    ) -> None:
        try:
            self.folders = [
                DropFolder(section, base / section.folder, collector)
                for section in sections
            ]
        except OSError as error:
            raise StorageError(
                f"the drop folder {error.filename} cannot be used: {error.strerror}"
            ) from None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if there are folders."""
        if self.folders and self._thread is None:
            self._thread = threading.Thread(
                target=self._watch, name="driftdeck-drop", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop after the current file."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def status(self) -> list[dict[str, Any]]:
        """Return the counts of each folder: read, waiting and failed files."""
        return [folder.status() for folder in self.folders]

    def _watch(self) -> None:
        while not self._stopping.wait(SCAN_EVERY_S):
            for folder in self.folders:
                try:
                    folder.scan(self._stopping)
                # the edge of a scan: the next one tries again
                except Exception as error:
                    folder.problem = f"{type(error).__name__} while reading"
                    log.exception(
                        "the drop folder %s cannot be read", folder.folder.name
                    )
