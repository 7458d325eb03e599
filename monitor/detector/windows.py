"""How long a window has to be until there are enough rows in it to say anything."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

WIDTHS = (1, 6, 24)  # hours; each is a whole number of the one before, and a day is a whole number of each
ENOUGH_ROWS = 50  # in the median window


def width_for(index: Sequence[int], rows: Sequence[int]) -> int:
    """The shortest window, in hours, whose median number of rows is enough; a day when none has.

    >>> width_for(range(48), [10] * 48)
    6
    """
    for width in WIDTHS:
        sums: Counter[int] = Counter()
        for at, n in zip(index, rows, strict=True):
            sums[at // width] += n
        filled = [n for n in sums.values() if n]
        if filled and float(np.median(filled)) >= ENOUGH_ROWS:
            return width
    return WIDTHS[-1]
