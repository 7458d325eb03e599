"""False pages without drift, of the inputs or of all lanes, and delays: `python -m benchmarks.detection quiet|whole|changed --seed N`."""

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

from benchmarks.detection.lanes import LANE_NAMES, WHOLE, whole
from benchmarks.detection.runs import CHANGES, WORLDS, changed, merged, quiet, version_2

NEVER = 9999


def main(argv: Sequence[str] | None = None) -> None:
    """Run the models of every row, print a Markdown table, and write each model's outcome as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=__doc__
    )
    parser.add_argument("table", choices=["quiet", "whole", "changed"])
    parser.add_argument(
        "--seed",
        type=int,
        required=True,
        help="of the first model; never one that was tuned on",
    )
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument(
        "--rows", nargs="*", help="parts of names of rows; all when left out"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument(
        "--version-2",
        action="store_true",
        help="of the detector, for comparison: `Settings()`",
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(argv)
    rows, head, run, row = TABLES[given.table]
    names = [n for n in rows if not given.rows or any(r in n for r in given.rows)]
    if given.version_2 and given.table == "whole":
        parser.error("version 2 has the inputs lane only")
    if given.version_2:
        run = partial(run, make=version_2)
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, seeds {given.seed} to {given.seed + given.models - 1}",
        file=sys.stderr,
    )
    print(*head, sep="\n", flush=True)
    found = {}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        # one model a process, all of them started anew
        os.environ.setdefault(name, "1")
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        for name in names:
            seeds = range(given.seed, given.seed + given.models)
            outcomes = list(pool.map(partial(run, name), seeds))
            found[name] = [
                {"at": o[0], **o[1].__dict__} if isinstance(o, tuple) else o.__dict__
                for o in outcomes
            ]
            print(row(name, outcomes), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found))


QUIET_HEAD = (
    "| world | models | false pages in 90 days (95 % upper) | warnings | heavy tails |",
    "|---|---|---|---|---|",
)
WHOLE_HEAD = (
    f"| model | models | {' | '.join(LANE_NAMES)} | all (95 % upper) |",
    f"|---|---|{'---|' * len(LANE_NAMES)}---|",
)
CHANGED_HEAD = (
    "| change | models | found | hours to the page: median (range) | hours to the warning: median | false pages before |",
    "|---|---|---|---|---|---|",
)


def _quiet_row(name, outcomes):
    warnings = sum(len(merged(o.warnings)) for o in outcomes) / len(outcomes)
    heavy = sum(o.heavy for o in outcomes)
    return f"| {name} | {len(outcomes)} | {_rate([o.pages for o in outcomes])} | {warnings:.2f} | {heavy} |"


def _whole_row(name, outcomes):
    by_lane = [
        f"{sum(len(o.pages[lane]) for o in outcomes) / len(outcomes):.2f}"
        if lane in outcomes[0].pages
        else "-"
        for lane in LANE_NAMES
    ]
    every = _rate(
        [sorted(p for pages in o.pages.values() for p in pages) for o in outcomes]
    )
    return f"| {name} | {len(outcomes)} | {' | '.join(by_lane)} | {every} |"


def _rate(pages_of_models):
    pages, models = (
        sum(len(merged(pages)) for pages in pages_of_models),
        len(pages_of_models),
    )
    upper = float(chi2.isf(0.05, 2 * (pages + 1))) / 2 / models  # one-sided Poisson
    return f"{pages / models:.3f} ({upper:.2f})"


def _changed_row(name, timed):
    delays = [next((p - at + 1 for p in o.pages if p >= at), None) for at, o in timed]
    warned = [
        next((p - at + 1 for p in o.warnings if p >= at), None) for at, o in timed
    ]
    hits = [d for d in delays if d is not None]
    early = sum(sum(p < at for p in o.pages) for at, o in timed)
    spread = f"{_median(delays):g} ({min(hits)} to {max(hits)})" if hits else "never"
    return f"| {name} | {len(timed)} | {len(hits)} | {spread} | {_median(warned):g} | {early} |"


def _median(delays):
    return median(NEVER if d is None else d for d in delays)


TABLES = {
    "quiet": (WORLDS, QUIET_HEAD, quiet, _quiet_row),
    "whole": (WHOLE, WHOLE_HEAD, whole, _whole_row),
    "changed": (CHANGES, CHANGED_HEAD, changed, _changed_row),
}


if __name__ == "__main__":
    main()
