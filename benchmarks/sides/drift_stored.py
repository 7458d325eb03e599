"""Fill a store with a wide model through collector and loader, then ask for its drift as rules and the page do."""

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from monitor.arrow_columns import to_ipc
from monitor.config.config import Config
from monitor.config.limits import Limits
from monitor.evaluation.rules import Window, evaluate
from monitor.ingest.file_batches import ARROW
from monitor.queries.figures.drift import read_drift
from monitor.queries.figures.model_rules import rule_for
from monitor.queries.figures.selection import Selection
from monitor.queries.time_range import TimeRange
from monitor.server.server import Server

REFERENCE_ROWS = 2000


def main() -> None:
    """`python -m benchmarks.sides.drift_stored FOLDER --columns N --days D --rows R --asked K`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name in ("columns", "days", "rows", "asked"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    running = Server(
        given.folder,
        Config(
            limits=Limits(
                max_rows=1_000_000, max_body_mb=1024, max_spool_mb=8192, memory="4GB"
            )
        ),
    )
    running.start(background=False)
    _fill(running, given, end)
    span = TimeRange(end - timedelta(days=given.days), end, timedelta(days=1), end)
    columns = {f"x{j}" for j in range(given.columns)}

    def rule() -> None:
        found = _rule(running, span)
        if {name for name, value in found.items() if value is not None} != columns:
            raise SystemExit("not every column has a value")

    def page() -> None:
        shown = read_drift(
            running.store, running.config, Selection("m", span), "psi", given.columns
        )["columns"]
        if len(shown) != given.columns or any(
            len(c["values"]) != given.days for c in shown
        ):
            raise SystemExit("not every column has a value a day")

    said = {}
    for name, question in (("rule", rule), ("page", page)):
        question()  # once untimed
        timed = [_timed(question) for _ in range(given.asked)]
        said |= {
            f"{name}_s": [wall for wall, _ in timed],
            f"{name}_cpu_s": [cpu for _, cpu in timed],
        }
    running.close()
    print(json.dumps(said))


def _fill(running: Server, given: argparse.Namespace, end: datetime) -> None:
    rng = np.random.default_rng(1)
    start = end - timedelta(days=given.days)
    running.set_reference_table(
        "m", _table(rng, given.columns, start, REFERENCE_ROWS, 1, 0), "generated", end
    )
    for day in range(given.days):
        rows = _table(
            rng, given.columns, start + timedelta(days=day), 24 * given.rows, 24, 0.1
        )
        running.collector.events(to_ipc(rows), ARROW, model="m").durable.result()
        running.scheduler.load_all()
    running.store.maintain(end)


def _table(
    rng: np.random.Generator,
    columns: int,
    start: datetime,
    rows: int,
    hours: int,
    moved: float,
) -> pa.Table:
    first = int(start.timestamp() * 1e6)
    ts = first + (np.arange(rows) * (hours * 3_600_000_000 / rows)).astype(np.int64)
    features = {
        f"x{j}": pa.array(np.round(rng.normal(moved, 1, rows), 4))
        for j in range(columns)
    }
    ids = pa.array([f"{first}-{i}" for i in range(rows)])
    return pa.table(
        {"event_id": ids, "ts": pa.array(ts, pa.timestamp("us")), **features}
    )


def _rule(running: Server, span: TimeRange) -> dict[str, float | None]:
    """The PSI of every column over the whole span, by its name, as the loop evaluates a rule."""
    rule = rule_for(running.config, "m", "psi")
    reference = running.store.references.profiles("m")
    current = running.store.profiles("m", *span.naive_bounds)
    names = {
        feature.field: feature.name
        for feature in running.store.model("m").schema.features
    }
    window = Window(span.start, span.end)
    return {
        name: evaluate(
            rule, "m", name, reference.get(key), current[key][0], window
        ).value
        for key, name in names.items()
    }


def _timed(question: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    question()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
