"""Drift of many columns over a month from the profiles of a real store."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.process import python, run


@dataclass(frozen=True)
class Size:
    """Columns of the model, days of hourly profiles, events an hour, and how often each question is asked."""

    columns: int
    days: int
    rows: int
    asked: int


QUICK = Size(columns=50, days=3, rows=5, asked=2)
DEFAULT = Size(columns=1_000, days=30, rows=20, asked=5)


def measure(folder: Path, size: Size) -> list[Figure]:
    """Seconds of a rule over all columns and the whole time, and of the drift page's data with a value a day."""
    arguments = [
        "--columns",
        size.columns,
        "--days",
        size.days,
        "--rows",
        size.rows,
        "--asked",
        size.asked,
    ]
    said = run(
        python("benchmarks.sides.drift_stored", folder / "store", *arguments)
    ).said
    what = f"{size.columns:,} columns x {size.days} days of profiles"
    return [
        Figure(f"PSI of {what}, one value a column", "s", said["rule_s"], goal=1),
        Figure("the same", "CPU s", said["rule_cpu_s"]),
        Figure(f"data of the drift page, {what}, a value a day", "s", said["page_s"]),
        Figure("the same", "CPU s", said["page_cpu_s"]),
    ]
