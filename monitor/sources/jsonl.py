"""JSON lines: one object a line, an event or a flat object with mapped columns."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa

from monitor.contracts import UNLIMITED, BodyLimits, Chunk
from monitor.event import RAW_SAMPLE, Refusal, Refused, decode
from monitor.sources._compressed import ENDINGS, lines_of, open_plain

MEDIA_TYPES = ("application/x-ndjson", "application/jsonl", "application/json")
SUFFIXES = tuple(e + c for c in ENDINGS for e in (".jsonl", ".ndjson", ".json"))


def read_bytes(body: bytes, limits: BodyLimits = UNLIMITED) -> Chunk:
    """Return the objects of a body as a flat table."""
    lines: list[tuple[int, bytes]] = []
    for number, line in enumerate(BytesIO(body), 1):
        if not line.isspace():
            lines.append((number, line))
            limits.check_rows(len(lines))
    return _table(lines, len(body))


def read_file(path: Path, rows: int) -> Iterator[Chunk]:
    """The objects of a file as flat tables of about `rows`.

    Lines that are no object are refused.
    """
    lines: list[tuple[int, bytes]] = []
    size = 0
    with open_plain(path) as file:
        # the start of a line that is too long is no JSON: it is refused
        for number, line, _ in lines_of(file):
            size += len(line)
            if line.strip():
                lines.append((number, line))
            if len(lines) >= rows:
                yield _table(lines, size)
                lines, size = [], 0
    if lines:
        yield _table(lines, size)


def _table(lines: list[tuple[int, bytes]], size: int) -> Chunk:
    records: list[dict[str, Any]] = []
    refusals = []
    for number, line in lines:
        try:
            record = decode(line)
            if not isinstance(record, dict):
                raise Refused("a record is a JSON object")
            records.append(_flat(record))
        except Refused as reason:
            sample = line[:RAW_SAMPLE].decode("utf-8", "replace")
            refusals.append(Refusal(number, None, str(reason), sample))
    names = list(dict.fromkeys(name for record in records for name in record))
    table = pa.table(
        {name: _column([record.get(name) for record in records]) for name in names}
    )
    return Chunk(table, lines[0][0] if lines else 1, refusals, size)


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """One level: the keys of `features` beside the others, other nested values as JSON."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if key == "features" and isinstance(value, dict):
            flat.update({f"features.{name}": item for name, item in value.items()})
        else:
            flat[key] = json.dumps(value) if isinstance(value, dict | list) else value
    return flat


def _column(values: list[Any]) -> pa.Array:
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    return pa.array(
        [v if v is None or isinstance(v, str) else json.dumps(v) for v in values],
        pa.string(),
    )
