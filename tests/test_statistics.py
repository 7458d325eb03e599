"""Contract of statistics, and known values computed by others (scipy, the peers' test suites)."""

import math
import random
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitor.finding import Measurement
from monitor.layout import INTEGER, LOG, UNIT, ZERO_ONE, Layout, categorical_layout, numeric_layout
from monitor.plugins import load
from monitor.profile import Profile, empty, of_counts
from monitor.statistics.ks import ks
from monitor.statistics.psi import contributions, psi

STATISTICS = load("statistics")
DISTANCES = ("psi", "ks")
LAYOUTS = {
    "numeric": numeric_layout(stats.norm.ppf(np.arange(1, 20) / 20)),
    "categorical": categorical_layout(list("abcdefgh")),
    "unit": UNIT,
    "log": LOG,
    "integer": INTEGER,
}


def layout_for(module: ModuleType) -> Layout:
    if module.COLUMNS == ("wrong",):
        return ZERO_ONE
    return LAYOUTS[sorted(module.KINDS & LAYOUTS.keys())[0] if "numeric" not in module.KINDS else "numeric"]


def sample(layout: Layout, n: int, seed: int, shift: float = 0.0) -> Profile:
    """A profile of n made-up values; a shift moves mass upwards (or to later categories and worse outcomes)."""
    rng = random.Random(seed)
    counts = np.zeros(layout.size, dtype=np.int64)
    total = squares = 0.0
    for _ in range(n):
        z = rng.gauss(shift, 1)
        if layout is ZERO_ONE:
            value: float | str = float(z > 1)
        elif layout.kind == "categorical":
            value = "abcdefgh"[min(7, max(0, int(z + 4)))]
        elif layout.kind == "integer":
            value = 500 if z > 1.5 else 200
        else:
            value = math.exp(z) if layout.kind == "log" else stats.norm.cdf(z) if layout.kind == "unit" else z
        counts[layout.index(value)] += 1
        if isinstance(value, float):
            total, squares = total + value, squares + value * value
    return Profile(layout, counts, n, sum=total, sum_sq=squares)


@pytest.fixture(params=STATISTICS, ids=str)
def statistic(request: pytest.FixtureRequest) -> ModuleType:
    return STATISTICS[request.param]


def test_it_says_what_it_is(statistic: ModuleType) -> None:
    assert statistic.__name__.endswith(statistic.NAME)
    assert statistic.FORMULA
    assert statistic.SOURCE
    assert len(statistic.RANGE) == 2
    assert statistic.COMPARE in ("value", "increase")
    assert ">>>" in "".join(f.__doc__ or "" for f in vars(statistic).values() if callable(f)), "no known-value example"


def test_too_little_is_none_and_never_an_exception(statistic: ModuleType) -> None:
    layout = layout_for(statistic)
    none = empty(layout)
    for reference in (None, none, sample(layout, 50, 1)):
        found = statistic.measure(reference, none)
        assert found.n == 0
        assert statistic.NAME == "volume" or found.value is None
    one = sample(layout, 1, 2)
    for reference in (None, none, one):
        assert isinstance(statistic.measure(reference, one), Measurement)


def test_value_is_in_range_and_inside_its_interval(statistic: ModuleType) -> None:
    layout = layout_for(statistic)
    for seed in range(5):
        found = statistic.measure(sample(layout, 3000, seed), sample(layout, 400, seed + 50, shift=0.3 * seed))
        assert found.value is not None
        assert statistic.RANGE[0] <= found.value <= statistic.RANGE[1]
        assert found.low <= found.value + 1e-12
        assert found.value <= found.high + 1e-12


def test_split_and_merge_changes_nothing(statistic: ModuleType) -> None:
    layout = layout_for(statistic)
    reference, a, b = (sample(layout, 500, seed) for seed in (1, 2, 3))
    whole = statistic.measure(reference, a + b)
    other = statistic.measure(reference, b + a)
    assert whole == other


@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_grows_with_the_shift_and_has_no_direction(name: str) -> None:
    layout = LAYOUTS["numeric"]
    reference = sample(layout, 20_000, 1)
    up = [STATISTICS[name].measure(reference, sample(layout, 20_000, 2, s)).value for s in (0.0, 0.2, 0.5, 1.0)]
    down = STATISTICS[name].measure(reference, sample(layout, 20_000, 2, -0.5)).value
    assert up == sorted(up)
    assert down == pytest.approx(up[2], rel=0.15)


@pytest.mark.parametrize("name", DISTANCES)
def test_equal_profiles_have_distance_zero(name: str) -> None:
    p = sample(LAYOUTS["numeric"], 1000, 1)
    assert STATISTICS[name].measure(p, p).value == 0


@pytest.mark.parametrize(("n", "m"), [(200, 2000), (500, 500), (1000, 20_000)])
def test_without_drift_the_lower_bound_of_psi_is_rarely_above_any_limit(n: int, m: int) -> None:
    layout = LAYOUTS["numeric"]
    rng = np.random.default_rng(n)
    shares = np.full(20, 0.05)
    above = 0
    for _ in range(400):
        r = Profile(layout, rng.multinomial(m, shares), m)
        c = Profile(layout, rng.multinomial(n, shares), n)
        found = STATISTICS["psi"].measure(r, c)
        above += found.low > 0
    # the bound is one side of a 95 % interval: 2.5 % nominal, 10 of 400; 24 is the 99.99 % binomial limit
    assert above <= 24


def test_the_interval_of_psi_covers_the_true_value() -> None:
    layout = LAYOUTS["numeric"]
    p = np.full(20, 0.05)
    q = np.linspace(0.6, 1.4, 20) / 20
    truth = float(np.sum((q - p) * np.log(q / p)))
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(300):
        found = STATISTICS["psi"].measure(
            Profile(layout, rng.multinomial(20_000, p), 20_000), Profile(layout, rng.multinomial(1000, q), 1000)
        )
        inside += found.low <= truth <= found.high
    assert inside >= 0.93 * 300


def test_doubling_both_samples_leaves_plain_psi_nearly_unchanged() -> None:
    r, c = np.array([300.0, 400, 300]), np.array([200.0, 400, 400])
    assert psi(r, c) == pytest.approx(psi(2 * r, 2 * c), rel=5e-3)


def test_a_single_extreme_value_moves_psi_by_less_than_a_hundredth() -> None:
    layout = LAYOUTS["numeric"]
    reference, current = sample(layout, 2000, 1), sample(layout, 500, 2)
    counts = current.counts.copy()
    counts[layout.index(1e9)] += 1
    changed = Profile(layout, counts, 501)
    assert (
        abs(STATISTICS["psi"].measure(reference, changed).raw - STATISTICS["psi"].measure(reference, current).raw)
        < 0.01
    )


@given(st.permutations(range(8)))
def test_psi_does_not_depend_on_the_order_of_bins(order: list[int]) -> None:
    r, c = np.arange(10.0, 18), np.array([9.0, 0, 14, 3, 3, 20, 11, 2])
    assert psi(r[order], c[order]) == pytest.approx(psi(r, c), rel=1e-12)


# -- known values -------------------------------------------------------------------------------------------------


def test_psi_known_values() -> None:
    r, c = np.array([30, 40, 30]), np.array([20, 40, 40])
    p, q = r / 100, c / 100
    assert float(np.sum((q - p) * np.log(q / p))) == pytest.approx(0.069315, abs=1e-6)  # the formula without smoothing
    assert psi(r, c) == pytest.approx(0.067081, abs=1e-6)  # with half counts
    assert contributions(r, c).sum() == pytest.approx(psi(r, c), rel=1e-12)
    assert STATISTICS["psi"].measure(of_counts(30, 40, 30), of_counts(20, 40, 40)).value == pytest.approx(
        0.067081 - 0.04, abs=1e-6
    )


def test_ks_known_values() -> None:
    assert ks(np.array([30, 40, 30]), np.array([20, 40, 40])) == pytest.approx(0.1, abs=1e-12)
    d = ks(np.array([2, 4]), np.array([1, 3]))  # oracle 19: scaled by sqrt(nm/(n+m)) it is .1291
    assert d == pytest.approx(0.083333, abs=1e-6)
    assert d * math.sqrt(6 * 4 / 10) == pytest.approx(0.1291, abs=1e-4)


def test_ks_on_bins_is_at_most_its_slack_below_scipy_on_raw_values() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 5000), rng.normal(0.2, 1.1, 2000)
    layout = numeric_layout(np.quantile(a, np.arange(1, 20) / 20, method="inverted_cdf"))
    count = lambda x: np.bincount(np.searchsorted(layout.edges, x), minlength=layout.size)  # noqa: E731
    binned, exact = ks(count(a), count(b)), float(stats.ks_2samp(a, b).statistic)
    found = STATISTICS["ks"].measure(Profile(layout, count(a), 5000), Profile(layout, count(b), 2000))
    assert binned <= exact + 1e-12
    assert exact <= binned + 0.05
    assert found.low <= exact <= found.high


def test_shares_agree_with_scipy_and_the_peers() -> None:
    rate = STATISTICS["missing_rate"].measure(None, of_counts(93, missing=7))
    exact = stats.binomtest(7, 100).proportion_ci(0.95, "exact")
    assert (rate.value, rate.low, rate.high) == pytest.approx((0.07, exact.low, exact.high), abs=1e-9)


def test_volume_interval_is_scipys_poisson_one() -> None:
    counts = np.zeros(INTEGER.size, dtype=int)
    counts[200] = 10
    found = STATISTICS["volume"].measure(None, Profile(INTEGER, counts, 10))
    assert found.low == pytest.approx(stats.chi2.ppf(0.025, 20) / 2)
    assert found.high == pytest.approx(stats.chi2.ppf(0.975, 22) / 2)


def test_mean_absolute_error_interval_is_students() -> None:
    values = np.array([0.5, 1.0, 2.0, 4.0, 0.1])
    counts = np.zeros(LOG.size, dtype=int)
    for v in values:
        counts[LOG.index(v)] += 1
    found = STATISTICS["mean_absolute_error"].measure(
        None, Profile(LOG, counts, 5, sum=float(values.sum()), sum_sq=float((values**2).sum()))
    )
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), max(0, low), high), rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 2000), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_rank_interval_of_a_latency_quantile_is_the_binomial_one(n: int, q: float) -> None:
    from monitor.statistics.latency_quantile import _binomial_quantile

    assert _binomial_quantile(0.025, n, q) == int(stats.binom.ppf(0.025, n, q))
    assert _binomial_quantile(0.975, n, q) == int(stats.binom.ppf(0.975, n, q))


def test_latency_interval_covers_the_true_quantile() -> None:
    rng = np.random.default_rng(11)
    truth = math.exp(stats.norm.ppf(0.95))
    inside = 0
    for _ in range(200):
        counts = np.zeros(LOG.size, dtype=int)
        for v in np.exp(rng.normal(size=300)):
            counts[LOG.index(v)] += 1
        found = STATISTICS["latency_quantile"].measure(None, Profile(LOG, counts, 300), q=0.95)
        inside += found.low <= truth <= found.high
    assert inside >= 0.93 * 200


def test_new_values_are_counted_of_all_values() -> None:
    layout = categorical_layout(["a", "b"], top=1)
    found = STATISTICS["new_category_share"].measure(
        of_counts(50, 50, 0, layout=layout), of_counts(80, 12, 8, layout=layout)
    )
    assert found.value == 0.08
