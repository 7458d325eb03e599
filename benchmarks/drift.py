"""Drift of 20 features from Parquet files in a fresh process, beside Evidently, scipy and numpy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.process import Run, python, run

SIDES = Path(__file__).parent / "sides"


@dataclass(frozen=True)
class Size:
    """Rows of both files, and how many pairs are taken against short jobs and against each method of Evidently."""

    rows: int
    reference: int
    pairs: int
    evidently: dict[str, int]


QUICK = Size(rows=100_000, reference=20_000, pairs=1, evidently={"psi": 1})
DEFAULT = Size(rows=1_000_000, reference=100_000, pairs=5, evidently={"default": 1, "psi": 1})
GOALS = {"default": 1 / 40, "psi": 1 / 10}  # of Evidently's CPU
NAMES = {"default": "Evidently, default preset", "psi": "Evidently, PSI"}


def measure(folder: Path, size: Size, evidently_python: str) -> list[Figure]:
    """CPU seconds and peak RSS of whole processes; counts are checked against numpy's."""
    reference, current, small = (folder / f"{name}.parquet" for name in ("reference", "current", "small"))
    run(python("benchmarks.rows", reference, "--rows", size.reference, "--seed", 1))
    run(python("benchmarks.rows", current, "--rows", size.rows, "--seed", 2, "--drifted"))
    run(python("benchmarks.rows", small, "--rows", 1000, "--seed", 1))
    ours = python("benchmarks.sides.drift_driftdeck", reference, current)
    by_numpy = _pairs(ours, python("benchmarks.sides.drift_numpy", reference, current), size.pairs)
    _check(by_numpy)
    what = f"profile and PSI, {size.rows:,} rows x 20 features"
    figures = [
        Figure(what, "CPU s", [a.cpu_s for a, _ in by_numpy], goal=2.0),
        Figure(what, "MiB", [a.rss_mib for a, _ in by_numpy], goal=400.0),
        *_figures(by_numpy, "numpy by hand, PSI on the same bins"),
    ]
    by_scipy = _pairs(ours, python("benchmarks.sides.drift_scipy", reference, current), size.pairs)
    figures += _figures(by_scipy, "pandas and scipy ks_2samp, 16 features")
    for method, pairs in size.evidently.items():
        script = [evidently_python, str(SIDES / "drift_evidently.py"), str(reference), str(current), method]
        run([evidently_python, str(SIDES / "drift_evidently.py"), str(small), str(small), method])
        figures += _figures([(run(ours), run(script)) for _ in range(pairs)], NAMES[method], GOALS[method])
    return figures


def _pairs(ours: Sequence[str], theirs: Sequence[str], pairs: int) -> list[tuple[Run, Run]]:
    run(ours)  # both sides once, untimed: files into the page cache, modules compiled
    run(theirs)
    return [(run(ours), run(theirs)) for _ in range(pairs)]


def _figures(pairs: Sequence[tuple[Run, Run]], against: str, goal: float | None = None) -> list[Figure]:
    mine, others = [a for a, _ in pairs], [b for _, b in pairs]
    name = "drift, whole process"
    return [
        Figure(name, "CPU s", [r.cpu_s for r in mine], against, [r.cpu_s for r in others], goal, "ratio"),
        Figure(name, "MiB", [r.rss_mib for r in mine], against, [r.rss_mib for r in others]),
    ]


def _check(pairs: Sequence[tuple[Run, Run]]) -> None:
    for mine, other in pairs:
        different = [name for name, counts in mine.said["counts"].items() if counts != other.said["counts"][name]]
        if different:
            raise RuntimeError(f"the counts of {', '.join(different)} are not those of numpy")
