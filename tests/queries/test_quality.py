"""Labels: coverage, delay, and sampling bias."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from events import NDJSON

from monitor.config.config import Config
from monitor.detector.label_delay import overdue, usual_delay, waits_at
from monitor.detector.lanes.lane import LaneWindow
from monitor.layout import INTEGER, SECONDS, UNIT, ZERO_ONE
from monitor.profile import Profile
from monitor.queries.figures.overview import read_overview
from monitor.queries.figures.quality import label_bias
from monitor.queries.figures.selection import Selection
from monitor.queries.time_range import parse_time_range
from monitor.schema import LABEL_DELAY, LABELLED_PREDICTION
from monitor.server.server import Server

NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
HOUR = timedelta(hours=1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, Config(default_rules=False))
    server.scheduler.clock = lambda: NOW
    server.start(background=False)
    with closing(server):
        yield server


def events(n: int = 3000) -> list[dict[str, Any]]:
    rng = np.random.default_rng(8)
    return [
        {
            "event_id": f"e{i}",
            "model": "loans",
            "ts": (NOW - timedelta(hours=100) + timedelta(seconds=i * 100)).isoformat(),
            "features": {"income": float(rng.normal())},
            "prediction": float(rng.random()),
        }
        for i in range(n)
    ]


def labels(rows: list[dict[str, Any]], after: timedelta) -> list[dict[str, Any]]:
    return [
        {
            "event_id": row["event_id"],
            "model": "loans",
            "label": int(row["prediction"] >= 0.5),
            "ts": (datetime.fromisoformat(row["ts"]) + after).isoformat(),
        }
        for row in rows
    ]


def send(
    server: Server, rows: list[dict[str, Any]], of: list[dict[str, Any]]
) -> dict[str, Any]:
    """Send events and labels; return the prediction error of the overview."""
    for i in range(0, len(rows), 5000):
        server.collector.events(lines(rows[i : i + 5000]), NDJSON).durable.result(60)
    server.scheduler.load_all()
    server.store.references.make_provisional(NOW)
    server.collector.labels(lines(of), NDJSON).durable.result(60)
    server.scheduler.load_all()
    time_range = parse_time_range(None, None, None, NOW, HOUR)
    body = read_overview(
        server.store, server.config, Selection("loans", time_range), NOW, 0
    )
    part: dict[str, Any] = body["prediction_error"]
    return part


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def test_label_delay_is_measured_from_the_times_of_labels(server: Server) -> None:
    rows = events()
    part = send(
        server, rows, labels(rows[:1000], HOUR) + labels(rows[1000:1500], 10 * HOUR)
    )
    assert part["coverage"] == pytest.approx(0.5)
    # the upper end of the bin: at most half as much again
    assert 3600 <= part["delay_p50_s"] <= 5400
    assert 36_000 <= part["delay_p95_s"] <= 54_000


def test_labels_of_every_other_prediction_are_unbiased(server: Server) -> None:
    rows = events()
    bias = send(server, rows, labels(rows[::2], HOUR))["label_bias"]
    assert not bias["biased"]
    assert bias["low"] == 0
    assert bias["n"] == pytest.approx(bias["n_all"] / 2, abs=2)


def test_few_unlabelled_predictions_are_no_bias(
    server: Server,
) -> None:
    """Labels of 97% are enough, though the others are all low, such as cancelled flights."""
    rows = events()
    bias = send(
        server, rows, labels([row for row in rows if row["prediction"] > 0.03], HOUR)
    )["label_bias"]
    assert not bias["biased"]


def test_labels_of_high_predictions_only_are_biased(server: Server) -> None:
    rows = events()
    bias = send(
        server, rows, labels([row for row in rows if row["prediction"] > 0.4], HOUR)
    )["label_bias"]
    assert bias["biased"]
    assert bias["low"] > 0.1


def test_hours_whose_labels_are_not_due_are_no_bias(
    server: Server,
) -> None:
    rows = events(3600)
    # the last twenty hours are predicted otherwise, and their labels take a day
    for row in rows[-720:]:
        row["prediction"] = 0.9 + row["prediction"] / 10
    bias = send(server, rows, labels(rows[:-720:2], timedelta(hours=20)))["label_bias"]
    assert not bias["biased"]


def test_few_labels_give_no_bias(server: Server) -> None:
    rows = events()
    assert send(server, rows, labels(rows[:50], HOUR))["label_bias"] is None


def test_bias_of_known_counts() -> None:
    counts = np.zeros(UNIT.size, dtype=np.int64)
    counts[10], counts[20] = 3000, 3000
    labelled_counts = np.zeros(UNIT.size, dtype=np.int64)
    labelled_counts[10], labelled_counts[20] = 500, 1500
    result = label_bias(
        {
            "prediction": Profile(UNIT, counts, 6000),
            LABELLED_PREDICTION: Profile(UNIT, labelled_counts, 2000),
        }
    )
    # shares 1/4 and 3/4 with a label, 1/2 of all: (1/2 - 1/4) ln 2 + (3/4 - 1/2) ln 1.5
    # = .2747
    assert result is not None
    # the counts are smoothed by half a row
    assert result["value"] == pytest.approx(0.2747, abs=5e-3)
    assert result["biased"]


def test_a_corrected_label_replaces_its_delay_and_a_rebuild_gives_the_same(
    server: Server,
) -> None:
    rows = events()
    send(server, rows, labels(rows, HOUR))
    send_again = labels(rows[:100], 30 * HOUR)
    server.collector.labels(lines(send_again), NDJSON).durable.result(60)
    server.scheduler.load_all()
    before = stored(server)
    assert before[LABEL_DELAY].n == before[LABELLED_PREDICTION].n == len(rows)
    late = before[LABEL_DELAY].counts[SECONDS.index(29 * 3600.0) :].sum()
    assert late == 100
    server.store.rebuild(["loans"])
    after = stored(server)
    for column, profile in before.items():
        assert (profile.counts == after[column].counts).all(), column


def hours(
    labelled: list[int], delay_hours: float = 2
) -> list[tuple[datetime, LaneWindow]]:
    """Return an hour of 100 rows for each entry, which is the number of its labels."""
    result = []
    for i, n in enumerate(labelled):
        delays = np.zeros(SECONDS.size, dtype=np.int64)
        delays[SECONDS.index(delay_hours * 3600)] = n
        profiles = {
            "status": Profile(INTEGER, np.zeros(INTEGER.size, dtype=np.int64), 100),
            "wrong": Profile(ZERO_ONE, np.zeros(2, dtype=np.int64), n),
            LABEL_DELAY: Profile(SECONDS, delays, n),
        }
        result.append((NOW + i * HOUR, LaneWindow(i, False, profiles)))
    return result


@pytest.mark.parametrize(
    ("labelled", "stands"),
    [
        ([90] * 40, 40),  # all have come
        # two hours and a quarter at most, so three of the last four are waited for
        ([90] * 36 + [0] * 4, 37),
        ([90] * 36 + [0, 90, 0, 0], 38),
        ([90] * 10 + [30] * 30, 37),  # fewer come than before
        ([90] * 10 + [30] * 27 + [80] * 3, 40),  # 80 of 90 is as usual
        ([0] * 40, 5),  # none was ever there: the first hour that is to be judged waits
    ],
)
def test_hours_are_waited_for_as_long_as_labels_usually_take(
    labelled: list[int], stands: int
) -> None:
    result = hours(labelled)
    assert waits_at(result, "wrong", NOW + 5 * HOUR, NOW + len(result) * HOUR) == stands


def test_without_known_delays_hours_are_waited_for_until_later_ones_have_come() -> None:
    result = hours([90] * 10 + [30] * 30 + [90])
    for _, window in result:
        window.profiles[LABEL_DELAY].counts[:] = 0
    # what is more than a day older than the newest with labels is given up
    assert waits_at(result, "wrong", NOW, NOW + 41 * HOUR) == 16


def delays_of(hours: float, n: int = 1000) -> Profile:
    counts = np.zeros(SECONDS.size, dtype=np.int64)
    counts[SECONDS.index(hours * 3600)] = n
    return Profile(SECONDS, counts, n)


def test_labels_that_come_as_late_as_the_limits_allow_have_a_delay() -> None:
    """`max_age_days` goes to a century: a bin without an end would have no time."""
    century = 36_600 * 24.0
    assert (
        timedelta(hours=century)
        <= usual_delay([delays_of(century)])
        <= timedelta(hours=1.5 * century)
    )
    assert (
        overdue(NOW, delays_of(century), (1000, 1000), lambda a, b: 0, NOW + 24 * HOUR)
        is None
    )


@pytest.mark.parametrize(
    ("age", "delay", "labelled", "rows", "is_told"),
    [
        (24, delays_of(3), 1000, 100, True),
        (12, delays_of(3), 1000, 100, False),  # twice three hours and a bit, and six
        # too few predictions to expect 20 labels of
        (24, delays_of(3), 1000, 19, False),
        # one in a hundred has a label: ten are to be expected
        (24, delays_of(3), 10, 1000, False),
        (24, delays_of(3, 99), 1000, 100, False),  # nothing is usual yet
        (240, delays_of(160), 1000, 100, False),  # once a week
    ],
)
def test_labels_are_overdue_when_many_should_have_come(
    age: float, delay: Profile, labelled: int, rows: int, is_told: bool
) -> None:
    result = overdue(NOW, delay, (labelled, 1000), lambda a, b: rows, NOW + age * HOUR)
    assert (result is not None) == is_told
    if result is not None:
        assert (result.since, result.rows) == (NOW, rows)
        assert 12 * HOUR <= result.allowed <= 15 * HOUR


def stored(server: Server) -> dict[str, Profile]:
    start, end = (
        (NOW - timedelta(days=10)).replace(tzinfo=None),
        NOW.replace(tzinfo=None),
    )
    wanted = (LABEL_DELAY, LABELLED_PREDICTION, "wrong")
    return {
        c: p[0]
        for c, p in server.store.profiles("loans", start, end, columns=wanted).items()
    }
