"""Alerts and findings as JSON: read back, they are equal."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alert import Alert
from monitor.finding import Finding, Moved
from monitor.store.alert_store import read_alert, read_finding, to_json

TIMES = st.datetimes(
    datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)
).map(lambda at: at.replace(fold=0))
COUNTS = st.integers(0, 2**62)
FINDINGS = st.builds(
    Finding,
    window_start=TIMES,
    window_end=TIMES,
    n=COUNTS,
    n_reference=COUNTS,
    minimum=COUNTS,
    moved=st.lists(st.builds(Moved), max_size=3).map(tuple),
    segment=st.text(),
    detectable=st.floats() | st.none(),
)
ALERTS = st.builds(
    Alert,
    finding=FINDINGS,
    count=COUNTS,
    peak=st.floats() | st.none(),
    since=TIMES,
    last_seen=TIMES,
    fired_at=TIMES | st.none(),
    resolved_at=TIMES | st.none(),
    clear_since=TIMES | st.none(),
    acknowledged_at=TIMES | st.none(),
    silenced_until=TIMES | st.none(),
)


@given(ALERTS)
def test_an_alert_is_read_as_it_was_written(alert: Alert) -> None:
    again = read_alert(to_json(alert))
    assert repr(again) == repr(alert)  # NaN is not equal to itself
    assert to_json(again) == to_json(alert)


@given(FINDINGS)
def test_a_finding_is_read_as_it_was_written(finding: Finding) -> None:
    again = read_finding(to_json(finding))
    assert repr(again) == repr(finding)
    assert isinstance(again.moved, tuple)


@pytest.fixture
def finding() -> Finding:
    at = datetime(2026, 3, 17, 14, tzinfo=UTC)
    return Finding(
        *("m", "r", "psi", "x", "breach"),
        *(0.3, 0.2, math.inf, "", 0.2, None, "value", "above", None),
        *(10, 20, 5, at, at + timedelta(hours=1)),
        moved=(Moved("x", "location", 1.5, 1.0, 2.0),),
    )


def test_infinite_bounds_and_numbers_of_numpy_are_stored(finding: Finding) -> None:
    of_numpy = replace(finding, value=np.float64(0.3), n=np.int64(10))  # type: ignore[arg-type]
    assert read_finding(to_json(of_numpy)) == finding
    assert '"high": Infinity' in to_json(finding)


def test_fields_that_came_later_have_their_defaults(finding: Finding) -> None:
    text = to_json(replace(finding, moved=(), detectable=None))
    for later in (
        ', "moved": []',
        ', "cause": ""',
        ', "behind": ""',
        ', "detectable": null',
    ):
        assert later in text
        text = text.replace(later, "")
    assert read_finding(text) == replace(finding, moved=())


def test_a_time_of_another_zone_is_the_same_time(finding: Finding) -> None:
    taipei = timezone(timedelta(hours=8))
    there = replace(finding, window_end=finding.window_end.astimezone(taipei))
    assert read_finding(to_json(there)) == finding
