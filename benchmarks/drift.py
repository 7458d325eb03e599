"""`driftdeck compare` of 20 features from Parquet files, beside numpy, scipy, Evidently, NannyML and alibi-detect.

Each is a fresh process, from its start to its end. The engine's hourly profiles, as an
import makes them, are measured apart.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.detection.peers.environments import python_of
from benchmarks.figure import Figure
from benchmarks.process import Run, python, run

SIDES = Path(__file__).parent / "sides"


@dataclass(frozen=True)
class Size:
    """Rows of both files, and numbers of pairs against short jobs and against other tools."""

    rows: int
    reference: int
    pairs: int
    others: dict[str, int]


QUICK = Size(rows=100_000, reference=20_000, pairs=1, others={"psi": 1})
DEFAULT = Size(
    rows=1_000_000,
    reference=100_000,
    pairs=5,
    others={"default": 1, "psi": 1, "nannyml": 1, "alibi-detect": 1},
)


@dataclass(frozen=True)
class Job:
    """A job of another tool: its name in the table, whose Python runs which script, and the goal for our share of its CPU."""

    name: str
    tool: str
    script: str
    method: tuple[str, ...]
    goal: float


JOBS = {
    "default": Job(
        "Evidently, default preset",
        "evidently",
        "drift_evidently.py",
        ("default",),
        1 / 40,
    ),
    "psi": Job("Evidently, PSI", "evidently", "drift_evidently.py", ("psi",), 1 / 10),
    "nannyml": Job(
        "NannyML, Jensen-Shannon, 100 chunks", "nannyml", "drift_nannyml.py", (), 1 / 10
    ),
    "alibi-detect": Job(
        "alibi-detect, KS and chi-squared", "alibi-detect", "drift_alibi.py", (), 1 / 10
    ),
}


def measure(folder: Path, size: Size, environments: Path | None) -> list[Figure]:
    """CPU seconds and peak RSS of whole processes; counts are checked against numpy's.

    Other tools run in their `environments`, which are made when missing; without them
    only Evidently, in this Python.
    """
    reference, current, small = (
        folder / f"{name}.parquet" for name in ("reference", "current", "small")
    )
    run(python("benchmarks.rows", reference, "--rows", size.reference, "--seed", 1))
    run(
        python(
            "benchmarks.rows", current, "--rows", size.rows, "--seed", 2, "--drifted"
        )
    )
    run(python("benchmarks.rows", small, "--rows", 1000, "--seed", 1))
    ours = python("monitor.cli", "compare", "--json", reference, current)
    by_numpy = _pairs(
        ours, python("benchmarks.sides.drift_numpy", reference, current), size.pairs
    )
    _check(by_numpy)
    what = f"driftdeck compare, {size.rows:,} rows x 20 features"
    figures = [
        Figure(what, "CPU s", [a.cpu_s for a, _ in by_numpy], goal=2.0),
        Figure(what, "MiB", [a.rss_mib for a, _ in by_numpy], goal=400.0),
        *_figures(by_numpy, "numpy by hand, PSI on the same bins"),
    ]
    hourly = python("benchmarks.sides.drift_driftdeck", reference, current)
    what = f"hourly profiles and PSI, {size.rows:,} rows x 20 features"
    together = _pairs([*hourly, "together"], hourly, size.pairs)
    derived, plain = ([pair[i] for pair in together] for i in (0, 1))
    figures += [
        Figure(what, "CPU s", [r.cpu_s for r in plain], goal=2.0),
        Figure(what, "MiB", [r.rss_mib for r in plain], goal=400.0),
        Figure(
            f"{what}, and the reconstruction error",
            "CPU s",
            [r.cpu_s for r in derived],
            goal=2.0,
        ),
        Figure(
            f"{what}, and the reconstruction error",
            "MiB",
            [r.rss_mib for r in derived],
            goal=400.0,
        ),
        Figure(
            "the same",
            "CPU s",
            [r.cpu_s for r in derived],
            "without it",
            [r.cpu_s for r in plain],
        ),
    ]
    by_scipy = _pairs(
        ours, python("benchmarks.sides.drift_scipy", reference, current), size.pairs
    )
    figures += _figures(by_scipy, "pandas and scipy ks_2samp, 16 features")
    for key, pairs in size.others.items():
        job = JOBS[key]
        if environments is None and job.tool != "evidently":
            continue
        executable = (
            python_of(job.tool, environments) if environments else sys.executable
        )
        script = [executable, str(SIDES / job.script)]
        run([*script, str(small), str(small), *job.method])
        theirs = [*script, str(reference), str(current), *job.method]
        figures += _figures(
            [(run(ours), run(theirs)) for _ in range(pairs)], job.name, job.goal
        )
    return figures


def _pairs(
    ours: Sequence[str], theirs: Sequence[str], pairs: int
) -> list[tuple[Run, Run]]:
    run(ours)  # both sides once, untimed: files into the page cache, modules compiled
    run(theirs)
    return [(run(ours), run(theirs)) for _ in range(pairs)]


def _figures(
    pairs: Sequence[tuple[Run, Run]], against: str, goal: float | None = None
) -> list[Figure]:
    mine, others = [a for a, _ in pairs], [b for _, b in pairs]
    name = "drift, whole process"
    return [
        Figure(
            name,
            "CPU s",
            [r.cpu_s for r in mine],
            against,
            [r.cpu_s for r in others],
            goal,
            "ratio",
        ),
        Figure(
            name, "MiB", [r.rss_mib for r in mine], against, [r.rss_mib for r in others]
        ),
    ]


def _check(pairs: Sequence[tuple[Run, Run]]) -> None:
    for mine, other in pairs:
        ours = {
            column["column"]: column["current"]["counts"]
            for column in mine.said["columns"]
        }
        different = [
            name
            for name, counts in other.said["counts"].items()
            if ours[name] != counts
        ]
        if different:
            raise RuntimeError(
                f"the counts of {', '.join(different)} are not those of numpy"
            )
