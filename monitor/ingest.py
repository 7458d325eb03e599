"""Files to a deck: columns mapped, sent in batches, counted; a second run of the same file adds nothing."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.contracts import Chunk
from monitor.errors import DriftdeckError, PayloadError, StorageError, TooLarge, Unreachable
from monitor.ipc import to_ipc
from monitor.plugins import load
from monitor.session import Session

ROWS = 5000
ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class Mapping:
    """Which column of a file is what; `features` None means every other column."""

    timestamp: str | None = None
    prediction: str | None = None
    label: str | None = None
    id: str | None = None
    latency: str | None = None
    version: str | None = None
    features: tuple[str, ...] | None = None

    @property
    def given(self) -> bool:
        """True when any column was named."""
        return self != Mapping()

    def renames(self) -> dict[str, str]:
        """File column to event column."""
        pairs = (
            (self.timestamp, "ts"),
            (self.prediction, "prediction"),
            (self.label, "label"),
            (self.id, "event_id"),
            (self.latency, "latency_ms"),
        )
        return {name: own for name, own in pairs if name}


@dataclass
class Counts:
    """What became of a run's rows."""

    accepted: int = 0
    refused: int = 0
    labels: int = 0
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def add(self, answer: dict[str, Any], file: str) -> None:
        """Count one answer of the server."""
        self.accepted += answer["accepted"]
        self.refused += answer["refused"]
        self.refusals += [{"file": file, **r} for r in answer["refusals"]]


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and those of known formats in directories, sorted. Raises StorageError."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.is_file() and _source(p) is not None)
        elif path.is_file():
            source_of(path)
            found.append(path)
        else:
            raise StorageError(f"{path} does not exist")
    for path in found:
        if not path.stat().st_size:
            raise PayloadError(f"{path.name} is empty")
    if not found:
        raise StorageError("there are no files of a known format in " + ", ".join(map(str, paths)))
    return found


def source_of(path: Path) -> Any:
    """The source that reads a file by its ending. Raises StorageError, naming the known endings."""
    source = _source(path)
    if source is None:
        known = " ".join(sorted(s for source in load("sources").values() for s in source.SUFFIXES))
        raise StorageError(f"{path.name}: the ending {path.suffix or '(none)'} is not known; known: {known}")
    return source


def send_events(
    session: Session,
    path: Path,
    model: str | None,
    version: str | None,
    mapping: Mapping,
    max_age: float | None,
    counts: Counts,
    progress: Callable[[int], None],
) -> None:
    """All rows of one file, in batches; what the server refuses is counted, the rest goes on."""
    source = source_of(path)
    params = {k: v for k, v in {"model": model, "max_age": max_age}.items() if v is not None}
    digest = _digest(path, model, version, mapping)
    age = _age(max_age)
    if path.suffix.lower() in load("sources")["jsonl"].SUFFIXES and not mapping.given:
        for first, body in _line_batches(path):
            key = f"{digest}-{first}{age}"
            answer = _post(session, "/v1/events", body, "application/x-ndjson", params, key)
            counts.add(_from_line(answer, first), path.name)
            progress(len(body))
        return
    if model is None:
        raise DriftdeckError("give the model these rows are of: --model NAME")
    for chunk in source.read_file(path, ROWS):
        _report_unreadable(session, counts, chunk, path, "events", model)
        table = _renamed(chunk.table, mapping, digest, chunk.first_line, version)
        events = table.drop_columns([c for c in ("label",) if c in table.column_names])
        for first, part in _slices(events, chunk.first_line):
            answer = _post(session, "/v1/events", to_ipc(part), ARROW, params, f"{digest}-{first}{age}")
            counts.add(_from_line(answer, first), path.name)
        if "label" in table.column_names:
            labels = table.select([c for c in ("event_id", "label", "ts") if c in table.column_names])
            labels = labels.filter(pc.is_valid(labels["label"]))
            if labels.num_rows:
                key = f"{digest}-{chunk.first_line}{age}-labels"
                answer = _post(session, "/v1/labels", to_ipc(labels), ARROW, params, key)
                counts.labels += answer["accepted"]
                counts.add({**_from_line(answer, chunk.first_line), "accepted": 0}, path.name)
        progress(chunk.bytes_read)


def send_labels(
    session: Session,
    path: Path,
    model: str | None,
    mapping: Mapping,
    max_age: float | None,
    counts: Counts,
    progress: Callable[[int], None],
) -> None:
    """All labels of one file: columns event_id, label, ts (or as mapped)."""
    digest, age = _digest(path, model, None, mapping) + "-l", _age(max_age)
    params = {k: v for k, v in {"model": model, "max_age": max_age}.items() if v is not None}
    for chunk in source_of(path).read_file(path, ROWS):
        _report_unreadable(session, counts, chunk, path, "labels", model)
        table = chunk.table.rename_columns([mapping.renames().get(c, c) for c in chunk.table.column_names])
        answer = _post(session, "/v1/labels", to_ipc(table), ARROW, params, f"{digest}-{chunk.first_line}{age}")
        counts.add(answer, path.name)
        progress(chunk.bytes_read)


def reference_table(path: Path, mapping: Mapping) -> pa.Table:
    """All rows of a reference file with their columns named as events' are. Raises DriftdeckError."""
    (path,) = files_of([path])
    chunks = list(source_of(path).read_file(path, 100_000))
    unreadable = [r for chunk in chunks for r in chunk.refusals]
    if unreadable:
        raise PayloadError(
            f"{path.name} line {unreadable[0].line}: {unreadable[0].reason}; a reference is taken whole or not at all"
        )
    if not chunks:
        raise PayloadError(f"{path.name} has no rows")
    table = pa.concat_tables([c.table for c in chunks], promote_options="permissive")
    return _renamed(table, mapping, None, 1, None)


def _renamed(table: pa.Table, mapping: Mapping, digest: str | None, first_line: int, version: str | None) -> pa.Table:
    renames = mapping.renames()
    missing = [name for name in [*renames, *(mapping.features or ())] if name not in table.column_names]
    if missing:
        raise PayloadError(f"there is no column {missing[0]!r}; found: {', '.join(table.column_names[:30])}")
    if mapping.features is not None:
        own = {"ts", "prediction", "label", "event_id", "latency_ms", "status", "error", "version"}
        keep = [c for c in table.column_names if c in mapping.features or c in renames or c in own]
        table = table.select(keep)
    table = table.rename_columns([renames.get(c, c) for c in table.column_names])
    if digest is not None and "event_id" not in table.column_names:
        # the line in the file is the id: sending the file again stores nothing twice
        ids = [f"{digest[:24]}-{first_line + i}" for i in range(table.num_rows)]
        table = table.append_column("event_id", pa.array(ids, pa.string()))
    if version is not None and "version" not in table.column_names:
        table = table.append_column("version", pa.array([version] * table.num_rows, pa.string()))
    return table


def _slices(table: pa.Table, first_line: int) -> Iterator[tuple[int, pa.Table]]:
    rows = max(1, min(ROWS, int(4_000_000 / max(1, table.nbytes / max(1, table.num_rows)))))
    for start in range(0, table.num_rows, rows):
        yield first_line + start, table.slice(start, rows)


def _post(session: Session, path: str, body: bytes, kind: str, params: dict[str, Any], key: str) -> dict[str, Any]:
    headers = {"content-type": kind, "idempotency-key": key}
    for attempt in range(30):
        try:
            return session.request("POST", path, content=body, headers=headers, params=params)
        except DriftdeckError as error:
            if error.status == 413:
                raise TooLarge(f"{error}; a batch of this file is larger than the server takes") from None
            if isinstance(error, Unreachable) or error.status not in (429, 503) or attempt == 29:
                raise
            time.sleep(min(10, 1 + attempt))
    raise AssertionError("unreachable")


def _age(max_age: float | None) -> str:
    """What a key needs of --max-age: rows that were refused for their age are judged anew with another one."""
    return "" if max_age is None else f"-{max_age:g}"


def _line_batches(path: Path) -> Iterator[tuple[int, bytes]]:
    lines: list[bytes] = []
    size, first = 0, 1
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if lines and (len(lines) >= ROWS or size + len(line) > 4_000_000):
                yield first, b"".join(lines)
                lines, size, first = [], 0, number
            lines.append(line if line.endswith(b"\n") else line + b"\n")
            size += len(line)
    if lines:
        yield first, b"".join(lines)


def _from_line(answer: dict[str, Any], first: int) -> dict[str, Any]:
    return {**answer, "refusals": [{**r, "line": r["line"] + first - 1} for r in answer["refusals"]]}


def _report_unreadable(
    session: Session, counts: Counts, chunk: Chunk, path: Path, kind: str, model: str | None
) -> None:
    """Tell the server of rows that could not even be read, so that they are counted and kept with the others."""
    if chunk.refusals:
        rows = [{"line": r.line, "reason": r.reason, "raw": r.raw} for r in chunk.refusals]
        params = {"kind": kind, "model": model or ""}
        session.request("POST", "/v1/refused", json=rows, params=params)
        counts.refused += len(rows)
        counts.refusals += [
            {"file": path.name, "line": r.line, "event_id": None, "reason": r.reason} for r in chunk.refusals
        ]


def _digest(path: Path, *how: Any) -> str:
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(f"{content}{how!r}".encode()).hexdigest()[:32]


def _source(path: Path) -> Any:
    return next((s for s in load("sources").values() if path.suffix.lower() in s.SUFFIXES), None)
