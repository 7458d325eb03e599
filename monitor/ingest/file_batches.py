"""A file as requests: its columns mapped, its rows in batches, each with its key.

The same file always gives the same batches and keys.
"""

import glob
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import to_ipc
from monitor.contracts import Chunk, Source
from monitor.errors import PayloadError, StorageError
from monitor.event import RAW_SAMPLE, Refusal
from monitor.plugins import sources
from monitor.sources._compressed import MAX_LINE, lines_of, open_plain

MAX_ROWS = 5000  # of one batch
ARROW = "application/vnd.apache.arrow.stream"
NDJSON = "application/x-ndjson"
EVENT_COLUMNS = frozenset(
    {
        "ts",
        "prediction",
        "label",
        "event_id",
        "latency_ms",
        "status",
        "error",
        "version",
    }
)


@dataclass(frozen=True)
class ColumnMapping:
    """The columns of a file that fill an event's fields; `features` None: all other columns."""

    timestamp: str | None = None
    prediction: str | None = None
    label: str | None = None
    id: str | None = None
    latency: str | None = None
    version: str | None = None
    features: tuple[str, ...] | None = None

    @property
    def given(self) -> bool:
        """True when any column is named."""
        return self != ColumnMapping()

    def renames(self) -> dict[str, str]:
        """Return the event's column by the file's column."""
        pairs = (
            (self.timestamp, "ts"),
            (self.prediction, "prediction"),
            (self.label, "label"),
            (self.id, "event_id"),
            (self.latency, "latency_ms"),
        )
        return {column: field for column, field in pairs if column}


@dataclass(frozen=True)
class FileBatch:
    """The rows of a file for one request.

    `kind` is events or labels. A batch of unreadable rows has only `refusals`.
    """

    kind: str
    key: str
    first_line: int
    media_type: str = ""
    body: bytes = b""
    refusals: Sequence[Refusal] = ()
    bytes_read: int = 0


def source_of(path: Path) -> Source:
    """Return the source that reads a file, by its ending.

    Raises StorageError, which names the known endings.
    """
    for source in sources().values():
        if path.name.lower().endswith(source.SUFFIXES):
            return source
    endings = sorted(s for source in sources().values() for s in source.SUFFIXES)
    raise StorageError(
        f"{path.name}: the ending {path.suffix or '(none)'} is not known; "
        f"known: {' '.join(endings)}"
    )


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Return files, those that match a pattern, and those of known formats in directories.

    Raises StorageError when a path matches no file.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _known(path.rglob("*"))
        elif path.is_file():
            source_of(path)
            files.append(path)
        elif glob.has_magic(str(path)):
            matched = [Path(name) for name in glob.iglob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns too)
            if not _known(matched):
                raise StorageError(f"no file of a known format matches {path}")
            files += _known(matched)
        else:
            raise StorageError(f"{path} does not exist")
    for path in files:
        if not path.stat().st_size:
            raise PayloadError(f"{path.name} is empty")
    if not files:
        raise StorageError(
            "there are no files of a known format in " + ", ".join(map(str, paths))
        )
    return list(dict.fromkeys(files))


def digest_of(path: Path, *how: Any) -> str:
    """Return a digest of a file's content and of how it is read.

    Equal digests mean equal batches.
    """
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(f"{content}{how!r}".encode()).hexdigest()[:32]


def event_batches(
    path: Path,
    source: Any,
    digest: str,
    model: str | None,
    version: str | None,
    mapping: ColumnMapping,
    age: str = "",
) -> Iterator[FileBatch]:
    """Yield all rows of a file of events.

    Raises PayloadError when it, or the remainder of it, cannot be read.
    """
    if NDJSON in source.MEDIA_TYPES and not mapping.given:
        with open_plain(path) as file:
            yield from line_batches(file, digest, age)
        return
    if model is None:
        raise PayloadError(
            f"{path.name}: name the model of these rows with --model NAME"
        )
    for chunk in source.read_file(path, MAX_ROWS):
        yield from _unreadable("events", digest, chunk)
        table = renamed(chunk.table, mapping, digest, chunk.first_line, version)
        events = table.drop_columns([c for c in ("label",) if c in table.column_names])
        for first, part in _slices(events, chunk.first_line):
            yield FileBatch(
                "events", f"{digest}-{first}{age}", first, ARROW, to_ipc(part)
            )
        if "label" in table.column_names:
            labels = table.select(
                [c for c in ("event_id", "label", "ts") if c in table.column_names]
            )
            labels = labels.filter(pc.is_valid(labels["label"]))
            if labels.num_rows:
                first = chunk.first_line
                yield FileBatch(
                    "labels",
                    f"{digest}-{first}{age}-labels",
                    first,
                    ARROW,
                    to_ipc(labels),
                )
        yield FileBatch("events", "", chunk.first_line, bytes_read=chunk.bytes_read)


def label_batches(
    path: Path, source: Any, digest: str, mapping: ColumnMapping, age: str = ""
) -> Iterator[FileBatch]:
    """Yield all rows of a file of labels: columns event_id, label, ts (or as mapped)."""
    for chunk in source.read_file(path, MAX_ROWS):
        yield from _unreadable("labels", f"{digest}-l", chunk)
        table = chunk.table.rename_columns(
            [mapping.renames().get(c, c) for c in chunk.table.column_names]
        )
        key = f"{digest}-l-{chunk.first_line}{age}"
        yield FileBatch(
            "labels",
            key,
            chunk.first_line,
            ARROW,
            to_ipc(table),
            bytes_read=chunk.bytes_read,
        )


def line_batches(file: IO[bytes], digest: str, age: str = "") -> Iterator[FileBatch]:
    """Yield lines as they are; a line that is longer than a request may be is refused."""
    lines: list[bytes] = []
    long: list[Refusal] = []
    size, first, number = 0, 1, 0
    for number, line, whole in lines_of(file):
        if lines and (len(lines) >= MAX_ROWS or size + len(line) > MAX_LINE):
            yield FileBatch(
                "events",
                f"{digest}-{first}{age}",
                first,
                NDJSON,
                b"".join(lines),
                bytes_read=size,
            )
            lines, size, first = [], 0, number
        if not whole:
            text = line[:RAW_SAMPLE].decode("utf-8", "replace")
            long.append(
                Refusal(
                    number,
                    None,
                    f"the line has more than {MAX_LINE // 1_000_000} MB",
                    text,
                )
            )
            line = b"\n"  # so the lines after it have their numbers
        lines.append(line if line.endswith(b"\n") else line + b"\n")
        size += len(line)
    if lines:
        yield FileBatch(
            "events",
            f"{digest}-{first}{age}",
            first,
            NDJSON,
            b"".join(lines),
            bytes_read=size,
        )
    if long:
        yield FileBatch(
            "events", f"{digest}-{number}-unreadable", number, refusals=long
        )


def reference_table(path: Path, mapping: ColumnMapping) -> pa.Table:
    """Return all rows of a reference file, its columns named as an event's.

    Raises DriftdeckError.
    """
    chunks = list(source_of(path).read_file(path, 100_000))
    unreadable = [r for chunk in chunks for r in chunk.refusals]
    if unreadable:
        first = unreadable[0]
        raise PayloadError(
            f"{path.name} line {first.line}: {first.reason}; correct the file: "
            "a reference is used only when every row can be read"
        )
    if not chunks:
        raise PayloadError(f"{path.name} has no rows")
    table = pa.concat_tables([c.table for c in chunks], promote_options="permissive")
    return renamed(table, mapping, None, 1, None)


def renamed(
    table: pa.Table,
    mapping: ColumnMapping,
    digest: str | None,
    first_line: int,
    version: str | None,
) -> pa.Table:
    """Return the table with its columns named as an event's.

    Raises PayloadError when a mapped column is absent.
    """
    renames = mapping.renames()
    missing = [
        name
        for name in [*renames, *(mapping.features or ())]
        if name not in table.column_names
    ]
    if missing:
        raise PayloadError(
            f"there is no column {missing[0]!r}; columns: "
            f"{', '.join(table.column_names[:30])}"
        )
    if mapping.features is not None:
        selected = {*mapping.features, *renames, *EVENT_COLUMNS}
        table = table.select([c for c in table.column_names if c in selected])
    table = table.rename_columns([renames.get(c, c) for c in table.column_names])
    if digest is not None and "event_id" not in table.column_names:
        # the line in the file is the id: sending the file again stores nothing twice
        ids = [f"{digest[:24]}-{first_line + i}" for i in range(table.num_rows)]
        table = table.append_column("event_id", pa.array(ids, pa.string()))
    if version is not None and "version" not in table.column_names:
        table = table.append_column(
            "version", pa.array([version] * table.num_rows, pa.string())
        )
    return table


def _known(paths: Iterable[Path]) -> list[Path]:
    return sorted(filter(_is_known, paths))


def _is_known(path: Path) -> bool:
    try:
        return path.is_file() and bool(source_of(path))
    except StorageError:
        return False


def _slices(table: pa.Table, first_line: int) -> Iterator[tuple[int, pa.Table]]:
    row_bytes = max(1, table.nbytes / max(1, table.num_rows))
    rows = max(1, min(MAX_ROWS, int(MAX_LINE / row_bytes)))
    for start in range(0, table.num_rows, rows):
        yield first_line + start, table.slice(start, rows)


def _unreadable(kind: str, digest: str, chunk: Chunk) -> Iterator[FileBatch]:
    if chunk.refusals:
        reasons = json.dumps([[r.line, r.reason] for r in chunk.refusals])
        suffix = hashlib.sha256(reasons.encode()).hexdigest()[:8]
        key = f"{digest}-{chunk.first_line}-{suffix}"
        yield FileBatch(kind, key, chunk.first_line, refusals=chunk.refusals)
