"""Bins of a column as bars of a chart."""

import numpy as np
import pytest

from monitor.layout import Layout, numeric_layout
from monitor.profile import Profile
from monitor.queries.figures.column_detail import MAX_BARS, compare_bins


def profile(layout: Layout, counts: list[int], missing: int = 0) -> Profile:
    rows = sum(counts) + missing
    return Profile(layout, np.array(counts, dtype=np.int64), rows, missing=missing)


def test_shares_add_up_and_contributions_to_psi_are_exact() -> None:
    layout = numeric_layout([1.0])
    rows = compare_bins(profile(layout, [500, 500]), profile(layout, [250, 750]))
    assert [(row["reference"], row["current"]) for row in rows] == [
        (0.5, 0.25),
        (0.5, 0.75),
    ]
    # (1/4 - 1/2) ln(1/2) and (3/4 - 1/2) ln(3/2)
    assert [row["contribution"] for row in rows] == pytest.approx(
        [0.1733, 0.1014], abs=2e-3
    )


def test_neighbours_are_merged_and_missing_values_are_a_row_of_all_rows() -> None:
    layout = numeric_layout([float(i) for i in range(100)])
    counts = [10] * layout.size
    rows = compare_bins(profile(layout, counts), profile(layout, counts, missing=1010))
    bars, missing = rows[:-1], rows[-1]
    assert len(bars) <= MAX_BARS
    assert sum(row["current"] for row in bars) == pytest.approx(1)
    assert missing == {
        "label": "missing",
        "reference": 0.0,
        "current": 0.5,
        "contribution": None,
    }


def test_rare_categories_are_other_and_new_ones_have_no_contribution() -> None:
    names = tuple(f"c{i:02}" for i in range(40))
    layout = Layout("categorical", categories=names)
    counts = [10] * 40 + [0, 0]
    rows = compare_bins(profile(layout, counts), profile(layout, [10] * 40 + [0, 100]))
    labels = [row["label"] for row in rows]
    assert labels == [*names[:MAX_BARS], "other", "new"]
    assert rows[-2]["reference"] == pytest.approx(16 / 40)
    assert rows[-1]["contribution"] is None
    assert rows[-1]["current"] == pytest.approx(100 / 500)


def test_without_a_reference_only_current_shares_are_shown() -> None:
    layout = numeric_layout([1.0])
    rows = compare_bins(None, profile(layout, [1, 3]))
    assert [row["reference"] for row in rows] == [None, None]
    assert [row["current"] for row in rows] == [0.25, 0.75]
