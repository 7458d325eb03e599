"""The page detector: recorded evidence, closed forms, and hours that hold nothing useful.

`detector_expected.json` holds eight cases: the seed and the change that
`benchmarks/detection/world.py` draws them from, a digest of the counts drawn, and per
watched hour the evidence G of an independent implementation, written in batches over
all hours instead of hour by hour. It is not made from the code under test; a change of
the algorithm needs new values from a second implementation of it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.detection.runs import changed_courses
from benchmarks.detection.runs import machine as machine_of_reference
from benchmarks.detection.world import FEATURES, Change, World, digest, drawn
from monitor.detector.model import (
    DetectorColumn,
    Fitted,
    Hour,
    Settings,
    Signal,
    State,
    fit,
    from_plain,
    initial,
    step,
    to_plain,
)
from monitor.detector.model.effects import RecentResiduals
from monitor.detector.model.episode import Episode
from monitor.detector.model.evidence import (
    LAMBDAS,
    MissingNull,
    accumulate,
    missing_score,
    tail_score,
)
from monitor.detector.model.filter import (
    Autocorrelation,
    advance,
    advance_all,
    fit_autocorrelation,
    start,
)
from monitor.detector.model.fit import fit_tolerances
from monitor.detector.model.season import regressors, season_for
from monitor.detector.model.shifts import Shift, advance_shift, initial_shift
from monitor.detector.model.streams import category_contrasts, neyman_contrasts, score
from monitor.detector.model.time_shift import displacement
from monitor.errors import InvalidRequest

CASES = json.loads(
    (Path(__file__).parent / "detector_expected.json").read_text(encoding="utf-8")
)
BY_NAME = {case["name"]: case for case in CASES}


@cache
def prepared(name: str) -> tuple[Fitted, list[Hour], list[Hour]]:
    reference, watched = drawn(BY_NAME[name])
    return fit(FEATURES, reference), reference, watched


def run(
    fitted: Fitted, hours: list[Hour], state: State | None = None
) -> tuple[State, list[Signal]]:
    state = state or initial(fitted)
    signals = []
    for hour in hours:
        state, signal = step(fitted, state, hour)
        signals.append(signal)
    return state, signals


def begun(fitted: Fitted, signals: list[Signal]) -> list[list[Any]]:
    """The pages that begin an episode, as the recorded file writes them."""
    streams = fitted.streams.streams
    return [
        [
            s.index,
            s.page.stream and streams.index(s.page.stream),
            s.page.direction,
            s.page.rule,
        ]
        for s in signals
        if s.page and not s.page.repeated
    ]


def same(a: Any, b: Any) -> bool:
    return json.dumps(to_plain(a)) == json.dumps(to_plain(b))


def of(*counts: list[int], missing: list[int] | None = None, index: int = 0) -> Hour:
    return Hour(
        index,
        tuple(np.array(c) for c in counts),
        np.array(missing or [0] * len(counts)),
    )


# recorded evidence


@pytest.mark.parametrize("name", BY_NAME)
def test_evidence_and_pages_equal_the_recorded_ones(name: str) -> None:
    case = BY_NAME[name]
    fitted, reference, watched = prepared(name)
    assert digest(reference + watched) == case["digest"], (
        "the generator draws other traffic here; nothing can be compared"
    )
    assert fitted.tail_class == case["tail_class"]
    _, signals = run(fitted, watched)
    np.testing.assert_allclose(
        [s.evidence for s in signals], case["evidence"], rtol=1e-9
    )
    assert begun(fitted, signals) == case["pages"]


def test_recorded_cases_hold_every_rule_both_tail_classes_and_silence() -> None:
    pages = [page for case in CASES for page in case["pages"]]
    assert {rule for *_, rule in pages} == {"accumulated", "at once", "persisted"}
    assert None in [stream for _, stream, *_ in pages], "a joint shift"
    assert {case["tail_class"] for case in CASES} == {"light", "heavy"}
    assert [
        case["name"] for case in CASES if not case["change"] and case["pages"]
    ] == []


# hour by hour


def test_state_restored_from_json_in_the_middle_changes_nothing() -> None:
    fitted, _, watched = prepared("mean_with_fat_tails")
    through, signals = run(fitted, watched)
    # hour 693 pages because of a suspect of hour 692, so the state between them holds
    # one
    cut = next(i for i, h in enumerate(watched) if h.index == 693)
    half, first = run(fitted, watched[:cut])
    assert half.suspect is not None
    again = from_plain(
        Fitted, json.loads(json.dumps(to_plain(fitted), allow_nan=False))
    )
    restored = from_plain(
        State, json.loads(json.dumps(to_plain(half), allow_nan=False))
    )
    ended, second = run(again, watched[cut:], restored)
    assert [s.evidence for s in first + second] == [s.evidence for s in signals]
    assert [s.page for s in first + second] == [s.page for s in signals]
    assert same(ended, through)
    assert same(again, fitted)


def test_scores_and_filter_of_one_hour_equal_those_of_a_batch() -> None:
    fitted, _, watched = prepared("quiet")
    batch = score(fitted.streams, watched)
    single = [score(fitted.streams, [h]) for h in watched]
    np.testing.assert_allclose(
        np.vstack([s.values for s in single]), batch.values, rtol=1e-12, atol=1e-14
    )
    residuals = fitted.residuals(batch, np.array([h.index for h in watched]))
    level, _ = advance_all(fitted.wander, fitted.level, residuals, batch.variances)
    state, _ = run(fitted, watched)
    np.testing.assert_allclose(
        state.level.estimate, level.estimate, rtol=1e-9, atol=1e-14
    )


def test_empty_hour_changes_no_state_and_repeats_the_evidence() -> None:
    fitted, _, watched = prepared("quiet")
    state, signals = run(fitted, watched[:5])
    empty = Hour(
        watched[5].index,
        tuple(np.zeros_like(c) for c in watched[5].counts),
        np.zeros(len(FEATURES)),
    )
    after, signal = step(fitted, state, empty)
    assert after is state
    assert signal.page is None
    assert signal.evidence == signals[-1].evidence
    assert np.isnan(signal.residuals).all()


def test_step_leaves_its_arguments_as_they_were() -> None:
    fitted, _, watched = prepared("missing_burst")
    state, _ = run(fitted, watched[:20])
    before = json.dumps(to_plain(state))
    first = [step(fitted, state, h)[1].evidence for h in watched[20:60]]
    assert json.dumps(to_plain(state)) == before
    assert [step(fitted, state, h)[1].evidence for h in watched[20:60]] == first


def test_fit_is_deterministic_and_leaves_empty_hours_out() -> None:
    fitted, reference, _ = prepared("two_weeks_of_reference")
    gap = Hour(
        0, tuple(np.zeros_like(c) for c in reference[0].counts), np.zeros(len(FEATURES))
    )
    assert same(fit(FEATURES, [*reference[:50], gap, *reference[50:]]), fitted)


def test_page_takes_the_evidence_back_and_the_same_episode_is_marked() -> None:
    fitted, _, watched = prepared("mean_of_one_feature")
    quick = fit(FEATURES, prepared("mean_of_one_feature")[1], Settings(level=20.0))
    state = initial(quick)
    pages = []
    for hour in watched:
        state, signal = step(quick, state, hour)
        if signal.page:
            assert not state.evidence.any()
            assert not state.joint_evidence.any()
            pages.append((signal.index, signal.page.repeated))
    starts = [index for index, repeated in pages if not repeated]
    assert any(repeated for _, repeated in pages)
    assert min(np.diff(starts)) >= quick.settings.cooldown
    assert fitted.settings.level == 2160


def test_parts_of_the_evidence_add_up() -> None:
    fitted, _, watched = prepared("small_shift_of_all")
    for signal in run(fitted, watched[:40])[1]:
        assert signal.by_stream.sum() + signal.joint == pytest.approx(signal.evidence)
    assert fitted.streams.shares.sum() == pytest.approx(1)


def test_forced_tail_class_needs_more_hours() -> None:
    fitted, reference, watched = prepared("mean_of_one_feature")
    heavy = fit(FEATURES, reference, Settings(tails="heavy"))
    first = [begun(f, run(f, watched)[1])[0][0] for f in (fitted, heavy)]
    assert first[0] < first[1]


# hours and references that hold nothing useful

NUMBERS, WORDS = DetectorColumn("x", "numeric"), DetectorColumn("w", "categorical")
USUAL = [
    # the last word bin is "new"
    of(
        [10, 20, 30, 40],
        [50 + i % 7, 30, 15, 5 - i % 5, 0],
        missing=[i % 3, 0],
        index=i,
    )
    for i in range(200)
]
ODD = {
    "all null": of([0, 0, 0, 0], [0, 0, 0, 0, 0], missing=[100, 100]),
    "one feature null": of([0, 0, 0, 0], [50, 30, 15, 5, 0], missing=[100, 0]),
    "constant": of([0, 0, 100, 0], [100, 0, 0, 0, 0]),
    "one row": of([0, 1, 0, 0], [0, 1, 0, 0, 0]),
    "one feature never sent": of([0, 0, 0, 0], [50, 30, 15, 5, 0]),
    "new category only": of([10, 20, 30, 40], [0, 0, 0, 0, 100]),
    "very many rows": of([10**9, 0, 0, 0], [0, 10**9, 0, 0, 0]),
}


def moved(hour: Hour, index: int) -> Hour:
    return Hour(index, hour.counts, hour.missing)


@pytest.mark.parametrize("name", ODD)
def test_odd_hours_give_finite_evidence_and_a_usable_state(name: str) -> None:
    fitted = fit([NUMBERS, WORDS], USUAL)
    state, signals = run(fitted, [moved(ODD[name], 200 + i) for i in range(60)])
    state, more = run(fitted, [moved(h, 260 + h.index) for h in USUAL], state)
    assert np.isfinite([s.evidence for s in signals + more]).all()
    json.dumps(to_plain(state), allow_nan=False)


@pytest.mark.parametrize("hours", [1, 2, 30, 200])
@pytest.mark.parametrize("name", ODD)
def test_odd_references_give_a_detector_that_steps(name: str, hours: int) -> None:
    fitted = fit([NUMBERS, WORDS], [moved(ODD[name], i) for i in range(hours)])
    json.dumps(to_plain(fitted), allow_nan=False)
    assert same(from_plain(Fitted, json.loads(json.dumps(to_plain(fitted)))), fitted)
    _, signals = run(
        fitted, [moved(h, hours + h.index) for h in [*ODD.values(), *USUAL[:30]]]
    )
    assert np.isfinite([s.evidence for s in signals]).all()


def test_reference_that_switches_between_null_and_full_fits() -> None:
    hours = [moved(ODD["all null"] if i % 2 else USUAL[i], i) for i in range(200)]
    fitted = fit([NUMBERS, WORDS], hours)
    assert (fitted.missing.overdispersion < 1).all(), "a beta-binomial needs it"
    _, signals = run(fitted, USUAL)
    assert np.isfinite([s.evidence for s in signals]).all()


def test_two_tolerances_learned_at_once_equal_those_learned_apart() -> None:
    _, reference, _ = prepared("quiet")
    settings = Settings(pooled=True, slow_jump=2.5)
    both = fit_tolerances(FEATURES, reference, settings, [0.05, 0.03])
    assert same(both[0], fit(FEATURES, reference, settings))
    assert same(both[1], fit(FEATURES, reference, replace(settings, tolerance=0.03)))


def test_reference_without_rows_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at least one feature and one hour"):
        fit([NUMBERS], [of([0, 0, 0])])
    with pytest.raises(InvalidRequest):
        fit([], [])


def test_constant_and_all_null_features_keep_their_missing_share_only() -> None:
    fitted = fit([NUMBERS, WORDS], [moved(ODD["constant"], i) for i in range(200)])
    assert [s.contrast for s in fitted.streams.streams] == ["missing", "missing"]
    assert fitted.streams.shares.tolist() == [0.5, 0.5]


def test_new_category_only_is_paged_as_a_loss_of_the_others() -> None:
    fitted = fit([NUMBERS, WORDS], USUAL)
    _, signals = run(
        fitted, [moved(ODD["new category only"], 200 + i) for i in range(3)]
    )
    page = next(s.page for s in signals if s.page)
    assert page.stream is not None
    assert (page.stream.feature, page.stream.contrast) == ("w", "category")


def test_values_that_vanish_are_paged_as_missing() -> None:
    fitted = fit([NUMBERS, WORDS], USUAL)
    _, signals = run(
        fitted, [moved(ODD["one feature null"], 200 + i) for i in range(3)]
    )
    page = next(s.page for s in signals if s.page)
    assert page.stream is not None
    assert (page.stream.feature, page.stream.contrast, page.direction) == (
        "x",
        "missing",
        "up",
    )


@pytest.mark.parametrize(("features_for_a_page", "rule"), [(3, "at once"), (5.9, None)])
def test_large_effect_pages_only_with_a_quarter_of_the_level_from_one_stream(
    features_for_a_page: float, rule: str | None
) -> None:
    usual = [
        of(*[[10, 20, 30, 40]] * 6, missing=[i % 3] * 6, index=i) for i in range(200)
    ]
    half_missing = of(*[[10, 20, 30, 40]] * 6, missing=[100] * 6, index=200)
    # each missing stream has 1/6 of the streams' 0.8, and the score 8 that one hour can
    # have at most
    each = 0.8 / 6 * np.exp(8 * LAMBDAS - LAMBDAS**2 / 2).mean() / 2
    features = [DetectorColumn(f"x{j}", "numeric") for j in range(6)]
    # location, scale and skewness of four bins have the rest: 0.4 + 0.25 + 0.1,
    # renormalised
    weight = 0.15
    level = features_for_a_page * each * weight / (0.4 + 0.25 + 0.1 + weight)
    fitted = fit(features, usual, Settings(level=level, tails="light"))
    _, signal = step(fitted, initial(fitted), half_missing)
    assert signal.evidence < level
    assert (signal.page.rule if signal.page else None) == rule


# the parts, against closed forms and scipy


def test_shiryaev_roberts_equals_the_sum_over_start_points() -> None:
    scores = (0.0, 1.0, 2.0, 3.0)
    evidence = np.zeros(len(LAMBDAS))
    for a in scores:
        evidence = accumulate(evidence, np.array(a))
    products = [
        sum(
            np.exp(sum(size * a - size**2 / 2 for a in scores[begin:]))
            for begin in range(4)
        )
        for size in LAMBDAS
    ]
    np.testing.assert_allclose(evidence, products, rtol=1e-12)
    assert evidence[1:4].round(6).tolist() == [39.429881, 211.395925, 916.053887]


def test_kalman_filter_equals_the_closed_form() -> None:
    one = np.ones(1)
    wander = Autocorrelation(0.8 * one, 0.04 * one, 0 * one)
    level = start(wander)
    found = []
    for reading in (0.1, 0.3):
        level, now = advance(wander, level, reading * one, 0.01 * one)
        found.append(
            [round(float(v[0]), 6) for v in (now.z, level.estimate, level.variance)]
        )
    assert found == [[0.447214, 0.08, 0.008], [1.37358, 0.220054, 0.006612]]


def test_jump_is_absorbed_at_once_and_leaves_no_run() -> None:
    one = np.ones(1)
    wander = Autocorrelation(0.8 * one, 0.001 * one, 0 * one)
    decay = np.array([0.5 * 0.8**i for i in range(6)])[:, None]
    _, innovation = advance_all(wander, start(wander), decay, np.full((6, 1), 0.001))
    assert abs(innovation.z[0, 0]) > 10
    assert np.abs(innovation.z[1:]).max() < 1


def wandering(phi: np.ndarray, hours: int, seed: int) -> np.ndarray:
    """Readings (hours, K) of AR(1) levels with sd .03 in noise of sd .03."""
    rng = np.random.default_rng(seed)
    x = np.zeros((hours, len(phi)))
    x[0] = rng.normal(0, 0.03, len(phi))
    for t in range(1, hours):
        x[t] = phi * x[t - 1] + rng.normal(0, 0.03, len(phi)) * np.sqrt(1 - phi**2)
    return x + rng.normal(0, 0.03, x.shape)


def test_streams_that_wander_alike_are_estimated_closer_to_it_together_than_alone() -> (
    None
):
    readings, variances = (
        wandering(np.full(12, 0.95), 336, 5),
        np.full((336, 12), 0.0009),
    )
    alone, _ = fit_autocorrelation(readings, variances, variances[0])
    together, tau2 = fit_autocorrelation(
        readings, variances, variances[0], np.zeros(12)
    )
    assert np.abs(together - 0.95).max() <= 0.05 < np.abs(alone - 0.95).max()
    assert 0.015 < np.sqrt(tau2).min() <= np.sqrt(tau2).max() < 0.045


def test_stream_unlike_its_siblings_keeps_its_own_wandering() -> None:
    phi = np.array([0.95] * 11 + [0.0])
    readings, variances = wandering(phi, 672, 6), np.full((672, 12), 0.0009)
    readings[:, -1] += np.random.default_rng(7).normal(0, 0.1, 672)
    together, tau2 = fit_autocorrelation(
        readings, variances, variances[0], np.zeros(12)
    )
    assert together[-1] < 0.4
    assert 0.08 < np.sqrt(tau2[-1]) < 0.13


def test_slowly_wandering_streams_absorb_smaller_shocks() -> None:
    reference = World(3, phi=0.95).hours(672)
    settings = Settings(slow_jump=2.5, pooled=True)
    slow = fit(FEATURES, reference, settings).wander
    location = slow.phi >= 0.92
    assert location.any()
    assert (slow.jump[location & (slow.tau2 > 0)] == 2.5).all()
    assert (fit(FEATURES, reference).wander.jump == 4.5).all()


def test_evidence_is_the_mixture_of_that_of_each_size() -> None:
    fitted, _, watched = prepared("mean_of_one_feature")

    def evidence(mixture: Sequence[float]) -> list[float]:
        settings = Settings(level=1e9, mixture=tuple(mixture))
        return [
            s.evidence for s in run(replace(fitted, settings=settings), watched[:48])[1]
        ]

    weights = (0.25, 0.3, 0.2, 0.125, 0.125)
    np.testing.assert_allclose(
        evidence(weights),
        np.array(weights) @ [evidence(m) for m in np.eye(5)],
        rtol=1e-9,
    )


def test_fit_stored_before_a_setting_existed_has_its_default() -> None:
    fitted, _, _ = prepared("quiet")
    stored = to_plain(fitted)
    del stored["settings"]["mixture"], stored["settings"]["pooled"]
    assert same(from_plain(Fitted, stored), fitted)


def test_beta_binomial_score_is_close_to_the_exact_one_and_never_above_it() -> None:
    null = MissingNull(np.array([0.02]), np.array([1 / 101]))  # a = 2, b = 98
    assert stats.betabinom.sf(6, 100, 2, 98) == pytest.approx(0.03347831, abs=1e-8)
    for x in range(5, 40):
        exact = stats.norm.isf(stats.betabinom.sf(x - 1, 100, 2, 98))
        bound = missing_score(null, np.array([x]), np.array([100]))[0]
        assert exact - 0.15 < bound <= exact + 1e-9, x


def test_tail_score_has_the_tail_probability_of_the_t() -> None:
    z = np.array([-4.0, -1.0, 0.0, 0.5, 3.0])
    t = stats.t(5)
    expected = np.sign(z) * stats.norm.isf(t.sf(np.abs(z) * np.sqrt(5 / 3)))
    np.testing.assert_allclose(
        tail_score(z, np.full(5, 5.0)), expected, rtol=1e-9, atol=1e-12
    )


def test_location_contrast_of_three_bins_equals_the_closed_form() -> None:
    w = neyman_contrasts(np.array([30, 40, 30]))
    np.testing.assert_allclose(w[0], np.array([-1, 0, 1]) / np.sqrt(0.6), atol=1e-12)
    assert w[0] @ [0.2, 0.4, 0.4] == pytest.approx(0.258199, abs=1e-6)


@pytest.mark.parametrize(
    "counts", [[5, 0, 7, 1, 30, 2], [1, 1], [3] * 20, [0, 0, 10, 1]]
)
def test_contrasts_have_mean_zero_and_variance_one_in_the_reference(
    counts: list[int],
) -> None:
    p = np.array(counts) / sum(counts)
    w = neyman_contrasts(np.array(counts))
    assert len(w) == min(4, np.count_nonzero(p) - 1)
    np.testing.assert_allclose(w @ p, 0, atol=1e-9)
    np.testing.assert_allclose((w * p) @ w.T, np.eye(len(w)), atol=1e-9)
    categories, _ = category_contrasts(np.array(counts), 0.05)
    np.testing.assert_allclose(categories @ p, 0, atol=1e-9)
    np.testing.assert_allclose((categories**2) @ p, 1, atol=1e-9)


def test_two_filled_categories_have_one_contrast() -> None:
    assert len(category_contrasts(np.array([80, 20, 0, 0]), 0.01)[0]) == 1


def test_short_references_teach_no_season() -> None:
    seasons = [season_for(hours) for hours in (1, 167, 168, 335, 336)]
    assert seasons == ["none", "none", "daily", "daily", "weekly"]
    assert [regressors(s, np.arange(5)).shape for s in ("none", "daily", "weekly")] == [
        (5, 1),
        (5, 9),
        (5, 19),
    ]


@pytest.mark.parametrize(("other", "episodes"), [("reconstruction_error", 1), ("y", 2)])
def test_reconstruction_error_calls_nobody_while_a_feature_is_open(
    other: str, episodes: int
) -> None:
    rng = np.random.default_rng(8)
    edges = stats.norm.ppf(np.arange(21) / 20)

    def hour(index: int, x: float = 0, y: float = 0) -> Hour:
        laws = (np.diff(stats.norm.cdf(edges - moved)) for moved in (x, y))
        return Hour(index, tuple(rng.multinomial(500, p) for p in laws), np.zeros(2))

    fitted = fit(
        [DetectorColumn("x", "numeric"), DetectorColumn(other, "numeric")],
        [hour(i) for i in range(336)],
    )
    machine = Shift(fitted, fitted)
    state, hours = initial_shift(machine), []
    for i in range(336, 436):
        hours.append(hour(i, 0.6 * (i >= 346), 0.3 * (i >= 386)))
        state, _ = advance_shift(machine, state, hours)
    assert len(state.episodes) == episodes
    assert state.episodes[0].lead == "x"


def test_traffic_without_change_stays_far_below_a_page() -> None:
    world = World(11, rows=300)
    fitted = fit(FEATURES, world.hours(336))
    _, signals = run(fitted, world.hours(168))
    assert max(s.evidence for s in signals) < 168


def test_reference_that_drifts_itself_is_said_and_a_steady_one_is_not() -> None:
    steady = fit(FEATURES, World(12).hours(672))
    assert not steady.trend.any()
    world = World(12)
    drifting = fit(FEATURES, world.hours(672, Change("gradual", 100, 0.5)))
    assert {
        s.feature
        for s, t in zip(drifting.streams.streams, drifting.trend, strict=True)
        if t
    } == {"x0"}


# a displaced course of the day


def episodes_of(name: str, seed: int, days: int) -> tuple[list[Episode], list[Episode]]:
    """Those that are open so many days after a change, and those that had ended by then."""
    _, (reference, _), (hours, _), at = changed_courses(name, seed)
    machine = machine_of_reference(reference)
    state, over = initial_shift(machine), list[Episode]()
    for i in range(at + days * 24):
        state, ended = advance_shift(machine, state, hours[max(0, i - 167) : i + 1])
        over += ended
        if i < at:
            assert not state.episodes and not over
    return list(state.episodes), over


@pytest.mark.parametrize("seed", [27000, pytest.param(27001, marks=pytest.mark.slow)])
def test_a_clock_six_hours_early_is_one_episode_that_stays_open(seed: int) -> None:
    (episode,), over = episodes_of("season shifted by 6 h", seed, 9)
    assert episode.displaced == -6
    assert not over


@pytest.mark.parametrize(
    "name",
    [
        "mean +0.5 sd, 1 feature",
        "mean +0.15 sd, 5 features",
        "variance x 1.3",
        "segment mix, 15 % moved",
    ],
)
def test_other_changes_are_no_displaced_course(name: str) -> None:
    episodes, over = episodes_of(name, 27002, 4)
    assert episodes or over
    assert {e.displaced for e in (*episodes, *over)} == {0}


@pytest.mark.parametrize("lag", [-9, -3, 4, 12])
def test_the_displacement_is_the_lag_of_the_course(lag: int) -> None:
    """From a noiseless day: hour t looks as hour t - lag usually does."""
    world = World(27003)
    machine = machine_of_reference(world.hours(672)).fitted
    index = np.arange(700, 748)
    values = regressors(machine.season, index - lag) @ machine.coefficients
    residuals = values - regressors(machine.season, index) @ machine.coefficients
    last = RecentResiduals(residuals, np.full(residuals.shape, 1e-4), index, index)
    columns = {stream.feature for stream in machine.streams.streams}
    found = displacement(machine, last, 700, columns)
    assert abs(found) == 12 if abs(lag) == 12 else found == lag
    assert displacement(machine, last, 730, columns) == 0  # less than a day
    assert (
        displacement(
            machine,
            RecentResiduals(residuals * 0 + 0.5, last.variances, index, index),
            700,
            columns,
        )
        == 0
    )  # another level


def test_an_episode_that_was_stored_before_it_had_a_displacement_can_be_read() -> None:
    plain = to_plain(Episode(1, 1, "x", True, "alone", (), 0.4))
    del plain["displaced"]
    assert from_plain(Episode, plain).displaced == 0
