"""Packed events: their JSON is the same as that of an event that was never packed."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.client.disk_spool import packed_event as module
from monitor.client.disk_spool.packed_event import pack_event
from monitor.client.disk_spool.spool_line import read_line
from monitor.client.ndjson import encode

names = st.text(max_size=8).filter(
    lambda text: text.encode("utf-8", "surrogatepass") is not None
)
floats = st.floats(allow_nan=True, allow_infinity=True)
values = st.one_of(
    floats,
    floats,
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=9),
)


def record(**more):
    base = {
        "event_id": "id",
        "model": "m",
        "version": "",
        "ts": 1764408000.25,
        "features": {},
        "prediction": None,
    }
    return {
        **base,
        "latency_ms": None,
        "status": 200,
        "error": None,
        "tags": None,
        **more,
    }


@given(
    st.dictionaries(names, values, max_size=6),
    st.one_of(values, st.dictionaries(names, st.floats(0, 1), max_size=3)),
    st.one_of(st.none(), floats, st.integers(0, 10**6)),
    names,
    names,
)
def test_every_event_is_read_as_it_would_have_been_written(
    features, prediction, latency_ms, event_id, version
):
    event = record(
        features=features,
        prediction=prediction,
        latency_ms=latency_ms,
        event_id=event_id,
        version=version,
    )
    line = pack_event(event)
    if line is not None:
        assert line.count(b"\n") == 1 and line.endswith(b"\n")
        assert len(line.splitlines()) == 1  # as the file is read
        assert json.loads(read_line(line).body) == json.loads(encode(event))


@pytest.mark.parametrize(
    "more",
    [
        {
            "features": {f"f{i}": i / 3 for i in range(20)},
            "prediction": 0.83,
            "latency_ms": 12.5,
        },
        {"features": {f"f{i}": i / 3 for i in range(20)}, "prediction": 0.83},
        {
            "features": {
                "a": 1.5,
                "country": "TW",
                "n": 3,
                "premium": True,
                "none": None,
            },
            "prediction": "yes",
        },
        {
            "features": {"a": math.nan, "b": math.inf, "c": np.float64(0.1)},
            "prediction": 0.5,
        },
        {
            "features": {"a b\t": 1.5, 'c"d': 2.5, "é台": -0.0},
            "prediction": {"x": 0.25, "y": 0.75},
        },
        {"features": {"a": 1.5}, "prediction": 1, "latency_ms": 3},
        {
            "features": {"low": -(2**63), "high": 2**63 - 1, "zero": 0, "no": False},
            "prediction": None,
        },
        {"features": {"text": "]", "brace": "}"}, "prediction": {}},
        {"features": {}, "prediction": np.float64(0.5)},
    ],
)
def test_the_usual_event_is_kept_with_its_numbers_apart(more):
    event = record(**more)
    assert json.loads(read_line(pack_event(event)).body) == json.loads(encode(event))
    assert list(json.loads(read_line(pack_event(event)).body)["features"]) == list(
        event["features"]
    )


@pytest.mark.parametrize(
    "more",
    [
        {"tags": {"a": "b"}},
        {"error": "it broke"},
        {"ts": "2026-11-29T00:00:00Z"},
        {"status": True},
        {"features": {"a": [1.0, 2.0]}},
        {"features": {"a": []}},
        {"features": {"a": "x["}},
        {"features": {"a": 2**63}},
        {"features": {"a": 1.5, "b": True}, "prediction": "{"},
        {"event_id": "x" * 5000},
        {"features": {"a": np.float32(1.5)}},
        {"features": {"a": "x" * 5000}},
        {"features": {1: 1.5}},
        {"features": {1: 1.5, "1": 2.5}},
        {"features": {"a": {"b": 1.5}}},
        {"model": 1},
        {"event_id": 7},
    ],
)
def test_an_event_that_needs_a_closer_look_is_left_to_the_encoder(more):
    assert pack_event(record(**more)) is None


def test_names_that_are_equal_but_no_text_are_not_taken_for_known_ones():
    good = record(features={"a": 1.5}, prediction=0.5)
    assert pack_event(good) is not None
    for more in ({"status": True}, {"status": 200.0}, {"model": ["m"]}):
        assert pack_event({**good, **more}) is None


def test_few_shapes_are_cached():
    for i in range(3 * module.MAX_SHAPES):
        assert pack_event(record(features={f"f{i}": 1.5}, prediction=0.5)) is not None
    assert len(module._shapes) <= module.MAX_SHAPES


def test_events_of_the_same_names_and_types_share_a_shape_and_others_do_not():
    module._shapes.clear()
    for i in range(10):
        assert (
            pack_event(
                record(
                    features={"a": i / 3, "n": i, "text": f"t{i}", "none": None},
                    prediction=i / 7,
                )
            )
            is not None
        )
    assert len(module._shapes) == 1
    assert (
        pack_event(
            record(features={"a": 1, "n": 1, "text": "t", "none": None}, prediction=0.5)
        )
        is not None
    )
    assert len(module._shapes) == 2
