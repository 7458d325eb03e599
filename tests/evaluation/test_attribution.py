"""What is behind a change: made-up segments whose mix, whose own columns, or whose season changed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from monitor.evaluation.attribution import (
    Attribution,
    SegmentPart,
    distance,
    explain_change,
)
from monitor.layout import Layout, numeric_layout
from monitor.profile import Profile

LAYOUT: Layout = numeric_layout(np.arange(-1.8, 1.9, 0.2))
LEVELS = {"k=a": -0.5, "k=b": 0.0, "k=c": 1.0}
BEFORE = {"k=a": 6000, "k=b": 3000, "k=c": 1000}


def profile(n: int, level: float, seed: int) -> Profile:
    x = np.random.default_rng(seed).normal(level, 1, n)
    return Profile(LAYOUT, np.bincount(LAYOUT.bins_of(x), minlength=LAYOUT.size), n)


def whole(parts: Sequence[Mapping[str, Profile]]) -> dict[str, Profile]:
    return {c: sum((p[c] for p in parts[1:]), parts[0][c]) for c in parts[0]}


def asked(
    after: Mapping[str, int],
    moved: Mapping[str, float] | None = None,
    year_ago: float | None = None,
    seed: int = 1,
) -> Attribution | None:
    """Rows after the change by segment, by how much x rose in some, and the level a year ago; y stays what it is."""
    parts = []
    for i, (name, level) in enumerate(LEVELS.items()):
        rise = (moved or {}).get(name, 0.0)
        own = [
            {
                "x": profile(n, level + d, seed + 10 * i + j),
                "y": profile(n, 0, seed + 100 + 10 * i + j),
            }
            for j, (n, d) in enumerate([(BEFORE[name], 0.0), (after[name], rise)])
        ]
        parts.append(SegmentPart(name, BEFORE[name], after[name], *own))
    then = (
        {}
        if year_ago is None
        else {"x": profile(8000, year_ago, seed + 7), "y": profile(8000, 0, seed + 8)}
    )
    return explain_change(
        ["x", "y"],
        whole([p.before for p in parts]),
        whole([p.after for p in parts]),
        {"k": parts},
        then,
    )


@pytest.mark.parametrize("seed", range(5))
def test_more_rows_of_one_segment_are_another_mix(seed: int) -> None:
    found = asked({"k=a": 3000, "k=b": 3000, "k=c": 4000}, seed=1000 * seed)
    assert found is not None
    assert found.cause == "mix"
    assert found.segment in ("k=a (60% → 30%)", "k=c (10% → 40%)")


@pytest.mark.parametrize("seed", range(5))
def test_one_segment_that_changed_is_named(seed: int) -> None:
    assert asked(BEFORE, {"k=b": 1.0}, seed=1000 * seed) == Attribution(
        "segment", "k=b"
    )


@pytest.mark.parametrize("seed", range(5))
def test_all_segments_that_changed_are_none(seed: int) -> None:
    assert asked(BEFORE, dict.fromkeys(LEVELS, 0.6), seed=1000 * seed) is None


@pytest.mark.parametrize("seed", range(5))
def test_nothing_that_changed_has_nothing_behind_it(seed: int) -> None:
    assert asked(BEFORE, seed=1000 * seed) is None


def test_the_largest_segment_is_the_whole_and_not_one_of_its_parts() -> None:
    assert asked(BEFORE, {"k=a": 1.0}) is None


def test_what_was_so_a_year_ago_is_the_season() -> None:
    after = {"k=a": 100, "k=b": 8000, "k=c": 100}
    assert asked(after, {"k=b": 0.8}, year_ago=0.8) == Attribution("season")
    assert asked(BEFORE, {"k=b": 1.0}, year_ago=-2.0) == Attribution("segment", "k=b")


def test_a_segment_that_is_new_explains_nothing() -> None:
    parts = [
        SegmentPart(
            "k=a", 9000, 5000, {"x": profile(9000, 0, 1)}, {"x": profile(5000, 0, 2)}
        ),
        SegmentPart(
            "k=new", 0, 5000, {"x": profile(0, 0, 3)}, {"x": profile(5000, 2, 4)}
        ),
    ]
    found = explain_change(
        ["x"],
        whole([p.before for p in parts]),
        whole([p.after for p in parts]),
        {"k": parts},
        {},
    )
    assert found is None


@pytest.mark.parametrize("nothing", [[], ["z"]])
def test_columns_without_profiles_have_nothing_behind_them(nothing: list[str]) -> None:
    assert explain_change(nothing, {}, {}, {"k": []}, {}) is None


def test_the_distance_is_zero_on_average_without_a_change() -> None:
    rng, p = np.random.default_rng(3), np.full(20, 0.05)
    found = [
        distance(
            rng.multinomial(2000, p) / 2000, rng.multinomial(500, p) / 500, (2000, 500)
        )[0]
        for _ in range(400)
    ]
    assert abs(float(np.mean(found))) < 3 * float(np.std(found)) / 20
