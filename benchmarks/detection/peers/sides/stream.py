"""A drawn stream in a tool's own Python, and the loop that scores its windows.

A line of JSON comes in: the folder of the stream, the width of a window in hours, the
first window, how many there are at most, and the highest limit of each rule, or null. A
line goes out: the scores of each rule, window by window, 1 being the tool's own limit.
With limits it stops once every rule was above its limit.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np

NUMBERS = [f"x{j}" for j in range(12)]
CATEGORIES = [f"x{j}" for j in range(12, 20)]
SAMPLE = 20_000  # rows of the reference for tools that compare rows with rows


class Stream:
    """The reference and the windows of a stream."""

    def __init__(self, folder, width):
        def load(part):
            return [
                np.load(Path(folder) / f"{part}_{n}.npy")
                for n in ("numbers", "categories", "starts")
            ]

        self.width, (self.numbers, self.categories, self.starts) = (
            width,
            load("watched"),
        )
        self.reference_numbers, self.reference_categories, self.reference_starts = load(
            "reference"
        )
        self.windows = (len(self.starts) - 1) // width

    def sample(self):
        """Numbers and categories of SAMPLE rows of the reference, drawn once."""
        rng = np.random.default_rng(len(self.reference_numbers))
        size = min(SAMPLE, len(self.reference_numbers))
        taken = np.sort(rng.choice(len(self.reference_numbers), size, replace=False))
        return self.reference_numbers[taken], self.reference_categories[taken]

    def window(self, i):
        """Numbers and categories of a window."""
        place = slice(self.starts[i * self.width], self.starts[(i + 1) * self.width])
        return self.numbers[place], self.categories[place]


def serve(prepare, batch=1):
    """Score windows until the input ends.

    `prepare(stream)` gives a function of (first, last) to scores by rule.
    """
    warnings.filterwarnings("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # tools print: not among the answers
    for line in sys.stdin:
        asked = json.loads(line)
        stream = Stream(asked["folder"], asked["width"])
        scores_of, limits, found = prepare(stream), asked["limits"], {}
        end = min(stream.windows, asked["first"] + asked["most"])
        for first in range(asked["first"], end, batch):
            for rule, scores in scores_of(first, min(end, first + batch)).items():
                found.setdefault(rule, []).extend(float(s) for s in scores)
            if limits and all(
                max(found[rule]) > limit for rule, limit in limits.items()
            ):
                break
        answers.write(json.dumps(found) + "\n")
        answers.flush()
