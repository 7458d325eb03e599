"""The self-test of the detector: known changes in a copy of the stored hours."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from conftest import Served
from events import event, lines
from hour_stream import DAY, NOW, before, evaluate, opened, send, state, traffic
from scipy import stats

from monitor.config.config import Config
from monitor.config.model_section import DetectorConfig, ModelConfig
from monitor.detector.selftest import (
    TURN,
    exchanged,
    failing,
    lost,
    moved,
    selftest,
    thinned,
    unseen,
)
from monitor.detector.selftest_schedule import SelfTests
from monitor.errors import InvalidRequest, NotFound, TooMany
from monitor.evaluation.evaluator import column_names
from monitor.layout import INTEGER, Layout, categorical_layout, numeric_layout
from monitor.profile import Profile
from monitor.server.server import Server
from monitor.statistics.drift.neyman import location

RNG = np.random.default_rng(1)
NUMBERS = numeric_layout(stats.norm.ppf(np.arange(1, 20) / 20), (-4.0, 4.0))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with closing(opened(tmp_path_factory.mktemp("server"))) as server:
        send(server, traffic())
        evaluate(server)
        yield server


def run(server: Server, seed: int = 1) -> dict:
    return selftest(
        server.store,
        server.scheduler.detector_runner,
        "m",
        column_names(server.store.model("m")),
        seed,
    )


def test_large_changes_are_found_and_quiet_hours_are_quiet(server: Server) -> None:
    found = run(server)
    by = {test["change"]: test for test in found["tests"]}
    assert by["mean +0.5 sd"]["found"]
    assert by["mean +0.5 sd"]["hours"] <= 24
    assert by["mean +0.5 sd"]["column"] in by["mean +0.5 sd"]["named"]
    assert by["10 % missing"]["found"]
    assert by["2 % never seen"]["found"]
    assert by["half the traffic"]["found"]
    slow, fast = by["mean +0.2 sd"], by["mean +0.5 sd"]
    assert not slow["found"] or slow["hours"] >= fast["hours"]
    assert {q["lane"]: q["pages"] for q in found["quiet"]} == dict.fromkeys(
        ["inputs", "unseen", "latency", "errors", "traffic"], 0
    )
    assert all(0 <= q["evidence"] < 1 for q in found["quiet"])


def test_the_same_seed_gives_the_same_answer_and_nothing_is_stored(
    server: Server,
) -> None:
    before = state(server)
    assert run(server, 7) == run(server, 7)
    assert state(server) == before
    assert evaluate(server) == []


def test_what_has_learned_nothing_cannot_be_tested(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as young:
        send(young, traffic(rows=2)[:500])
        with pytest.raises(InvalidRequest, match="learned nothing yet"):
            run(young)


def test_it_is_given_up_when_the_server_stops(server: Server) -> None:
    names = column_names(server.store.model("m"))
    with pytest.raises(InvalidRequest, match="the server is stopping"):
        selftest(
            server.store,
            server.scheduler.detector_runner,
            "m",
            names,
            stopping=lambda: True,
        )


def test_one_runs_at_a_time_by_hand_or_by_itself(server: Server) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    tests = SelfTests(
        server.store, Config(), server.scheduler.detector_runner, column_names
    )
    with TURN:
        with pytest.raises(
            TooMany, match="another self-test is under way; try again in a minute"
        ) as refused:
            run(server)
        assert refused.value.retry_after == 60
        assert tests.next_due(now) is None
    with pytest.raises(NotFound):
        selftest(server.store, server.scheduler.detector_runner, "nobody", {})
    assert run(server)["tests"]  # it is free again, also after one that failed


def test_who_asks_during_another_is_told_when_to_come_again(served: Served) -> None:
    served.post("/v1/events", lines(event(1)))
    served.server.scheduler.load_all()
    with TURN:
        answer = served.post("/v1/models/m/selftest", b"")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert "another self-test is under way" in answer.json()["error"]


def test_it_runs_by_itself_once_a_week_and_is_kept(server: Server) -> None:
    model, now = server.store.model("m"), datetime(2026, 11, 24, tzinfo=UTC)
    tests = server.scheduler.tests
    assert tests.next_due(now) == "m"
    kept = server.scheduler.detector_runner.detector_store.selftest(model.id)
    assert kept is not None
    assert datetime.fromisoformat(kept["at"]) == now
    assert [t["change"] for t in kept["tests"]] == [
        t["change"] for t in run(server)["tests"]
    ]
    assert tests.next_due(now + timedelta(days=6, hours=23)) is None
    assert tests.next_due(now + timedelta(days=7)) == "m"
    server.scheduler.note_reference("m")
    assert server.scheduler.detector_runner.detector_store.selftest(model.id) is None


def test_a_detector_that_still_learns_is_asked_again_after_hours_and_one_that_is_off_never(
    tmp_path: Path,
) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    with closing(opened(tmp_path)) as young:
        send(young, traffic(rows=2)[:500])
        evaluate(young)
        tests = young.scheduler.tests
        assert [tests.next_due(now + timedelta(hours=h)) for h in (0, 1, 6)] == [
            "m",
            None,
            "m",
        ]
        off = SelfTests(
            young.store,
            Config(models={"m": ModelConfig(detector=DetectorConfig(selftest_days=0))}),
            young.scheduler.detector_runner,
            column_names,
        )
        assert off.next_due(now) is None


def test_a_detector_that_goes_through_its_history_is_tested_afterwards(
    tmp_path: Path,
) -> None:
    rows, clock = traffic(), [NOW - 3 * DAY]
    with closing(opened(tmp_path, now=lambda: clock[0])) as busy:
        send(busy, before(rows, NOW - 3 * DAY))
        evaluate(busy)
        send(
            busy,
            [row for row in rows if datetime.fromisoformat(row["ts"]) >= NOW - 3 * DAY],
        )
        assert busy.scheduler.tests.next_due(NOW) is None
        clock[0] = NOW
        evaluate(busy)
        assert busy.scheduler.tests.next_due(NOW + timedelta(minutes=1)) is None
        assert busy.scheduler.tests.next_due(NOW + timedelta(minutes=5)) == "m"


def profile(layout: Layout, counts: np.ndarray) -> Profile:
    counts = np.asarray(counts, dtype=np.int64)
    return Profile(layout, counts, int(counts.sum()))


@pytest.mark.parametrize("size", [0.1, 0.2, 0.5])
def test_moving_moves_by_that_many_sd(size: float) -> None:
    p = profile(NUMBERS, [0, *[5000] * 20, 0])
    after = moved(p, size, RNG)
    assert after.n == p.n
    assert location(p.inner().counts, after.inner().counts) == pytest.approx(
        size, rel=0.1
    )


def test_every_row_is_still_accounted_for() -> None:
    numbers = profile(NUMBERS, [0, *[50] * 20, 0])
    names = profile(categorical_layout(list("abc")), [600, 300, 100, 0, 0])
    status = np.zeros(INTEGER.size)
    status[200], status[503] = 990, 10
    for change, p in (
        (lost, numbers),
        (exchanged, names),
        (unseen, names),
        (unseen, numbers),
        (failing, profile(INTEGER, status)),
        (thinned, numbers),
    ):
        after = change(p, 0.1, RNG)
        assert after.rows == after.missing + after.invalid + after.n
        assert (after.counts >= 0).all()
        assert after.rows == p.rows or change is thinned
    assert exchanged(names, 0.05, RNG).counts[0] < 600
    assert unseen(names, 0.5, RNG).counts[-1] > 400
