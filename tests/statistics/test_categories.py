"""Features of very many values: a place, a product, a user.

What chance brings of them is no finding, what is more is one.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hour_stream import DAY, NOW, Change, evaluate, opened, send, traffic

from monitor.config.config import Config
from monitor.config.rule import DEFAULT_RULES
from monitor.evaluation.rules import Window, evaluate_all
from monitor.layout import Layout, layout_of_categories
from monitor.profile import Profile
from monitor.server.server import Server

RULES = [rule for rule in DEFAULT_RULES if rule.name in ("drift", "new-values")]
SAMPLES = 40


def law(values: int, zipf: bool) -> np.ndarray:
    p = 1 / np.arange(1, values + 1) if zipf else np.ones(values)
    return p / p.sum()


def layout_of(drawn: np.ndarray) -> Layout:
    found = sorted(
        Counter(drawn.tolist()).items(), key=lambda item: (-item[1], str(item[0]))
    )
    return layout_of_categories(
        [(str(value), n, n == 1) for value, n in found], len(drawn)
    )


def profile(layout: Layout, drawn: np.ndarray) -> Profile:
    bins = [
        layout.category_bins.get(str(value), layout.new_bin or 0)
        for value in drawn.tolist()
    ]
    return Profile(layout, np.bincount(bins, minlength=layout.size), rows=len(drawn))


def breaches(
    values: int, zipf: bool, reference_rows: int, strange: float = 0.0
) -> dict[str, int]:
    """How many of the samples break each rule."""
    rng, p = np.random.default_rng(11), law(values, zipf)
    found = dict.fromkeys((rule.name for rule in RULES), 0)
    for _ in range(SAMPLES):
        reference, current = (
            rng.choice(values, reference_rows, p=p),
            rng.choice(values, 2000, p=p),
        )
        current[rng.random(2000) < strange] = -1
        layout = layout_of(reference)
        now, before = ({"c": profile(layout, drawn)} for drawn in (current, reference))
        for f in evaluate_all(
            RULES, "m", now, before, {"c": "c"}, Window(NOW - DAY, NOW)
        ):
            found[f.rule] += f.verdict == "breach"
    return found


@pytest.mark.parametrize("values", [100, 1000, 10_000, 100_000])
@pytest.mark.parametrize("zipf", [False, True])
@pytest.mark.parametrize("reference_rows", [500, 2000, 20_000])
def test_nothing_changed_is_no_finding_however_many_values_there_are(
    values: int, zipf: bool, reference_rows: int
) -> None:
    found = breaches(values, zipf, reference_rows)
    assert found["drift"] == 0
    assert found["new-values"] <= 1


@pytest.mark.parametrize("values", [100, 1000])
def test_values_that_are_new_beyond_what_chance_brings_are_found(values: int) -> None:
    assert breaches(values, True, 20_000, strange=0.03)["new-values"] == SAMPLES


def test_what_chance_brings_is_told_without_bias() -> None:
    """Over many references: the share of new values, and of the values that got a bin, as they really are."""
    rng, p = np.random.default_rng(5), law(1000, zipf=False)
    unseen, new, chosen, overstated = [], [], [], []
    for _ in range(100):
        layout = layout_of(drawn := rng.choice(1000, 3000, p=p))
        unseen.append(layout.unseen)
        new.append(1 - len(layout.category_bins) / 1000)
        chosen.append(layout.chosen)
        overstated.append(
            profile(layout, drawn).shares()[:-2].sum() - len(layout.categories) / 1000
        )
    assert np.mean(unseen) == pytest.approx(np.mean(new), abs=4 * np.std(unseen) / 10)
    assert np.mean(chosen) == pytest.approx(np.mean(overstated), rel=0.25)


def test_layout_keeps_what_is_to_be_expected_and_one_without_keeps_its_id() -> None:
    found = [*((f"v{i:02}", 10, False) for i in range(51)), ("x", 1, True)]
    layout = layout_of_categories(found, 511)
    assert layout.unseen > 0
    assert layout.chosen > 0
    again = Layout.from_json(layout.to_json())
    assert (again, again.id) == (layout, layout.id)
    assert "unseen" not in Layout("categorical", (), ("a",)).to_json()


# the whole: rows of a model one of whose features has thousands of values


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with closing(opened(tmp_path, Config())) as server:
        yield server


def many_values(strange: float = 0.0, days: float = 2, zipf: bool = True) -> Change:
    p = law(3000, zipf)

    def change(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        row["features"]["c"] = f"place {rng.choice(3000, p=p)}"
        if at >= NOW - days * DAY and rng.random() < strange:
            row["features"]["c"] = f"somewhere {rng.integers(1000)}"

    return change


def about_values(server: Server) -> list[str]:
    return [a.finding.rule for a in evaluate(server) if a.finding.column in ("c", None)]


def test_ids_are_new_in_every_row_and_no_finding(server: Server) -> None:
    def change(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        row["features"]["c"] = f"order {rng.integers(10**9)}"

    send(server, traffic(change))
    assert about_values(server) == []


@pytest.mark.parametrize("zipf", [False, True])
def test_quiet_traffic_of_very_many_values_raises_no_alert(
    server: Server, zipf: bool
) -> None:
    send(server, traffic(many_values(zipf=zipf)))
    assert about_values(server) == []


def test_a_rise_of_new_values_among_very_many_is_found(server: Server) -> None:
    send(server, traffic(many_values(strange=0.3)))
    assert "detector.unseen" in about_values(server)
    (alert,) = [a for a in evaluate(server) if a.finding.rule == "detector.unseen"]
    assert alert.since - (NOW - 2 * DAY) < timedelta(hours=24)


def test_a_frequent_value_that_becomes_rare_is_found_among_very_many(
    server: Server,
) -> None:
    def change(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        many_values()(at, row, rng)
        if at >= NOW - 2 * DAY and row["features"]["c"] == "place 0":
            row["features"]["c"] = f"place {rng.integers(3000)}"

    send(server, traffic(change))
    assert "detector.inputs" in about_values(server)
