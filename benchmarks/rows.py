"""Seeded prediction logs: 16 numeric and 4 categorical features, the same rows for the same arguments.

n00-n05 are normal, n06-n10 lognormal, n11-n15 zero-inflated, each with 2 % missing;
c0-c3 have 3, 20, 200 and 5000 values of falling frequency. In drifted rows n03, n07,
n12 and c1 have moved.
"""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.columns import CATEGORICAL, FEATURES, NUMERIC

VALUES = (3, 20, 200, 5000)
DRIFTED = ("n03", "n07", "n12")
CHUNK = 250_000


def chunks(
    rows: int, seed: int, end: datetime, span: timedelta, drifted: bool
) -> Iterator[pa.Table]:
    """`rows` events evenly over `span` before `end`, in order of time, as tables of at most CHUNK rows."""
    first, width = int((end - span).timestamp() * 1e6), span / timedelta(microseconds=1)
    for start in range(0, rows, CHUNK):
        rng = np.random.default_rng([seed, start])
        places = np.arange(start, min(start + CHUNK, rows))
        yield _table(rng, first + (places * (width / rows)).astype(np.int64), drifted)


def write_parquet(
    path: Path, rows: int, seed: int, end: datetime, span: timedelta, drifted: bool
) -> None:
    """The events as one Parquet file (zstd)."""
    writer = None
    for table in chunks(rows, seed, end, span, drifted):
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def write_ndjson(
    path: Path, rows: int, seed: int, end: datetime, span: timedelta, drifted: bool
) -> None:
    """Write the events as lines of JSON for POST /v1/events, for the model `m`."""
    import duckdb

    con = duckdb.connect()
    features = ", ".join(f"{name}: {name}" for name in FEATURES)
    with path.open("wb") as file:
        for table in chunks(rows, seed, end, span, drifted):
            con.register("chunk", table)
            part = path.with_suffix(".part")
            con.execute(
                "COPY (SELECT event_id, 'm' AS model, version, strftime(ts, '%Y-%m-%dT%H:%M:%S.%fZ') AS ts, "
                f"{{{features}}} AS features, prediction, latency_ms, status FROM chunk) TO '{part}' (FORMAT json)"
            )
            con.unregister("chunk")
            file.write(part.read_bytes())
            part.unlink()


def _table(rng: np.random.Generator, ts: np.ndarray, drifted: bool) -> pa.Table:
    n = len(ts)
    columns: dict[str, pa.Array] = {
        "event_id": _ids(rng, n),
        "ts": pa.array(ts, pa.timestamp("us")),
        "version": pa.array(np.where(rng.random(n) < 0.8, "v1", "v2")),
    }
    raw: list[np.ndarray] = []
    for i, name in enumerate(NUMERIC):
        x = _numeric(rng, i, n)
        raw.append(x * 1.1 + 0.35 if drifted and name in DRIFTED else x)
        columns[name] = pa.array(np.round(raw[-1], 6), mask=rng.random(n) < 0.02)
    for name, values in zip(CATEGORICAL, VALUES, strict=True):
        columns[name] = _categorical(
            rng, n, values, 1.15 if drifted and name == "c1" else 0.9
        )
    score = 1 / (
        1 + np.exp(0.5 - 0.9 * raw[0] + 0.4 * (raw[1] - 1) - 0.3 * np.log(raw[6]))
    )
    columns["prediction"] = pa.array(np.round(score, 6))
    columns["latency_ms"] = pa.array(np.round(rng.lognormal(2.5, 0.6, n), 3))
    columns["status"] = pa.array(
        np.where(rng.random(n) < 0.01, 500, 200).astype(np.int16)
    )
    return pa.table(columns)


def _numeric(rng: np.random.Generator, i: int, n: int) -> np.ndarray:
    if i <= 5:
        return rng.normal(i, 1 + i / 4, n)
    if i <= 10:
        return rng.lognormal(0.1 * i, 0.5 + 0.05 * i, n)
    return np.where(rng.random(n) < 0.4, 0.0, rng.gamma(2.0, i / 5, n))


def _categorical(
    rng: np.random.Generator, n: int, values: int, steepness: float
) -> pa.Array:
    weights = np.cumsum(1.0 / (np.arange(values) + 1.0) ** steepness)
    index = np.searchsorted(weights / weights[-1], rng.random(n)).clip(0, values - 1)
    names = pa.array([f"v{values}_{i}" for i in range(values)])
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), names).cast(
        pa.string()
    )


def _ids(rng: np.random.Generator, n: int) -> pa.Array:
    """Random ids in the shape of UUIDs: 36 bytes that do not compress."""
    digits = np.frombuffer(rng.bytes(16 * n).hex().encode(), np.uint8).reshape(n, 32)
    text = np.full((n, 36), ord("-"), np.uint8)
    text[:, [i for i in range(36) if i not in (8, 13, 18, 23)]] = digits
    offsets = pa.py_buffer((np.arange(n + 1) * 36).astype(np.int32))
    return pa.StringArray.from_buffers(n, offsets, pa.py_buffer(text.tobytes()))


def main() -> None:
    """`python -m benchmarks.rows FILE --rows N …`: write one file; its ending chooses the format."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--end", type=datetime.fromisoformat, default=datetime(2026, 1, 1, tzinfo=UTC)
    )
    parser.add_argument("--hours", type=float, default=168)
    parser.add_argument("--drifted", action="store_true")
    given = parser.parse_args()
    write = write_parquet if given.file.suffix == ".parquet" else write_ndjson
    write(
        given.file,
        given.rows,
        given.seed,
        given.end,
        timedelta(hours=given.hours),
        given.drifted,
    )


if __name__ == "__main__":
    main()
