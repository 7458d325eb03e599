"""Cost of the detector: a fit and an hourly step, of 20 features and of a wide model."""

from statistics import median

from benchmarks.detection.world import FEATURES
from benchmarks.figure import Figure, quantile
from benchmarks.process import Run, python, run

WIDE, QUICK_WIDE = 50, 2  # worlds of 20 features side by side


def measure(runs: int, wide: int) -> list[Figure]:
    """CPU time of the inputs lane in processes of one thread; of `wide` worlds side by side once."""
    usual = [run(python("benchmarks.sides.detector")) for _ in range(runs)]
    return [
        *_figures(usual, 1, (5, 2)),
        *_figures([run(python("benchmarks.sides.detector", str(wide)))], wide),
    ]


def _figures(
    runs: list[Run],
    worlds: int,
    goals: tuple[float | None, float | None] = (None, None),
) -> list[Figure]:
    said, what = [r.said for r in runs], f"{worlds * len(FEATURES):,} features"
    return [
        Figure(
            f"fit of 4 weeks of hours, {what}",
            "CPU s",
            [s["fit_ms"] / 1e3 for s in said],
            goal=goals[0],
        ),
        Figure(
            f"step of an hour, {what}, median",
            "CPU ms",
            [median(s["step_ms"]) for s in said],
            goal=goals[1],
        ),
        Figure(
            f"step of an hour, {what}, p99",
            "CPU ms",
            [quantile(s["step_ms"], 0.99) for s in said],
        ),
        Figure(
            f"peak memory of fit and steps, {what}", "MiB", [r.rss_mib for r in runs]
        ),
    ]
