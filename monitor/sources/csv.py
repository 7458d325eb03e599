"""CSV with a header line, read as texts: one bad value never changes a column's type."""

import codecs
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from monitor.contracts import UNLIMITED, BodyLimits, Chunk, check_names
from monitor.errors import PayloadError
from monitor.event import RAW_SAMPLE, Refusal
from monitor.sources._compressed import ENDINGS, MAX_LINE, open_plain

MEDIA_TYPES = ("text/csv",)
SUFFIXES = tuple(f".csv{c}" for c in ENDINGS)
BOOLEANS = pa.array(["true", "false"])
BLOCK_BYTES = 4 << 20
NULLS = ["", "NA", "NULL", "null", "None", "nan", "NaN"]


def read_bytes(body: bytes, limits: BodyLimits = UNLIMITED) -> Chunk:
    """Return all rows of a body; reading ends at the first row too many."""
    chunks: list[Chunk] = []
    rows = 0
    read = _read(lambda: BytesIO(body), "the body", 1 << 30, len(body), limits)
    for chunk in read:
        rows += chunk.table.num_rows + len(chunk.refusals)
        limits.check_rows(rows)
        chunks.append(chunk)
    if not chunks:
        raise PayloadError(
            "the body is CSV without rows; the first line names the columns, rows follow"
        )
    tables = [c.table for c in chunks]
    return Chunk(
        pa.concat_tables(tables), 2, [r for c in chunks for r in c.refusals], len(body)
    )


def read_file(path: Path, rows: int) -> Iterator[Chunk]:
    """Yield the rows of a file in parts of about `rows`.

    A row with too few or too many values is refused.
    """
    size = path.stat().st_size
    yield from _read(lambda: open_plain(path), path.name, rows, size, UNLIMITED)


def _read(
    opened: Callable[[], IO[bytes]],
    name: str,
    rows: int,
    size: int,
    limits: BodyLimits,
) -> Iterator[Chunk]:
    with opened() as file:
        header = file.readline(MAX_LINE)
        while (
            header.count(b'"') % 2
            and len(header) < MAX_LINE
            and (more := file.readline(MAX_LINE))
        ):
            header += more  # a quoted name may hold a line break
    if not header.strip():
        raise PayloadError(f"{name} is empty; the first line names the columns")
    limits.check_columns(header.count(b","))
    with opened() as file:
        _check_utf8(file, name)
    with opened() as file:
        yield from _chunks(file, header, name, rows, size, limits)


def _chunks(
    file: IO[bytes],
    header: bytes,
    name: str,
    rows: int,
    size: int,
    limits: BodyLimits,
) -> Iterator[Chunk]:
    refused: list[Refusal] = []
    try:
        names = csv.read_csv(BytesIO(header.rstrip(b"\r\n") + b"\n")).column_names
        check_names(names)

        def invalid(row: Any) -> str:
            if len(refused) > limits.max_rows:
                return "error"  # a callback for each of a million rows takes seconds
            reason = (
                f"the row has {row.actual_columns} values, the header "
                f"{row.expected_columns}"
            )
            refused.append(
                Refusal(row.number or 0, None, reason, (row.text or "")[:RAW_SAMPLE])
            )
            return "skip"

        reader = csv.open_csv(
            file,
            read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=csv.ParseOptions(
                invalid_row_handler=invalid, newlines_in_values=True
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=NULLS,
                strings_can_be_null=True,
            ),
        )
        line, reported = 2, 0
        for batch in reader:
            table = _with_booleans(pa.Table.from_batches([batch]))
            bad = sorted(r.line for r in refused)
            start = 0
            while start < table.num_rows:
                # a part ends at a bad row, so that the line of every row is its line in
                # the file
                while line in bad:
                    line += 1
                gap = next((b for b in bad if b > line), line + rows)
                part = table.slice(start, min(rows, gap - line))
                yield Chunk(
                    part,
                    line,
                    tuple(refused[reported:]),
                    size * part.num_rows // table.num_rows,
                )
                reported = len(refused)
                start, line = start + part.num_rows, line + part.num_rows
        if reported < len(refused):
            yield Chunk(
                pa.table({n: pa.array([], pa.string()) for n in names}),
                line,
                tuple(refused[reported:]),
            )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        limits.check_rows(len(refused))
        raise PayloadError(
            f"{name} is not CSV: {(str(error).splitlines() or [''])[0][:160]}"
        ) from None


def _check_utf8(file: IO[bytes], name: str) -> None:
    """Raises PayloadError, naming the byte, when a file is not UTF-8.

    The CSV reader cannot report a bad row whose text it cannot decode.
    """
    decoder, read = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        while part := file.read(1 << 20):
            decoder.decode(part)
            read += len(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise PayloadError(
            f"{name} is not UTF-8 near byte {read + error.start}; save it as UTF-8"
        ) from None


def _with_booleans(table: pa.Table) -> pa.Table:
    """The table with columns of True and False, in any case, as booleans like in JSON."""
    for i, name in enumerate(table.column_names):
        column = table[name]
        if column.null_count == len(column):
            continue
        lower = pc.utf8_lower(column)
        if pc.all(pc.is_in(lower.drop_null(), BOOLEANS)).as_py():
            table = table.set_column(i, name, pc.equal(lower, "true"))
    return table
