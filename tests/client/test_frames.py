"""Whole frames are logged as Arrow tables; a real server stores exactly those rows."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from monitor.client import Client

ROWS = 12_000
NOW = datetime.now(UTC)


def frame(rows=ROWS):
    return pd.DataFrame(
        {
            "age": [i % 90 + 0.5 for i in range(rows)],
            "country": pd.Categorical(["TW", "DE", "JP"] * (rows // 3)),
            "status": ["gold", "new", None] * (rows // 3),
            "seen": pd.Timestamp("2026-01-01", tz="UTC"),
            "premium": [True, False, None] * (rows // 3),
            "score": [i / rows for i in range(rows)],
        }
    )


@pytest.fixture
def client(collector):
    with Client(
        collector.url, model="m 1/a", version="v8", flush_interval=60
    ) as client:
        yield client


def test_real_server_stores_every_row_with_its_id(served):
    given = frame()
    with Client(
        str(served.client.base_url), model="churn", version="v8", batch=20_000
    ) as client:
        ids = client.log_frame(
            given, "score", latency_ms=2.5, ts=NOW - timedelta(hours=1)
        )
        assert client.flush(60)
        assert client.stats()["accepted"] == ROWS == len(set(ids))
    served.post("/v1/flush", b"")
    store = served.server.store
    assert served.get("/v1/status")["accounting"]["stored"] == ROWS
    schema = store.model("churn").schema
    kinds = {f.name: f.kind for f in schema.features}
    assert kinds == {
        "age": "numeric",
        "country": "categorical",
        "status": "categorical",
        "seen": "categorical",
        "premium": "categorical",
    }


def test_ids_are_version_7_and_come_in_the_order_of_the_rows(client, collector):
    ids = client.log_frame(frame(), "score")
    assert client.flush(20)
    records = collector.of("/v1/events?model=m%201%2Fa")
    assert [r["event_id"] for r in records] == ids
    assert len(set(ids)) == ROWS
    assert {(len(i), i[14], i[19] in "89ab") for i in ids} == {(36, "7", True)}
    assert [r["prediction"] for r in records] == list(frame()["score"])
    assert {r["version"] for r in records} == {"v8"}
    assert max(len(request.records) for request in collector.requests) <= 5_000


def test_columns_may_be_chosen_and_named(client, collector):
    table = pa.table(
        {
            "id": ["a", None],
            "at": pa.array([NOW, NOW], pa.timestamp("us", "UTC")),
            "took": [1.5, 2.5],
            "code": [200, 500],
            "x": [1, 2],
            "y": [3, 4],
            "p": ["yes", "no"],
        }
    )
    ids = client.log_frame(
        table,
        "p",
        features=["y"],
        event_id="id",
        ts="at",
        latency_ms="took",
        status="code",
    )
    assert client.flush(20)
    first, second = collector.of("/v1/events?model=m%201%2Fa")
    assert ids[0] == "a" and ids[1] == second["event_id"] and len(ids[1]) == 36
    assert first["features.y"] == 3 and "features.x" not in first
    assert (second["latency_ms"], second["status"], second["prediction"]) == (
        2.5,
        500,
        "no",
    )
    assert first["ts"] == NOW


def test_dict_of_columns_and_arrow_stream_objects_are_frames_too(client, collector):
    class Speaks:
        """Only the Arrow PyCapsule interface, as polars has it."""

        def __init__(self, table):
            self.table = table

        def __arrow_c_stream__(self, requested_schema=None):
            return self.table.__arrow_c_stream__(requested_schema)

    views = pa.table(
        {"c": pa.array(["a", "b"], pa.string_view()), "prediction": [0.1, 0.2]}
    )
    client.log_frame({"c": ["a", "b"], "prediction": [0.1, 0.2]})
    client.log_frame(Speaks(views))
    assert client.flush(20)
    assert [
        (r["features.c"], r["prediction"])
        for r in collector.of("/v1/events?model=m%201%2Fa")
    ] == [
        ("a", 0.1),
        ("b", 0.2),
    ] * 2


def test_unknown_column_is_refused_with_its_name_and_counted(client):
    ids = client.log_frame(frame(3), "nonsense")
    assert len(ids) == 3
    stats = client.stats()
    assert stats["refused"] == stats["logged"] == 3
    assert (
        "no column 'nonsense'" in stats["last_error"] and "score" in stats["last_error"]
    )


def test_frame_that_finds_no_room_is_dropped_and_counted(unused_url):
    client = Client(unused_url, model="m", max_queue=10)  # 10 kB of a table
    client.log_frame(frame(300), "score")
    assert client.stats()["dropped"] == 300
    client.close(0)


def test_batch_too_large_is_halved_row_by_row(client, collector):
    def at_most_two(records):
        return (
            {} if len(records) <= 2 else {"status": 413, "body": {"error": "too large"}}
        )

    collector.plan = [at_most_two] * 50
    ids = client.log_frame(frame(6), "score")
    assert client.flush(20)
    assert client.stats()["accepted"] == 6
    stored = [
        r["event_id"]
        for request in collector.requests
        if len(request.records) <= 2
        for r in request.records
    ]
    assert stored == ids


def test_without_pyarrow_rows_are_logged_one_by_one(collector):
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from monitor.client import Client\n"
        "with Client(sys.argv[1], model='m') as client:\n"
        "    ids = client.log_frame({'a': [1, 2], 'p': [0.1, 0.2]}, 'p', latency_ms=3.0)\n"
        "print(*ids)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, collector.url],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert [r["event_id"] for r in collector.records()] == done.stdout.split()
    assert [
        (r["features"], r["prediction"], r["latency_ms"]) for r in collector.records()
    ] == [
        ({"a": 1}, 0.1, 3.0),
        ({"a": 2}, 0.2, 3.0),
    ]


def test_labels_can_follow_by_the_ids(served):
    with Client(str(served.client.base_url), model="m") as client:
        for id_ in client.log_frame({"a": [1.0, 2.0], "prediction": ["x", "y"]}):
            client.label(id_, "x")
        assert client.flush(30)
    assert served.post("/v1/flush", b"").status_code == 200
    assert served.get("/v1/status")["accounting"]["stored"] == 4


def test_documented_job_logs_every_row(served):
    script = Path(__file__).parents[2] / "docs" / "ways-in" / "batch.py"
    command = [sys.executable, str(script), str(served.client.base_url), "7000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "7000\n", done.stderr
