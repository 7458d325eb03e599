"""The page detector over 20 features: seconds of one fit on four weeks, and of each step of an hour, in this thread."""

import json
import time

from benchmarks.detection.runs import machine
from benchmarks.detection.world import World
from monitor.detector.shifts import advance_shift, initial_shift


def main() -> None:
    """Print CPU milliseconds of a fit and of every step over a week."""
    world = World(96_000)
    reference, hours = world.hours(672), world.hours(168)
    began = time.process_time()
    shift = machine(reference)
    fit_ms = (time.process_time() - began) * 1e3
    state, steps = initial_shift(shift), []
    for i in range(len(hours)):
        began = time.process_time()
        state, _ = advance_shift(shift, state, hours[: i + 1])
        steps.append((time.process_time() - began) * 1e3)
    print(json.dumps({"fit_ms": fit_ms, "step_ms": steps}))


if __name__ == "__main__":
    main()
