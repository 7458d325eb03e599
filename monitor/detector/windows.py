"""How long a window has to be until there are enough rows in it to say anything."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

WIDTHS = (1, 6, 24)  # hours; each is a whole number of the one before, and a day is a whole number of each
STEADY_ROWS = 20
ENOUGH_ROWS = 50  # in the median window


def steady_width(index: Sequence[int], rows: Sequence[int]) -> int:
    """The shortest window, in hours, that is nearly never empty: nine of ten have STEADY_ROWS; a day when none is.

    >>> steady_width(range(48), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100] * 4)
    24
    """
    return next((w for w in WIDTHS if np.quantile(_sums(index, rows, w), 0.1) >= STEADY_ROWS), WIDTHS[-1])


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


def _sums(index: Sequence[int], rows: Sequence[int], width: int) -> list[int]:
    """The rows of each window that has an hour, an empty one too."""
    sums: Counter[int] = Counter()
    for at, n in zip(index, rows, strict=True):
        sums[at // width] += n
    return list(sums.values())
