"""Run the benchmarks: `python -m benchmarks [--only NAME …] [--quick] [--json FILE]`."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    burst,
    client,
    detector,
    drift,
    ingest,
    pages,
    policy,
    proxy,
    report,
    start,
    stored,
    wide,
)
from benchmarks.figure import Figure
from benchmarks.process import keep_bytecode

Measure = Callable[[Path], list[Figure]]


def chosen(given: argparse.Namespace) -> dict[str, Measure]:
    """The measurements that were asked for, at the size that was asked for."""
    quick = given.quick
    every: dict[str, Measure] = {
        "ingest": lambda folder: ingest.measure(
            folder, ingest.QUICK if quick else ingest.DEFAULT
        ),
        "drift": lambda folder: drift.measure(
            folder, drift.QUICK if quick else drift.DEFAULT, given.peers
        ),
        "detector": lambda folder: detector.measure(
            1 if quick else 5, detector.QUICK_WIDE if quick else detector.WIDE
        ),
        "stored": lambda folder: stored.measure(
            folder, stored.QUICK if quick else stored.DEFAULT
        ),
        "pages": lambda folder: pages.measure(
            folder, pages.QUICK if quick else pages.DEFAULT
        ),
        "start": lambda folder: start.measure(
            folder, pairs=3 if quick else 10, servers=1 if quick else 3
        ),
        "client": lambda folder: client.measure(
            folder, pairs=1 if quick else 5, events=2_000 if quick else 10_000
        ),
        "proxy": lambda folder: proxy.measure(
            folder, pairs=1 if quick else 5, requests=500 if quick else 2_000
        ),
        "policy": lambda folder: policy.measure(
            folder, 10_000 if quick else 50_000, pairs=1 if quick else 5
        ),
        "burst": lambda folder: burst.measure(folder, 8 if quick else 60),
        "wide": lambda folder: wide.measure(
            folder, wide.QUICK if quick else wide.DEFAULT
        ),
    }
    return {name: every[name] for name in given.only or every}


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, parsed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed, side by side with baselines."
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[
            "ingest",
            "drift",
            "detector",
            "stored",
            "pages",
            "start",
            "client",
            "proxy",
            "policy",
            "burst",
            "wide",
        ],
        help="these only",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, about a minute: does it run?"
    )
    parser.add_argument("--json", type=Path, help="write every sample to this file")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    parser.add_argument(
        "--peers",
        type=Path,
        help="a folder of environments of Evidently, NannyML and alibi-detect, made when missing; without it only Evidently "
        "is measured, in this Python",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    given = arguments(argv)
    began, commit = datetime.now(UTC), report.commit()
    found: dict[str, list[Figure]] = {}
    with tempfile.TemporaryDirectory(prefix="driftdeck-bench-") as folder:
        keep_bytecode(Path(folder) / "bytecode")
        for name, measure in chosen(given).items():
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            place = Path(folder) / name
            place.mkdir()
            found[name] = measure(place)
            # shown part by part: what was measured is not lost when a later part fails
            report.show({name: found[name]}, report.about(began, commit))
    if given.json:
        report.write_json(given.json, found, report.about(began, commit))
    if given.markdown:
        given.markdown.write_text(report.markdown(found) + "\n")


if __name__ == "__main__":
    main()
