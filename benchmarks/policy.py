"""Cost of a column policy at ingestion: lines with and without one, in turns."""

from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.process import SERVER_CORE, python, run

KINDS = {
    "drop": "1 of 20 features dropped",
    "hash": "4 hashed",
    "bucket": "4 in buckets",
}


def measure(folder: Path, rows: int, pairs: int) -> list[Figure]:
    """CPU microseconds a row of each policy, beside no policy."""
    lines = folder / "events.ndjson"
    now = datetime.now(UTC).isoformat()
    run(
        python(
            "benchmarks.rows",
            lines,
            "--rows",
            rows,
            "--seed",
            5,
            "--hours",
            1,
            "--end",
            now,
        )
    )
    found: dict[str, list[float]] = {name: [] for name in ("none", *KINDS)}
    for _ in range(pairs):
        for name, samples in found.items():
            said = run(
                python("benchmarks.sides.collect", lines, "--policy", name), SERVER_CORE
            ).said
            if said["rows"] != rows:
                raise RuntimeError(
                    f"{said['rows']} of {rows} rows were taken under {name}"
                )
            samples.append(said["cpu_s"] / rows * 1e6)
    return [
        Figure(
            f"taking a row, {what}",
            "CPU µs",
            found[name],
            "without a policy",
            found["none"],
        )
        for name, what in KINDS.items()
    ]
