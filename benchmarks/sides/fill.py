"""Fill a data directory with events over the last days through collector and loader, in big Arrow batches."""

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.rows import chunks
from monitor.arrow_columns import to_ipc
from monitor.config.config import Config
from monitor.config.limits import Limits
from monitor.ingest.file_batches import ARROW
from monitor.server.server import Server


def main() -> None:
    """`python -m benchmarks.sides.fill FOLDER --rows N --days D`; print the bytes of the database file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--reference", type=int, required=True)
    parser.add_argument("--days", type=float, required=True)
    given = parser.parse_args()
    now = datetime.now(UTC)
    running = Server(
        given.folder,
        Config(limits=Limits(max_rows=1_000_000, max_spool_mb=4096, memory="2GB")),
    )
    running.start(background=False)
    for table in chunks(given.reference, 1, now, timedelta(days=7), drifted=False):
        running.set_reference_table("m", table, "generated", now)
    for table in chunks(given.rows, 2, now, timedelta(days=given.days), drifted=True):
        answer = running.collector.events(to_ipc(table), ARROW, model="m")
        answer.durable.result()
        running.scheduler.load_all()
        running.spool.roll()
        running.spool.release(running.store.position)
    running.scheduler.evaluate_due(timedelta(0))
    running.store.maintain(now)
    running.close()
    print(json.dumps({"bytes": (given.folder / "driftdeck.duckdb").stat().st_size}))


if __name__ == "__main__":
    main()
