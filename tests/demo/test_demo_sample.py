"""The data sample is small, is what its script makes, and is accepted as it is."""

import csv
import json
import runpy
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from monitor.config.config_file import read_config
from monitor.demo import flights
from monitor.event import TimeBounds, parse_event
from monitor.label import parse_label

DATA = Path(__file__).parents[2] / "data"
FILES = ("events.jsonl", "labels.csv", "reference.parquet", "driftdeck.toml")


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(DATA / "make_sample.py"))


@pytest.fixture(scope="module")
def again(script, model, tmp_path_factory):
    """The sample made a second time.

    The model is that of the other tests: whole weeks do not change it.
    """
    import dataclasses

    weeks = script["weeks_until"](script["UNTIL"])
    found = flights.load(flights.LAST_DAY_2013 + timedelta(weeks=weeks))
    version = found.reference["ts"].max().strftime("%Y-%m")
    sample = script["make"](found, dataclasses.replace(model, version=version))
    folder = tmp_path_factory.mktemp("sample")
    script["write"](sample, folder)
    return folder


def read_events(folder):
    return [
        json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()
    ]


def test_sample_is_below_2_mb():
    assert sum((DATA / name).stat().st_size for name in FILES) < 2_000_000


@pytest.mark.parametrize("name", ["labels.csv", "driftdeck.toml"])
def test_text_files_are_made_again_byte_for_byte(again, name):
    assert (again / name).read_bytes() == (DATA / name).read_bytes()


def test_reference_is_made_again_row_for_row(again):
    old, new = (
        pd.read_parquet(folder / "reference.parquet") for folder in (DATA, again)
    )
    pd.testing.assert_frame_equal(old, new, rtol=0, atol=1e-6)


def test_events_are_made_again_but_for_the_measured_latency(again):
    old, new = read_events(DATA), read_events(again)
    for event in (*old, *new):
        assert event.pop("latency_ms") > 0
    predictions = [[event.pop("prediction") for event in side] for side in (old, new)]
    assert old == new
    assert predictions[0] == pytest.approx(predictions[1], abs=1e-6)


def test_events_have_the_fields_of_the_wire_format():
    events = read_events(DATA)
    expected = {
        "event_id",
        "model",
        "version",
        "ts",
        "features",
        "prediction",
        "latency_ms",
    }
    assert len(events) == 2_500 and all(set(event) == expected for event in events)
    assert all(list(event["features"]) == flights.FEATURES for event in events)
    assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)
    assert {event["model"] for event in events} == {"flight-delay"}


def test_server_takes_every_event_and_label():
    now, bounds = datetime(2026, 11, 22, tzinfo=UTC), TimeBounds()
    events = [parse_event(event, now, bounds) for event in read_events(DATA)]
    with (DATA / "labels.csv").open() as lines:
        labels = [parse_label(row, now, bounds) for row in csv.DictReader(lines)]
    assert len(events) == 2_500 and {label.label for label in labels} == {
        "true",
        "false",
    }


def test_server_takes_the_configuration():
    importance = read_config(DATA / "driftdeck.toml").model("flight-delay").importance
    assert set(importance) == set(flights.FEATURES)


def test_labels_belong_to_events_and_come_later():
    times = {event["event_id"]: event["ts"] for event in read_events(DATA)}
    labels = pd.read_csv(DATA / "labels.csv")
    assert list(labels.columns) == ["event_id", "model", "label", "ts"]
    assert 0.9 < len(labels) / len(times) < 1
    assert all(row.ts > times[row.event_id] for row in labels.itertuples())


def test_until_moves_by_whole_weeks(script):
    weeks_until = script["weeks_until"]
    assert weeks_until(script["UNTIL"]) == weeks_until(
        script["UNTIL"] + timedelta(days=6)
    )
    assert weeks_until(date(2013, 7, 7)) == 1


def test_script_explains_its_options(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_sample.py", "--help"])
    with pytest.raises(SystemExit) as stopped:
        script["main"]()
    assert stopped.value.code == 0
    assert "--until" in capsys.readouterr().out
