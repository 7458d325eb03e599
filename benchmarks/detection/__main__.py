"""False pages without drift and delays with it: `python -m benchmarks.detection quiet|changed --seed 70000 --models 40`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from scipy.stats import chi2

from benchmarks.detection.runs import CHANGES, WORLDS, changed, merged, quiet

NEVER = 9999


def main(argv: Sequence[str] | None = None) -> None:
    """Run the models of every row, print a Markdown table, and write each model's outcome as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("table", choices=["quiet", "changed"])
    parser.add_argument("--seed", type=int, required=True, help="of the first model; never one that was tuned on")
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--rows", nargs="*", help="parts of names of rows; all when left out")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    names = [
        n for n in (WORLDS if given.table == "quiet" else CHANGES) if not given.rows or any(r in n for r in given.rows)
    ]
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, seeds {given.seed} to {given.seed + given.models - 1}",
        file=sys.stderr,
    )
    print(*(QUIET_HEAD if given.table == "quiet" else CHANGED_HEAD), sep="\n", flush=True)
    found = {}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # one model a process, all of them started anew
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        for name in names:
            seeds = range(given.seed, given.seed + given.models)
            if given.table == "quiet":
                outcomes = list(pool.map(partial(quiet, name), seeds))
                found[name] = [o.__dict__ for o in outcomes]
                print(_quiet_row(name, outcomes), flush=True)
            else:
                timed = list(pool.map(partial(changed, name), seeds))
                found[name] = [{"at": at, **o.__dict__} for at, o in timed]
                print(_changed_row(name, timed), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found))


QUIET_HEAD = (
    "| world | models | false pages in 90 days (95 % upper) | warnings | heavy tails |",
    "|---|---|---|---|---|",
)
CHANGED_HEAD = (
    "| change | models | found | hours to the page: median (range) | hours to the warning: median | false pages before |",
    "|---|---|---|---|---|---|",
)


def _quiet_row(name, outcomes):
    pages, models = sum(len(merged(o.pages)) for o in outcomes), len(outcomes)
    upper = float(chi2.isf(0.05, 2 * (pages + 1))) / 2 / models  # one-sided Poisson
    warnings = sum(len(merged(o.warnings)) for o in outcomes) / models
    heavy = sum(o.heavy for o in outcomes)
    return f"| {name} | {models} | {pages / models:.3f} ({upper:.2f}) | {warnings:.2f} | {heavy} |"


def _changed_row(name, timed):
    delays = [next((p - at + 1 for p in o.pages if p >= at), None) for at, o in timed]
    warned = [next((p - at + 1 for p in o.warnings if p >= at), None) for at, o in timed]
    hits = [d for d in delays if d is not None]
    early = sum(sum(p < at for p in o.pages) for at, o in timed)
    spread = f"{_median(delays):.0f} ({min(hits)} to {max(hits)})" if hits else "never"
    return f"| {name} | {len(timed)} | {len(hits)} | {spread} | {_median(warned):.0f} | {early} |"


def _median(delays):
    return median(NEVER if d is None else d for d in delays)


if __name__ == "__main__":
    main()
