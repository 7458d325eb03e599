"""Whatever the service logs becomes one valid line of JSON, and nothing it logs raises."""

import json
import math
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.client import Client, new_event_id
from monitor.client.ndjson import encode, plain, timestamp


class Hostile:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (True, True),
        (None, None),
        ("x", "x"),
        (1.5, 1.5),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (-math.inf, "-Infinity"),
        (np.float64("nan"), "NaN"),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("s"), "s"),
        (np.array(3), 3),
        (np.datetime64("2026-01-01T00:00:00", "s"), "2026-01-01T00:00:00"),
        (np.array([1, 2]), "[1 2]"),
        (pd.NA, None),
        (pd.NaT, None),
        (pd.Timestamp("2026-01-01", tz="UTC"), "2026-01-01T00:00:00+00:00"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        (Decimal("1.10"), "1.10"),
        ([1, 2], "[1, 2]"),
        (Hostile(), "<Hostile without text>"),
    ],
)
def test_value_becomes(value, expected):
    assert plain(value) == expected
    assert type(plain(value)) is type(expected) or isinstance(value, str)
    json.dumps(plain(value), allow_nan=False)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), json_values), json_values)
def test_any_event_is_one_line_of_strict_json(features, prediction):
    def refuse(constant):
        raise AssertionError(constant)

    line = encode(
        {
            "event_id": "x",
            "model": "m",
            "features": features,
            "prediction": prediction,
            "ts": 0,
        }
    )
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert set(json.loads(line, parse_constant=refuse)["features"]) == set(features)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2.5, None], [1, 2.5, None]),
        ((1.0, math.inf), [1.0, None]),
        (np.array([1.5, np.nan], np.float32), [1.5, None]),
        ([np.float64(2), np.int8(3)], [2.0, 3]),
        ([], []),
        (np.array(3), 3),
        (["a", "b"], "['a', 'b']"),
        ([1, True], "[1, True]"),
        (np.array([[1, 2]]), "[[1 2]]"),
        ({1: 2}, "{1: 2}"),
    ],
)
def test_a_list_of_numbers_stays_one_as_a_feature(value, expected):
    assert (
        json.loads(encode({"features": {"embedding": value}}))["features"]["embedding"]
        == expected
    )


def test_long_texts_are_cut_where_the_server_would_refuse_them():
    record = json.loads(
        encode({"features": {"comment": "x" * 9_000}, "error": "y" * 9_000})
    )
    assert len(record["features"]["comment"]) == len(record["error"]) == 4_096


def test_class_probabilities_stay_an_object():
    line = encode({"prediction": {"late": np.float32(0.25), 0: 0.75}})
    assert json.loads(line) == {"prediction": {"late": 0.25, "0": 0.75}}


@pytest.mark.parametrize(
    "value",
    [
        1767261600,
        1767261600.0,
        datetime(2026, 1, 1, 10),
        datetime(2026, 1, 1, 10, tzinfo=UTC),
        datetime(2026, 1, 1, 18, tzinfo=timezone(timedelta(hours=8))),
        pd.Timestamp("2026-01-01T10:00:00"),
    ],
)
def test_times_are_utc_on_the_wire(value):
    assert timestamp(value) == "2026-01-01T10:00:00.000000Z"


def test_event_ids_are_version_7_unique_and_in_order():
    ids = [new_event_id() for _ in range(2_000)]
    assert len(set(ids)) == len(ids)
    assert {(uuid.UUID(i).version, uuid.UUID(i).variant) for i in ids} == {
        (7, uuid.RFC_4122)
    }
    moments = [i[:18] for i in ids]
    assert moments == sorted(moments)
    assert (
        abs((uuid.UUID(ids[0]).int >> 80) / 1000 - datetime.now(UTC).timestamp()) < 60
    )


@pytest.mark.parametrize(
    "features", [None, 5, [1, 2], {"x": Hostile()}, {Hostile(): 1}]
)
def test_log_never_raises_and_always_gives_an_id(collector, features):
    with Client(collector.url, model="m") as client:
        assert (
            client.log(features, Hostile(), tags=None, ts="whatever", event_id="mine")
            == "mine"
        )
        client.label("mine", Hostile())
        assert client.flush(20)
        stats = client.stats()
    assert stats["logged"] == stats["accepted"] + stats["refused"] == 2


def test_event_without_model_is_refused_with_the_remedy(collector):
    with Client(collector.url) as client:
        client.log({}, 1)
        assert client.stats()["refused"] == 1
        assert "give it to log() or to Client()" in client.stats()["last_error"]


def test_features_changed_after_log_are_sent_as_they_were(collector):
    features = {"a": 1}
    with Client(collector.url, model="m", flush_interval=60) as client:
        client.log(features, 1)
        features["a"] = 2
        assert client.flush(20)
    assert collector.records()[0]["features"] == {"a": 1}
