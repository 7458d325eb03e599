"""A disk whose writes fail on demand, for the tests of the spool and of what rests on it."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from monitor.spool import spool as spool_module


class FaultyDisk:
    """Stands in for `os` in the spool's module: some of its writes and syncs fail.

    A write of more than `max_write_bytes` in all fails half-way, as on a full disk.
    """

    def __init__(self) -> None:
        self.max_write_bytes: int | None = None
        self.sync_fails = False
        self.truncate_fails = False
        self.failed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def writev(self, file: int, parts: list[bytes]) -> int:
        """Write, or write half and fail."""
        size = sum(map(len, parts))
        if self.max_write_bytes is not None and size > self.max_write_bytes:
            os.write(file, b"".join(parts)[: size // 2])
            self._fail()
        return os.writev(file, parts)

    def fdatasync(self, file: int) -> None:
        """Sync, or fail."""
        if self.sync_fails:
            self._fail()
        os.fdatasync(file)

    def ftruncate(self, file: int, size: int) -> None:
        """Cut the file, or fail."""
        if self.truncate_fails:
            self._fail()
        os.ftruncate(file, size)

    def _fail(self) -> None:
        self.failed += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def faulty_disk(monkeypatch: Any) -> Iterator[FaultyDisk]:
    """A disk under every spool of this process; it works again afterwards."""
    disk = FaultyDisk()
    with monkeypatch.context() as patch:
        patch.setattr(spool_module, "os", disk)
        yield disk
