"""The demo's past as files: what a nightly batch job would have logged, and the labels known by now."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from .delay_model import DelayModel
from .flights import FEATURES

LIVE_DAYS = 7


@dataclass(frozen=True)
class History:
    """The files written, and how much is in them."""

    reference: Path
    events: list[Path]
    labels: Path
    event_rows: int
    label_rows: int


def write(
    folder: Path,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    model: DelayModel,
    now: datetime,
    progress: Callable[[float], None] = lambda share: None,
) -> History:
    """Write reference.parquet, events-YYYY-MM.parquet per month, and labels.parquet; nothing after `now`."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("events-*.parquet"):
        old.unlink()
    past = current[current["ts"] <= now]
    predicted = predict_day_by_day(past, model, progress)
    events = []
    for month, rows in predicted.groupby(predicted["ts"].dt.strftime("%Y-%m")):
        path = folder / f"events-{month}.parquet"
        rows.to_parquet(path, index=False)
        events.append(path)
    known = past[
        past["label_ts"].notna() & past["label"].notna() & (past["label_ts"] <= now)
    ]
    labels = known[["event_id", "label", "label_ts"]].rename(columns={"label_ts": "ts"})
    labels.to_parquet(folder / "labels.parquet", index=False)
    reference_rows(reference, model).to_parquet(
        folder / "reference.parquet", index=False
    )
    return History(
        folder / "reference.parquet",
        events,
        folder / "labels.parquet",
        len(predicted),
        len(labels),
    )


def reference_rows(reference: pd.DataFrame, model: DelayModel) -> pd.DataFrame:
    """The reference as the monitor takes it: predictions are held out, so that its quality is honest."""
    return reference[["event_id", "ts", *FEATURES, "label"]].assign(
        prediction=model.held_out.round(6)
    )


def predict_day_by_day(
    rows: pd.DataFrame,
    model: DelayModel,
    progress: Callable[[float], None] = lambda share: None,
) -> pd.DataFrame:
    """Events in the order of time.

    `latency_ms` is the measured wall time of the call that predicted that whole day.
    """
    prediction = np.empty(len(rows))
    latency_ms = np.empty(len(rows))
    done = 0
    for _, day in rows.groupby(rows["ts"].dt.floor("D")):
        start = time.perf_counter()
        found = model.predict(day)
        elapsed_ms = (time.perf_counter() - start) * 1_000
        prediction[done : done + len(day)] = found
        latency_ms[done : done + len(day)] = elapsed_ms
        done += len(day)
        progress(done / len(rows))
    measured = {"prediction": prediction.round(6), "latency_ms": latency_ms.round(3)}
    return rows[["event_id", "ts", *FEATURES]].assign(**measured)


def live_schedule(current: pd.DataFrame, now: datetime, seed: int) -> pd.DataFrame:
    """The flights the live traffic asks about: those still to come and those of the last seven days, shuffled.

    A few requests a second use up a day's schedule in minutes. In the order of time
    they would all be of one hour, and the monitor would rightly call that drift;
    shuffled, each minute looks like the whole week.
    """
    near = current[current["ts"] > now - pd.Timedelta(days=LIVE_DAYS)]
    if near.empty:
        near = current.tail(5_000)
    return near.sample(frac=1.0, random_state=seed, ignore_index=True)
