"""The hour up to which labels are complete: quality is judged per hour of prediction once they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from monitor.calendar import HOUR
from monitor.detector.lanes.lane import LaneWindow
from monitor.layout import SECONDS
from monitor.profile import Profile, merge
from monitor.schema import LABEL_DELAY
from monitor.store import Store
from monitor.store.model import Model

MATURE = 0.8  # of the usual share of labelled rows: then an hour's labels have come
# of the labels usually come within this time: what has not come then is not waited for
WAITED = 0.95
DELAYS_LEAST = 100  # labels whose delay is known, before anything is usual of it
SPARE = timedelta(hours=6)  # beyond twice the usual delay, before labels are overdue
EXPECTED = 20  # labels that should have come, before none is strange
DAY, MONTH = 24, 28 * 24  # hours


def waits_at(
    hours: Sequence[tuple[datetime, LaneWindow]],
    column: str,
    start: datetime,
    now: datetime,
) -> int:
    """Return the place in `hours` of the first hour from `start` whose labels are incomplete.

    Their number when every hour is complete. An hour is complete when its share of rows
    with a label (rows of the profile of `column`) is 80 % of the usual one, when labels
    of a later day were received, or when it is older than 95 % of the labels of such
    hours were at their receipt.
    """
    first = next((i for i, (at, _) in enumerate(hours) if at >= start), len(hours))
    rows = np.array(
        [[w.profiles[c].rows for c in (column, "status")] for _, w in hours],
        dtype=float,
    ).reshape(-1, 2)
    share = np.where(rows[:, 1] > 0, rows[:, 0] / np.maximum(rows[:, 1], 1), 0)
    labelled = share[share > 0]
    if not labelled.size:
        return first
    come = share >= MATURE * float(np.quantile(labelled[-MONTH:], 0.9))
    last = int(np.flatnonzero(come)[-1])
    waited = usual_delay(
        [
            w.profiles[LABEL_DELAY]
            for (_, w), it_has in zip(hours, come, strict=True)
            if it_has
        ]
    )
    waiting = (
        i
        for i in range(max(first, last - DAY), len(hours))
        if not come[i] and now - (hours[i][0] + HOUR) < waited
    )
    return next(waiting, len(hours))


@dataclass(frozen=True)
class Overdue:
    """Labels that should have come: the end of the last hour that has some, the age at which they are overdue, and the
    rows since then that would have them by now."""

    since: datetime
    allowed: timedelta
    rows: int


def overdue(
    since: datetime,
    delay: Profile,
    usual: tuple[int, int],
    rows: Callable[[datetime, datetime], int],
    now: datetime,
) -> Overdue | None:
    """Return True when no label was received for predictions after `since` for too long.

    Too long is twice the time that 95 % of labels take, and six hours. `usual` has the
    rows with a label and all rows of the weeks before, `rows` counts those of a time
    range. With fewer than 20 expected labels the answer is False (by chance none of 20
    is received once in 5e8 times).
    """
    waited = usual_delay([delay])
    if waited == timedelta.max or now - since <= 2 * waited + SPARE:
        return None
    n, (labelled, every) = rows(since, now - waited), usual
    return (
        Overdue(since, 2 * waited + SPARE, n)
        if n * labelled >= EXPECTED * max(1, every)
        else None
    )


def overdue_labels(
    store: Store, model: Model, column: str, now: datetime
) -> Overdue | None:
    """Return the overdue labels of a model whose labelled rows `column` counts; None when none are."""
    ((last,),) = store.query(
        'SELECT max(bucket) FROM profile_moments WHERE model = ? AND segment = \'\' AND "column" = ? AND "rows" > 0',
        [model.id, column],
    )
    if last is None:
        return None

    def profiles_of(start: datetime, end: datetime) -> dict[str, Profile]:
        naive = (start.replace(tzinfo=None), end.replace(tzinfo=None))
        read = store.profiles(
            model.name, *naive, columns=[column, "status", LABEL_DELAY]
        )
        return {c: profiles[0] for c, profiles in read.items()}

    def rows(start: datetime, end: datetime) -> int:
        return profiles_of(start, end)["status"].rows if end > start else 0

    since = last.replace(tzinfo=UTC) + HOUR
    before = profiles_of(since - MONTH * HOUR, since)
    return overdue(
        since,
        before[LABEL_DELAY],
        (before[column].rows, before["status"].rows),
        rows,
        now,
    )


def usual_delay(delays: Sequence[Profile]) -> timedelta:
    """Within what time 95 % of the labels come; without end while few have a time."""
    whole = merge(delays[-MONTH:], SECONDS)
    seconds = whole.quantile(WAITED) if whole.n >= DELAYS_LEAST else None
    return timedelta.max if seconds is None else timedelta(seconds=seconds)
