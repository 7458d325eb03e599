"""Out-of-range values: their bins change no other statistic, and have a signal."""

import numpy as np
import pytest
from scipy import stats

from monitor.config.rule import RuleConfig
from monitor.detector.lanes.lane import Budget, LaneWindow
from monitor.detector.lanes.signals import INPUTS, UNSEEN_VALUES
from monitor.evaluation.rules import columns_of
from monitor.layout import Layout, numeric_layout
from monitor.plugins import statistics
from monitor.profile import Profile
from monitor.queries.figures.column_detail import compare_bins

S = statistics()
QUANTILES = np.arange(1, 20) / 20


def layouts_of(x: np.ndarray) -> tuple[Layout, Layout]:
    """The layout of a reference without and with its range."""
    quantiles = np.quantile(x, QUANTILES, method="inverted_cdf")
    return numeric_layout(quantiles), numeric_layout(
        quantiles, (float(x.min()), float(x.max()))
    )


def profile(layout: Layout, x: np.ndarray) -> Profile:
    counts = np.bincount(layout.bins_of(x), minlength=layout.size)
    return Profile(
        layout, counts, x.size, sum=float(x.sum()), sum_sq=float((x * x).sum())
    )


@pytest.mark.parametrize(
    "shape",
    ["normal", "point mass at the least", "point mass at the largest", "constant"],
)
@pytest.mark.parametrize(
    "name", [n for n, s in S.items() if "numeric" in s.KINDS and not s.COLUMNS]
)
def test_a_range_changes_no_other_statistic(name: str, shape: str) -> None:
    if name in (
        "out_of_range_share",
        "quantile_shift",
        "exceedance",
        "constant_column",
    ):
        return  # they are about single bins, and finer with more of them
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, 3000), rng.normal(0.4, 1.4, 1000)
    if shape != "normal":
        x = {
            "constant": x * 0,
            "point mass at the least": x.clip(0),
            "point mass at the largest": x.clip(None, 0),
        }[shape]
    old, new = layouts_of(x)
    assert new.inner == old
    before = S[name].measure(profile(old, x), profile(old, y))
    assert S[name].measure(profile(new, x), profile(new, y)) == before
    assert compare_bins(profile(new, x), profile(new, y)) == compare_bins(
        profile(old, x), profile(old, y)
    )


def test_a_layout_frozen_without_a_range_keeps_its_id() -> None:
    old = Layout("numeric", (1.0, 2.0))
    assert old.id == "fb71ab99229a7507"
    assert Layout.from_json(old.to_json()) == old
    ranged = numeric_layout([1.0, 2.0], (0.0, 3.0))
    assert Layout.from_json(ranged.to_json()) == ranged
    assert ranged.id != old.id


def test_every_value_of_the_reference_is_within_its_range_and_the_next_ones_are_not() -> (
    None
):
    x = np.random.default_rng(2).normal(0, 1, 500)
    _, layout = layouts_of(x)
    counts = profile(layout, x).counts
    assert counts[0] == counts[-1] == 0
    assert layout.index(np.nextafter(x.min(), -np.inf)) == 0
    assert layout.index(np.nextafter(x.max(), np.inf)) == layout.size - 1


def test_a_rule_on_the_range_leaves_out_columns_whose_range_is_not_known() -> None:
    old, new = layouts_of(np.arange(100.0))
    rule = RuleConfig(name="r", statistic="out_of_range_share", limit=0.01)
    assert columns_of(rule, {"a": old, "b": new}, {"a": "A", "b": "B"}) == ["b"]


def test_without_drift_the_share_outside_averages_two_in_the_reference() -> None:
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(300):
        x = rng.normal(0, 1, 400)
        _, layout = layouts_of(x)
        shares.append(
            S["out_of_range_share"]
            .measure(profile(layout, x), profile(layout, rng.normal(0, 1, 2000)))
            .value
        )
    assert np.mean(shares) == pytest.approx(2 / 401, rel=0.2)


def hours(
    rng: np.random.Generator,
    layout: Layout,
    n: int,
    rows: int,
    first: int,
    wobble: float,
) -> list[LaneWindow]:
    """Hours whose level wanders (autoregressive, 0.8), so that extremes clump."""
    level, windows = 0.0, []
    for i in range(n):
        level = 0.8 * level + rng.normal(0, wobble * 0.6)
        windows.append(
            LaneWindow(
                first + i, False, {"x": profile(layout, rng.normal(level, 1, rows))}
            )
        )
    return windows


def pages(
    seed: int, rows: int, wobble: float, extra: float = 0.0, live: int = 24 * 30
) -> int | None:
    """Hours until the lane of unseen values pages, after four weeks of reference; None when it does not."""
    rng = np.random.default_rng(seed)
    rough = Layout("numeric", (0.0,))
    state = rng.bit_generator.state
    x = np.concatenate([_values(rng, rows, wobble, 672)])
    _, layout = layouts_of(x)
    assert rough.range is None
    rng.bit_generator.state = state
    reference = hours(rng, layout, 672, rows, 0, wobble)
    machine = UNSEEN_VALUES.fit(
        reference, {"x": layout}, Budget(90 * 24 / UNSEEN_VALUES.share, 0.05, 1)
    )
    now = UNSEEN_VALUES.initial(machine)
    views = []
    for i, window in enumerate(hours(rng, layout, live, rows, 672, wobble)):
        if extra:
            more = int(rows * extra)
            counts = window.profiles["x"].counts.copy()
            counts[-1] += more
            window = LaneWindow(
                window.index, False, {"x": Profile(layout, counts, rows + more)}
            )
        views = [*views[-167:], UNSEEN_VALUES.view(machine, window)]
        now, _ = UNSEEN_VALUES.step(machine, now, views)
        if now.episodes:
            return i + 1
    return None


def _values(rng: np.random.Generator, rows: int, wobble: float, n: int) -> np.ndarray:
    level, parts = 0.0, []
    for _ in range(n):
        level = 0.8 * level + rng.normal(0, wobble * 0.6)
        parts.append(rng.normal(level, 1, rows))
    return np.concatenate(parts)


@pytest.mark.parametrize(("rows", "wobble"), [(50, 0.0), (500, 0.1), (500, 0.5)])
def test_the_lane_of_unseen_values_is_quiet_about_numbers_without_drift(
    rows: int, wobble: float
) -> None:
    assert [pages(seed, rows, wobble) for seed in range(4)] == [None] * 4


def test_two_in_a_hundred_beyond_the_range_are_found_within_a_day() -> None:
    result = pages(1, 500, 0.1, extra=0.02)
    assert result is not None
    assert result <= 24


def test_the_inputs_see_the_range_as_part_of_the_ends() -> None:
    x = np.random.default_rng(4).normal(0, 1, 40 * 200)
    old, new = layouts_of(x)
    learned = [
        INPUTS.fit(
            [
                LaneWindow(i, False, {"x": profile(layout, x[i * 200 : (i + 1) * 200])})
                for i in range(40)
            ],
            {"x": layout},
            Budget(2160, 0.05, 1),
        )
        for layout in (old, new)
    ]
    windows = [
        LaneWindow(40, False, {"x": profile(layout, x[:200] * 3)})
        for layout in (old, new)
    ]
    views = [INPUTS.view(m, w) for m, w in zip(learned, windows, strict=True)]
    assert views[0].counts[0].tolist() == views[1].counts[0].tolist()


def test_energy_distance_is_the_square_of_scipys() -> None:
    energy = S["energy_distance"].energy_distance
    x, y = (
        [38.7, 41.5, 43.8, 44.5, 45.5, 46.0, 47.7, 58.0],
        [39.2, 39.3, 39.7, 41.4, 41.8, 42.9, 43.3, 45.8],
    )  # oracle 7
    places = np.union1d(x, y)
    result = energy(
        np.isin(places, x).astype(int), np.isin(places, y).astype(int), places
    )
    assert result == pytest.approx(stats.energy_distance(x, y) ** 2, rel=1e-9)
    assert result**0.5 == pytest.approx(1.570231, abs=1e-6)


def test_mmd_is_that_of_its_definition_and_of_two_normal_distributions() -> None:
    mmd = S["mmd"].mmd
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 1, 40), rng.normal(0.5, 2, 60)
    places = np.union1d(x, y)
    kernel = np.exp(-0.5 * np.subtract.outer(places, places) ** 2)
    p, q = np.isin(places, x) / 40, np.isin(places, y) / 60
    result = mmd(np.isin(places, x).astype(int), np.isin(places, y).astype(int), places)
    assert result**2 == pytest.approx(
        p @ kernel @ p + q @ kernel @ q - 2 * p @ kernel @ q, rel=1e-9
    )
    fine = np.linspace(-8, 8, 801)
    for shift in (0.1, 1.0):
        shares = stats.norm.pdf(fine), stats.norm.pdf(fine - shift)
        assert mmd(*shares, fine) == pytest.approx(
            (2 / 3**0.5 * (1 - np.exp(-(shift**2) / 6))) ** 0.5, abs=1e-3
        )


def test_energy_distance_of_eight_values() -> None:
    a, b = np.arange(1.0, 9), np.arange(2.5, 10)
    places = np.union1d(a, b)
    result = S["energy_distance"].energy_distance(
        np.isin(places, a).astype(int), np.isin(places, b).astype(int), places
    )
    assert result**0.5 == pytest.approx(0.770552, abs=1e-6)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.95])
def test_the_interval_of_a_quantile_shift_covers_the_true_one(q: float) -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(200):
        x = rng.normal(0, 1, 4000)
        _, layout = layouts_of(x)
        result = S["quantile_shift"].measure(
            profile(layout, x), profile(layout, rng.normal(0.0, 1, 500)), q=q
        )
        inside += result.low <= 0 <= result.high
    assert inside >= 0.93 * 200
    x = rng.normal(0, 1, 20_000)
    _, layout = layouts_of(x)
    moved = S["quantile_shift"].measure(
        profile(layout, x), profile(layout, rng.normal(0.5, 1, 20_000)), q=q
    )
    # the last bin of 5 % is a model of its tail
    assert moved.value == pytest.approx(0.5, abs=0.15)


def test_what_vanished_by_chance_is_not_counted() -> None:
    from monitor.profile import of_counts

    measure = S["vanished_categories"].measure
    rng = np.random.default_rng(6)
    p = np.array([0.5, 0.3, 0.1965, *[0.0005] * 7])
    result = [
        measure(
            of_counts(*rng.multinomial(20_000, p)), of_counts(*rng.multinomial(500, p))
        )
        for _ in range(200)
    ]
    assert (
        np.mean([f.raw for f in result]) > 4 * np.mean([f.value for f in result]) * 0.5
    )
    assert max(f.low for f in result) == 0
    gone = measure(of_counts(500, 300, 200), of_counts(500, 0, 200))
    assert gone.value == pytest.approx(0.3, abs=1e-9)
    assert 0.27 < gone.low < 0.3 < gone.high < 0.33


def test_a_share_above_a_quantile_is_held_against_the_share_to_be_expected() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(0, 1, 10_000)
    _, layout = layouts_of(x)
    result = S["exceedance"].measure(
        profile(layout, x), profile(layout, rng.normal(0.5, 1, 5000)), q=0.9
    )
    assert result.reference_value == pytest.approx(0.1, abs=0.001)
    assert result.value == pytest.approx(
        stats.norm.sf(stats.norm.ppf(0.9) - 0.5), abs=0.02
    )
