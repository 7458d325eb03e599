"""Contract of statistics, and known values computed by others (scipy, the peers' test suites)."""

import math
import random
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from monitor.finding import Measurement
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
from monitor.statistics.drift.ks import ks
from monitor.statistics.drift.psi import contributions, psi

STATISTICS = statistics()
DISTANCES = (
    "psi",
    "ks",
    "jensen_shannon",
    "hellinger",
    "total_variation",
    "l_infinity",
    "chi_squared",
    "g_test",
    "cramers_v",
    "wasserstein",
    "neyman",
    "energy_distance",
    "mmd",
)
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
    if "numeric" in module.KINDS and not module.fits(LAYOUTS["numeric"]):
        return numeric_layout(stats.norm.ppf(np.arange(1, 20) / 20), (-3.2, 3.2))
    return LAYOUTS[
        sorted(module.KINDS & LAYOUTS.keys())[0]
        if "numeric" not in module.KINDS
        else "numeric"
    ]


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
            value = (
                math.exp(z)
                if layout.kind == "log"
                else stats.norm.cdf(z)
                if layout.kind == "unit"
                else z
            )
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
    assert ">>>" in "".join(
        f.__doc__ or "" for f in vars(statistic).values() if callable(f)
    ), "no known-value example"


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
        found = statistic.measure(
            sample(layout, 3000, seed), sample(layout, 400, seed + 50, shift=0.3 * seed)
        )
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
    up = [
        STATISTICS[name].measure(reference, sample(layout, 20_000, 2, s)).value
        for s in (0.0, 0.2, 0.5, 1.0)
    ]
    down = STATISTICS[name].measure(reference, sample(layout, 20_000, 2, -0.5)).value
    assert up == sorted(up)
    assert down == pytest.approx(up[2], rel=0.15)


@pytest.mark.parametrize("name", DISTANCES)
def test_equal_profiles_have_distance_zero(name: str) -> None:
    p = sample(LAYOUTS["numeric"], 1000, 1)
    assert STATISTICS[name].measure(p, p).value == 0


@pytest.mark.parametrize(("n", "m"), [(200, 2000), (500, 500), (1000, 20_000)])
def test_without_drift_the_lower_bound_of_psi_is_rarely_above_any_limit(
    n: int, m: int
) -> None:
    layout = LAYOUTS["numeric"]
    rng = np.random.default_rng(n)
    shares = np.full(20, 0.05)
    above = 0
    for _ in range(400):
        r = Profile(layout, rng.multinomial(m, shares), m)
        c = Profile(layout, rng.multinomial(n, shares), n)
        found = STATISTICS["psi"].measure(r, c)
        above += found.low > 0
    # the bound is one side of a 95 % interval: 2.5 % nominal, 10 of 400; 24 is the
    # 99.99 % binomial limit
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
            Profile(layout, rng.multinomial(20_000, p), 20_000),
            Profile(layout, rng.multinomial(1000, q), 1000),
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
        abs(
            STATISTICS["psi"].measure(reference, changed).raw
            - STATISTICS["psi"].measure(reference, current).raw
        )
        < 0.01
    )


@given(st.permutations(range(8)))
def test_psi_does_not_depend_on_the_order_of_bins(order: list[int]) -> None:
    r, c = np.arange(10.0, 18), np.array([9.0, 0, 14, 3, 3, 20, 11, 2])
    assert psi(r[order], c[order]) == pytest.approx(psi(r, c), rel=1e-12)


# known values


def test_psi_known_values() -> None:
    r, c = np.array([30, 40, 30]), np.array([20, 40, 40])
    p, q = r / 100, c / 100
    # the formula without smoothing
    assert float(np.sum((q - p) * np.log(q / p))) == pytest.approx(0.069315, abs=1e-6)
    assert psi(r, c) == pytest.approx(0.067081, abs=1e-6)  # with half counts
    assert contributions(r, c).sum() == pytest.approx(psi(r, c), rel=1e-12)
    assert STATISTICS["psi"].measure(
        of_counts(30, 40, 30), of_counts(20, 40, 40)
    ).value == pytest.approx(0.067081 - 0.04, abs=1e-6)


def test_ks_known_values() -> None:
    assert ks(np.array([30, 40, 30]), np.array([20, 40, 40])) == pytest.approx(
        0.1, abs=1e-12
    )
    # oracle 19: scaled by sqrt(nm/(n+m)) it is .1291
    d = ks(np.array([2, 4]), np.array([1, 3]))
    assert d == pytest.approx(0.083333, abs=1e-6)
    assert d * math.sqrt(6 * 4 / 10) == pytest.approx(0.1291, abs=1e-4)


def test_ks_on_bins_is_at_most_its_slack_below_scipy_on_raw_values() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 5000), rng.normal(0.2, 1.1, 2000)
    layout = numeric_layout(
        np.quantile(a, np.arange(1, 20) / 20, method="inverted_cdf")
    )

    def count(x):
        return np.bincount(np.searchsorted(layout.edges, x), minlength=layout.size)

    binned, exact = ks(count(a), count(b)), float(stats.ks_2samp(a, b).statistic)
    found = STATISTICS["ks"].measure(
        Profile(layout, count(a), 5000), Profile(layout, count(b), 2000)
    )
    assert binned <= exact + 1e-12
    assert exact <= binned + 0.05
    assert found.low <= exact <= found.high


def test_shares_agree_with_scipy_and_the_peers() -> None:
    rate = STATISTICS["missing_rate"].measure(None, of_counts(93, missing=7))
    exact = stats.binomtest(7, 100).proportion_ci(0.95, "exact")
    assert (rate.value, rate.low, rate.high) == pytest.approx(
        (0.07, exact.low, exact.high), abs=1e-9
    )


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
        None,
        Profile(
            LOG, counts, 5, sum=float(values.sum()), sum_sq=float((values**2).sum())
        ),
    )
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx(
        (values.mean(), max(0, low), high), rel=1e-9
    )


@settings(max_examples=40)
@given(st.integers(1, 2000), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_rank_interval_of_a_latency_quantile_is_the_binomial_one(
    n: int, q: float
) -> None:
    from monitor.statistics.service.latency_quantile import _binomial_quantile

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
        found = STATISTICS["latency_quantile"].measure(
            None, Profile(LOG, counts, 300), q=0.95
        )
        inside += found.low <= truth <= found.high
    assert inside >= 0.93 * 200


def test_new_values_are_counted_of_all_values() -> None:
    layout = categorical_layout(["a", "b"], top=1)
    found = STATISTICS["new_category_share"].measure(
        of_counts(50, 50, 0, layout=layout), of_counts(80, 12, 8, layout=layout)
    )
    assert found.value == 0.08


# drift statistics from bins: intervals, invariance

EQUAL = np.full(20, 0.05)
FROM_BINS = tuple(name for name in DISTANCES if name not in ("psi", "ks"))
# what they estimate depends on the sample sizes
CONTINGENCY = ("chi_squared", "g_test", "cramers_v")


def normal_profile(counts: np.ndarray) -> Profile:
    """A profile with these counts in the bins of a normal column, and the sums of values in the middle of the bins."""
    layout = LAYOUTS["numeric"]
    edges = np.array(layout.edges)
    x = np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]])
    return Profile(
        layout,
        counts,
        int(counts.sum()),
        sum=float(counts @ x),
        sum_sq=float(counts @ x**2),
        min=-3.0,
        max=3.0,
    )


def truth_of(name: str, p: np.ndarray, q: np.ndarray, m: int, n: int) -> float:
    """What the statistic estimates when shares are p and q."""
    if name in CONTINGENCY:
        plain = getattr(STATISTICS[name], name)(p * m, q * n)
        # the mean of a non-central chi-square
        return plain if name == "cramers_v" else plain + p.size - 1
    whole = [
        normal_profile(np.round(share * 10**9).astype(np.int64)) for share in (p, q)
    ]
    return abs(STATISTICS[name].measure(*whole).raw)


@pytest.mark.parametrize("size", [(20_000, 1000), (1000, 1000), (2000, 300)], ids=str)
@pytest.mark.parametrize(
    "q",
    [EQUAL, np.linspace(0.9, 1.1, 20) / 20, np.linspace(0.6, 1.4, 20) / 20],
    ids=["0", "s", "l"],
)
@pytest.mark.parametrize("name", FROM_BINS)
def test_the_interval_covers_the_true_value(
    name: str, q: np.ndarray, size: tuple[int, int]
) -> None:
    m, n = size
    truth = truth_of(name, EQUAL, q, m, n)
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(300):
        r, c = rng.multinomial(m, EQUAL), rng.multinomial(n, q)
        found = STATISTICS[name].measure(normal_profile(r), normal_profile(c))
        inside += found.low - 1e-9 <= truth <= found.high + 1e-9
    assert inside >= 0.93 * 300


@pytest.mark.parametrize(
    "name", [name for name in FROM_BINS if name not in ("chi_squared", "g_test")]
)
def test_without_drift_the_value_is_less_than_half_of_the_plain_one_and_with_much_drift_nearly_all(
    name: str,
) -> None:
    rng = np.random.default_rng(3)
    pairs = [
        (rng.multinomial(5000, EQUAL), rng.multinomial(1000, EQUAL)) for _ in range(100)
    ]
    found = [
        STATISTICS[name].measure(normal_profile(r), normal_profile(c)) for r, c in pairs
    ]
    # one component has no more noise than itself
    most = 0.7 if name == "neyman" else 0.45
    assert np.mean([f.value for f in found]) < most * np.mean(
        [abs(f.raw) for f in found]
    )
    far = STATISTICS[name].measure(
        normal_profile(pairs[0][0]),
        normal_profile(rng.multinomial(1000, np.arange(20) / 190)),
    )
    # of several bins that moved about as much, noise chooses the largest
    assert far.value == pytest.approx(
        abs(far.raw), rel=0.15 if name == "l_infinity" else 0.05
    )


@pytest.mark.parametrize("name", FROM_BINS)
def test_a_single_extreme_value_changes_little(name: str) -> None:
    layout = LAYOUTS["numeric"]
    reference, current = sample(layout, 2000, 1), sample(layout, 500, 2)
    counts = current.counts.copy()
    counts[layout.index(1e9)] += 1
    before = STATISTICS[name].measure(reference, current)
    after = STATISTICS[name].measure(
        reference, Profile(layout, counts, 501, sum=current.sum + 1e9, sum_sq=1e18)
    )
    assert abs(after.raw - before.raw) < (
        0.6 if name in ("chi_squared", "g_test") else 0.01
    )


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in FROM_BINS
        if name not in ("wasserstein", "neyman", "energy_distance", "mmd")
    ],
)
def test_neither_the_order_of_bins_nor_of_the_samples_matters(name: str) -> None:
    plain = getattr(STATISTICS[name], name)
    r, c = (
        np.array([10, 11, 12, 13, 14, 15, 16, 17, 0]),
        np.array([9, 0, 14, 3, 3, 20, 11, 2, 5]),
    )
    order = np.random.default_rng(1).permutation(9)
    assert plain(r[order], c[order]) == pytest.approx(plain(r, c), rel=1e-12)
    assert plain(c, r) == pytest.approx(plain(r, c), rel=1e-12)
    if name in ("chi_squared", "g_test"):
        assert plain(2 * r, 2 * c) == pytest.approx(2 * plain(r, c), rel=1e-12)
    else:
        assert plain(2 * r, 2 * c) == pytest.approx(plain(r, c), rel=1e-12)


@pytest.mark.parametrize("name", FROM_BINS)
def test_one_value_only_or_nothing_in_common_is_a_measurement(name: str) -> None:
    layout = LAYOUTS["numeric"]
    first, last = np.zeros(20, dtype=np.int64), np.zeros(20, dtype=np.int64)
    first[3], last[17] = 500, 400
    for r, c in ((first, first), (first, last), (last, first)):
        found = STATISTICS[name].measure(
            Profile(layout, r, int(r.sum())), Profile(layout, c, int(c.sum()))
        )
        assert found.value is None or math.isfinite(found.value)
        assert found.value is None or found.low <= found.value <= found.high


ODD_LAYOUTS = (
    UNIT,
    LOG,
    ZERO_ONE,
    numeric_layout([0, 0, 0, 1, 2]),
    numeric_layout([]),
    numeric_layout([-1e149, 0, 1e149]),
    categorical_layout(list("abcde"), 3),
    categorical_layout([]),
)


@pytest.mark.parametrize("name", FROM_BINS)
@settings(max_examples=60)
@given(st.sampled_from(ODD_LAYOUTS), st.integers(0, 2**32))
def test_whatever_the_counts_a_value_is_finite_in_range_and_inside_its_interval(
    name: str, layout: Layout, seed: int
) -> None:
    statistic, rng = STATISTICS[name], np.random.default_rng(seed)
    if layout.kind not in statistic.KINDS:
        return
    sides = []
    for _ in range(2):
        counts = np.zeros(layout.size, dtype=np.int64)
        bins = rng.integers(0, layout.size, rng.choice([0, 1, 3, 50]))
        np.add.at(
            counts, bins, rng.integers(1, rng.choice([2, 100, 10_000]), bins.size)
        )
        n = int(counts.sum())
        sides.append(
            Profile(
                layout,
                counts,
                n,
                sum=n * rng.normal(),
                sum_sq=3 * n * abs(rng.normal()),
            )
        )
    found = statistic.measure(*sides)
    if found.value is None:
        return
    assert all(
        math.isfinite(x) for x in (found.low, found.value, found.high, found.raw)
    )
    assert statistic.RANGE[0] <= found.low <= found.value + 1e-12
    assert found.value <= found.high + 1e-12
    assert found.high <= statistic.RANGE[1]


# what other people's tests expect (two samples of 88 rows in 6 categories; a lost and a
# new category)
SIX_A, SIX_B = np.array([16, 18, 16, 14, 12, 12]), np.array([16, 16, 16, 16, 16, 8])


def lost_and_new() -> tuple[np.ndarray, np.ndarray]:
    legacy = np.random.RandomState(1)
    a, b = legacy.choice(list("abcd"), 10_000), legacy.choice(list("abce"), 1000)
    return tuple(np.array([np.sum(x == value) for value in "abcde"]) for x in (a, b))


def test_jensen_shannon_known_values() -> None:
    js = STATISTICS["jensen_shannon"].jensen_shannon
    # oracle 37
    assert js(np.array([1, 3]), np.array([0, 4])) ** 2 == pytest.approx(
        0.13792538, abs=1e-8
    )
    # oracle 39
    assert js(np.array([1, 1, 0]), np.array([1, 0, 1])) ** 2 == pytest.approx(
        0.5, abs=1e-12
    )
    assert js(*lost_and_new()) == pytest.approx(0.503817, abs=1e-6)  # oracle 33
    r, c = np.array([30, 40, 30]), np.array([20, 40, 40])
    assert js(r, c) == pytest.approx(distance.jensenshannon(r, c, base=2), rel=1e-12)
    # in nats
    assert js(r, c) * math.sqrt(math.log(2)) == pytest.approx(0.092831, abs=1e-6)
    assert js(np.array([5, 0]), np.array([0, 7])) == 1


def test_hellinger_known_values() -> None:
    hellinger = STATISTICS["hellinger"].hellinger
    assert hellinger(SIX_A, SIX_B) == pytest.approx(0.0681277, abs=1e-7)  # oracle 3
    assert hellinger(*lost_and_new()) == pytest.approx(0.503244, abs=1e-6)  # oracle 33
    assert hellinger(np.array([5, 0]), np.array([0, 7])) == pytest.approx(1)


def test_total_variation_known_values() -> None:
    total_variation = STATISTICS["total_variation"].total_variation
    assert total_variation(
        np.array([30, 40, 30]), np.array([20, 40, 40])
    ) == pytest.approx(0.1, abs=1e-12)
    assert total_variation(SIX_A, SIX_B) == pytest.approx(6 / 88, abs=1e-12)
    assert total_variation(np.array([5, 0]), np.array([0, 7])) == 1


def test_l_infinity_known_values() -> None:
    l_infinity = STATISTICS["l_infinity"].l_infinity
    # oracle 29
    assert l_infinity(np.array([2, 2, 2, 0]), np.array([2, 2, 2, 1])) == pytest.approx(
        1 / 7, abs=1e-12
    )
    # oracle 41
    assert l_infinity(np.array([1, 9]), np.array([3, 7])) == pytest.approx(
        0.2, abs=1e-12
    )


def two_samples_p_is_uniform(
    p_value: Callable[[np.ndarray, np.ndarray], float],
) -> None:
    rng = np.random.default_rng(2)
    small = sum(
        p_value(rng.multinomial(800, EQUAL), rng.multinomial(800, EQUAL)) < 0.05
        for _ in range(400)
    )
    assert stats.binomtest(small, 400, 0.05).pvalue > 1e-4


def test_chi_squared_known_values() -> None:
    module = STATISTICS["chi_squared"]
    tables = [
        ([1, 1, 1, 2, 3, 4, 0], [3, 1, 2, 0, 4, 2, 1]),
        ([30, 40, 30], [20, 40, 40]),
        ([4, 2, 0], [1, 1, 4]),
    ]
    for table in tables:
        r, c = map(np.array, table)
        expected = stats.chi2_contingency(np.array([r, c]), correction=False)
        assert module.chi_squared(r, c) == pytest.approx(expected.statistic, rel=1e-12)
        assert module.chi_squared_p(r, c) == pytest.approx(expected.pvalue, rel=1e-9)
    # oracle 25: a category unseen, and others lost
    r, c = np.array([4, 2, 0]), np.array([1, 1, 4])
    assert module.chi_squared(r, c) == pytest.approx(6.133333, abs=1e-6)
    assert module.chi_squared_p(r, c) == pytest.approx(0.04657615, abs=1e-8)
    # oracle 23: values 0 to 4 of ten and of five rows
    r, c = np.array([2, 1, 5, 1, 1]), np.array([0, 1, 1, 2, 1])
    assert module.chi_squared(r, c) == pytest.approx(3.75, abs=1e-9)
    assert module.chi_squared_p(r, c) == pytest.approx(0.440896, abs=1e-6)


def test_chi_squared_takes_neither_sample_as_exact() -> None:
    two_samples_p_is_uniform(STATISTICS["chi_squared"].chi_squared_p)


def test_rare_bins_are_put_together_until_each_expects_five() -> None:
    from monitor.statistics._bins import pool

    r, c = pool(np.array([100.0, 80, 3, 2, 1, 0]), np.array([90.0, 90, 1, 3, 0, 1]))
    assert (r.tolist(), c.tolist()) == ([100, 80, 6], [90, 90, 5])
    r, c = pool(np.array([100.0, 80, 1]), np.array([90.0, 90, 1]))
    assert (r.tolist(), c.tolist()) == ([100, 81], [90, 91])
    assert pool(np.array([1.0, 2]), np.array([2.0, 1]))[0].size == 1
    assert (
        STATISTICS["chi_squared"].measure(of_counts(1, 2), of_counts(2, 1)).value
        is None
    )


def test_g_test_known_values() -> None:
    module = STATISTICS["g_test"]
    for r, c in (
        ([30, 40, 30], [20, 40, 40]),
        ([4, 2, 0], [1, 1, 4]),
        ([300, 5, 9], [10, 2, 7]),
    ):
        expected = stats.chi2_contingency(
            np.array([r, c]), correction=False, lambda_="log-likelihood"
        )
        assert module.g_test(np.array(r), np.array(c)) == pytest.approx(
            expected.statistic, rel=1e-12
        )
        assert module.g_test_p(np.array(r), np.array(c)) == pytest.approx(
            expected.pvalue, rel=1e-9
        )
    assert module.g_test(np.array([9, 1, 0]), np.array([9, 1, 0])) == pytest.approx(
        0, abs=1e-12
    )
    two_samples_p_is_uniform(module.g_test_p)


def test_cramers_v_known_values() -> None:
    module = STATISTICS["cramers_v"]
    for r, c in (
        ([30, 40, 30], [20, 40, 40]),
        ([4, 2, 0], [1, 1, 4]),
        ([300, 5, 9], [10, 2, 7]),
    ):
        expected = stats.contingency.association(
            np.array([r, c]), method="cramer", correction=False
        )
        assert module.cramers_v(np.array(r), np.array(c)) == pytest.approx(
            expected, rel=1e-12
        )
    # oracle 43: nothing shared, all shared, and a missing share
    pairs = [
        ([1000, 0], [0, 1000], 1),
        ([1000, 0], [1000, 0], 0),
        ([200, 800, 100], [400, 600, 0], 0.30),
    ]
    for r, c, expected in pairs:
        assert module.cramers_v_corrected(np.array(r), np.array(c)) == pytest.approx(
            expected, abs=1e-2
        )


def test_cramers_v_is_zero_half_of_the_time_without_drift() -> None:
    rng = np.random.default_rng(4)
    corrected = STATISTICS["cramers_v"].cramers_v_corrected
    zero = sum(
        corrected(rng.multinomial(900, EQUAL), rng.multinomial(900, EQUAL)) == 0
        for _ in range(400)
    )
    assert 160 <= zero <= 270


def test_wasserstein_known_values() -> None:
    wasserstein = STATISTICS["wasserstein"].wasserstein
    r, c, x = np.array([30, 40, 30]), np.array([20, 40, 40]), np.array([1, 2, 3])
    assert wasserstein(r, c, x) == pytest.approx(0.2, abs=1e-12)
    assert wasserstein(r, c, x) / math.sqrt(0.6) == pytest.approx(0.258199, abs=1e-6)
    a, b = np.arange(1.0, 9), np.arange(2.5, 10)
    x = np.union1d(a, b)
    assert wasserstein(
        np.isin(x, a).astype(int), np.isin(x, b).astype(int), x
    ) == pytest.approx(1.5, abs=1e-12)
    rng = np.random.default_rng(6)
    x, r, c = (
        np.sort(rng.normal(size=30)),
        rng.integers(0, 50, 30),
        rng.integers(0, 50, 30),
    )
    assert wasserstein(r, c, x) == pytest.approx(
        stats.wasserstein_distance(x, x, r, c), rel=1e-9
    )


def test_wasserstein_from_bins_is_scipys_on_values_clipped_at_the_outer_edges() -> None:
    legacy = np.random.RandomState(1)
    a, b = legacy.normal(0, 1, 10_000), legacy.normal(1, 1, 1000)  # oracle 31
    assert stats.wasserstein_distance(a, b) == pytest.approx(1.011445, abs=1e-6)
    edges = np.quantile(a, np.arange(1, 20) / 20, method="inverted_cdf")
    layout = numeric_layout(edges)
    of = lambda x: Profile(  # noqa: E731
        layout,
        np.bincount(np.searchsorted(edges, x), minlength=20),
        x.size,
        sum=x.sum(),
        sum_sq=(x**2).sum(),
    )
    found = STATISTICS["wasserstein"].measure(of(a), of(b))
    clipped = stats.wasserstein_distance(
        a.clip(edges[0], edges[-1]), b.clip(edges[0], edges[-1])
    ) / a.std(ddof=1)
    assert found.raw == pytest.approx(clipped, rel=0.02)
    assert found.low <= clipped <= found.high
    assert 0.75 < found.value < 1.011445


def test_wasserstein_without_a_spread_or_a_second_edge_is_none() -> None:
    constant = Profile(
        LAYOUTS["numeric"],
        np.bincount([5], [500], 20).astype(np.int64),
        500,
        sum=500.0,
        sum_sq=500.0,
    )
    assert STATISTICS["wasserstein"].measure(constant, constant).value is None
    two = Profile(ZERO_ONE, np.array([300, 200]), 500, sum=200.0, sum_sq=200.0)
    assert STATISTICS["wasserstein"].measure(two, two).value is None


def test_neyman_known_values() -> None:
    module = STATISTICS["neyman"]
    r, c = np.array([30, 40, 30]), np.array([20, 40, 40])
    s = module.location(r, c)
    assert s == pytest.approx(0.258199, abs=1e-6)
    # z, were the reference exact
    assert s * math.sqrt(100) == pytest.approx(2.581989, abs=1e-6)
    assert module.location(r, c[::-1]) == pytest.approx(-s, rel=1e-12)


def test_neyman_weights_are_orthonormal_under_the_reference() -> None:
    r = np.array([3, 50, 0, 20, 7, 90, 11])
    w, p = STATISTICS["neyman"].weights(r), r / r.sum()
    assert w @ p == pytest.approx(np.zeros(4), abs=1e-10)
    assert (w * p) @ w.T == pytest.approx(np.eye(4), abs=1e-10)


def test_neyman_components_together_are_the_chi_squared_of_an_exact_reference() -> None:
    r, c = np.array([20, 30, 25, 15, 10]), np.array([18, 24, 30, 10, 18])
    parts = [STATISTICS["neyman"].component(r, c, k) for k in (1, 2, 3, 4)]
    expected = stats.chisquare(c, r / r.sum() * c.sum()).statistic / c.sum()
    assert sum(s**2 for s in parts) == pytest.approx(expected, rel=1e-9)


def test_neyman_components_tell_location_from_scale() -> None:
    module, layout = STATISTICS["neyman"], LAYOUTS["numeric"]
    cdf = lambda loc, sd: np.diff([0, *stats.norm.cdf(layout.edges, loc, sd), 1])  # noqa: E731
    p = cdf(0, 1)
    names = (module.location, module.scale, module.skewness, module.kurtosis)
    moved, wider = (
        [f(p * 1e6, q * 1e6) for f in names] for q in (cdf(0.2, 1), cdf(0, 1.2))
    )
    assert moved[0] == pytest.approx(0.2, rel=0.05)
    assert np.abs(moved[1:]).max() < 0.03
    assert abs(wider[0]) < 1e-9
    assert wider[1] > 0.15


def test_neyman_keeps_the_sign_in_raw() -> None:
    layout = LAYOUTS["numeric"]
    reference = sample(layout, 5000, 1)
    up, down = (
        STATISTICS["neyman"].measure(reference, sample(layout, 2000, 2, shift))
        for shift in (0.3, -0.3)
    )
    assert up.raw > 0.2 and up.value > 0.2
    assert down.raw < -0.2 and down.value > 0.2
