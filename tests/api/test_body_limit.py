"""Every body is counted before it is converted, and no route reads one without a limit."""

import contextlib
import json
import resource
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Served
from events import NDJSON, event, lines

from monitor.api.authorization import PERMISSIONS
from monitor.api.body_limit import OWN_LIMIT
from monitor.contracts import BodyLimits
from monitor.errors import PayloadError, TooLarge
from monitor.sources import arrow, csv, jsonl, parquet

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
BATCH = "application/cloudevents-batch+json"


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def parquet_file(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def nulls(rows: int) -> pa.Table:
    return pa.table({"model": pa.nulls(rows), "ts": pa.nulls(rows)})


def constant(rows: int) -> pa.Table:
    return pa.table({"x": pa.array(np.zeros(rows))})


def repeated(rows: int) -> pa.Table:
    """One long text that every row of a dictionary refers to."""
    values = pa.array(["p" * 2_000_000])
    codes = pa.array(np.zeros(rows, np.int32))
    return pa.table({"x": pa.DictionaryArray.from_arrays(codes, values)})


def views(rows: int) -> pa.Table:
    text = pa.array(["v" * 2_000_000], pa.string_view())
    return pa.table({"x": pa.chunked_array([text] * rows)})


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "Arrow, nulls": (ARROW, lambda: stream(nulls(5_000_000))),
    "Arrow, 2^31 - 1 nulls": (ARROW, lambda: stream(nulls(2**31 - 1))),
    "Arrow, zstd": (ARROW, lambda: stream(constant(20_000_000), "zstd")),
    "Arrow, lz4": (ARROW, lambda: stream(constant(2_000_000), "lz4")),
    "Arrow, a repeated text": (ARROW, lambda: stream(repeated(9000))),
    "Arrow, wide": (
        ARROW,
        lambda: stream(pa.table({f"c{i}": [1.0] for i in range(12_000)})),
    ),
    "Parquet, constant": (PARQUET, lambda: parquet_file(constant(5_000_000))),
    "Parquet, a repeated text": (PARQUET, lambda: parquet_file(repeated(9000))),
    "CSV": ("text/csv", lambda: b"ts,x\n" + b"1,2\n" * 1_200_000),
    "CSV, bad rows": ("text/csv", lambda: b"ts,x\n" + b"1\n" * 2_000_000),
    "CSV, wide": ("text/csv", lambda: b"," * 4_000_000 + b"\n1\n"),
    "empty objects": (NDJSON, lambda: b"{}\n" * 1_600_000),
    "garbage": (NDJSON, lambda: b"x\n" * 2_400_000),
    "blank lines": (NDJSON, lambda: b"\n" * 4_900_000),
    "numbers in an array": (
        "application/json",
        lambda: b"[" + b"1," * 2_400_000 + b"1]",
    ),
    "CloudEvents": (BATCH, lambda: b"[" + b"{}," * 1_600_000 + b"{}]"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_with_little_work_and_memory(
    served: Served, name: str
) -> None:
    kind, make = BOMBS[name]
    body = make()
    assert len(body) < 5 << 20
    path = "/v1/cloudevents" if kind == BATCH else "/v1/events?model=m"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = served.post(path, body, kind)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    expected = 200 if name == "blank lines" else 413
    assert answer.status_code == expected, answer.text
    assert grown_mb < 400  # what an uncounted one took is gigabytes
    assert served.server.collector.pending.rows() == 0


def test_labels_are_counted_too(served: Served) -> None:
    for kind, body in (
        (ARROW, stream(nulls(5_000_000))),
        (NDJSON, b"{}\n" * 1_600_000),
    ):
        assert served.post("/v1/labels?model=m", body, kind).status_code == 413


@pytest.mark.parametrize(
    "route", [r for r in PERMISSIONS if r.split()[0] in ("POST", "PUT", "DELETE")]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_every_route_refuses_a_body_over_its_limit(
    served: Served, route: str, chunked: bool
) -> None:
    method, path = route.split()
    if OWN_LIMIT.fullmatch(path) and path.endswith(("/reference", "/importance")):
        pytest.skip("a reference and a model may be large; their own tests limit them")
    for name in ("{model:name}", "{alert}", "{key}"):
        path = path.replace(name, "1")
    part = b'{"a": 1}' * (1 << 14)

    def content() -> bytes:
        return part * 48

    body = iter([part] * 48) if chunked else content()
    answer = served.client.request(
        method, path, content=body, headers={"content-type": "application/json"}
    )
    takes_none = method == "DELETE" or answer.status_code in (200, 404)
    assert answer.status_code == 413 or (chunked and takes_none), answer.text


def test_limits_hold_for_what_a_body_unpacks_to() -> None:
    limits = BodyLimits(max_rows=100, max_bytes=10_000)
    small = pa.table({"x": [1.0] * 100, "s": ["text"] * 100})
    for read, body in (
        (arrow.read_bytes, stream(small)),
        (arrow.read_bytes, stream(small, "zstd")),
        (arrow.read_bytes, stream(small, "lz4")),
        (parquet.read_bytes, parquet_file(small)),
        (csv.read_bytes, b"x,s\n" + b"1.0,text\n" * 100),
        (jsonl.read_bytes, b'{"x": 1.0, "s": "text"}\n' * 100),
    ):
        table = read(body, limits).table
        assert table.num_rows == 100
        assert pa.types.is_string(table.schema.field("s").type)
    large = pa.table({"x": [1.0] * 101})
    for read, body in (
        (arrow.read_bytes, stream(large)),
        (parquet.read_bytes, parquet_file(large)),
        (csv.read_bytes, b"x\n" + b"1.0\n" * 101),
        (jsonl.read_bytes, b'{"x": 1.0}\n' * 101),
    ):
        with pytest.raises(TooLarge, match="more than 100 rows"):
            read(body, limits)
    wide = pa.table({"s": ["t" * 500] * 50})
    for read, body in (
        (arrow.read_bytes, stream(wide, "zstd")),
        (parquet.read_bytes, parquet_file(wide)),
    ):
        with pytest.raises(TooLarge, match="unpack"):
            read(body, limits)


def test_columns_whose_rows_share_a_value_are_measured_or_refused() -> None:
    limits = BodyLimits(max_rows=10_000, max_bytes=1 << 20)
    with pytest.raises(TooLarge):
        arrow.read_bytes(stream(repeated(100)), limits)
    ends = pa.RunEndEncodedArray.from_arrays([100], ["v" * 100])
    with pytest.raises(PayloadError, match="run_end_encoded"):
        arrow.read_bytes(stream(pa.table({"x": ends})), limits)


def test_a_damaged_arrow_body_is_one_clear_error() -> None:
    good = stream(pa.table({"x": [1.0] * 50, "s": ["a"] * 50}), "zstd")
    rng = np.random.default_rng(1)
    for _ in range(300):
        bad = bytearray(good)
        for at in rng.integers(0, len(bad), 3):
            bad[at] = rng.integers(0, 256)
        with contextlib.suppress(PayloadError, TooLarge):
            arrow.read_bytes(bytes(bad), BodyLimits())


def test_a_deeply_nested_line_takes_no_other_along(served: Served) -> None:
    deep = b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"\n"
    body = lines(event(0)) + deep + lines(event(1))
    answer = served.post("/v1/events", body)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["accepted"], answer.json()["refused"]) == (2, 1)
    array = b"[" + json.dumps(event(2)).encode() + b"," + deep.strip() + b"]"
    answer = served.post("/v1/events", array, "application/json")
    assert answer.status_code in (200, 400), answer.text
