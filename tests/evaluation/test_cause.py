"""Causes: each rule by made-up changes, one cause instead of two, and what matters most first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import sqrt

import pytest

from monitor.evaluation.cause import cause_of, causes
from monitor.finding import Finding, Moved
from monitor.finding_text import text_of

T0 = datetime(2026, 11, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def moved(column: str, contrast: str = "location", size: float = 0.4) -> Moved:
    return Moved(column, contrast, size, size - 0.1, size + 0.1)


def change(
    *what: Moved,
    statistic: str = "inputs_change",
    column: str | None = "",
    cause: str | None = None,
) -> Finding:
    lead = what[0].column if column == "" and what else column or None
    found = Finding(
        model="m",
        rule="detector.inputs",
        statistic=statistic,
        column=lead,
        verdict="breach",
        value=what[0].size if what else 0.1,
        low=None,
        high=None,
        unit="sd",
        limit=0.05,
        warn=None,
        compare="value",
        direction="above",
        reference_value=None,
        n=500,
        n_reference=0,
        minimum=0,
        window_start=T0,
        window_end=T0 + 5 * HOUR,
        moved=what,
    )
    return replace(found, cause=cause_of(found, 10) if cause is None else cause)


def rule(statistic: str, column: str, value: float) -> Finding:
    return replace(
        change(statistic=statistic, column=column, cause=""),
        value=value,
        rule=statistic,
    )


def no_importance(column: str) -> float | None:
    return None


@pytest.mark.parametrize(
    ("expected", "finding"),
    [
        ("missing", change(moved("y", "missing", 0.3))),
        ("change", change(moved("y", "missing", 0.03))),
        ("missing", change(moved("x"), moved("y", "missing", 0.3))),
        ("unit", change(moved("x", "location", 2.1), moved("x", "scale", 2.4))),
        ("unit", change(moved("x", "location", -2.1), moved("x", "scale", 2.4))),
        ("change", change(moved("x", "location", 2.1), moved("x", "scale", 1.9))),
        ("change", change(moved("x", "location", 2.1), moved("z", "scale", 2.4))),
        ("relation", change(moved("reconstruction_error", size=1.2))),
        (
            "relation",
            change(
                moved("reconstruction_error"), moved("reconstruction_error", "scale")
            ),
        ),
        ("change", change(moved("reconstruction_error"), moved("x"), moved("z"))),
        (
            "unit",
            change(
                moved("reconstruction_error", size=3.0),
                moved("x", size=2.1),
                moved("x", "scale", 2.4),
            ),
        ),
        ("mix", change(column=None)),
        ("mix", change(*(moved(f"x{i}", size=0.2) for i in range(5)))),
        ("upstream", change(*(moved(f"x{i}", size=0.2) for i in range(4)))),
        (
            "upstream",
            change(
                moved("x0", size=0.8), *(moved(f"x{i}", size=0.2) for i in range(1, 5))
            ),
        ),
        ("change", change(moved("x"), moved("x", "scale"), moved("z"))),
        ("change", change(moved("latency_ms"), statistic="latency_change")),
        ("change", change(moved("status", "error rate", 0.2), statistic="error_rise")),
    ],
)
def test_kind_of_one_change(expected: str, finding: Finding) -> None:
    assert finding.cause == expected


def test_a_column_of_one_value_is_stuck_when_it_also_moved() -> None:
    moves = (
        moved("x", "scale", -0.7),
        moved("y", "location", 0.2),
        moved("z", "unseen", 0.9),
    )
    for constant, expected in (
        ({"x"}, "constant"),
        ({"y"}, "upstream"),
        ({"z"}, "upstream"),
        ((), "upstream"),
    ):
        assert cause_of(change(*moves), 8, constant) == expected
    assert cause_of(change(*moves, moved("w", "missing", 0.3)), 8, {"x"}) == "missing"


def renamed(
    share: float, lost: float, later: timedelta = timedelta(0)
) -> list[Finding]:
    """Values never seen before take `share` of the rows, and the category of share `lost` is gone."""
    gone = change(moved("c", "category", -sqrt(lost / (1 - lost))), moved("x"))
    return [
        gone,
        replace(
            change(moved("c", "unseen", share), statistic="unseen_values"),
            window_start=T0 + later,
        ),
    ]


def test_category_with_another_name_is_one_cause_and_leaves_the_rest_of_the_change() -> (
    None
):
    found = causes(renamed(0.3, 0.32), no_importance)
    assert {(c.kind, c.columns) for c in found} == {
        ("renamed", ("c",)),
        ("change", ("x",)),
    }


@pytest.mark.parametrize(
    "findings", [renamed(0.05, 0.3), renamed(0.3, 0.3, 7 * HOUR), renamed(0.3, 0.3)[1:]]
)
def test_new_values_without_a_lost_category_of_their_share_and_time_are_a_change(
    findings: list[Finding],
) -> None:
    assert "renamed" not in {c.kind for c in causes(findings, no_importance)}


def test_finding_of_a_rule_belongs_to_the_change_that_names_its_column() -> None:
    found = causes(
        [rule("psi", "x", 0.4), rule("psi", "z", 0.3), change(moved("x"))],
        no_importance,
    )
    assert [(c.kind, c.columns) for c in found] == [
        ("change", ("x",)),
        ("change", ("z",)),
    ]


def test_missing_values_of_a_rule_are_a_fault_of_the_data() -> None:
    (cause,) = causes([rule("missing_rate", "y", 0.2)], no_importance)
    assert cause.kind == "missing"
    assert cause.text.startswith("y: missing values; fix the data source")


def test_columns_that_miss_values_are_one_cause() -> None:
    (cause,) = causes(
        [rule("missing_rate", "y", 0.2), change(moved("z", "missing", 0.5))],
        no_importance,
    )
    assert (cause.kind, cause.columns, cause.weight) == (
        "missing",
        ("z", "y"),
        pytest.approx(1.2),
    )


def test_what_matters_most_is_first() -> None:
    findings = [
        change(moved("small", size=0.9)),
        change(moved("great", size=0.3)),
        change(moved("y", "missing", 0.1)),
    ]
    weights = {"small": 0.05, "great": 0.9, "y": 0.05}
    assert [c.columns for c in causes(findings, weights.get)] == [
        ("great",),
        ("small",),
        ("y",),
    ]
    assert [c.columns for c in causes(findings, no_importance)] == [
        ("small",),
        ("great",),
        ("y",),
    ]


def test_what_is_over_or_in_a_segment_or_fine_has_no_cause() -> None:
    over = replace(change(moved("x")), verdict="ok")
    inside = replace(rule("psi", "x", 0.4), segment="region=eu")
    assert causes([over, inside], no_importance) == []


def test_cause_stands_in_the_sentence_only_when_there_is_one_to_tell() -> None:
    assert text_of(change(moved("y", "missing", 0.3))) == (
        "y: missing values +30.0 points since 2026-11-20 00:00 UTC. "
        "Likely cause: missing values; fix the data source before retraining"
    )
    assert text_of(change(moved("x"))) == "x: mean +0.40 sd since 2026-11-20 00:00 UTC"
    assert text_of(change(column=None)).endswith(
        ". Likely cause: the traffic mix changed"
    )


def test_the_reconstruction_error_is_a_cause_only_where_no_feature_changed() -> None:
    alone = causes([rule("psi", "reconstruction_error", 0.4)], no_importance)
    assert [(c.kind, c.columns) for c in alone] == [
        ("relation", ("reconstruction_error",))
    ]
    both = causes(
        [rule("psi", "reconstruction_error", 0.9), rule("psi", "x", 0.4)], no_importance
    )
    assert [(c.kind, c.columns) for c in both] == [("change", ("x",))]
    seen = change(moved("reconstruction_error", size=1.5), moved("x"))
    (cause,) = causes([seen, rule("psi", "reconstruction_error", 0.9)], no_importance)
    assert cause.columns == ("x",)


def test_a_drifted_prediction_does_not_hide_that_features_go_together_in_another_way() -> (
    None
):
    found = causes(
        [rule("psi", "prediction", 0.3), rule("psi", "reconstruction_error", 0.9)],
        no_importance,
    )
    assert {c.kind for c in found} == {"change", "relation"}
