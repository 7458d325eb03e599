"""Text files, plain or compressed, read with a limit on their unpacked size."""

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from monitor.errors import PayloadError

ENDINGS = ("", ".gz", ".zst")
ALLOWED_BYTES = 64 << 20  # unpacked, of any file
# of unpacked to compressed size; logs reach 30, a bomb 1,000 to 30,000
MAX_RATIO = 250
MAX_LINE = 4_000_000  # bytes; a longer line fits into no request


def open_plain(path: Path) -> IO[bytes]:
    """The bytes of a file, decompressed if its ending says so.

    Reading raises PayloadError on damage and on bombs.
    """
    file = path.open("rb")
    if path.suffix.lower() not in (".gz", ".zst"):
        return file
    return io.BufferedReader(_Plain(file, path), 1 << 20)


def lines_of(file: IO[bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """(number, line, whole) of every line.

    Of a line with more than MAX_LINE bytes the start, and whole is False.
    """
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        whole = len(line) <= MAX_LINE
        part = line
        while not whole and part and not part.endswith(b"\n"):
            part = file.readline(MAX_LINE)
        yield number, line if whole else line[:MAX_LINE], whole


class _Plain(io.RawIOBase):
    """The unpacked bytes of a gzip or Zstandard file, member after member."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file, self.name = file, path.name
        self.zstd = path.suffix.lower() == ".zst"
        self.max_bytes = ALLOWED_BYTES + MAX_RATIO * path.stat().st_size
        # what one call unpacks stays below 32 MB
        self.part_bytes = 1 << 10 if self.zstd else 1 << 14
        self.unpacked_bytes = 0
        self._out = memoryview(b"")
        self._member: Any = None
        self._packed = b""

    def readable(self) -> bool:
        """True: it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes; 0 at the end. Raises PayloadError."""
        while not self._out:
            data = self._packed or self.file.read(self.part_bytes)
            self._packed = b""
            if not data:
                if self._member is not None and not self._member.eof:
                    raise PayloadError(
                        f"{self.name} is cut off: its compressed data does not end; "
                        "send it once it is whole"
                    )
                return 0
            self._out = memoryview(self._decompress(data))
            self.unpacked_bytes += len(self._out)
            if self.unpacked_bytes > self.max_bytes:
                raise PayloadError(
                    f"{self.name} unpacks to more than {MAX_RATIO} times its size; "
                    "unpack it by hand if it is what it claims to be"
                )
        count = min(len(buffer), len(self._out))
        buffer[:count] = self._out[:count]
        self._out = self._out[count:]
        return count

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        super().close()

    def _decompress(self, data: bytes) -> bytes:
        if self._member is None or self._member.eof:
            self._member = zlib.decompressobj(31)
            if self.zstd:
                self._member = zstandard.ZstdDecompressor().decompressobj()
        try:
            out: bytes = self._member.decompress(data)
        except (zlib.error, zstandard.ZstdError) as error:
            kind = "Zstandard" if self.zstd else "gzip"
            raise PayloadError(
                f"{self.name} is not {kind}, or damaged ({str(error)[:80]})"
            ) from None
        if self._member.eof:
            self._packed = self._member.unused_data
        return out
