"""Feature importance from stored rows, and drift that is ranked by it."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Served
from events import NDJSON, NOW
from typer.testing import CliRunner

from monitor.analysis.domain_classifier import HOUR
from monitor.analysis.importance import TARGET, importances
from monitor.cli import app
from monitor.config.config import Config
from monitor.config.model_section import ModelConfig
from monitor.errors import InvalidRequest
from monitor.queries.feature_importance import compute_importance
from monitor.queries.feature_importance import feature_shares as weights
from monitor.server.server import Server

START = NOW - timedelta(days=4)


def rows(target: str, n: int = 4000) -> pa.Table:
    """y follows a and, a third as much, b; c is a category that says nothing, d repeats nothing either."""
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=n), rng.normal(size=n)
    value = 3 * a + b + rng.normal(size=n)
    said = {
        "number": value,
        "class": np.where(value > 0, "yes", "no"),
        "nothing": rng.normal(size=n),
    }
    return pa.table(
        {
            TARGET: said[target],
            HOUR: np.arange(n) // 50,
            "a": a,
            "b": b,
            "c": rng.choice(["u", "v", None], n),
            "d": rng.normal(size=n),
        }
    )


@pytest.mark.parametrize("target", ["number", "class"])
def test_features_are_worth_what_they_say(target: str) -> None:
    found = importances(rows(target))
    shares = {one["column"]: one["share"] for one in found["features"]}
    assert [one["column"] for one in found["features"]][:2] == ["a", "b"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["c"] + shares["d"] < 0.03
    # all but the noise can be told: 10 of 11 of the variance
    assert 0.5 < found["score"] < 10 / 11 + 0.01


def test_the_loss_of_a_shuffled_column_is_twice_what_it_explains() -> None:
    """R^2 of a linear target: shuffling a column of variance v adds 2 v to the squared error of what was exact."""
    found = importances(rows("number", 20_000))
    losses = {one["column"]: one["loss"] for one in found["features"]}
    assert losses["a"] == pytest.approx(2 * 9 / 11, abs=0.08)
    assert losses["b"] == pytest.approx(2 * 1 / 11, abs=0.03)


def test_nothing_to_tell() -> None:
    assert importances(rows("nothing"))["score"] < 0.01
    constant = rows("number").set_column(0, TARGET, pa.array(np.ones(4000)))
    assert "only one value" in importances(constant)["problem"]


def event(i: int, model: str, label: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(i)
    a, b = rng.normal(size=2)
    at = (START + timedelta(minutes=i)).isoformat()
    if label:
        return {"event_id": f"e{i}", "model": model, "label": bool(b > 0), "ts": at}
    p = float(1 / (1 + np.exp(-2 * a)))
    return {
        "event_id": f"e{i}",
        "model": model,
        "ts": at,
        "features": {"a": float(a), "_hour": float(b)},
        "prediction": p,
    }


def fill(server: Server, n: int = 1200, labels: bool = True) -> None:
    for label in (False, True)[: 1 + labels]:
        body = "\n".join(json.dumps(event(i, "m", label)) for i in range(n)).encode()
        take = server.collector.labels if label else server.collector.events
        take(body, NDJSON).durable.result(60)
    server.scheduler.load_all()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with closing(Server(tmp_path_factory.mktemp("server"), Config())) as server:
        server.start(background=False)
        fill(server)
        yield server


def test_labels_where_there_are_enough_else_predictions(filled: Server) -> None:
    """Labels follow the feature that is called like a column of the sample, predictions the other one."""
    of_labels = compute_importance(filled.store, "m", None, 5000, 0, NOW)
    assert (of_labels["of"], of_labels["features"][0]["column"]) == ("labels", "_hour")
    of_predictions = compute_importance(filled.store, "m", "predictions", 5000, 0, NOW)
    assert (of_predictions["of"], of_predictions["features"][0]["column"]) == (
        "predictions",
        "a",
    )
    assert of_predictions["features"][0]["share"] > 0.95
    assert weights(filled.store, Config(), "m") == {
        f["column"]: f["share"] for f in of_predictions["features"]
    }


def test_a_configured_importance_goes_before_the_computed_one(filled: Server) -> None:
    compute_importance(filled.store, "m", "predictions", 5000, 0, NOW)
    config = Config(models={"m": ModelConfig(importance={"a": 1, "_hour": 3})})
    assert weights(filled.store, config, "m") == {"a": 0.25, "_hour": 0.75}


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with closing(Server(tmp_path, Config())) as server:
        server.start(background=False)
        fill(server, 150, labels=False)
        with pytest.raises(InvalidRequest, match="only 150 rows with predictions"):
            compute_importance(server.store, "m", None, 5000, 0, NOW)
        with pytest.raises(InvalidRequest, match="only 0 rows with labels"):
            compute_importance(server.store, "m", "labels", 5000, 0, NOW)
        assert weights(server.store, Config(), "m") == {}


def test_over_http_and_on_the_command_line_drift_is_ranked_by_it(
    served: Served, tmp_path: Path
) -> None:
    assert served.client.get("/v1/models/m/importance").status_code == 404
    fill(served.server)
    missing = served.client.get("/v1/models/m/importance")
    assert missing.status_code == 404 and "was not computed yet" in missing.text
    run = CliRunner().invoke(
        app,
        [
            "importance",
            "m",
            "--of",
            "predictions",
            "--url",
            str(served.client.base_url),
        ],
    )
    assert run.exit_code == 0, run.output
    assert "Feature importance for predictions, 1,200 rows." in run.output
    kept = served.get("/v1/models/m/importance")
    assert kept["features"][0]["column"] == "a"
    assert datetime.fromisoformat(kept["at"])
    served.server.set_reference_period("m", START, NOW, NOW)
    columns = {
        c["column"]: c["importance"]
        for c in served.get("/v1/models/m/drift")["columns"]
    }
    assert columns["a"] > 0.95 and columns["_hour"] < 0.05
