"""The laws of the waist: profiles add up, whatever the order and the split."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import LayoutMismatch
from monitor.layout import (
    INTEGER,
    LOG,
    LOG_ACCURACY,
    UNIT,
    Layout,
    categorical_layout,
    numeric_layout,
)
from monitor.profile import Profile, empty, merge, of_counts, paired_counts, sliding

LAYOUTS = [
    numeric_layout([0.0, 0.0, 1.0, 2.5]),
    categorical_layout(["a", "b", "c", "rare"], top=2),
    LOG,
    UNIT,
    INTEGER,
]
VALUES = st.one_of(
    st.none(),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0, 2.5, 0.5, 1e-9, 200.0, 1e300]),
)


def measure(values: list[float | None], layout: Layout) -> Profile:
    """The profile of raw values by definition, one value at a time."""
    counts = np.zeros(layout.size, dtype=np.int64)
    missing, used = 0, []
    for value in values:
        bin_ = None if value is None else layout.index(value)
        if value is None:
            missing += 1
        elif bin_ is not None:
            counts[bin_] += 1
            used.append(0.0 if layout.kind == "categorical" else value)
    invalid = len(values) - missing - len(used)
    low, high = (min(used), max(used)) if used else (math.nan, math.nan)
    return Profile(
        layout,
        counts,
        len(values),
        missing,
        invalid,
        sum(used),
        sum(v * v for v in used),
        low,
        high,
    )


def same(a: Profile, b: Profile) -> bool:
    close = all(
        math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-9) or x == y
        for x, y in [(a.sum, b.sum), (a.sum_sq, b.sum_sq)]
    )
    extremes = all(
        x == y or (math.isnan(x) and math.isnan(y))
        for x, y in [(a.min, b.min), (a.max, b.max)]
    )
    whole = (a.rows, a.missing, a.invalid) == (b.rows, b.missing, b.invalid)
    return bool((a.counts == b.counts).all()) and whole and close and extremes


@given(st.lists(VALUES, max_size=30), st.sampled_from(LAYOUTS))
def test_rows_are_missing_invalid_and_counted(
    values: list[float | None], layout: Layout
) -> None:
    p = measure(values, layout)
    assert p.rows == p.missing + p.invalid + p.n


@given(
    st.lists(VALUES, max_size=30),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from(LAYOUTS),
)
def test_merging_any_split_in_any_order_is_the_whole(
    values: list[float | None], i: int, j: int, layout: Layout
) -> None:
    # magnitudes beyond 1e6 make sums differ by rounding more than 1e-9 of what is left
    # after cancelling
    values = [
        v
        if v is None or not math.isfinite(v) or abs(v) < 1e6
        else math.copysign(1e6, v)
        for v in values
    ]
    i, j = sorted((min(i, len(values)), min(j, len(values))))
    a, b, c = (measure(part, layout) for part in (values[:i], values[i:j], values[j:]))
    whole = measure(values, layout)
    assert same((a + b) + c, whole)
    assert same(a + (b + c), whole)
    assert same(c + a + b, whole)
    assert same(whole + empty(layout), whole)
    assert same(merge([c, b, a], layout), whole)


@given(
    st.lists(st.lists(st.floats(0, 1000), max_size=8), min_size=1, max_size=12),
    st.integers(1, 5),
)
def test_sliding_windows_equal_merged_neighbours(
    parts: list[list[float]], width: int
) -> None:
    profiles = [measure(list(part), LOG) for part in parts]
    ends = range(1, len(profiles) + 1)
    for end, window in zip(
        ends, sliding(profiles, [width] * len(ends), list(ends)), strict=True
    ):
        expected = merge(profiles[max(0, end - width) : end], LOG)
        assert (window.counts == expected.counts).all()
        assert window.rows == expected.rows
        assert math.isclose(window.sum, expected.sum, rel_tol=1e-9, abs_tol=1e-6)


@given(st.lists(st.floats(1e-5, 1e8), min_size=1, max_size=200), st.floats(0.01, 0.999))
def test_quantiles_of_a_log_layout_are_within_one_percent(
    values: list[float], q: float
) -> None:
    exact = sorted(values)[min(len(values), max(1, math.ceil(q * len(values)))) - 1]
    found = measure(list(values), LOG).quantile(q)
    assert found is not None
    assert abs(found / exact - 1) <= LOG_ACCURACY * 1.0001


def test_profiles_of_different_layouts_do_not_merge_and_the_error_names_both() -> None:
    with pytest.raises(LayoutMismatch, match=f"{LOG.id}.*{UNIT.id}"):
        empty(LOG) + empty(UNIT)


def test_new_categories_are_left_out_of_comparisons() -> None:
    layout = categorical_layout(["a", "b"])
    reference, current = (
        of_counts(5, 5, 0, 0, layout=layout),
        of_counts(4, 4, 0, 92, layout=layout),
    )
    assert [c.tolist() for c in paired_counts(reference, current)] == [[5, 5], [4, 4]]


def test_fine_bins_are_grouped_to_about_equal_reference_counts() -> None:
    rng = random.Random(1)
    reference = measure([rng.random() for _ in range(5000)], UNIT)
    r, c = paired_counts(reference, reference)
    assert len(r) == 20
    assert r.sum() == 5000
    assert (r == c).all()
    assert r.max() / r.min() < 1.6


def test_a_point_mass_has_a_bin_of_its_own() -> None:
    layout = numeric_layout([0.0] * 8 + [1.0, 2.0])
    assert layout.index(0.0) == layout.index(-0.0)
    assert layout.index(0.0) not in (layout.index(-1e-12), layout.index(1e-12))


def test_layout_id_is_the_hash_of_its_content() -> None:
    layout = categorical_layout(["東京", 'q"uote', "a"])
    assert Layout.from_json(layout.to_json()).id == layout.id
    assert categorical_layout(["a", "東京"]).id != layout.id
    assert numeric_layout([1, 2]).id == numeric_layout([1.0, 2.0]).id


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda x: x.kind)
def test_every_bin_has_a_label(layout: Layout) -> None:
    assert len(layout.labels()) == layout.size
