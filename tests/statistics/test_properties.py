"""Whatever comes, a statistic measures it or says that it cannot, and noise alone is no finding."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitor.config.rule import RuleConfig
from monitor.evaluation.rules import Window, evaluate
from monitor.finding_text import text_of
from monitor.layout import (
    INTEGER,
    LOG,
    UNIT,
    ZERO_ONE,
    Layout,
    categorical_layout,
    numeric_layout,
)
from monitor.plugins import statistics
from monitor.profile import Profile, empty, of_counts

S = statistics()
END = datetime(2026, 11, 22, tzinfo=UTC)
WINDOW = Window(END - timedelta(days=1), END)
LAYOUTS = (
    numeric_layout(stats.norm.ppf(np.arange(1, 20) / 20)),
    numeric_layout([0, 0, 0, 1, 2]),
    numeric_layout([]),
    categorical_layout(list("abcde"), 3),
    categorical_layout([]),
    UNIT,
    LOG,
    INTEGER,
    ZERO_ONE,
)
NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.integers(-5, 1200), st.just(0.0)
)
VALUES = st.one_of(
    st.none(), NUMBERS, st.sampled_from(["a", "b", "e", "brand new", ""]), st.booleans()
)


def profile_of(layout: Layout, values: Sequence[Any]) -> Profile:
    """The profile of mixed values by the layouts' own definition: no number in a numeric column is invalid."""
    counts, missing, invalid = np.zeros(layout.size, dtype=np.int64), 0, 0
    total = squares = 0.0
    low, high = math.nan, math.nan
    for value in values:
        number = layout.kind != "categorical"
        usable = value is not None and not (number and isinstance(value, (str, bool)))
        at = layout.index(value) if usable else None
        if value is None:
            missing += 1
        elif at is None:
            invalid += 1
        else:
            counts[at] += 1
            if number:
                total, squares = total + value, squares + float(value) ** 2
                low, high = float(np.fmin(low, value)), float(np.fmax(high, value))
    return Profile(
        layout, counts, len(values), missing, invalid, total, squares, low, high
    )


SIDES = st.one_of(
    st.lists(VALUES, max_size=30),
    st.integers(1, 3000).map(lambda n: [None] * n),  # all null
    st.integers(1, 3000).map(lambda n: [math.inf] * n),  # all infinite
    st.integers(1, 3000).map(lambda n: [1.0] * n),  # constant
    st.integers(1, 3000).map(lambda n: ["never seen"] * n),
    VALUES.map(lambda v: [v]),  # one row
)


@pytest.mark.parametrize("name", S)
@settings(max_examples=60)
@given(
    st.sampled_from(LAYOUTS), SIDES, st.one_of(st.none(), SIDES), st.floats(0.01, 0.99)
)
def test_whatever_the_values_a_rule_has_a_verdict_and_finite_numbers(
    name: str,
    layout: Layout,
    current: list[Any],
    reference: list[Any] | None,
    quantile: float,
) -> None:
    if layout.kind not in S[name].KINDS:
        return
    rule = RuleConfig(name="r", statistic=name, limit=0.1, minimum=0, quantile=quantile)
    before = None if reference is None else profile_of(layout, reference)
    found = evaluate(rule, "m", "x", before, profile_of(layout, current), WINDOW)
    assert found.verdict in (
        "ok",
        "warn",
        "breach",
        "insufficient",
        "no_data",
        "learning",
    )
    assert text_of(found)
    assert found.value is None or math.isfinite(found.value)
    assert found.low is None or found.value is None or found.low <= found.value + 1e-9


@pytest.mark.parametrize("name", [n for n, s in S.items() if "categorical" in s.KINDS])
def test_a_hundred_thousand_categories(name: str) -> None:
    # a layout has 50 of them and puts the others together: 52 bins are all that a
    # statistic sees
    many = categorical_layout([f"c{i:06}" for i in range(100_000)], top=50)
    rng = np.random.default_rng(1)
    names = [f"c{i:06}" for i in rng.integers(0, 100_000, 3000)]
    found = S[name].measure(profile_of(many, names), profile_of(many, names[::-1]))
    assert found.value is None or math.isfinite(found.value)


@pytest.mark.parametrize("name", S)
def test_an_empty_reference_is_not_zero_drift(name: str) -> None:
    if not S[name].NEEDS_REFERENCE:
        return
    for layout in LAYOUTS:
        if layout.kind in S[name].KINDS:
            found = S[name].measure(empty(layout), profile_of(layout, [0.5] * 500))
            assert found.value is None


@pytest.mark.parametrize("name", [n for n, s in S.items() if "categorical" in s.KINDS])
@given(st.permutations(range(8)))
@settings(max_examples=20)
def test_the_order_of_categories_changes_no_value(name: str, order: list[int]) -> None:
    r, c = (
        np.array([100, 11, 120, 13, 140, 15, 16, 170]),
        np.array([90, 0, 140, 3, 130, 20, 11, 200]),
    )
    first, second = (
        S[name].measure(of_counts(*r), of_counts(*c)),
        S[name].measure(of_counts(*r[order]), of_counts(*c[order])),
    )
    # intervals of norms are from draws of noise per bin, so they move a little; the
    # plain value does not
    assert second.raw == pytest.approx(first.raw, rel=1e-12)
    assert second.value == pytest.approx(
        first.value, rel=0.06, abs=0.01 if name == "l_infinity" else 1e-9
    )


@pytest.mark.parametrize(
    "name",
    ["psi", "jensen_shannon", "hellinger", "total_variation", "wasserstein", "ks"],
)
def test_twice_the_rows_leave_the_plain_value_as_it_is(name: str) -> None:
    layout = LAYOUTS[0]
    rng = np.random.default_rng(4)
    r, c = (
        rng.multinomial(20_000, p / p.sum())
        for p in (np.full(20, 1.0), np.linspace(0.7, 1.3, 20))
    )
    once, twice = (
        S[name].measure(
            *(
                Profile(
                    layout,
                    k * side,
                    int(k * side.sum()),
                    sum=0.0,
                    sum_sq=float(k * side.sum()),
                )
                for side in (r, c)
            )
        )
        for k in (1, 2)
    )
    # PSI adds half a count to each bin, which is half as much of twice the rows
    assert twice.raw == pytest.approx(
        once.raw,
        rel=1e-3 if name == "psi" else 1e-4 if name == "wasserstein" else 1e-12,
    )


@pytest.mark.parametrize(
    "name", ["psi", "jensen_shannon", "hellinger", "ks", "total_variation"]
)
@given(st.sampled_from([-1e149, 1e149, -1e9, 1e9]), st.booleans())
@settings(max_examples=8)
def test_one_extreme_value_in_either_sample_changes_less_than_a_hundredth(
    name: str, extreme: float, in_reference: bool
) -> None:
    layout = LAYOUTS[0]
    rng = np.random.default_rng(2)
    r, c = rng.normal(0, 1, 2000).tolist(), rng.normal(0.2, 1, 1000).tolist()
    before = S[name].measure(profile_of(layout, r), profile_of(layout, c)).raw
    (r if in_reference else c).append(extreme)
    assert (
        abs(S[name].measure(profile_of(layout, r), profile_of(layout, c)).raw - before)
        < 0.01
    )


def with_bins(k: int) -> dict[str, Layout]:
    return {
        "numeric": numeric_layout(stats.norm.ppf(np.arange(1, k) / k)),
        "categorical": categorical_layout([f"c{i:03}" for i in range(k)], top=k),
    }


def null(
    name: str, k: int, m: int, n: int, rounds: int, says: Callable[..., bool]
) -> int:
    """How often noise alone makes it say something; k equal bins, m and n rows."""
    statistic = S[name]
    kind = "categorical" if "categorical" in statistic.KINDS else "numeric"
    layout, rng = with_bins(k)[kind], np.random.default_rng(1000 * k + n)
    hits = 0
    for _ in range(rounds):
        sides = []
        for size in (m, n):
            counts = np.zeros(layout.size, dtype=np.int64)
            counts[:k] = rng.multinomial(size, np.full(k, 1 / k))
            sides.append(Profile(layout, counts, size, sum=0.0, sum_sq=float(size)))
        hits += says(statistic, *sides)
    return hits


# a layout has at most 51 bins to compare; below 200 rows no rule on a distance has a
# verdict
CELLS = [(n, k) for n in (200, 500, 1000, 5000) for k in (2, 5, 20, 50)]


@pytest.mark.parametrize("size", CELLS, ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "psi",
        "jensen_shannon",
        "hellinger",
        "total_variation",
        "l_infinity",
        "ks",
        "neyman",
    ],
)
def test_noise_alone_has_a_lower_bound_above_zero_no_more_often_than_it_says(
    name: str, size: tuple[int, int]
) -> None:
    n, k = size
    hits = null(name, k, 4 * n, n, 200, lambda s, r, c: bool(s.measure(r, c).low > 0))
    # one side of a 95 % interval: 2.5 % of 200, and both for a shift up or down; the
    # 99.99 % point of that binomial
    assert hits <= stats.binom.isf(1e-4, 200, 0.05 if name == "neyman" else 0.025)


@pytest.mark.parametrize("size", [(n, k) for n, k in CELLS if n >= 10 * k], ids=str)
@pytest.mark.parametrize("name", ["chi_squared", "g_test"])
def test_the_p_value_of_noise_is_below_five_percent_as_often_as_that(
    name: str, size: tuple[int, int]
) -> None:
    n, k = size
    p = getattr(S[name], f"{name}_p")
    hits = null(
        name,
        k,
        4 * n,
        n,
        300,
        lambda _, r, c: bool(p(r.counts[:k], c.counts[:k]) < 0.05),
    )
    assert stats.binomtest(hits, 300, 0.05).pvalue > 1e-4
