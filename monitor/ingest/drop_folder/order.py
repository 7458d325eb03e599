"""What the server asks the parsing process for, and the frames that it answers with."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

from monitor.errors import PayloadError
from monitor.event import Refusal
from monitor.ingest.file_batches import ColumnMapping, FileBatch

# bytes of one frame: a batch is far smaller; a child gone wild must not fill the server
LARGEST = 64 << 20


@dataclass(frozen=True)
class Order:
    """One file to parse, behind `path`; `format` is a source's name, empty for the one of the ending."""

    path: str
    digest: str
    kind: str
    format: str
    model: str | None
    version: str | None
    mapping: ColumnMapping
    memory_mb: int
    seconds: int

    def dump(self) -> str:
        """The order as text."""
        return json.dumps(asdict(self))


def read_order(text: str) -> Order:
    """The order that `dump` wrote."""
    data = json.loads(text)
    mapping = data["mapping"]
    features = mapping["features"]
    return Order(
        **{
            **data,
            "mapping": ColumnMapping(
                **{**mapping, "features": None if features is None else tuple(features)}
            ),
        }
    )


def write_batch(out: IO[bytes], batch: FileBatch) -> None:
    """One batch as a frame: a line about it, then its body."""
    about: dict[str, Any] = {
        **asdict(batch),
        "refusals": [asdict(r) for r in batch.refusals],
        "body": len(batch.body),
    }
    out.write(json.dumps(about).encode() + b"\n" + batch.body)


def write_end(out: IO[bytes], problem: str | None) -> None:
    """The last frame: None when the whole file was read, else why not."""
    out.write(json.dumps({"end": True, "problem": problem}).encode() + b"\n")


def read_batches(source: IO[bytes]) -> Iterator[FileBatch]:
    """The batches that come, until the last frame. Raises PayloadError when the file cannot be read, EOFError when the
    process ended without a last frame."""
    while True:
        line = source.readline(LARGEST)
        if not line.endswith(b"\n"):
            raise EOFError
        about = json.loads(line)
        if about.get("end"):
            if about["problem"]:
                raise PayloadError(about["problem"])
            return
        size = about.pop("body")
        body = source.read(size) if 0 <= size <= LARGEST else b""
        if len(body) != size:
            raise EOFError
        refusals = tuple(Refusal(**r) for r in about.pop("refusals"))
        yield FileBatch(**about, body=body, refusals=refusals)
