"""Domain classifier: separates two periods by the feature that changed, and only then."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hour_stream import DAY, NOW, opened, send, shifted, traffic
from typer.testing import CliRunner

from monitor.analysis import training_process
from monitor.analysis.domain_classifier import HOUR, PERIOD, separate_periods
from monitor.cli import app
from monitor.errors import InvalidRequest, TooMany
from monitor.queries.period_comparison import compare_periods, periods_of
from monitor.server.server import Server

BEFORE, AFTER = (NOW - 7 * DAY, NOW - 4 * DAY), (NOW - 3 * DAY, NOW)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with closing(opened(tmp_path_factory.mktemp("server"))) as server:
        send(server, traffic(shifted(3)))
        yield server


def rows(n: int, change: float = 0.0) -> pa.Table:
    rng = np.random.default_rng(3)
    period = np.repeat([0, 1], n)
    return pa.table(
        {
            PERIOD: period,
            HOUR: np.tile(np.arange(n) // 50, 2) + 1000 * period,
            "x": rng.normal(size=2 * n) + change * period,
            "y": rng.normal(size=2 * n),
            "c": rng.choice(["a", "b", None], 2 * n),
        }
    )


def test_a_shift_is_separated_about_as_well_as_possible() -> None:
    found = separate_periods(rows(3000, change=1.0))
    # the best there is: P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2) = 0.760
    assert found["auc"] == pytest.approx(0.76, abs=0.025)
    assert found["low"] < found["auc"] < found["high"]
    assert found["features"][0]["column"] == "x"
    assert found["features"][0]["loss"] == pytest.approx(0.25, abs=0.03)
    assert all(abs(one["loss"]) < 0.02 for one in found["features"][1:])


def test_nothing_is_separated_where_nothing_changed() -> None:
    found = separate_periods(rows(3000))
    assert found["low"] < 0.5
    assert found["auc"] == pytest.approx(0.5, abs=0.04)
    assert all(abs(one["loss"]) < 0.03 for one in found["features"])


@pytest.mark.slow
def test_stored_periods_are_separated_by_the_change(server: Server) -> None:
    found = compare_periods(server.store, "m", BEFORE, AFTER)
    assert found["low"] > 0.55
    assert found["features"][0]["column"] == "x"
    assert found == compare_periods(server.store, "m", BEFORE, AFTER)
    quiet = compare_periods(
        server.store,
        "m",
        (NOW - 9 * DAY, NOW - 6 * DAY),
        (NOW - 6 * DAY, NOW - 3 * DAY),
    )
    assert quiet["low"] <= 0.5
    without = compare_periods(server.store, "m", BEFORE, AFTER, without=["x"])
    assert without["low"] <= 0.5
    assert {one["column"] for one in without["features"]} == {"y", "c"}


def test_features_may_have_the_names_that_it_uses_itself(tmp_path: Path) -> None:
    def odd(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        row["features"] = {
            PERIOD: row["features"]["x"] + (at >= NOW - 3 * DAY),
            HOUR: row["features"]["c"],
        }

    with closing(opened(tmp_path)) as server:
        send(server, traffic(odd))
        found = compare_periods(server.store, "m", BEFORE, AFTER)
    assert [one["column"] for one in found["features"]] == [PERIOD, HOUR]
    assert found["low"] > 0.6


def test_impossible_requests_are_refused(server: Server) -> None:
    with pytest.raises(InvalidRequest, match="only 0 rows are stored from"):
        compare_periods(server.store, "m", BEFORE, (NOW + DAY, NOW + 2 * DAY))
    with pytest.raises(InvalidRequest, match="has no feature 'z'"):
        compare_periods(server.store, "m", BEFORE, AFTER, without=["z"])
    with pytest.raises(InvalidRequest, match="0 features are left"):
        compare_periods(server.store, "m", BEFORE, AFTER, without=["x", "y", "c"])
    with pytest.raises(InvalidRequest, match="`from` must be before `to`"):
        periods_of((None, None), (NOW, NOW - DAY), NOW)
    with pytest.raises(InvalidRequest, match="overlap"):
        periods_of((NOW - DAY, NOW), (NOW - timedelta(hours=2), NOW), NOW)


def test_one_is_trained_at_a_time(server: Server) -> None:
    with (
        training_process.ONE_TRAINING,
        pytest.raises(TooMany, match="try again in a minute"),
    ):
        compare_periods(server.store, "m", BEFORE, AFTER)


def test_periods_are_the_last_day_and_the_one_before_unless_given() -> None:
    assert periods_of((None, None), (None, None), NOW) == (
        (NOW - 2 * DAY, NOW - DAY),
        (NOW - DAY, NOW),
    )
    assert periods_of((None, None), (NOW - 7 * DAY, None), NOW)[0] == (
        NOW - 14 * DAY,
        NOW - 7 * DAY,
    )


def test_without_scikit_learn_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise ImportError('not here')")
    stream = pa.BufferOutputStream()
    table = rows(300)
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    done = subprocess.run(
        [sys.executable, "-m", "monitor.analysis.domain_classifier", "0"],
        input=stream.getvalue().to_pybytes(),
        capture_output=True,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
        timeout=60,
    )
    assert "pip install 'driftdeck[classifier]'" in json.loads(done.stdout)["problem"]


def test_the_command_says_whether_and_by_what(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "data")) as server:
        send(server, traffic(shifted(3)))
    span = [
        "--from",
        AFTER[0].isoformat(),
        "--to",
        AFTER[1].isoformat(),
        "--before-to",
        BEFORE[1].isoformat(),
    ]
    run = CliRunner().invoke(
        app, ["domain-classifier", "m", *span, "--data", str(tmp_path / "data")]
    )
    assert run.exit_code == 0, run.output
    assert "the periods differ" in run.output
    assert run.output.splitlines()[-3].split()[0] == "x"
