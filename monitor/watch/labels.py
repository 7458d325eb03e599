"""Up to which hour labels have come: quality is judged at the hour of the prediction, and not before its labels are there."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from monitor.calendar import HOUR
from monitor.layout import SECONDS
from monitor.profile import Profile, merge
from monitor.schema import LABEL_DELAY
from monitor.watch.lane import Window

MATURE = 0.8  # of the usual share of labelled rows: then an hour's labels have come
WAITED = 0.95  # of the labels usually come within this time: what has not come then is not waited for
DELAYS_LEAST = 100  # labels whose delay is known, before anything is usual of it
DAY, MONTH = 24, 28 * 24  # hours


def waits_at(hours: Sequence[tuple[datetime, Window]], column: str, start: datetime, now: datetime) -> int:
    """The first hour from `start` on whose labels are still to come, as a place in `hours`; their number when there is none.

    An hour is not waited for when its share of rows with a label (rows of the profile of `column`) is 80 % of what is usual,
    when the labels of a later day are there, or when it is older than 95 % of the labels of such hours were when they came.
    """
    first = next((i for i, (at, _) in enumerate(hours) if at >= start), len(hours))
    rows = np.array([[w.profiles[c].rows for c in (column, "status")] for _, w in hours], dtype=float).reshape(-1, 2)
    share = np.where(rows[:, 1] > 0, rows[:, 0] / np.maximum(rows[:, 1], 1), 0)
    seen = share[share > 0]
    if not seen.size:
        return first
    come = share >= MATURE * float(np.quantile(seen[-MONTH:], 0.9))
    last = int(np.flatnonzero(come)[-1])
    waited = usual_delay([w.profiles[LABEL_DELAY] for (_, w), it_has in zip(hours, come, strict=True) if it_has])
    waiting = (
        i for i in range(max(first, last - DAY), len(hours)) if not come[i] and now - (hours[i][0] + HOUR) < waited
    )
    return next(waiting, len(hours))


def usual_delay(delays: Sequence[Profile]) -> timedelta:
    """Within what time 95 % of the labels come; without end while few have a time."""
    whole = merge(delays[-MONTH:], SECONDS)
    seconds = whole.quantile(WAITED) if whole.n >= DELAYS_LEAST else None
    return timedelta.max if seconds is None else timedelta(seconds=seconds)
