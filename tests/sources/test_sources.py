"""Contract of sources: the same records from a body and from a file, in parts of any size; bad ones with their line."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from monitor.contracts import Chunk
from monitor.errors import PayloadError
from monitor.plugins import sources

SOURCES = sources()
RECORDS: list[dict[str, Any]] = [
    {
        "event_id": f"e{i}",
        "ts": f"2026-11-{i + 1:02d}T10:00:00Z",
        "x": i / 2,
        "c": ["a", "b,c", 'quo"te', "行"][i % 4],
        "b": i % 2 == 0,
    }
    for i in range(25)
]


@pytest.fixture(params=SOURCES, ids=str)
def source(request: pytest.FixtureRequest) -> ModuleType:
    return SOURCES[request.param]


def write(source: ModuleType, path: Path) -> Path:
    """The records as a file of the source's format."""
    path = path / f"rows{source.SUFFIXES[0]}"
    table = pa.Table.from_pylist(RECORDS)
    match source.__name__.rsplit(".", 1)[1]:
        case "csv":
            pa_csv.write_csv(table, path)
        case "parquet":
            pq.write_table(table, path, row_group_size=10)
        case "arrow":
            with pa.ipc.new_stream(path, table.schema) as writer:
                writer.write_table(table, max_chunksize=10)
        case "jsonl":
            path.write_text(
                "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in RECORDS),
                encoding="utf-8",
            )
        case other:
            raise AssertionError(f"the contract does not know how to write {other}")
    return path


def rows(chunks: list[Chunk]) -> list[dict[str, Any]]:
    found = [row for chunk in chunks for row in chunk.table.to_pylist()]
    return [{**row, "x": float(row["x"])} for row in found]


def test_it_says_what_it_reads(source: ModuleType) -> None:
    assert source.MEDIA_TYPES
    assert all(s.startswith(".") for s in source.SUFFIXES)


def test_no_format_is_read_by_two_sources() -> None:
    for attribute in ("MEDIA_TYPES", "SUFFIXES"):
        every = [
            name for source in SOURCES.values() for name in getattr(source, attribute)
        ]
        assert len(every) == len(set(every))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_file_in_parts_is_the_whole_and_lines_count_on(
    source: ModuleType, tmp_path: Path, size: int
) -> None:
    path = write(source, tmp_path)
    chunks = list(source.read_file(path, size))
    assert rows(chunks) == RECORDS
    line = chunks[0].first_line
    for chunk in chunks:
        assert chunk.first_line == line
        line += chunk.table.num_rows
    assert all(chunk.table.num_rows <= max(size, 1) for chunk in chunks)


def test_a_body_is_the_same_as_a_file(source: ModuleType, tmp_path: Path) -> None:
    path = write(source, tmp_path)
    assert rows([source.read_bytes(path.read_bytes())]) == rows(
        list(source.read_file(path, 1000))
    )


def test_what_is_not_the_format_is_one_clear_error(
    source: ModuleType, tmp_path: Path
) -> None:
    if source.__name__.endswith("jsonl"):
        chunk = source.read_bytes(b"\x00nonsense\n{}")
        assert [r.line for r in chunk.refusals] == [1]
        return
    bad = b"" if source.__name__.endswith("csv") else b"\x00nonsense"
    with pytest.raises(PayloadError):
        source.read_bytes(bad)
    path = tmp_path / f"bad{source.SUFFIXES[0]}"
    path.write_bytes(bad)
    with pytest.raises(PayloadError, match="bad"):
        list(source.read_file(path, 100))


def test_csv_booleans_are_those_of_json() -> None:
    table = SOURCES["csv"].read_bytes(b"a,b,c\nTrue,true,yes\nFalse,,true\n").table
    assert table.to_pylist() == [
        {"a": True, "b": True, "c": "yes"},
        {"a": False, "b": None, "c": "true"},
    ]


def test_csv_that_is_not_utf8_is_one_clear_error() -> None:
    for body in (b"a,b\n1,2\n\xff\n3,4\n", b"a\n\xe4\n", b"a,b\n1,\xf0\x9f"):
        with pytest.raises(PayloadError, match="not UTF-8 near byte"):
            SOURCES["csv"].read_bytes(body)
