"""Rows behind the counts of a world, for tools that take rows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.detection.world import BINS, NUMERIC, Law, World
from monitor.detector.model import Hour

# in sd of the column: where the law of an hour is inverted
GRID = np.linspace(-7, 7, 351)
MISSING_CATEGORY = -1


def rows_of(
    rng: np.random.Generator, world: World, hours: Sequence[Hour], laws: Sequence[Law]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (N, 12) with NaN where missing, categories (N, 8) with -1, and where each hour begins, (T + 1,).

    Binned again, the rows of an hour have exactly its counts. Within a bin a number
    follows the law that the hour was binned from, by inversion; columns are independent
    of each other within an hour, as the counts are.
    """
    sizes = [int(hour.missing[0] + hour.counts[0].sum()) for hour in hours]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    numbers = np.empty((starts[-1], NUMERIC), np.float32)
    categories = np.empty((starts[-1], len(world.categories)), np.int16)
    for j in range(NUMERIC + len(world.categories)):
        values = (
            _numbers(rng, world, hours, laws[j], j)
            if j < NUMERIC
            else _categories(hours, j)
        )
        for t, drawn in enumerate(values):
            place = slice(starts[t], starts[t + 1])
            if j < NUMERIC:
                numbers[place, j] = rng.permutation(drawn)
            else:
                categories[place, j - NUMERIC] = rng.permutation(drawn)
    return numbers, categories, starts


def _numbers(
    rng: np.random.Generator, world: World, hours: Sequence[Hour], law: Law, j: int
) -> list[np.ndarray]:
    edges, grid = world.edges(j), GRID * world.sd[j]
    bounds = np.pad(law.cumulative(edges), ((0, 0), (1, 1)), constant_values=(0, 1))
    below, inner = law.cumulative(grid), np.concatenate([[-np.inf], edges, [np.inf]])
    drawn = []
    for t, hour in enumerate(hours):
        bins = np.repeat(np.arange(BINS), hour.counts[j])
        low, high = bounds[t, bins], bounds[t, bins + 1]
        x = np.interp(
            low + rng.random(len(bins)) * (high - low), below[t], grid
        ).astype(np.float32)
        # the grid and single precision are coarse: what fell over the edge of its bin
        # is put back on it
        lowest, highest = (
            np.nextafter(inner[:-1].astype(np.float32), np.float32(np.inf)),
            inner[1:].astype(np.float32),
        )
        x = np.clip(x, lowest[bins], np.nextafter(highest, np.float32(-np.inf))[bins])
        drawn.append(
            np.concatenate([x, np.full(int(hour.missing[j]), np.nan, np.float32)])
        )
    return drawn


def _categories(hours: Sequence[Hour], j: int) -> list[np.ndarray]:
    return [
        np.concatenate(
            [
                np.repeat(np.arange(len(hour.counts[j])), hour.counts[j]),
                np.full(int(hour.missing[j]), MISSING_CATEGORY),
            ]
        )
        for hour in hours
    ]


def write(
    folder: Path,
    part: str,
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray],
    order: Sequence[int] | None = None,
) -> None:
    """The rows as files that a child maps, the hours in another order if one is given."""
    numbers, categories, starts = drawn
    if order is not None:
        taken = np.concatenate([np.arange(starts[t], starts[t + 1]) for t in order])
        lengths = np.diff(starts)[list(order)]
        numbers, categories, starts = (
            numbers[taken],
            categories[taken],
            np.concatenate([[0], np.cumsum(lengths)]),
        )
    for name, array in (
        ("numbers", numbers),
        ("categories", categories),
        ("starts", starts),
    ):
        np.save(folder / f"{part}_{name}.npy", array)
