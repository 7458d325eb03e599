"""Make the data sample beside this file: a sample of four summer weeks of real flights.

    python data/make_sample.py                     # the dates in the repository
    python data/make_sample.py --until today       # the same flights until last Sunday

All columns but `latency_ms` (measured at run time) are the same each time.
Needs `pip install 'driftdeck[server,demo]'`.
"""

import argparse
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from monitor.demo import flights, history, settings
from monitor.demo.delay_model import MODEL_NAME, DelayModel, train

SEED = 2013
EVENTS = 2_500
REFERENCE_ROWS = 5_000
FIRST_DAY_2013, LAST_DAY_2013 = date(2013, 6, 3), date(2013, 6, 30)  # Monday to Sunday
# the server accepts events up to 400 days old: until 2027-11-24 with these dates
UNTIL = date(2026, 11, 15)


@dataclass(frozen=True)
class Sample:
    """The sample before it is written."""

    reference: pd.DataFrame
    events: pd.DataFrame
    labels: pd.DataFrame
    model: DelayModel


def weeks_until(until: date) -> int:
    """Return the whole weeks from the flights' last Sunday to the newest up to `until`."""
    return (until - LAST_DAY_2013).days // 7


def make(loaded: flights.Flights, model: DelayModel) -> Sample:
    """Draw the events, their labels, and a reference from all flights."""
    shift = timedelta(weeks=loaded.weeks)
    first, end = (
        pd.Timestamp(day, tz=UTC) + shift
        for day in (FIRST_DAY_2013, LAST_DAY_2013 + timedelta(days=1))
    )
    weeks = loaded.current[loaded.current["ts"].between(first, end, inclusive="left")]
    predicted = history.predict_day_by_day(weeks, model)
    events = predicted.sample(EVENTS, random_state=SEED).sort_index()
    flown = weeks.loc[events.index]
    labels = flown[flown["label"].notna()][["event_id", "label", "label_ts"]]
    labels = labels.rename(columns={"label_ts": "ts"}).assign(model=MODEL_NAME)
    reference = history.reference_rows(loaded.reference, model)
    reference = reference.sample(REFERENCE_ROWS, random_state=SEED).sort_index()
    labels = labels[["event_id", "model", "label", "ts"]]
    return Sample(reference, events, labels, model)


def write(sample: Sample, folder: Path) -> list[Path]:
    """Write events.jsonl, labels.csv, reference.parquet and driftdeck.toml."""
    paths = [
        folder / name
        for name in (
            "events.jsonl",
            "labels.csv",
            "reference.parquet",
            "driftdeck.toml",
        )
    ]
    events, labels, reference, config = paths
    events.write_text(
        "".join(f"{json.dumps(event)}\n" for event in wire_events(sample))
    )
    written = sample.labels.assign(
        label=sample.labels["label"].map({True: "true", False: "false"}),
        ts=sample.labels["ts"].map(rfc_3339),
    )
    written.to_csv(labels, index=False, lineterminator="\n")
    sample.reference.to_parquet(reference, index=False, compression="zstd")
    config.write_text(settings.model_settings(sample.model.importance))
    return paths


def wire_events(sample: Sample) -> list[dict[str, object]]:
    """Convert the events to the form of POST /v1/events."""
    return [
        {
            "event_id": row["event_id"],
            "model": MODEL_NAME,
            "version": sample.model.version,
            "ts": rfc_3339(row["ts"]),
            "features": flights.features_of(row),
            "prediction": row["prediction"],
            "latency_ms": row["latency_ms"],
        }
        for _, row in sample.events.iterrows()
    ]


def rfc_3339(time: datetime) -> str:
    """Format a time as UTC to the second, with a Z."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _day(text: str) -> date:
    return datetime.now(UTC).date() if text == "today" else date.fromisoformat(text)


def main() -> None:
    """Write the sample into the folder of this script, or another one."""
    parser = argparse.ArgumentParser(
        description="Make the data sample: real flights of 2013, dates moved."
    )
    parser.add_argument(
        "--until",
        type=_day,
        default=UNTIL,
        help='last day, YYYY-MM-DD or "today" (default %(default)s)',
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(__file__).parent,
        help="where to write (default: here)",
    )
    options = parser.parse_args()
    weeks = timedelta(weeks=weeks_until(options.until))
    loaded = flights.load(flights.LAST_DAY_2013 + weeks)
    sample = make(loaded, train(loaded.reference))
    for path in write(sample, options.folder):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
