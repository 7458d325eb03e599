"""Rules and alerts: what makes a breach, and how an alert lives."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from findings import T0, WINDOW, finding, rule, status
from hypothesis import given
from hypothesis import strategies as st

from monitor.alert import Alert, Hold, advance
from monitor.config.rule import RuleConfig
from monitor.evaluation.rules import evaluate
from monitor.evaluation.verdict import decide
from monitor.finding import Verdict
from monitor.finding_text import text_of
from monitor.layout import ZERO_ONE, categorical_layout
from monitor.profile import Profile, empty, of_counts
from monitor.server.model_evaluation import moments_between


def verdict(r: RuleConfig, reference: Profile | None, current: Profile) -> Verdict:
    return evaluate(r, "m", "x", reference, current, WINDOW).verdict


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        (0, 0, "no_data"),
        # 99 rows, 100 needed: half of them failing is still no verdict
        (50, 49, "insufficient"),
        (9700, 300, "breach"),  # 3 %, at least 2.7 %
        (970, 30, "warn"),  # 3 %, but 2.03 % … no: the bound is what counts
        (975, 25, "warn"),  # 2.5 %: above the limit, its bound is not
        (999, 1, "ok"),
    ],
)
def test_a_breach_needs_the_bound_beyond_the_limit_and_enough_rows(
    good: int, bad: int, expected: Verdict
) -> None:
    if (good, bad) == (970, 30):
        assert evaluate(
            rule("error_rate", 0.02), "m", None, None, status(970, 30), WINDOW
        ).low == pytest.approx(0.0203, abs=1e-4)
        expected = "breach"
    assert verdict(rule("error_rate", 0.02), None, status(good, bad)) == expected


def test_below_the_minimum_is_never_ok() -> None:
    for good in range(1, 100):
        assert verdict(rule("error_rate", 0.5), None, status(good, 0)) == "insufficient"
    assert verdict(rule("error_rate", 0.5, minimum=10), None, status(20, 0)) == "ok"


def test_without_reference_a_comparison_is_learning() -> None:
    assert verdict(rule("psi", 0.2), None, of_counts(500, 500)) == "learning"
    assert (
        verdict(rule("psi", 0.2), empty(of_counts(1).layout), of_counts(500))
        == "learning"
    )
    assert (
        verdict(rule("wrong_share", 0.05), None, of_counts(500, 500, layout=ZERO_ONE))
        == "learning"
    )
    assert (
        verdict(
            rule("wrong_share", 0.4, compare="value"),
            None,
            of_counts(500, 500, layout=ZERO_ONE),
        )
        == "breach"
    )


def test_an_increase_is_held_against_the_reference() -> None:
    reference = of_counts(80, 0, missing=20)
    many, few = of_counts(7000, 0, missing=3000), of_counts(70, 0, missing=30)
    assert (
        verdict(rule("missing_rate", 0.05), reference, of_counts(8000, 0, missing=2000))
        == "ok"
    )
    assert (
        verdict(rule("missing_rate", 0.05), of_counts(8000, 0, missing=2000), many)
        == "breach"
    )
    assert (
        verdict(rule("missing_rate", 0.05), of_counts(8000, 0, missing=2000), few)
        == "warn"
    )
    # a small reference is uncertain too
    assert verdict(rule("missing_rate", 0.05), reference, many) == "warn"


def test_a_limit_from_below() -> None:
    quiet = rule("volume", 100, direction="below")
    assert verdict(quiet, None, status(0, 0)) == "breach"
    assert verdict(quiet, None, status(95, 0)) == "warn"
    assert verdict(quiet, None, status(500, 0)) == "ok"


def test_values_that_are_all_new_are_insufficient_for_psi_and_a_breach_for_new_values() -> (
    None
):
    layout = categorical_layout(["a", "b"])
    reference, current = (
        of_counts(500, 500, 0, 0, layout=layout),
        of_counts(0, 0, 0, 900, layout=layout),
    )
    assert verdict(rule("psi", 0.2), reference, current) == "insufficient"
    assert verdict(rule("new_category_share", 0.01), reference, current) == "breach"


def test_every_verdict_has_its_sentence() -> None:
    cases = [status(0, 0), status(5, 5), status(9000, 1000), status(1000, 0)]
    texts = [
        text_of(evaluate(rule("error_rate", 0.02), "m", None, None, c, WINDOW))
        for c in cases
    ]
    assert "no rows between 2026-11-21 00:00 UTC" in texts[0]
    assert texts[1] == "Request error rate: insufficient data, 10 of 100 rows"
    assert texts[2] == "Request error rate 10.0% (95% CI 9.4% to 10.6%), limit 2.0%"
    assert texts[3].startswith("Request error rate 0.0%")


# alerts


def play(
    verdicts: list[Verdict],
    hold: Hold = Hold(),  # noqa: B008
) -> tuple[list[str], dict[Any, Alert]]:
    """The states that a row of hourly findings goes through."""
    opened: dict[Any, Alert] = {}
    path = []
    for i, v in enumerate(verdicts):
        alerts, transitions = advance(
            opened, [finding(v)], T0 + timedelta(hours=i), {"r": hold}
        )
        path += [f"{t.after}@{i}" for t in transitions]
        for alert in alerts:
            opened[alert.key] = alert
            if alert.state == "resolved":
                del opened[alert.key]
    return path, opened


def test_an_alert_fires_at_once_and_resolves_when_it_is_over() -> None:
    path, opened = play(["ok", "breach", "breach", "warn", "ok"])
    assert path == ["pending@1", "firing@1", "resolved@3"]
    assert not opened


def test_hold_keeps_it_pending_and_a_pending_one_that_passes_is_never_firing() -> None:
    hold = Hold(fire=timedelta(hours=2))
    assert play(["breach"] * 4, hold)[0] == ["pending@0", "firing@2"]
    assert play(["breach", "breach", "ok", "breach"], hold)[0] == [
        "pending@0",
        "resolved@2",
        "pending@3",
    ]


def test_clear_waits_before_it_resolves_and_a_new_breach_starts_the_wait_again() -> (
    None
):
    hold = Hold(clear=timedelta(hours=2))
    assert play(["breach", "ok", "breach", "ok", "ok", "ok"], hold)[0] == [
        "pending@0",
        "firing@0",
        "resolved@5",
    ]


@pytest.mark.parametrize("silent", ["no_data", "insufficient", "learning"])
def test_no_data_neither_opens_nor_ends_an_alert(silent: Verdict) -> None:
    assert play([silent, silent])[0] == []
    path, opened = play(["breach", silent, silent])
    assert path == ["pending@0", "firing@0"]
    assert next(iter(opened.values())).count == 1


@given(
    st.lists(
        st.sampled_from(
            ["ok", "warn", "breach", "no_data", "insufficient", "learning"]
        ),
        max_size=25,
    ),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_a_round_done_twice_is_done_once(
    verdicts: list[Verdict], fire: int, clear: int
) -> None:
    hold = Hold(timedelta(hours=fire), timedelta(hours=clear))
    path, opened = play(verdicts, hold)
    again, opened_again = play(verdicts, hold)
    assert path == again
    assert {a.id for a in opened.values()} == {a.id for a in opened_again.values()}
    states = [p.split("@")[0] for p in path]
    for before, after in pairwise(states):
        assert (before, after) in {
            ("pending", "firing"),
            ("pending", "resolved"),
            ("firing", "resolved"),
            ("resolved", "pending"),
        }


def test_the_peak_is_kept() -> None:
    opened: dict[Any, Alert] = {}
    for i, value in enumerate((0.3, 0.9, 0.4)):
        (alert,), _ = advance(
            opened, [finding("breach", value)], T0 + timedelta(hours=i)
        )
        opened[alert.key] = alert
    assert alert.peak == 0.9
    assert alert.count == 3


# verdict and time


def test_a_model_is_as_bad_as_its_worst_judged_finding_and_never_ok_without_one() -> (
    None
):
    assert decide([], {}).status == "no_data"
    assert decide([finding("insufficient"), finding("no_data")], {}).status == "no_data"
    assert decide([finding("insufficient"), finding("ok")], {}).status == "ok"
    worst = decide(
        [
            finding("ok"),
            finding("warn"),
            finding("breach", column="a"),
            finding("breach", 0.9, column="b"),
        ],
        {},
    )
    assert worst.status == "breach"
    assert [f.column for f in worst.reasons][:2] == ["b", "a"]


@given(st.integers(0, 60 * 24 * 60))
def test_moments_go_forward_to_the_newest_minute(minutes: int) -> None:
    moments = moments_between(T0 - timedelta(minutes=minutes), T0)
    assert moments == sorted(set(moments))
    assert not moments if minutes == 0 else moments[-1] == T0
    assert len(moments) <= 60 + 49 + 2


# power


def test_green_says_what_it_would_have_seen_and_that_is_a_breach() -> None:
    found = evaluate(rule("error_rate", 0.02), "m", None, None, status(999, 1), WINDOW)
    assert found.detectable == 0.03
    assert text_of(found).endswith(
        "limit 2.0%; with these rows a breach shows from 3.0% on"
    )
    assert verdict(rule("error_rate", 0.02), None, status(970, 30)) == "breach"
    assert verdict(rule("error_rate", 0.02), None, status(971, 29)) != "breach"


def test_what_an_increase_needs_is_said_in_the_statistics_own_unit() -> None:
    reference, current = of_counts(980, missing=20), of_counts(490, missing=10)
    found = evaluate(rule("missing_rate", 0.05), "m", "x", reference, current, WINDOW)
    assert found.verdict == "ok"
    assert found.detectable is not None
    assert (
        f"limit 5.0% above the reference; with these rows a breach shows from {found.detectable:.1%}"
        in text_of(found)
    )
    missing = round(found.detectable * 500)
    assert (
        verdict(
            rule("missing_rate", 0.05),
            reference,
            of_counts(500 - missing, missing=missing),
        )
        == "breach"
    )
    assert (
        verdict(
            rule("missing_rate", 0.05),
            reference,
            of_counts(501 - missing, missing=missing - 1),
        )
        != "breach"
    )


def test_a_true_drift_of_the_detectable_size_is_seen_about_half_of_the_time() -> None:
    rng = np.random.default_rng(3)
    p = np.full(10, 0.1)
    found = evaluate(
        rule("psi", 0.05),
        "m",
        "x",
        of_counts(*rng.multinomial(50_000, p)),
        of_counts(*rng.multinomial(1000, p)),
        WINDOW,
    )
    assert found.verdict == "ok"
    tilt = next(
        t
        for t in np.linspace(0, 0.9, 900)
        if _psi(p, p * (1 + t * np.linspace(-1, 1, 10))) >= (found.detectable or 1)
    )
    q = p * (1 + tilt * np.linspace(-1, 1, 10))
    seen = sum(
        verdict(
            rule("psi", 0.05),
            of_counts(*rng.multinomial(50_000, p)),
            of_counts(*rng.multinomial(1000, q)),
        )
        == "breach"
        for _ in range(200)
    )
    assert 70 <= seen <= 130  # 93


def _psi(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.sum((q - p) * np.log(q / p)))


def test_with_too_few_rows_for_any_breach_nothing_is_promised() -> None:
    assert (
        evaluate(
            rule("volume", 1, direction="below"), "m", None, None, status(3, 0), WINDOW
        ).detectable
        is None
    )
    assert (
        evaluate(
            rule("error_rate", 0.99, minimum=1), "m", None, None, status(9, 0), WINDOW
        ).detectable
        is None
    )
