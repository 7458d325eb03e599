"""Pages of a series of scores, the limit that leaves a number of them, and how long a change waits."""

from collections.abc import Sequence

from benchmarks.detection.runs import merged


def pages(scores: Sequence[float], limit: float, width: int) -> list[int]:
    """Hours in which a window of `width` hours closed above the limit, none within a day of another.

    >>> pages([0.5, 2.0, 2.0, 0.1, 3.0], 1.0, 24)
    [47, 71, 119]
    >>> pages([2.0, 2.0] + [0.0] * 30 + [2.0], 1.0, 1)
    [0, 32]
    """
    return merged(
        [(i + 1) * width - 1 for i, score in enumerate(scores) if score > limit]
    )


def runs(scores: Sequence[float], limit: float) -> int:
    """Count the runs of windows above the limit.

    >>> runs([2.0, 2.0, 0.5, 3.0], 1.0)
    2
    """
    above = [score > limit for score in scores]
    return sum(
        now and not before for before, now in zip([False, *above], above, strict=False)
    )


def lowest_limit(series: Sequence[Sequence[float]], allowed: int, width: int) -> float:
    """The lowest limit from which on all series together have at most `allowed` pages.

    >>> lowest_limit([[1.0, 5.0], [2.0, 3.0]], 0, 24), lowest_limit([[1.0, 5.0], [2.0, 3.0]], 1, 24)
    (5.0, 3.0)
    """
    lowest = max(max(scores) for scores in series)
    for limit in sorted({score for scores in series for score in scores}, reverse=True):
        if sum(len(pages(scores, limit, width)) for scores in series) > allowed:
            break
        lowest = limit
    return lowest


def delay(
    scores: Sequence[float], first: int, limit: float, width: int, at: int
) -> int | None:
    """Hours from the change in hour `at` until a window closed above the limit; None when none did.

    `scores` begin with window `first`; a window that closed before the change is not
    looked at.

    >>> delay([9.0, 0.0, 2.0], 6, 1.0, 24, at=170)
    46
    """
    for i, score in enumerate(scores, first):
        if score > limit and (i + 1) * width > at:
            return (i + 1) * width - at
    return None
