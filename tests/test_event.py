"""What an event may hold, and the sentence with which everything else is refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.event import Refused, TimeBounds, decode, label_text, parse_event
from monitor.label import parse_label
from monitor.schema import ModelSchema, split_prediction

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "event_id": "a",
    "model": "m",
    "ts": "2026-11-22T09:30:00Z",
    "features": {"x": 1.5},
    "prediction": 0.5,
}


def parse(**changes: Any) -> Any:
    raw = {k: v for k, v in {**GOOD, **changes}.items() if v is not ...}
    return parse_event(raw, NOW, TimeBounds())


def test_a_minimal_event_gets_an_id_and_defaults() -> None:
    event = parse(event_id=..., features=..., prediction=...)
    assert len(event.event_id) == 36
    assert (event.status, event.version, event.features, event.prediction) == (
        200,
        "",
        {},
        None,
    )


def test_times_are_utc() -> None:
    assert parse(ts="2026-11-22T17:30:00+08:00").ts == datetime(
        2026, 11, 22, 9, 30, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ts": ...}, "`ts` is missing"),
        ({"ts": "yesterday"}, "not RFC 3339"),
        ({"ts": "2026-11-22T09:30:00"}, "has no offset"),
        ({"ts": 1763800000}, "expected RFC 3339 text"),
        ({"ts": "2020-01-01T00:00:00Z"}, "older than 400 days"),
        ({"ts": "2026-11-22T12:11:00Z"}, "in the future"),
        ({"ts": "9999-12-31T23:59:59Z"}, "in the future"),
        ({"model": ...}, "`model` is missing"),
        ({"model": 3}, "`model` is a number; expected text"),
        ({"model": "x" * 201}, "at most 200 characters"),
        ({"event_id": ""}, "`event_id`"),
        ({"event_id": "é" * 65}, "130 bytes; at most 128"),
        ({"features": [1]}, "`features` is a list"),
        ({"features": {"x": {"y": 1}}}, "`features.x` is an object"),
        ({"features": {"": 1}}, "feature name"),
        ({"prediction": float("nan")}, "`prediction` is nan"),
        ({"prediction": "NaN"}, "`prediction` is NaN"),
        ({"prediction": {"a": 1.2}}, "a probability is in [0, 1]"),
        ({"prediction": [1]}, "`prediction` is a list"),
        ({"latency_ms": -1}, "0 or more"),
        ({"status": "200"}, "expected a whole number"),
        ({"status": True}, "expected a whole number"),
        ({"tags": {"a": 1}}, "`tags.a`"),
        ({"colour": 1}, "unknown key 'colour'; known: event_id"),
        ({"model": "\ud800"}, "valid Unicode"),
    ],
)
def test_a_bad_value_is_refused_with_what_would_be_right(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused) as refused:
        parse(**changes)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"1" * 5000, "not JSON"),
    ],
)
def test_a_line_that_is_not_json_is_refused(line: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        decode(line)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_json_value_is_an_event_or_refused(value: Any) -> None:
    for raw in (
        value,
        {**GOOD, "features": value},
        {**GOOD, "prediction": value},
        {**GOOD, "ts": value},
        {**GOOD, "tags": value},
    ):
        try:
            parse_event(raw, NOW, TimeBounds())
        except Refused as reason:
            assert str(reason)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_json_value_is_a_label_or_refused(value: Any) -> None:
    try:
        parse_label({"event_id": "a", "model": "m", "label": value}, NOW, TimeBounds())
    except Refused as reason:
        assert str(reason)


def test_labels_have_one_text_for_one_value() -> None:
    assert [label_text(v) for v in (1, 1.0, True, "1", 0.5, float("nan"), [])] == [
        "1",
        "1",
        "true",
        "1",
        "0.5",
        None,
        None,
    ]


def test_time_bounds_can_be_set() -> None:
    wide = TimeBounds(max_age=timedelta(days=5000))
    assert (
        parse_event({**GOOD, "ts": "2013-06-01T00:00:00Z"}, NOW, wide).ts.year == 2013
    )


# schemas


def test_a_schema_grows_by_what_events_bring_and_stays_itself_otherwise() -> None:
    schema = ModelSchema("m").with_events(
        [parse(features={"x": 1, "c": "a", "b": True, "n": None})]
    )
    assert {f.name: f.kind for f in schema.features} == {
        "x": "numeric",
        "c": "categorical",
        "b": "categorical",
    }
    assert schema.prediction == "number"
    assert schema.with_events([parse(features={"x": 2.5})]) is schema
    assert [
        f.field for f in schema.with_events([parse(features={"n": 1})]).features
    ] == [
        "f_0001",
        "f_0002",
        "f_0003",
        "f_0004",
    ]


def test_the_fast_decoder_takes_only_what_the_thorough_path_takes() -> None:
    schema = ModelSchema("m").with_events([parse(features={"x": 1, "c": "a"})])
    for changes in (
        {},
        {"features": {"x": None}},
        {"features": {}},
        {"features": {"x": "1"}},
        {"status": 99.5},
        {"latency_ms": -1},
    ):
        line = json.dumps({**GOOD, **changes}).encode()
        try:
            schema.decoder.decode(line)
        except ValueError:
            continue
        parse_event(decode(line), NOW, TimeBounds())


@pytest.mark.parametrize("names", [("Temp", "temp"), ('a"b',), ("a\\b",), ("a\nb",)])
def test_awkward_names_are_not_loaded_from_raw_lines(names: tuple[str, ...]) -> None:
    assert not ModelSchema("m").extended(dict.fromkeys(names, "numeric")).plain


def test_probabilities_give_the_positive_class_of_two_and_the_class() -> None:
    assert split_prediction({"no": 0.3, "yes": 0.7}, "probabilities") == (0.7, "yes")
    assert split_prediction({"no": 0.9, "yes": 0.1}, "probabilities") == (0.1, "no")
    assert split_prediction({"a": 0.2, "b": 0.5, "c": 0.3}, "probabilities") == (
        0.5,
        "b",
    )
    with pytest.raises(Refused, match="predictions are numbers"):
        split_prediction("late", "number")
