"""Random batches over every integration: no server error, no valid row lost, counts add up."""

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from conftest import Served
from events import NDJSON, NOW, event, lines
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from monitor.api import create_app
from monitor.arrow_columns import to_ipc
from monitor.config.config import Config, DropConfig
from monitor.ingest.drop_folder.folder import DropFolder
from monitor.ingest.file_batches import ColumnMapping
from monitor.send.session import Session, serving
from monitor.send.upload import Counts, send_events
from monitor.server.server import Server

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
    """A server for all batches, which add to the same counts."""
    server = Server(tmp_path_factory.mktemp("fuzz") / "data", Config())
    with (
        serving(create_app(server, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield Served(server, client)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return the event as a row of a table, all columns of one kind."""
    plain = {k: v for k, v in row.items() if k not in ("features", "status")}
    status = {"status": row.get("status", 200)}
    return plain | status | {f"features.{k}": v for k, v in row["features"].items()}


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    written = csv.DictWriter(text, list(flat(rows[0])))
    written.writeheader()
    written.writerows(
        [
            {
                k: str(v).lower() if isinstance(v, bool) else v
                for k, v in flat(r).items()
            }
            for r in rows
        ]
    )
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([flat(row) for row in rows]), file)
    return file.getvalue()


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
    "gzip": (
        NDJSON,
        lambda rows: gzip.compress(lines(*rows)),
        {"content-encoding": "gzip"},
    ),
    "zstd": (
        NDJSON,
        lambda rows: zstandard.compress(lines(*rows)),
        {"content-encoding": "zstd"},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_valid_rows_are_stored_and_invalid_ones_are_quarantined(
    fuzzed: Served, way: str
) -> None:
    kind, encoded, headers = WAYS[way]
    model, sent = f"fuzz-{way}", [0]

    @seed(20261124)
    @settings(
        max_examples=BATCHES,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.lists(st.integers(-1, len(BAD) - 1), min_size=1, max_size=12), st.booleans()
    )
    def batch(faults: list[int], again: bool) -> None:
        base, sent[0] = sent[0], sent[0] + len(faults)
        rows = [
            event(base + i, model=model, event_id=f"{way}-{base + i}")
            | (BAD[fault] if fault >= 0 else {})
            for i, fault in enumerate(faults)
        ]
        before = account(fuzzed, model)
        for _ in range(1 + again):
            answer = fuzzed.post("/v1/events", encoded(rows), kind, **headers)
            assert answer.status_code == 200, answer.text
            bad = [i for i, fault in enumerate(faults) if fault >= 0]
            assert [r["event_id"] for r in answer.json()["refusals"]] == [
                f"{way}-{base + i}" for i in bad
            ]
        fuzzed.client.post("/v1/flush")
        after = account(fuzzed, model)
        good = len(faults) - len(bad)
        change = {name: after[name] - before[name] for name in after}
        assert change["stored"] == good and change["duplicate"] == good * again
        assert change["refused"] == len(bad) * (1 + again) and after["pending"] == 0
        assert (
            after["received"] == after["stored"] + after["duplicate"] + after["refused"]
        )
        records = fuzzed.get("/v1/quarantine", model=model, newest=True, limit=100)[
            "records"
        ][: change["refused"]]
        assert {r["event_id"] for r in records} == {f"{way}-{base + i}" for i in bad}
        assert all(r["reason"] and r["raw"] for r in records)

    batch()


def account(served: Served, model: str) -> dict[str, int]:
    """Return the event counts of one model, zeros before its first event."""
    names = ("received", "stored", "duplicate", "refused", "pending")
    rows = [
        row
        for row in served.get("/v1/accounting", model=model)["models"]
        if row["kind"] == "events"
    ]
    return {name: rows[0][name] if rows else 0 for name in names}


def fuzz(examples: int = BATCHES) -> Any:
    """Return the settings of every test here: the same cases each time."""
    return settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


def totals(served: Served) -> dict[str, int]:
    """Return all counts since the beginning, after everything is loaded; they add up."""
    assert served.client.post("/v1/flush").status_code == 200
    counts: dict[str, int] = served.get("/v1/accounting")["totals"]
    assert (
        counts["received"]
        == counts["stored"]
        + counts["duplicate"]
        + counts["refused"]
        + counts["pending"]
    )
    assert counts["pending"] == 0
    return counts


def change(before: dict[str, int], after: dict[str, int]) -> tuple[int, int, int]:
    """Return the rows stored, duplicate and refused in between."""
    stored, duplicate, refused = (
        after[name] - before[name] for name in ("stored", "duplicate", "refused")
    )
    return stored, duplicate, refused


BAD_LABELS: tuple[Any, ...] = (
    {"label": None},
    {"label": [1]},
    {"ts": "never"},
    {"event_id": ""},
    {"odd": 1},
)


@pytest.mark.parametrize("way", ["ndjson", "array", "gzip", "arrow"])
def test_any_mix_of_labels_is_counted(fuzzed: Served, way: str) -> None:
    sent = [0]
    # A table has one column for all rows: a key that one row lacks or adds is only
    # possible in JSON.
    faults_known = range(-1, len(BAD_LABELS) if way != "arrow" else 0)

    @fuzz()
    @given(
        st.lists(st.sampled_from(faults_known), min_size=1, max_size=12), st.booleans()
    )
    def batch(faults: list[int], again: bool) -> None:
        first, sent[0] = sent[0], sent[0] + len(faults)
        rows: list[dict[str, Any]] = [
            {
                "event_id": f"l-{way}-{first + i}",
                "model": f"labels-{way}",
                "label": i % 2,
            }
            | {"ts": NOW.isoformat()}
            | (BAD_LABELS[fault] if fault >= 0 else {})
            for i, fault in enumerate(faults)
        ]
        kind, _, headers = WAYS[way]
        body = (
            to_ipc(pa.Table.from_pylist(rows)) if way == "arrow" else WAYS[way][1](rows)
        )
        before, good = totals(fuzzed), faults.count(-1)
        for _ in range(1 + again):
            answer = fuzzed.post("/v1/labels", body, kind, **headers)
            assert answer.status_code == 200, answer.text
            assert (answer.json()["accepted"], answer.json()["refused"]) == (
                good,
                len(faults) - good,
            )
        assert change(before, totals(fuzzed)) == (
            good,
            good * again,
            (len(faults) - good) * (1 + again),
        )

    batch()


unreadable = st.fixed_dictionaries(
    {"reason": st.text(max_size=500)},
    optional={"line": st.integers(0, 10**9), "raw": st.text(max_size=2000)},
)


def test_refused_records_of_any_text_are_counted_and_quarantined(
    fuzzed: Served,
) -> None:
    @fuzz()
    @given(
        st.lists(unreadable, max_size=8),
        st.sampled_from(["events", "labels"]),
        st.sampled_from(["", "m", "x/'\""]),
    )
    def batch(rows: list[dict[str, Any]], kind: str, model: str) -> None:
        before = totals(fuzzed)
        answer = fuzzed.client.post(
            "/v1/refused", params={"kind": kind, "model": model}, json=rows
        )
        assert answer.status_code == 200, answer.text
        assert change(before, totals(fuzzed)) == (0, 0, len(rows))
        if rows:
            records = fuzzed.get("/v1/quarantine", newest=True, limit=len(rows))[
                "records"
            ]
            assert [r["raw"] for r in reversed(records)] == [
                r.get("raw", "") for r in rows
            ]

    batch()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
tensor = st.fixed_dictionaries(
    {
        "name": st.text(min_size=1, max_size=10),
        "shape": st.just([2]),
        "datatype": st.just("FP64"),
        "data": st.lists(
            st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2
        ),
    }
)


def test_any_cloudevent_is_accepted_or_refused_and_valid_pairs_are_stored(
    fuzzed: Served,
) -> None:
    sent = [0]

    @fuzz()
    @given(
        st.lists(
            st.one_of(
                st.just(None),
                json_values,
                st.lists(tensor, min_size=1, max_size=3, unique_by=lambda t: t["name"]),
            ),
            min_size=1,
            max_size=6,
        ),
        st.booleans(),
        st.booleans(),
    )
    def batch(contents: list[Any], answers_first: bool, odd: bool) -> None:
        first, sent[0] = sent[0], sent[0] + len(contents)
        asked, answered, good = [], [], 0
        for i, content in enumerate(contents):
            proper = (
                isinstance(content, list)
                and bool(content)
                and all(isinstance(t, dict) and "datatype" in t for t in content)
            )
            good += proper
            shared = {
                "specversion": "1.0",
                "source": "http://x/",
                "id": f"f{first + i}",
                "inferenceservicename": "ce",
            }
            data = {"inputs": content} if proper else content
            out = {
                "outputs": [
                    {
                        "name": "p",
                        "shape": [2],
                        "datatype": "FP64",
                        "data": [0.25, 0.75],
                    }
                ]
            }
            kind = "org.kubeflow.serving.inference."
            asked.append(shared | {"type": f"{kind}request", "data": data})
            answered.append(shared | {"type": f"{kind}response", "data": out})
        halves = answered + asked if answers_first else asked + answered
        before = totals(fuzzed)
        strange: list[Any] = [{"specversion": "0"}, 7] if odd else []
        answer = fuzzed.post(
            "/v1/cloudevents",
            json.dumps([*halves, *strange]).encode(),
            "application/cloudevents-batch+json",
        )
        assert answer.status_code == 200, answer.text
        response = answer.json()
        assert response["accepted"] + response["refused"] == len(halves) + len(strange)
        stored, duplicate, refused = change(before, totals(fuzzed))
        assert duplicate == 0 and refused >= response["refused"]
        # each proper pair is two rows; others may be readable too
        assert stored >= 2 * good

    batch()


@pytest.mark.parametrize(
    "suffix", [".jsonl", ".jsonl.gz", ".csv", ".parquet", ".arrow"]
)
def test_ingest_command_and_drop_folder_count_a_file_the_same(
    tmp_path: Path, suffix: str
) -> None:
    """A random file through `driftdeck ingest` and through a drop folder's process."""
    sent = [0]
    with (
        serving(
            create_app(
                ingesting := Server(tmp_path / "one", Config()), background=False
            )
        ) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        dropped = Server(tmp_path / "two", Config())
        dropped.start(background=False)
        folder = DropFolder(
            DropConfig(folder=tmp_path / "in", model="m"),
            tmp_path / "in",
            dropped.collector,
        )

        @fuzz(60 if NIGHTLY else 4)
        @given(st.lists(st.integers(-1, len(BAD) - 1), min_size=1, max_size=30))
        def file(faults: list[int]) -> None:
            first, sent[0] = sent[0], sent[0] + len(faults)
            rows = [
                event(first + i) | (BAD[fault] if fault >= 0 else {})
                for i, fault in enumerate(faults)
            ]
            path = tmp_path / f"f{first}{suffix}"
            path.write_bytes(as_file(rows, suffix))
            good = faults.count(-1)
            for again in (False, True):
                counts = Counts()
                send_events(
                    Session(client, "here"),
                    path,
                    "m",
                    None,
                    ColumnMapping(),
                    None,
                    counts,
                    lambda _: None,
                )
                assert (counts.accepted, counts.refused) == (good, len(faults) - good)
                assert counts.already == good * again
            (folder.folder / path.name).write_bytes(path.read_bytes())
            assert folder.scan() + folder.scan() == 1, folder.status()

        file()
        for server in (ingesting, dropped):
            server.scheduler.load_all()
            counts = server.store.ledger.totals()
            assert (
                counts["received"] == sent[0] == counts["stored"] + counts["refused"]
                and not counts["duplicate"]
            )
        row, two = (
            d.store.query(
                f"SELECT event_id FROM {d.store.model('m').events} ORDER BY 1"
            )
            if "m" in d.store.models()
            else []
            for d in (ingesting, dropped)
        )
        assert row == two
        dropped.close()


def as_file(rows: list[dict[str, Any]], suffix: str) -> bytes:
    """Return the bytes of a file by its ending."""
    match suffix:
        case ".csv":
            return as_csv(
                [{k: v for k, v in row.items() if k != "model"} for row in rows]
            )
        case ".parquet":
            return as_parquet(rows)
        case ".arrow":
            return to_ipc(pa.Table.from_pylist([flat(row) for row in rows]))
    return gzip.compress(lines(*rows)) if suffix.endswith(".gz") else lines(*rows)
