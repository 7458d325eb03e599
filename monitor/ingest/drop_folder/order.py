"""Messages between the server and its parsing process: the order, and the batches of rows."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

from monitor.errors import PayloadError
from monitor.event import Refusal
from monitor.ingest.file_batches import ColumnMapping, FileBatch

# of one message: a batch is far smaller; a faulty child must not fill the server's memory
MAX_MESSAGE_BYTES = 64 << 20


@dataclass(frozen=True)
class Order:
    """One file to parse; `format` is the name of a source, empty to choose it by the ending."""

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
        """Return the order as text."""
        return json.dumps(asdict(self))


def read_order(text: str) -> Order:
    """Return the order that `dump` wrote."""
    data = json.loads(text)
    mapping = data["mapping"]
    features = mapping["features"]
    mapping["features"] = None if features is None else tuple(features)
    data["mapping"] = ColumnMapping(**mapping)
    return Order(**data)


def write_batch(out: IO[bytes], batch: FileBatch) -> None:
    """Write one batch: a line with its fields, then its body."""
    fields: dict[str, Any] = {
        **asdict(batch),
        "refusals": [asdict(r) for r in batch.refusals],
        "body": len(batch.body),
    }
    out.write(json.dumps(fields).encode() + b"\n" + batch.body)


def write_end(out: IO[bytes], problem: str | None) -> None:
    """Write the last message; `problem` is None when the whole file was read."""
    out.write(json.dumps({"end": True, "problem": problem}).encode() + b"\n")


def read_batches(source: IO[bytes]) -> Iterator[FileBatch]:
    """Yield the batches until the last message.

    Raises PayloadError when the file cannot be read, EOFError when the process ended
    without a last message.
    """
    while True:
        line = source.readline(MAX_MESSAGE_BYTES)
        if not line.endswith(b"\n"):
            raise EOFError
        fields = json.loads(line)
        if fields.get("end"):
            if fields["problem"]:
                raise PayloadError(fields["problem"])
            return
        size = fields.pop("body")
        body = source.read(size) if 0 <= size <= MAX_MESSAGE_BYTES else b""
        if len(body) != size:
            raise EOFError
        refusals = tuple(Refusal(**r) for r in fields.pop("refusals"))
        yield FileBatch(**fields, body=body, refusals=refusals)
