"""Importance from a model file: the model itself is asked, and only when it is the one whose predictions are stored."""

import json
import math
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Served
from events import NDJSON, NOW
from onnx_file import by_name, classes, linear
from typer.testing import CliRunner

from monitor.analysis.importance import TARGET
from monitor.analysis.model_file import STORED, UnusableModel, importances
from monitor.cli import app
from monitor.config.config import Config
from monitor.errors import InvalidRequest
from monitor.queries.feature_importance import ModelFile, compute_importance
from monitor.server.server import Server

N = 4000
ABC = {name: name for name in "abc"}


def rows(**more: Any) -> pa.Table:
    rng = np.random.default_rng(2)
    a, b, c = rng.normal(size=N), rng.normal(size=N), rng.normal(size=N)
    return pa.table({"a": a, "b": b, "c": c, **more})


def values(table: pa.Table, *names: str) -> list[np.ndarray]:
    return [table[name].to_numpy() for name in names]


def saved(tmp_path: Path, content: bytes) -> str:
    (tmp_path / "model.onnx").write_bytes(content)
    return str(tmp_path / "model.onnx")


def test_shuffling_an_input_of_a_linear_model_costs_twice_what_it_explains(
    tmp_path: Path,
) -> None:
    table = rows()
    a, b = values(table, "a", "b")
    table = table.append_column(STORED, pa.array(3 * a - b))
    found = importances(table, saved(tmp_path, linear(3, -1, 0)), ABC)
    losses = {one["column"]: one["loss"] for one in found["features"]}
    # R^2 falls by 2 w^2 / (sum of w^2), as the shuffled column is independent of what
    # it was
    assert losses["a"] == pytest.approx(2 * 9 / 10, abs=0.08)
    assert losses["b"] == pytest.approx(2 * 1 / 10, abs=0.02)
    assert losses["c"] == 0
    assert found["agreement"] == pytest.approx(1)


def test_with_labels_the_score_is_what_the_model_tells_of_them(tmp_path: Path) -> None:
    table = rows()
    a, b = values(table, "a", "b")
    noise = np.random.default_rng(3).normal(size=N)
    table = table.append_column(STORED, pa.array(3 * a - b)).append_column(
        TARGET, pa.array(3 * a + noise)
    )
    found = importances(table, saved(tmp_path, linear(3, -1, 0)), ABC)
    # of 10 the noise and the needless b are missed
    assert found["score"] == pytest.approx(1 - 2 / 10, abs=0.03)
    losses = {one["column"]: one["loss"] for one in found["features"]}
    assert losses["a"] == pytest.approx(2 * 9 / 10, abs=0.08)
    assert abs(losses["b"]) < 0.02  # what it says is wrong, and shuffled no more so


def test_classes_by_the_largest_answer(tmp_path: Path) -> None:
    table = rows()
    a, b, c = values(table, "a", "b", "c")
    table = table.append_column(
        STORED, pa.array(np.stack([3 * a, b, c]).argmax(axis=0).astype(str))
    )
    found = importances(
        table, saved(tmp_path, classes((3, 0, 0), (0, 1, 0), (0, 0, 1))), ABC
    )
    assert found["agreement"] == 1
    assert found["features"][0]["column"] == "a"


def test_inputs_by_name_need_no_order(tmp_path: Path) -> None:
    table = rows()
    a, c = values(table, "a", "c")
    table = table.append_column(STORED, pa.array(1 / (1 + np.exp(-(2 * c - a)))))
    found = importances(table, saved(tmp_path, by_name(c=2, a=-1)), ABC)
    assert [one["column"] for one in found["features"]] == ["c", "a", "b"]
    assert found["features"][2]["loss"] == 0


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        (b"no model", {}, "not an ONNX model"),
        (linear(-1, 3, 0), {}, "does not give the stored predictions"),
        (linear(3, -1), {}, "accepts 2 numbers a row and there are 3 features"),
        (by_name(a=1, unknown=2), {}, r"neither features by name \(a, b, c\)"),
        (linear(3, -1, 0, 0), {"d": pa.array(["x"] * N)}, "'d' is text"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, content: bytes, more: dict[str, Any], said: str
) -> None:
    table = rows(**more)
    a, b = values(table, "a", "b")
    table = table.append_column(STORED, pa.array(3 * a - b))
    with pytest.raises(UnusableModel, match=said):
        importances(
            table, saved(tmp_path, content), {n: n for n in table.column_names[:-1]}
        )


def test_missing_numbers_reach_the_model_as_nan(tmp_path: Path) -> None:
    table = rows()
    a, b = values(table, "a", "b")
    known = np.arange(N) % 7 > 0
    table = table.set_column(
        2, "c", pa.array(np.where(known, 0.0, np.nan), from_pandas=True)
    )
    table = table.append_column(STORED, pa.array(3 * a - b, mask=~known))
    found = importances(
        table.filter(pa.array(known)), saved(tmp_path, linear(3, -1, 0)), ABC
    )
    assert found["agreement"] == pytest.approx(1)


# through the store, the API and the command


def event(i: int, version: str = "v2") -> dict[str, Any]:
    rng = np.random.default_rng(i)
    a, b = (float(v) for v in rng.normal(size=2))
    old = version == "v1"
    return {
        "event_id": f"{version}-{i}",
        "model": "m",
        "version": version,
        "ts": (
            NOW - timedelta(days=3 if old else 1) + timedelta(minutes=i)
        ).isoformat(),
        "features": {"a": a, "b": b},
        "prediction": 1 / (1 + math.exp(-(2 * b if old else 2 * a - b))),
    }


def lines(*versions: str) -> bytes:
    return "\n".join(
        json.dumps(event(i, version)) for version in versions for i in range(1000)
    ).encode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data", Config(default_rules=False))
    server.start(background=False)
    with closing(server):
        server.collector.events(lines("v1", "v2"), NDJSON).durable.result(60)
        server.scheduler.load_all()
        yield server


def test_the_rows_are_those_of_the_version_that_the_file_is(server: Server) -> None:
    found = compute_importance(
        server.store, "m", None, 2000, 0, NOW, ModelFile(by_name(a=2, b=-1))
    )
    assert (found["by"], found["of"], found["version"], found["rows"]) == (
        "model",
        "predictions",
        "v2",
        1000,
    )
    assert found["features"][0]["column"] == "a"
    older = compute_importance(
        server.store, "m", None, 2000, 0, NOW, ModelFile(by_name(b=2), version="v1")
    )
    assert older["features"][0] == {
        "column": "b",
        "loss": pytest.approx(2, abs=0.2),
        "share": 1.0,
    }
    with pytest.raises(InvalidRequest, match="does not give the stored predictions"):
        compute_importance(
            server.store, "m", None, 2000, 0, NOW, ModelFile(by_name(b=2))
        )


def test_unknown_features_and_versions_are_refused(server: Server) -> None:
    with pytest.raises(InvalidRequest, match="has no feature 'z'; known: a, b"):
        compute_importance(
            server.store, "m", None, 2000, 0, NOW, ModelFile(b"x", ("z",))
        )
    with pytest.raises(InvalidRequest, match="only 0 rows of version 'v9'"):
        compute_importance(
            server.store, "m", None, 2000, 0, NOW, ModelFile(b"x", version="v9")
        )


def test_command_and_route(served: Served, tmp_path: Path) -> None:
    assert served.post("/v1/events", lines("v2")).status_code == 200
    served.server.scheduler.load_all()
    file = tmp_path / "model.onnx"
    file.write_bytes(by_name(a=2, b=-1))
    call = [
        "importance",
        "m",
        "--model-file",
        str(file),
        "--url",
        str(served.client.base_url),
    ]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert "Model file: score " in done.output
    assert served.get("/v1/models/m/importance")["by"] == "model"
    missing = CliRunner().invoke(app, [*call[:3], str(tmp_path / "none.onnx")])
    assert missing.exit_code == 2
    assert "none.onnx" in missing.output.replace("\n", "").replace("│", "").replace(
        " ", ""
    )
    alone = CliRunner().invoke(app, ["importance", "m", "--features", "a,b"])
    assert alone.exit_code == 2
