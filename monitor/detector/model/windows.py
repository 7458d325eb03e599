"""Window length: the shortest one that holds enough rows for a decision."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

# hours; each divides the next one, and all divide a day
WIDTHS = (1, 6, 24)
STEADY_ROWS = 20
MAX_AUTOCORRELATION = 0.2  # of neighbouring windows that count as independent
ENOUGH_ROWS = 50  # in the median window


def steady_width(index: Sequence[int], rows: Sequence[int]) -> int:
    """Return the shortest window, in hours, that is rarely empty; at most a day.

    Nine of ten of its windows have STEADY_ROWS or more.

    >>> steady_width(range(48), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100] * 4)
    24
    """
    for width in WIDTHS:
        if np.quantile(_sums(index, rows, width), 0.1) >= STEADY_ROWS:
            return width
    return WIDTHS[-1]


def width_for(index: Sequence[int], rows: Sequence[int]) -> int:
    """Return the shortest window, in hours, with ENOUGH_ROWS at the median; at most a day.

    >>> width_for(range(48), [10] * 48)
    6
    """
    for width in WIDTHS:
        filled = [n for n in _sums(index, rows, width) if n]
        if filled and float(np.median(filled)) >= ENOUGH_ROWS:
            return width
    return WIDTHS[-1]


def independent_width(
    index: Sequence[int],
    hits: Sequence[float],
    rows: Sequence[int],
    min_width: int,
) -> int:
    """Return the shortest window, in hours, in which a rate is not autocorrelated.

    At least `min_width` hours, at most a day. The rate is `hits` / `rows`.
    """
    widths = [width for width in WIDTHS if width >= min_width]
    for width in widths:
        n = np.array(_sums(index, rows, width), dtype=float)
        x = np.array(_sums(index, hits, width), dtype=float)
        rate = x.sum() / max(n.sum(), 1)
        if not 0 < rate < 1:
            return width
        n, x = n[n > 0], x[n > 0]
        z = (x - n * rate) / np.sqrt(n)
        if len(z) < 3:
            return width
        products = (z[1:] * z[:-1]).sum()
        if products / max(float((z * z).sum()), 1e-12) < MAX_AUTOCORRELATION:
            return width
    return widths[-1]


def _sums(index: Sequence[int], rows: Sequence[float], width: int) -> list[float]:
    """Return the rows of each window that has an hour, empty windows included."""
    sums: dict[int, float] = defaultdict(float)
    for at, n in zip(index, rows, strict=True):
        sums[at // width] += n
    return list(sums.values())
