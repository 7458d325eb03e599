"""DuckDB alone: read_json of event lines into a typed table of a new database file, then a checkpoint."""

import json
import resource
import sys
import tempfile
from pathlib import Path

from benchmarks.columns import CATEGORICAL, NUMERIC

TYPES = dict.fromkeys(NUMERIC, "DOUBLE") | dict.fromkeys(CATEGORICAL, "VARCHAR")


def cpu_s() -> float:
    """CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(file: str) -> None:
    """Load the file; print the rows stored and the CPU seconds of loading without imports."""
    import duckdb

    features = ", ".join(f"{name} {type_}" for name, type_ in TYPES.items())
    own = "event_id VARCHAR, ts TIMESTAMP, version VARCHAR, prediction DOUBLE, latency_ms DOUBLE, status SMALLINT"
    shape = ", ".join(
        f"{part.split()[0]}: '{part.split()[1]}'" for part in own.split(", ")
    )
    wanted = ", ".join(f"features.{name}" for name in TYPES)
    with tempfile.TemporaryDirectory(dir=Path(file).parent) as folder:
        before = cpu_s()
        con = duckdb.connect(f"{folder}/t.duckdb", config={"threads": 2})
        con.execute(f"CREATE TABLE events({own}, {features})")
        con.execute(
            f"INSERT INTO events SELECT event_id, ts, version, prediction, latency_ms, status, {wanted} "
            f"FROM read_json('{file}', format = 'newline_delimited', "
            f"columns = {{{shape}, features: 'STRUCT({features})'}})"
        )
        rows = con.execute("SELECT count(*) FROM events").fetchall()[0][0]
        con.execute("CHECKPOINT")
        con.close()
        print(json.dumps({"rows": rows, "cpu_s": cpu_s() - before}))


if __name__ == "__main__":
    main(sys.argv[1])
