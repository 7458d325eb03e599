"""The length of a window that has enough rows to be judged."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

# hours; each is a whole number of the one before, and a day is a whole number of each
WIDTHS = (1, 6, 24)
STEADY_ROWS = 20
FOLLOWS = 0.2  # autocorrelation of neighbouring windows
ENOUGH_ROWS = 50  # in the median window


def steady_width(index: Sequence[int], rows: Sequence[int]) -> int:
    """The shortest window, in hours, that is nearly never empty: nine of ten have STEADY_ROWS; a day when none is.

    >>> steady_width(range(48), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100] * 4)
    24
    """
    return next(
        (w for w in WIDTHS if np.quantile(_sums(index, rows, w), 0.1) >= STEADY_ROWS),
        WIDTHS[-1],
    )


def width_for(index: Sequence[int], rows: Sequence[int]) -> int:
    """The shortest window, in hours, whose median number of rows is enough; a day when none has.

    >>> width_for(range(48), [10] * 48)
    6
    """
    for width in WIDTHS:
        filled = [n for n in _sums(index, rows, width) if n]
        if filled and float(np.median(filled)) >= ENOUGH_ROWS:
            return width
    return WIDTHS[-1]


def independent_width(
    index: Sequence[int], hits: Sequence[float], rows: Sequence[int], least: int
) -> int:
    """The shortest window from `least` hours on in which a rate no longer follows that of the window before; else a day."""
    widths = [w for w in WIDTHS if w >= least]
    for width in widths:
        n = np.array(_sums(index, rows, width), dtype=float)
        x = np.array(_sums(index, hits, width), dtype=float)
        share = x.sum() / max(n.sum(), 1)
        if not 0 < share < 1:
            return width
        nonempty = n > 0
        z = (x[nonempty] - n[nonempty] * share) / np.sqrt(n[nonempty])
        if (
            len(z) < 3
            or (z[1:] * z[:-1]).sum() / max(float((z * z).sum()), 1e-12) < FOLLOWS
        ):
            return width
    return widths[-1]


def _sums(index: Sequence[int], rows: Sequence[float], width: int) -> list[float]:
    """The rows of each window that has an hour, an empty one too."""
    sums: dict[int, float] = defaultdict(float)
    for at, n in zip(index, rows, strict=True):
        sums[at // width] += n
    return list(sums.values())
