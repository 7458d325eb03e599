"""Models and features may have any name: in every format, route and command."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Served
from events import NDJSON
from names import ALL, NAMES, assert_kept, encoded, row
from prometheus_client.parser import text_string_to_metric_families

from app import reader
from monitor.api import create_app
from monitor.arrow_columns import to_ipc
from monitor.client import Client
from monitor.config.config import Config, DropConfig
from monitor.ingest.drop_folder.folder import DropFolder
from monitor.send.session import serving
from monitor.server.server import Server


def text(rows: list[dict[str, Any]], ascii_only: bool) -> bytes:
    return b"".join(
        json.dumps(r, ensure_ascii=ascii_only).encode() + b"\n" for r in rows
    )


def table(rows: list[dict[str, Any]]) -> pa.Table:
    file = [
        {k: v for k, v in r.items() if k not in ("features", "model")} for r in rows
    ]
    return pa.Table.from_pylist(
        [
            k
            | {"model": r["model"]}
            | {f"features.{n}": v for n, v in r["features"].items()}
            for k, r in zip(file, rows, strict=True)
        ]
    )


def parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(table(rows), file)
    return file.getvalue()


BODIES: dict[str, tuple[str, Callable[[list[dict[str, Any]]], bytes]]] = {
    "escaped": (NDJSON, lambda rows: text(rows, True)),
    "utf8": (NDJSON, lambda rows: text(rows, False)),
    "array": ("application/json", lambda rows: json.dumps(rows).encode()),
    "arrow": ("application/vnd.apache.arrow.stream", lambda rows: to_ipc(table(rows))),
    "parquet": ("application/vnd.apache.parquet", parquet),
}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a model for each of NAMES, each with features of all these names."""
    server = Server(tmp_path_factory.mktemp("names") / "data", Config())
    with (
        serving(create_app(server, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        served = Served(server, client)
        for i, (kind, encoded) in enumerate(BODIES.values()):
            answer = served.post(
                "/v1/events", encoded([row(i, name) for name in NAMES]), kind
            )
            assert answer.json() == {
                "accepted": len(NAMES),
                "refused": 0,
                "refusals": [],
            }
            assert served.client.post("/v1/flush").status_code == 200
        labels = [
            {"event_id": f"{i}-0", "model": name, "label": True}
            for i, name in enumerate(NAMES)
        ]
        assert served.post("/v1/labels", text(labels, False)).json()["accepted"] == len(
            NAMES
        )
        assert served.client.post("/v1/flush").status_code == 200
        yield served


def test_every_format_stores_every_value_under_its_own_name(
    named: Served,
) -> None:
    assert_kept(named.server, len(BODIES))
    for name, model in named.server.store.models().items():
        assert named.server.store.span(name)[3] == 1 or model.task == "unknown"


def test_every_route_works_with_every_name(named: Served) -> None:
    listed = {m["model"] for m in named.get("/v1/models")["models"]}
    assert listed == set(NAMES)
    for name in NAMES:
        address = f"/v1/models/{encoded(name)}"
        for what in ("overview", "service", "drift", "findings", "detector"):
            answer = named.client.get(f"{address}/{what}")
            assert answer.status_code == 200, (name, what, answer.text)
        overview = named.get(f"{address}/overview")
        assert overview["model"] == name
        assert named.get("/v1/accounting", model=name)["models"][0]["model"] == name
        assert named.get("/v1/alerts", model=name)["alerts"] == []


def test_every_column_of_a_model_is_found_under_its_name(named: Served) -> None:
    for model in ("plain", "a/columns/b", "columns", "..", "nul\x00"):
        for column in NAMES:
            address = f"/v1/models/{encoded(model)}/columns/{encoded(column)}"
            answer = named.client.get(address)
            assert answer.status_code == 200, (model, column, answer.text)
            assert answer.json()["column"] == column, (model, column)


def test_a_slash_need_not_be_encoded_where_it_is_unambiguous(
    named: Served,
) -> None:
    assert named.get("/v1/models/a/b/overview")["model"] == "a/b"
    assert named.get("/v1/models/plain/columns/a/b")["column"] == "a/b"
    assert named.client.get("/v1/models/plain%2Foverview").status_code == 404


def test_metrics_read_back_with_every_name(named: Served) -> None:
    found = text_string_to_metric_families(named.client.get("/metrics").text)
    rows = {
        s.labels["model"]: s.value
        for f in found
        for s in f.samples
        if s.labels.get("outcome") == "stored" and s.labels.get("kind") == "events"
    }
    assert {name: rows.get(name) for name in NAMES} == dict.fromkeys(
        NAMES, float(len(BODIES))
    )


@pytest.mark.slow
def test_the_dashboard_reads_every_name(
    named: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTDECK_URL", str(named.client.base_url))
    reader._memory.clear()
    assert {m["model"] for m in reader.models()["models"]} == set(NAMES)
    for name in NAMES:
        assert reader.overview(name, "", "7d")["model"] == name
        assert reader.column("a/b", name, "")["column"] == name
    reader._memory.clear()


@pytest.mark.slow
def test_commands_accept_every_name(named: Served) -> None:
    # no argument of a program can hold it
    names = [name for name in NAMES if "\x00" not in name]
    for verb in ("evaluate", "rebuild"):
        for name in names[:: 16 if verb == "rebuild" else 8]:
            done = verb_of(named, verb, about=(name,))
            assert done.returncode == 0, (verb, name, done.stderr)
    listed = json.loads(verb_of(named, "status", "--json").stdout)
    assert {m["model"] for m in listed["models"]} == set(NAMES)


def test_a_reference_is_set_under_any_name(named: Served, tmp_path: Path) -> None:
    rows = [
        {
            "ts": datetime.now(UTC).isoformat(),
            "prediction": 0.5,
            "a/b": float(i),
            "features.ts": 1.0,
        }
        for i in range(30)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    for name in ("a/columns/b", "..", "نموذج"):
        done = verb_of(
            named, "reference", "set", about=(name, str(tmp_path / "r.parquet"))
        )
        assert done.returncode == 0, (name, done.stderr)
        ((status,),) = named.server.store.query(
            "SELECT r.status FROM reference r JOIN models m ON m.id = r.model WHERE m.name = ?",
            [name],
        )
        assert status == "set"
    assert {f.name for f in named.server.store.model("..").schema.features} == {
        *NAMES,
        "ts",
    }


def verb_of(
    served: Served, *options: str, about: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run a command in a process; `about` are arguments that may begin with a dash."""
    command = [
        sys.executable,
        "-m",
        "monitor.cli",
        *options,
        "--url",
        str(served.client.base_url),
        "--",
        *about,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120
    )


def test_files_folders_and_the_client_keep_every_name(
    served: Served, tmp_path: Path
) -> None:
    server = Server(tmp_path / "other")
    server.start(background=False)
    (tmp_path / "all.jsonl").write_bytes(text([row(9, name) for name in NAMES], False))
    done = verb_of(served, "ingest", about=(str(tmp_path / "all.jsonl"),))
    assert done.returncode == 0, done.stderr
    header = ["ts", *(f"features.{n}" for n in NAMES)]
    rows = io.StringIO(newline="")
    out = csv.writer(rows, lineterminator="\r\n")
    out.writerow(header)
    out.writerow([datetime.now(UTC).isoformat(), *ALL.values()])
    (tmp_path / "table.csv").write_text(rows.getvalue(), encoding="utf-8", newline="")
    for name in ("a/b", "نموذج", "new\nline"):
        done = verb_of(
            served, "ingest", "--model", name, about=(str(tmp_path / "table.csv"),)
        )
        assert done.returncode == 0, (name, done.stderr)
        watched = DropFolder(
            DropConfig(folder=tmp_path / "in", model=name),
            tmp_path / "in",
            server.collector,
        )
        (tmp_path / "in" / "نموذج 'a\"b.csv").write_bytes(
            (tmp_path / "table.csv").read_bytes()
        )
        assert watched.scan() + watched.scan() == 1, watched.status()
        with Client(str(served.client.base_url), model=name, version=name) as client:
            client.log(ALL, prediction=0.5)
    server.scheduler.load_all()
    served.client.post("/v1/flush")
    for found, n in ((served.server, 3), (server, 1)):
        for name in ("a/b", "نموذج", "new\nline"):
            model = found.store.model(name)
            assert {f.name for f in model.schema.features} == set(NAMES)
            assert found.store.span(name)[2] == n, name
    server.close()


def test_names_in_cloudevents(served: Served) -> None:
    names = [name for name in NAMES if name.strip() == name]
    for i, name in enumerate(names):
        shared = {
            "specversion": "1.0",
            "source": "http://x/",
            "id": f"c{i}",
            "inferenceservicename": name,
        }
        data = {
            "inputs": [
                {"name": n, "shape": [1], "datatype": "FP64", "data": [v]}
                for n, v in ALL.items()
            ]
        }
        answered = {
            "outputs": [{"name": "p", "shape": [1], "datatype": "FP64", "data": [0.5]}]
        }
        for kind, body in (("request", data), ("response", answered)):
            cloudevent = shared | {
                "type": f"org.kubeflow.serving.inference.{kind}",
                "data": body,
            }
            response = served.post(
                "/v1/cloudevents",
                json.dumps(cloudevent).encode(),
                "application/cloudevents+json",
            )
            assert response.json() == {"accepted": 1, "refused": 0, "refusals": []}, (
                name,
                response.text,
            )
    served.client.post("/v1/flush")
    assert set(names) <= set(served.server.store.models())


def test_two_columns_of_one_feature_are_refused(
    served: Served,
) -> None:
    body = to_ipc(
        pa.table({"ts": [datetime.now(UTC)], "age": [1.0], "features.age": [2.0]})
    )
    answer = served.client.post(
        "/v1/events?model=m", content=body, headers={"content-type": BODIES["arrow"][0]}
    )
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "columns 'age' and 'features.age' are one feature; keep one of them"
    }
