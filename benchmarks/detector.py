"""What the page detector costs: a fit, and a step of an hour, of 20 features."""

from statistics import median

from benchmarks.figure import Figure, quantile
from benchmarks.process import python, run


def measure(runs: int) -> list[Figure]:
    """CPU time of the inputs lane in processes of one thread."""
    said = [run(python("benchmarks.sides.detector")).said for _ in range(runs)]
    return [
        Figure("fit of 4 weeks of hours, 20 features", "CPU s", [s["fit_ms"] / 1e3 for s in said], goal=5),
        Figure("step of an hour, 20 features, median", "CPU ms", [median(s["step_ms"]) for s in said], goal=2),
        Figure("step of an hour, 20 features, p99", "CPU ms", [quantile(s["step_ms"], 0.99) for s in said]),
    ]
