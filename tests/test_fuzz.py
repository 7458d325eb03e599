"""Requests made up from the served description, and batches of good and bad rows over every way in."""

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from conftest import Served
from events import NDJSON, event, lines
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from monitor.api import create_app
from monitor.config import Config
from monitor.deck import Deck
from monitor.ipc import to_ipc
from monitor.session import serving

NIGHTLY = os.environ.get("DRIFTDECK_NIGHTLY") == "1"
BATCHES = 300 if NIGHTLY else 12
BAD: tuple[dict[str, Any], ...] = (
    {"ts": "never"},
    {"latency_ms": -1.0},
    {"status": 4711},
    {"ts": "2001-01-01T00:00:00Z"},
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for all batches: every one of them adds to the same accounts."""
    deck = Deck(tmp_path_factory.mktemp("fuzz") / "data", Config())
    with (
        serving(create_app(deck, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield Served(deck, client)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """The event as a row of a table, all columns of one kind."""
    plain = {k: v for k, v in row.items() if k not in ("features", "status")}
    status = {"status": row.get("status", 200)}
    return plain | status | {f"features.{k}": v for k, v in row["features"].items()}


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    written = csv.DictWriter(text, list(flat(rows[0])))
    written.writeheader()
    written.writerows([{k: str(v).lower() if isinstance(v, bool) else v for k, v in flat(r).items()} for r in rows])
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    kept = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([flat(row) for row in rows]), kept)
    return kept.getvalue()


WAYS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], bytes], dict[str, str]]] = {
    "ndjson": (NDJSON, lambda rows: lines(*rows), {}),
    "array": ("application/json", lambda rows: json.dumps(rows).encode(), {}),
    "csv": ("text/csv", as_csv, {}),
    "parquet": ("application/vnd.apache.parquet", as_parquet, {}),
    "arrow": (
        "application/vnd.apache.arrow.stream",
        lambda rows: to_ipc(pa.Table.from_pylist([flat(row) for row in rows])),
        {},
    ),
    "gzip": (NDJSON, lambda rows: gzip.compress(lines(*rows)), {"content-encoding": "gzip"}),
    "zstd": (NDJSON, lambda rows: zstandard.compress(lines(*rows)), {"content-encoding": "zstd"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_good_row_is_stored_and_every_bad_one_is_in_the_quarantine(fuzzed: Served, way: str) -> None:
    kind, encoded, headers = WAYS[way]
    model, sent = f"fuzz-{way}", [0]

    @seed(20261124)
    @settings(
        max_examples=BATCHES, deadline=None, database=None, derandomize=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(st.integers(-1, len(BAD) - 1), min_size=1, max_size=12), st.booleans())
    def batch(faults: list[int], again: bool) -> None:
        base, sent[0] = sent[0], sent[0] + len(faults)
        rows = [
            event(base + i, model=model, event_id=f"{way}-{base + i}") | (BAD[fault] if fault >= 0 else {})
            for i, fault in enumerate(faults)
        ]
        before = account(fuzzed, model)
        for _ in range(1 + again):
            answer = fuzzed.post("/v1/events", encoded(rows), kind, **headers)
            assert answer.status_code == 200, answer.text
            bad = [i for i, fault in enumerate(faults) if fault >= 0]
            assert [r["event_id"] for r in answer.json()["refusals"]] == [f"{way}-{base + i}" for i in bad]
        fuzzed.client.post("/v1/flush")
        after = account(fuzzed, model)
        good = len(faults) - len(bad)
        change = {name: after[name] - before[name] for name in after}
        assert change["stored"] == good and change["duplicate"] == good * again
        assert change["refused"] == len(bad) * (1 + again) and after["pending"] == 0
        assert after["received"] == after["stored"] + after["duplicate"] + after["refused"]
        kept = fuzzed.get("/v1/quarantine", model=model, newest=True, limit=100)["records"][: change["refused"]]
        assert {r["event_id"] for r in kept} == {f"{way}-{base + i}" for i in bad}
        assert all(r["reason"] and r["raw"] for r in kept)

    batch()


def account(served: Served, model: str) -> dict[str, int]:
    """The events' account of one model, zeros before its first."""
    names = ("received", "stored", "duplicate", "refused", "pending")
    rows = [one for one in served.get("/v1/accounting", model=model)["models"] if one["kind"] == "events"]
    return {name: rows[0][name] if rows else 0 for name in names}
