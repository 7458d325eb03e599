"""Test for any change of a column: G-test, and Holm's correction for many columns."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from monitor.arrow_columns import numpy_of
from monitor.profile import Profile
from monitor.statistics._bins import pool
from monitor.statistics.drift.g_test import g_test_p

ERROR_RATE = 0.05  # chance of reporting any column as changed when none did


def number_p_value(reference: Profile, current: Profile) -> float | None:
    """Return the p-value of a numeric column, by bin; None when a side has no rows."""
    before, after = reference.inner(), current.inner()
    return _p_value(
        [*before.counts, before.missing, before.invalid],
        [*after.counts, after.missing, after.invalid],
    )


def category_p_value(
    before: pa.Table, after: pa.Table, reference: Profile, current: Profile
) -> float | None:
    """Return the p-value of a categorical column, by value; None when a side has no rows.

    The layout's bins would not do: they were chosen by the reference. `before` and
    `after` are counts by value.
    """
    joined = before.join(after, "values", join_type="full outer", right_suffix="_after")
    counts, counts_after = (
        numpy_of(joined[name].fill_null(0)).astype(float)
        for name in ("counts", "counts_after")
    )
    return _p_value([*counts, reference.missing], [*counts_after, current.missing])


def _p_value(reference: Sequence[float], current: Sequence[float]) -> float | None:
    """Return the p-value of the G-test on counts.

    Bins with fewer than 5 expected rows of a side are pooled.
    """
    before = np.array(reference, float)
    after = np.array(current, float)
    if not before.sum() or not after.sum():
        return None
    used = before + after > 0
    before, after = pool(before[used], after[used])
    return g_test_p(before, after) if before.size > 1 else 1.0


def changed_columns(p_values: Mapping[str, float | None]) -> set[str]:
    """Return the columns that changed (Holm 1979).

    The chance of any column that did not change is at most ERROR_RATE.
    """
    tested = [(p, name) for name, p in p_values.items() if p is not None]
    tested.sort(key=lambda item: item[0])
    changed: set[str] = set()
    for rank, (p, name) in enumerate(tested):
        if p > ERROR_RATE / (len(tested) - rank):
            break
        changed.add(name)
    return changed
