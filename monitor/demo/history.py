"""The demo's past as files: the predictions of a nightly batch job, and their labels."""

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
MIN_LIVE_FLIGHTS = 5_000


@dataclass(frozen=True)
class History:
    """The files written, and their numbers of rows."""

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
    """Write reference.parquet, labels.parquet and one events-YYYY-MM.parquet a month.

    Nothing in them is after `now`.
    """
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
    labelled = past[
        past["label_ts"].notna() & past["label"].notna() & (past["label_ts"] <= now)
    ]
    labels = labelled[["event_id", "label", "label_ts"]]
    labels = labels.rename(columns={"label_ts": "ts"})
    labels_path = folder / "labels.parquet"
    labels.to_parquet(labels_path, index=False)
    reference_path = folder / "reference.parquet"
    reference_rows(reference, model).to_parquet(reference_path, index=False)
    return History(reference_path, events, labels_path, len(predicted), len(labels))


def reference_rows(reference: pd.DataFrame, model: DelayModel) -> pd.DataFrame:
    """Return the reference with cross-validated predictions, so that its quality is unbiased."""
    return reference[["event_id", "ts", *FEATURES, "label"]].assign(
        prediction=model.held_out.round(6)
    )


def predict_day_by_day(
    rows: pd.DataFrame,
    model: DelayModel,
    progress: Callable[[float], None] = lambda share: None,
) -> pd.DataFrame:
    """Predict each day with one call; return the events in the order of time.

    `latency_ms` is the measured wall time of the call that predicted that whole day.
    """
    prediction = np.empty(len(rows))
    latency_ms = np.empty(len(rows))
    done = 0
    for _, day in rows.groupby(rows["ts"].dt.floor("D")):
        start = time.perf_counter()
        day_prediction = model.predict(day)
        elapsed_ms = (time.perf_counter() - start) * 1_000
        prediction[done : done + len(day)] = day_prediction
        latency_ms[done : done + len(day)] = elapsed_ms
        done += len(day)
        progress(done / len(rows))
    measured = {"prediction": prediction.round(6), "latency_ms": latency_ms.round(3)}
    return rows[["event_id", "ts", *FEATURES]].assign(**measured)


def live_schedule(current: pd.DataFrame, now: datetime, seed: int) -> pd.DataFrame:
    """Return the flights of the live requests: future ones and the last seven days, shuffled.

    A few requests a second use up a day's schedule in minutes. In the order of time
    they would all be of one hour, which is drift; shuffled, each minute looks like the
    whole week.
    """
    recent = current[current["ts"] > now - pd.Timedelta(days=LIVE_DAYS)]
    if recent.empty:
        recent = current.tail(MIN_LIVE_FLIGHTS)
    return recent.sample(frac=1.0, random_state=seed, ignore_index=True)
