"""Text files as they are or compressed, read with a cap on what may come out of them."""

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from monitor.errors import PayloadError

ENDINGS = ("", ".gz", ".zst")
ALWAYS = 64 << 20  # bytes that may come out of any file
RATIO = 250  # times the compressed size; logs reach 30, a bomb 1,000 to 30,000
MAX_LINE = 4_000_000  # a longer line fits into no request


def open_plain(path: Path) -> IO[bytes]:
    """The bytes of a file, decompressed if its ending says so.

    Reading raises PayloadError on damage and on bombs.
    """
    file = path.open("rb")
    if path.suffix.lower() not in (".gz", ".zst"):
        return file
    return io.BufferedReader(_Plain(file, path), 1 << 20)


def lines_of(file: IO[bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """(number, line, whole) of every line; of one with more than MAX_LINE bytes the start, and not whole."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        whole = len(line) <= MAX_LINE
        rest = line
        while not whole and rest and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE)
        yield number, line if whole else line[:MAX_LINE], whole


class _Plain(io.RawIOBase):
    """What a gzip or Zstandard file holds, member after member."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file, self.name = file, path.name
        self.zstd = path.suffix.lower() == ".zst"
        self.most = ALWAYS + RATIO * path.stat().st_size
        # what one call may make of it stays below 32 MB
        self.part = 1 << 10 if self.zstd else 1 << 14
        self.came = 0
        self._out = memoryview(b"")
        self._member: Any = None
        self._rest = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes; 0 at the end. Raises PayloadError."""
        while not self._out:
            data = self._rest or self.file.read(self.part)
            self._rest = b""
            if not data:
                if self._member is not None and not self._member.eof:
                    raise PayloadError(
                        f"{self.name} is cut off: its compressed data does not end; send it once it is whole"
                    )
                return 0
            self._out = memoryview(self._decompress(data))
            self.came += len(self._out)
            if self.came > self.most:
                raise PayloadError(
                    f"{self.name} unpacks to more than {RATIO} times its size; unpack it by hand if it is what it claims to be"
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
            self._member = (
                zstandard.ZstdDecompressor().decompressobj()
                if self.zstd
                else zlib.decompressobj(31)
            )
        try:
            out: bytes = self._member.decompress(data)
        except (zlib.error, zstandard.ZstdError) as error:
            kind = "Zstandard" if self.zstd else "gzip"
            raise PayloadError(
                f"{self.name} is not {kind}, or damaged ({str(error)[:80]})"
            ) from None
        if self._member.eof:
            self._rest = self._member.unused_data
        return out
