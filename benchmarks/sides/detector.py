"""The page detector over so many worlds of 20 features side by side: CPU time of one fit on four weeks and of each step of an hour."""

import json
import sys
import time
from dataclasses import replace

import numpy as np

from benchmarks.detection.runs import INPUTS, QUARTER, TOLERANCE
from benchmarks.detection.world import FEATURES, World
from monitor.detector.lanes.distribution_lane import machine_of
from monitor.detector.lanes.lane import Budget
from monitor.detector.model import Hour
from monitor.detector.model.shifts import advance_shift, initial_shift


def main() -> None:
    """Print CPU milliseconds of a fit and of every step over a week, and in how many hours an episode began."""
    worlds = [
        World(96_000 + i) for i in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    ]
    features = [
        replace(f, name=f"{f.name}_{i}") for i in range(len(worlds)) for f in FEATURES
    ]
    reference, hours = (
        _beside([world.hours(number) for world in worlds]) for number in (672, 168)
    )
    began = time.process_time()
    shift = machine_of(
        features, reference, Budget(QUARTER / INPUTS.share, TOLERANCE, 1)
    )
    fit_ms = (time.process_time() - began) * 1e3
    state, steps, pages = initial_shift(shift), [], 0
    for i, hour in enumerate(hours):
        began = time.process_time()
        state, _ = advance_shift(shift, state, hours[: i + 1])
        steps.append((time.process_time() - began) * 1e3)
        pages += any(e.opened == hour.index for e in state.episodes)
    print(json.dumps({"fit_ms": fit_ms, "step_ms": steps, "pages": pages}))


def _beside(courses: list[list[Hour]]) -> list[Hour]:
    """The features of all worlds in one hour."""
    return [
        Hour(
            together[0].index,
            sum((h.counts for h in together), ()),
            np.concatenate([h.missing for h in together]),
        )
        for together in zip(*courses, strict=True)
    ]


if __name__ == "__main__":
    main()
