"""The detector over stored hours: learning, watching, late rows, restarts, acceptance, and the parts it is made of."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from events import NDJSON
from hour_stream import (
    DAY,
    HOUR,
    NOW,
    START,
    Change,
    before,
    evaluate,
    opened,
    send,
    shifted,
    state,
    traffic,
)
from scipy import stats
from scipy.signal import lfilter

from monitor.calendar import Calendar
from monitor.config.config import Config
from monitor.config.model_section import DetectorConfig, ModelConfig
from monitor.config.rule import RuleConfig
from monitor.detector import learning
from monitor.detector.lane_run import put_together
from monitor.detector.lanes.lane import LaneWindow
from monitor.detector.model.rates import (
    MULTIPLES,
    Rate,
    RateCounts,
    Rates,
    advance_rates,
    burst_factor,
    detectable_rates,
    fit_rates,
    initial_rates,
    log_likelihood_ratio,
)
from monitor.detector.model.traffic import fit_traffic, initial_traffic, step_traffic
from monitor.detector.model.windows import independent_width, width_for
from monitor.finding_text import text_of
from monitor.layout import categorical_layout, numeric_layout
from monitor.profile import Profile
from monitor.queries.figures.detector_status import read_detector_status
from monitor.queries.figures.overview import read_overview
from monitor.queries.figures.selection import Selection
from monitor.queries.time_range import TimeRange
from monitor.server.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with closing(opened(tmp_path)) as server:
        yield server


def standing(server: Server) -> tuple[str, str]:
    (finding,) = [
        f for f in server.store.alerts.latest_findings("m") if f.rule == "detector"
    ]
    return finding.verdict, text_of(finding)


# the whole


@pytest.mark.parametrize(("column", "value"), [("x", 0.1), ("c", "a")])
def test_a_column_that_is_stuck_at_one_value_is_told_as_such(
    server: Server, column: str, value: object
) -> None:
    def stuck(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        if at >= NOW - 3 * DAY:
            row["features"][column] = value

    send(server, traffic(stuck))
    (alert,) = evaluate(server)
    assert alert.finding.column == column
    assert alert.finding.cause == "constant"
    assert "it is stuck at one value" in text_of(alert.finding)


def test_a_clock_of_another_time_zone_is_one_alert_that_says_so(server: Server) -> None:
    def daily(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        hour = at.hour + (5 if at >= NOW - 4 * DAY else 0)
        row["features"]["x"] += 2 * np.sin(2 * np.pi * hour / 24)

    send(server, traffic(daily))
    (alert,) = evaluate(server)
    assert (alert.finding.column, alert.finding.cause) == ("x", "zone")
    assert "check the time zone of the source" in text_of(alert.finding)


def segmented(folder: Path, now: Callable[[], datetime] = lambda: NOW) -> Server:
    return opened(
        folder,
        Config(default_rules=False, models={"m": ModelConfig(segments=("c",))}),
        now,
    )


def by_segment(mixed: float = 0.0, higher: str = "") -> Change:
    """x is 1.5 higher in segment b.

    Four days before now b gets so many rows of a, or x rises by 2 in segment `higher`.
    """

    def change(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        features, changed = row["features"], at >= NOW - 4 * DAY
        if changed and features["c"] == "a" and rng.random() < mixed:
            features["c"] = "b"
        features["x"] += 1.5 * (features["c"] == "b") + 2 * (
            changed and features["c"] == higher
        )

    return change


def test_a_mix_that_changed_is_told_with_the_segment_it_comes_from(
    tmp_path: Path,
) -> None:
    with closing(segmented(tmp_path)) as server:
        send(server, traffic(by_segment(mixed=0.5)))
        found = [
            a.finding for a in evaluate(server) if a.finding.rule == "detector.inputs"
        ]
        assert any(
            f.column == "x" or any(m.column == "x" for m in f.moved) for f in found
        )
        assert {f.cause for f in found} == {"mix"}
        assert {f.behind.split(" (")[0] for f in found} <= {"c=a", "c=b"}
        assert "% →" in text_of(found[0])


def test_a_change_in_one_segment_alone_names_it_and_is_kept_over_a_restart(
    tmp_path: Path,
) -> None:
    with closing(segmented(tmp_path)) as server:
        send(server, traffic(by_segment(higher="d")))
        (alert,) = [
            a for a in evaluate(server) if "x" in {m.column for m in a.finding.moved}
        ]
        assert (alert.finding.cause, alert.finding.behind) == ("segment", "c=d")
    with closing(segmented(tmp_path, lambda: NOW + HOUR)) as server:
        (alert,) = [
            a for a in evaluate(server) if "x" in {m.column for m in a.finding.moved}
        ]
        assert (alert.finding.cause, alert.finding.behind) == ("segment", "c=d")


@pytest.mark.slow
def test_a_change_in_all_segments_names_none(tmp_path: Path) -> None:
    with closing(segmented(tmp_path)) as server:
        send(server, traffic(shifted(4)))
        (alert,) = evaluate(server)
        assert (alert.finding.cause, alert.finding.behind) == ("change", "")


def watched_apart(folder: Path, now: Callable[[], datetime] = lambda: NOW) -> Server:
    model = ModelConfig(segments=("c",), detector=DetectorConfig(segments=True))
    return opened(folder, Config(default_rules=False, models={"m": model}), now)


def within(segment: str, size: float, days: float = 4) -> Change:
    """x is higher in one segment from so many days before now on."""

    def change(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        if at >= NOW - days * DAY and row["features"]["c"] == segment:
            row["features"]["x"] += size

    return change


@pytest.mark.slow
def test_a_change_that_only_one_segment_shows_is_found_there(tmp_path: Path) -> None:
    with closing(watched_apart(tmp_path / "apart")) as server:
        send(server, traffic(within("d", 0.9, 6), rows=150))
        (alert,) = [
            a for a in evaluate(server) if a.finding.rule == "detector.segments"
        ]
        found = alert.finding
        assert (found.rule, found.segment, found.column) == (
            "detector.segments",
            "c=d",
            "x",
        )
        assert found.moved[0].column == "x"
        assert found.value == pytest.approx(0.9, abs=0.3)
        until, _ = state(server)
    with closing(watched_apart(tmp_path / "apart", lambda: NOW + HOUR)) as server:
        again = next(a for a in evaluate(server) if a.id == alert.id)
        assert (again.id, again.state) == (alert.id, "firing")
        assert state(server)[0] == until + HOUR


def test_quiet_segments_raise_no_alert_and_the_budget_is_one(tmp_path: Path) -> None:
    with closing(watched_apart(tmp_path)) as server:
        send(server, traffic())
        assert evaluate(server) == []
        now = TimeRange(NOW - DAY, NOW, HOUR, NOW)
        seen = read_detector_status(
            server.store, server.config, server.scheduler.detector_runner, "m", now
        )
        lanes = {one["lane"]: one for one in seen["lanes"]}
        assert sum(one["share"] for one in lanes.values()) == pytest.approx(1)
        assert lanes["segments"]["status"] == "watching"
        assert lanes["segments"]["window_hours"] == 6  # two of the three need that


SLOW_HOURS = [pytest.param(hours, marks=pytest.mark.slow) for hours in (2, 4)]


@pytest.mark.parametrize(
    "hours", [0, *SLOW_HOURS]
)  # segments are judged in windows of six
def test_what_all_rows_show_is_one_alert_and_not_one_for_each_segment(
    tmp_path: Path, hours: int
) -> None:
    with closing(watched_apart(tmp_path)) as server:
        send(server, traffic(shifted(4 + hours / 24)))
        (alert,) = evaluate(server)
        assert (alert.finding.rule, alert.finding.segment) == ("detector.inputs", "")


@pytest.mark.slow
def test_segments_that_are_no_longer_watched_end_their_alerts(tmp_path: Path) -> None:
    with closing(watched_apart(tmp_path)) as server:
        send(server, traffic(within("d", 1.5, 6), rows=100))
        assert any(a.finding.rule == "detector.segments" for a in evaluate(server))
    with closing(opened(tmp_path, now=lambda: NOW + HOUR)) as server:
        evaluate(server)
        assert not [
            a
            for a in server.store.alerts.open_alerts("m").values()
            if a.finding.rule == "detector.segments"
        ]
    with closing(watched_apart(tmp_path, lambda: NOW + 2 * HOUR)) as server:
        evaluate(server)  # learns again


@pytest.mark.slow
def test_what_another_reference_finds_normal_is_over(server: Server) -> None:
    send(server, traffic(shifted(11)))
    server.set_reference_period("m", START, NOW - 11.5 * DAY, NOW)
    evaluate(server)
    assert [
        a.state
        for a in server.store.alerts.open_alerts("m").values()
        if a.finding.column == "x"
    ] == ["firing"]
    server.set_reference_period("m", NOW - 10 * DAY, NOW, NOW)
    evaluate(server)
    assert [
        a
        for a in server.store.alerts.open_alerts("m").values()
        if a.finding.column == "x"
    ] == []


def test_quiet_traffic_raises_no_alert_and_the_detector_says_that_it_watches(
    server: Server,
) -> None:
    send(server, traffic())
    assert evaluate(server) == []
    verdict, text = standing(server)
    assert verdict == "ok"
    assert text.startswith("No change detected: change score ")


def test_shift_of_one_feature_is_one_alert_that_names_it_and_when_it_began(
    server: Server,
) -> None:
    send(server, traffic(shifted(3)))
    (alert,) = evaluate(server)
    assert (alert.state, alert.finding.rule, alert.finding.column) == (
        "firing",
        "detector.inputs",
        "x",
    )
    began = NOW - 3 * DAY
    assert alert.since - began < timedelta(hours=12)
    assert abs(alert.finding.window_start - began) <= timedelta(hours=3)
    assert {m.column for m in alert.finding.moved} == {"x"}
    assert alert.finding.low is not None
    assert alert.finding.high is not None
    assert alert.finding.low < 0.6 < alert.finding.high
    assert alert.finding.severity == "critical"


def test_change_that_goes_away_is_resolved_a_day_later(server: Server) -> None:
    def change(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        if NOW - 5 * DAY <= at < NOW - 4 * DAY:
            row["features"]["x"] += 1.0

    send(server, traffic(change))
    (alert,) = evaluate(server)
    assert alert.state == "resolved"
    assert alert.resolved_at is not None
    assert DAY <= alert.resolved_at - (NOW - 4 * DAY) <= 3 * DAY


@pytest.mark.parametrize(
    ("rule", "column", "change"),
    [
        (
            "detector.unseen",
            "c",
            lambda row, rng: row["features"].update(
                c="new" if rng.random() < 0.05 else row["features"]["c"]
            ),
        ),
        (
            "detector.errors",
            "status",
            lambda row, rng: row.update(
                status=500 if rng.random() < 0.15 else row["status"]
            ),
        ),
        (
            "detector.latency",
            "latency_ms",
            lambda row, rng: row.update(latency_ms=row["latency_ms"] * 1.5),
        ),
        (
            "detector.inputs",
            "prediction",
            lambda row, rng: row.update(prediction=min(1.0, row["prediction"] + 0.1)),
        ),
        (
            "detector.inputs",
            "y",
            lambda row, rng: row["features"].update(
                y=None if rng.random() < 0.3 else row["features"]["y"]
            ),
        ),
    ],
)
def test_each_part_of_a_model_is_watched(
    server: Server, rule: str, column: str, change: Any
) -> None:
    def apply(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        if at >= NOW - 2 * DAY:
            change(row, rng)

    send(server, traffic(apply))
    alerts = evaluate(server)
    assert [(a.finding.rule, a.finding.column) for a in alerts] == [(rule, column)]
    assert alerts[0].since - (NOW - 2 * DAY) < timedelta(hours=12)


def test_silence_is_found_within_the_hour(server: Server) -> None:
    send(server, before(traffic(), NOW - timedelta(hours=5)))
    (alert,) = evaluate(server)
    assert (alert.finding.rule, text_of(alert.finding)) == (
        "detector.traffic",
        f"No traffic since {alert.finding.window_start:%Y-%m-%d %H:%M} UTC",
    )


def judged_wrong(
    rows: Sequence[dict[str, Any]],
    since: datetime,
    share: float = 1.0,
    after: timedelta | None = None,
) -> list[dict[str, Any]]:
    """Labels of rows: 5 % are wrong, from `since` on 25 %, and then only a share has one; they come all now or each so
    long `after` its event."""
    rng = np.random.default_rng(5)
    labels = []
    for row in rows:
        at = datetime.fromisoformat(row["ts"])
        wrong, kept = (
            rng.random() < (0.25 if at >= since else 0.05),
            rng.random() < share or at < since,
        )
        came = NOW if after is None else at + after
        if kept and came <= NOW:
            label = int((row["prediction"] >= 0.5) != wrong)
            labels.append(
                {
                    "event_id": row["event_id"],
                    "model": "m",
                    "label": label,
                    "ts": came.isoformat(),
                }
            )
    return labels


def send_labels(server: Server, labels: Sequence[dict[str, Any]]) -> None:
    for i in range(0, len(labels), 10_000):
        lines = "\n".join(json.dumps(x) for x in labels[i : i + 10_000]).encode()
        server.collector.labels(lines, NDJSON).durable.result(60)
    server.scheduler.load_all()


def test_wrong_predictions_are_found_at_the_hour_of_the_prediction_once_labels_have_come(
    server: Server,
) -> None:
    rows = traffic()
    send(server, rows)
    send_labels(server, judged_wrong(rows, NOW - 3 * DAY))
    alerts = [a for a in evaluate(server) if a.finding.rule == "detector.quality"]
    assert [a.finding.column for a in alerts] == ["wrong"]
    assert abs(alerts[0].finding.window_start - (NOW - 3 * DAY)) <= timedelta(hours=6)


def test_quality_does_not_wait_longer_than_labels_usually_take_when_fewer_come(
    server: Server,
) -> None:
    rows = traffic()
    send(server, rows)
    send_labels(
        server, judged_wrong(rows, NOW - 3 * DAY, share=0.4, after=timedelta(hours=5))
    )
    alerts = [a for a in evaluate(server) if a.finding.rule == "detector.quality"]
    assert [a.finding.column for a in alerts] == ["wrong"]
    assert abs(alerts[0].finding.window_start - (NOW - 3 * DAY)) <= timedelta(hours=6)
    # the hours whose labels are still to come are waited for: five hours, and half as
    # long again for the bins of delays
    stood = datetime.fromisoformat(state(server)[1]["quality"])
    assert timedelta(hours=5) <= NOW - stood <= timedelta(hours=9)


def test_labels_that_no_longer_come_are_told_until_they_come_again(
    tmp_path: Path,
) -> None:
    rows, clock = traffic(), [NOW]
    labels = judged_wrong(rows, NOW, after=timedelta(hours=3))
    with closing(opened(tmp_path, now=lambda: clock[0])) as server:
        send(server, rows)
        send_labels(
            server,
            [x for x in labels if datetime.fromisoformat(x["ts"]) < NOW - 2 * DAY],
        )
        (alert,) = [a for a in evaluate(server) if a.finding.rule == "detector.labels"]
        assert (alert.state, alert.finding.severity) == ("firing", "warning")
        assert text_of(alert.finding).startswith(
            f"No labels since {alert.finding.window_start:%Y-%m-%d %H:%M} UTC (50 h), "
            "expected within 12.8 h"
        )
        clock[0] += timedelta(hours=1)
        send_labels(
            server,
            [x for x in labels if datetime.fromisoformat(x["ts"]) >= NOW - 2 * DAY],
        )
        assert [
            a.state for a in evaluate(server) if a.finding.rule == "detector.labels"
        ] == ["resolved"]


@pytest.mark.slow
def test_labels_that_no_longer_come_are_not_told_where_nobody_waits_for_them(
    tmp_path: Path,
) -> None:
    rows = traffic()
    quiet = Config(
        default_rules=False,
        models={"m": ModelConfig(detector=DetectorConfig(labels=False))},
    )
    with closing(opened(tmp_path, quiet)) as server:
        send(server, rows)
        labels = judged_wrong(rows, NOW, after=timedelta(hours=3))
        send_labels(
            server,
            [x for x in labels if datetime.fromisoformat(x["ts"]) < NOW - 2 * DAY],
        )
        assert not evaluate(server)


# order in time


@pytest.mark.parametrize("days", [0.5, pytest.param(3, marks=pytest.mark.slow)])
def test_history_at_once_and_hour_by_hour_give_the_same_state_and_the_same_alerts(
    tmp_path: Path, days: float
) -> None:
    rows = traffic(shifted(2))
    with closing(opened(tmp_path / "once")) as server:
        send(server, rows)
        once, ended = evaluate(server), state(server)
    clock = [NOW - days * DAY]
    with closing(opened(tmp_path / "live", now=lambda: clock[0])) as server:
        first = before(rows, clock[0])
        later = rows[len(first) - 200 :]  # an hour's rows stand in any order
        send(server, first)
        evaluate(server)
        sent = clock[0]
        while clock[0] < NOW:
            clock[0] = min(NOW, clock[0] + timedelta(hours=1))
            send(
                server,
                [
                    row
                    for row in before(later, clock[0])
                    if datetime.fromisoformat(row["ts"]) >= sent
                ],
            )
            sent = clock[0]
            live = evaluate(server)
        assert same_state(state(server), ended)
    assert [(a.id, a.since, a.finding.moved) for a in live] == [
        (a.id, a.since, a.finding.moved) for a in once
    ]


@pytest.mark.slow
def test_a_silence_of_more_than_a_week_is_judged_live_as_at_once(
    tmp_path: Path,
) -> None:
    """The reference is a period; nine days nothing comes; then x is higher."""
    silent, again = NOW - 11 * DAY, NOW - 2 * DAY
    rows = [
        row
        for row in traffic(shifted(2))
        if not silent <= datetime.fromisoformat(row["ts"]) < again
    ]
    with closing(opened(tmp_path / "once")) as server:
        send(server, before(rows, silent))
        server.set_reference_period("m", START, silent, NOW)
        send(
            server, [row for row in rows if datetime.fromisoformat(row["ts"]) >= silent]
        )
        once, ended = evaluate(server), state(server)
    clock = [silent]
    with closing(opened(tmp_path / "live", now=lambda: clock[0])) as server:
        send(server, before(rows, silent))
        server.set_reference_period("m", START, silent, silent)
        live = evaluate(server)
        while clock[0] < NOW:
            sent, clock[0] = clock[0], min(NOW, clock[0] + timedelta(hours=5))
            send(
                server,
                [
                    row
                    for row in before(rows, clock[0])
                    if datetime.fromisoformat(row["ts"]) >= sent
                ],
            )
            live = evaluate(server)
        assert same_state(state(server), ended)
    assert {a.finding.rule for a in once} >= {"detector.traffic", "detector.inputs"}
    assert [(a.finding.rule, a.since, a.state, a.finding.moved) for a in live] == [
        (a.finding.rule, a.since, a.state, a.finding.moved) for a in once
    ]


@pytest.mark.slow
def test_a_reference_that_is_set_while_history_is_being_evaluated_is_what_counts(
    tmp_path: Path,
) -> None:
    rows = traffic(shifted(2))
    with closing(opened(tmp_path / "before")) as server:
        send(server, rows)
        server.set_reference_period("m", START, NOW - 4 * DAY, NOW)
        once, ended = evaluate(server), state(server)
    with closing(opened(tmp_path / "meanwhile")) as server:
        send(server, rows)
        errors: list[BaseException] = []

        def evaluated() -> None:
            try:
                evaluate(server)
            except BaseException as error:
                errors.append(error)

        worker = threading.Thread(target=evaluated)
        worker.start()
        server.set_reference_period("m", START, NOW - 4 * DAY, NOW)
        worker.join(120)
        assert not worker.is_alive() and not errors
        meanwhile = evaluate(server)
        assert same_state(state(server), ended)
    # what was told by the reference of before goes on under its own beginning
    assert [a.finding.moved for a in meanwhile if a.state == "firing"] == [
        a.finding.moved for a in once if a.state == "firing"
    ]


def same_state(
    a: tuple[datetime, dict[str, Any]], b: tuple[datetime, dict[str, Any]]
) -> bool:
    return a[0] == b[0] and a[1]["lanes"] == b[1]["lanes"]


def test_rows_that_come_late_are_judged_as_if_they_had_been_there(
    tmp_path: Path,
) -> None:
    rows = traffic(shifted(2))
    with closing(opened(tmp_path / "once")) as server:
        send(server, rows)
        once, ended = evaluate(server), state(server)
    late = [
        row
        for i, row in enumerate(rows)
        if i % 3 == 0 and datetime.fromisoformat(row["ts"]) >= NOW - 3 * DAY
    ]
    with closing(opened(tmp_path / "late")) as server:
        send(server, [row for row in rows if row not in late])
        evaluate(server)
        send(server, late)
        found = evaluate(server)
        assert same_state(state(server), ended)
    assert [(a.since, a.finding.rule) for a in found if a.state == "firing"] == [
        (a.since, a.finding.rule) for a in once
    ]


def test_restart_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    rows = traffic(shifted(2))
    with closing(opened(tmp_path / "once")) as server:
        send(server, rows)
        once, ended = evaluate(server), state(server)
    clock = [NOW - DAY]
    for moment in (NOW - DAY, NOW - timedelta(hours=5), NOW):
        clock[0] = moment
        with closing(opened(tmp_path / "twice", now=lambda: clock[0])) as server:
            send(server, before(rows, moment))
            found = evaluate(server)
            after = state(server)
    assert same_state(after, ended)
    assert [a.id for a in found] == [a.id for a in once]


def test_learning_is_said_until_two_weeks_are_there(tmp_path: Path) -> None:
    clock = [START + 5 * DAY]
    with closing(opened(tmp_path, now=lambda: clock[0])) as server:
        send(server, before(traffic(), clock[0]))
        assert evaluate(server) == []
        verdict, text = standing(server)
        assert verdict == "learning"
        assert f"{START + 14 * DAY:%Y-%m-%d}" in text


def test_thin_traffic_is_judged_in_windows_of_a_day(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as server:
        send(server, traffic(rows=4))
        evaluate(server)
        verdict, text = standing(server)
        assert verdict == "learning"  # a month of days is needed
        assert (
            text
            == "Detector: insufficient data, it needs 28 hours or days with traffic"
        )


def test_accepted_change_is_the_new_normal(server: Server) -> None:
    send(server, traffic(shifted(6)))
    (alert,) = evaluate(server)
    assert alert.state == "firing"
    accepted = server.scheduler.accept("m", "ann", NOW)
    assert accepted.since == alert.finding.window_start
    server.scheduler.clock = lambda: NOW + timedelta(minutes=1)
    server.scheduler.evaluate("m")
    (alert,) = server.store.alerts.listing(["m"], "all", 10)
    assert alert.state == "resolved"
    assert standing(server)[0] == "learning"


def test_nothing_open_cannot_be_accepted(server: Server) -> None:
    from monitor.errors import InvalidRequest

    send(server, traffic())
    evaluate(server)
    with pytest.raises(InvalidRequest, match="nothing is open"):
        server.scheduler.accept("m", "ann", NOW)


def test_detector_can_be_switched_off(tmp_path: Path) -> None:
    config = Config(
        default_rules=False,
        models={"m": ModelConfig(detector=DetectorConfig(enabled=False))},
    )
    with closing(opened(tmp_path, config)) as server:
        send(server, traffic(shifted(3)))
        assert evaluate(server) == []
        assert server.store.alerts.latest_findings("m") == []


@pytest.mark.slow
def test_holiday_raises_nothing_but_missing_values_are_found_on_it(
    tmp_path: Path,
) -> None:
    day = (NOW - 2 * DAY).date()

    def odd(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        if at.date() == day:
            row["features"]["x"] += 1.0

    def lost(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        odd(at, row, rng)
        if at.date() == day and rng.random() < 0.4:
            row["features"]["y"] = None

    config = Config(
        default_rules=False,
        models={"m": ModelConfig(detector=DetectorConfig(special_days=(day,)))},
    )
    with closing(opened(tmp_path / "odd", config)) as server:
        send(server, traffic(odd))
        assert evaluate(server) == []
    with closing(opened(tmp_path / "lost", config)) as server:
        send(server, traffic(lost))
        assert [a.finding.column for a in evaluate(server)] == ["y"]


def test_however_wide_a_model_is_its_reference_teaches_the_week(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "MAX_PROFILES", 1)
    send(server, traffic())
    server.set_reference_period("m", START, START + 17 * DAY, NOW)
    evaluate(server)
    (inputs,) = (
        f
        for f in server.scheduler.detector_runner.detector_store.fits(
            server.store.model("m").id
        )
        if f.lane == "inputs"
    )
    assert inputs.source == "reference"
    assert json.loads(inputs.body)["learned"]["shift"]["fitted"]["season"] == "weekly"


def test_new_reference_begins_anew(server: Server) -> None:
    send(server, traffic(shifted(3)))
    assert len(evaluate(server)) == 1
    server.set_reference_period("m", NOW - 3 * DAY, NOW, NOW)
    assert (
        server.scheduler.detector_runner.detector_store.state(
            server.store.model("m").id
        )
        is None
    )
    assert (
        server.scheduler.detector_runner.detector_store.fits(server.store.model("m").id)
        == []
    )


# rates


def test_ratio_of_a_rate_equals_the_laws_of_scipy() -> None:
    fitted = Rates(
        (Rate("a", "error rate", 1.0), Rate("b", "error rate", 1.0)),
        np.zeros(2),
        np.array([0.02, 0.1]),
        np.array([1e-6, 0.05]),
    )
    found = log_likelihood_ratio(
        fitted, np.array([7.0, 30.0]), np.array([100.0, 100.0])
    )
    plain = stats.binom.logpmf(7, 100, 0.02 * MULTIPLES[:5]) - stats.binom.logpmf(
        7, 100, 0.02
    )
    np.testing.assert_allclose(found[0, :5], plain, rtol=1e-9)
    strength = 1 / 0.05 - 1
    clustered = [
        stats.betabinom.logpmf(30, 100, 0.1 * m * strength, (1 - 0.1 * m) * strength)
        - stats.betabinom.logpmf(30, 100, 0.1 * strength, 0.9 * strength)
        for m in MULTIPLES[:5]
    ]
    np.testing.assert_allclose(found[1, :5], clustered, rtol=1e-9)


@pytest.mark.parametrize("rho", [1e-6, 0.02, 0.3])
@pytest.mark.parametrize("p", [0.0005, 0.02, 0.3, 0.8])
@pytest.mark.parametrize("n", [1, 40])
def test_increment_of_a_rate_has_mean_one_at_the_null_and_less_below_it(
    rho: float, p: float, n: int
) -> None:
    fitted = Rates(
        (Rate("a", "error rate", 1.0),), np.array([p]), np.array([p]), np.array([rho])
    )
    x = np.arange(n + 1)
    ratios = np.array(
        [
            np.exp(
                log_likelihood_ratio(
                    fitted, np.array([float(k)]), np.array([float(n)])
                )[0]
            )
            for k in x
        ]
    )
    strength = 1 / rho - 1
    for true in (p, p / 2):
        law = (
            stats.betabinom.pmf(x, n, true * strength, (1 - true) * strength)
            if rho > 1e-6
            else stats.binom.pmf(x, n, true)
        )
        mean = law @ ratios
        assert (mean <= 1 + 1e-6).all()
        if true == p:
            np.testing.assert_allclose(mean, 1, rtol=1e-6)


def test_rate_that_stays_pages_never_and_one_that_doubles_pages_soon() -> None:
    rng = np.random.default_rng(1)
    rates = [Rate("status", "error rate", 1.0)]
    rows = np.full((336, 1), 500.0)
    fitted = fit_rates(rates, rng.binomial(500, 0.02, (336, 1)).astype(float), rows)
    quiet = [
        RateCounts(i, rng.binomial(500, 0.02, 1).astype(float), rows[0])
        for i in range(1000)
    ]
    risen = [
        RateCounts(1000 + i, rng.binomial(500, 0.04, 1).astype(float), rows[0])
        for i in range(24)
    ]
    now, seen = initial_rates(fitted), []
    for i in range(1024):
        now, _ = advance_rates(
            fitted, 2160, 1, now, [*quiet, *risen][max(0, i - 167) : i + 1]
        )
        seen.append(now.episodes)
    assert not any(seen[:1000])
    (episode,) = seen[-1]
    assert episode.opened - 1000 <= 4
    assert episode.changes[0].low < 0.04 < episode.changes[0].high


def test_errors_that_come_in_spells_are_judged_in_longer_windows_and_page_seldom() -> (
    None
):
    rng = np.random.default_rng(3)

    def in_spells(hours: int) -> np.ndarray:
        level = np.zeros(hours)
        for t in range(1, hours):
            level[t] = 0.95 * level[t - 1] + 0.1 * rng.normal()
        return rng.binomial(200, 0.1 * np.exp(level)).astype(float)

    hits = in_spells(1344)
    index, rows = list(range(1344)), [200] * 1344
    assert independent_width(index, hits.tolist(), rows, 1) == 24
    assert independent_width(index, rng.binomial(200, 0.1, 1344).tolist(), rows, 1) == 1
    by_day = hits.reshape(-1, 24).sum(axis=1)[:, None]
    fitted = fit_rates(
        [Rate("wrong", "wrong share", 1.0)], by_day, np.full_like(by_day, 4800.0)
    )
    pages = 0
    for _ in range(20):
        now, seen = initial_rates(fitted), []
        for i, x in enumerate(in_spells(2160).reshape(-1, 24).sum(axis=1)):
            seen.append(RateCounts(24 * i, np.array([x]), np.array([4800.0])))
            now, _ = advance_rates(fitted, 90, 24, now, seen[-7:])
            pages += any(e.opened == 24 * i for e in now.episodes)
    assert pages <= 20  # one in ninety days of each of twenty models


def test_rate_that_wanders_slowly_pages_seldom() -> None:
    rng = np.random.default_rng(4)
    rows = np.full((2832, 1), 1000.0)
    pages = following = 0.0
    for _ in range(6):
        level = lfilter(
            [1], [1, -0.95], rng.normal(0, 0.2 * np.sqrt(1 - 0.95**2), 2832)
        )
        hits = rng.binomial(1000, 0.005 * np.exp(level)).astype(float)[:, None]
        fitted = fit_rates([Rate("status", "error rate", 0.06)], hits[:672], rows[:672])
        following += float(fitted.spells[0]) / 6
        seen = [RateCounts(i, x, rows[0]) for i, x in enumerate(hits)]
        now = initial_rates(fitted)
        for i in range(672, 2832):
            now, _ = advance_rates(fitted, 2160, 1, now, seen[i - 167 : i + 1])
            pages += any(e.opened == i for e in now.episodes)
    assert pages <= 2  # in one and a half years
    assert following > 2


def test_independent_rates_have_no_spells() -> None:
    hits = np.random.default_rng(5).binomial(1000, 0.005, (672, 40)).astype(float)
    found = burst_factor(hits, np.full((672, 40), 1000.0), np.full(40, 0.005))
    assert (found >= 1).all()
    assert (found > 1).mean() < 0.2
    assert found.max() < 3


# traffic, windows, calendar


def test_traffic_that_halves_pages_and_its_usual_day_does_not() -> None:
    rng = np.random.default_rng(2)
    usual = 300 * (1 + 0.6 * np.sin(2 * np.pi * np.arange(1000) / 24))
    rows = rng.poisson(usual).astype(float)
    fitted = fit_traffic(range(672), rows[:672].tolist())
    state = initial_traffic(fitted)
    seen = []
    for i in range(672, 900):
        state, signal = step_traffic(
            fitted, state, i, rows[i] if i < 850 else float(rng.poisson(usual[i] / 2))
        )
        seen.append(signal)
    assert max(s.evidence for s in seen[:178]) < 168
    assert max(s.evidence for s in seen[178:190]) > 2160
    assert not seen[-1].rising


def test_width_is_the_shortest_with_enough_rows() -> None:
    assert [width_for(range(48), [n] * 48) for n in (60, 10, 1)] == [1, 6, 24]
    assert width_for([], []) == 24


def test_windows_follow_the_clock_and_add_up() -> None:
    layout = numeric_layout([0.0])
    hours = [
        LaneWindow(i, i == 7, {"x": Profile(layout, np.array([i, 1]), i + 1)})
        for i in range(3, 20)
    ]
    found = list(put_together(hours, 6))
    assert [w.index for w in found] == [0, 6, 12, 18]
    assert [w.special for w in found] == [False, True, False, False]
    assert sum(w.profiles["x"].rows for w in found) == sum(
        w.profiles["x"].rows for w in hours
    )


def test_days_of_a_model_have_its_own_midnight_and_may_have_23_or_25_hours() -> None:
    calendar = Calendar("Europe/Berlin")
    hours = [datetime(2024, 3, 30, tzinfo=UTC) + i * HOUR for i in range(96)]
    days: dict[int, int] = {}
    for at in hours:
        days[calendar.index(at) // 24] = days.get(calendar.index(at) // 24, 0) + 1
    assert list(days.values())[1:-1] == [23, 24, 24]
    back = [
        calendar.index(datetime(2024, 10, 27, tzinfo=UTC) + i * HOUR) for i in range(3)
    ]
    assert back[0] == back[1]
    assert calendar.start(
        calendar.index(datetime(2024, 7, 1, 5, tzinfo=UTC))
    ) == datetime(2024, 7, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"timezone": "Europe/Atlantis"}, "time zone"),
        ({"country": "XX"}, "holidays"),
        ({"country": "DE", "subdivision": "ZZ"}, "DE-ZZ"),
    ],
)
def test_unknown_clock_is_refused_in_words(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Calendar(**wrong)


def test_own_and_public_special_days() -> None:
    calendar = Calendar("America/New_York", "US", None, (date(2024, 3, 3),))
    # still the fourth there
    assert calendar.is_special(datetime(2024, 7, 5, 3, tzinfo=UTC))
    assert not calendar.is_special(datetime(2024, 7, 5, 5, tzinfo=UTC))
    assert calendar.is_special(datetime(2024, 3, 3, 12, tzinfo=UTC))


def test_categories_have_a_bin_for_what_was_never_seen() -> None:
    layout = categorical_layout(["a", "b"])
    assert layout.new_bin == 3


# what it says of itself


def test_detector_says_what_it_learned_and_the_smallest_change_it_would_find(
    server: Server,
) -> None:
    send(server, traffic(shifted(3)))
    evaluate(server)
    span = TimeRange(NOW - 7 * DAY, NOW, HOUR, NOW)
    body = read_detector_status(
        server.store, server.config, server.scheduler.detector_runner, "m", span
    )
    lanes = {lane["lane"]: lane for lane in body["lanes"]}
    assert {name: lane["status"] for name, lane in lanes.items()} == {
        "inputs": "open",
        "unseen": "watching",
        "latency": "watching",
        "errors": "watching",
        "traffic": "watching",
        "quality": "learning",
    }
    assert sum(lane["share"] for lane in lanes.values()) == pytest.approx(1)
    smallest = {
        (d["column"], d["contrast"]): d["size"] for d in lanes["inputs"]["detectable"]
    }
    assert 0.05 < smallest["y", "location"] < 0.6
    assert 0.01 < lanes["errors"]["detectable"][0]["size"] < 0.1
    assert [f["column"] for f in body["open"]] == ["x"]
    assert {e["lane"] for e in body["evidence"]} >= {"inputs", "errors"}


def test_day_that_went_like_another_weekday_is_told_with_its_date(
    server: Server,
) -> None:
    send(server, traffic())
    evaluate(server)
    until, data = state(server)
    assert data["lanes"]["inputs"]["state"]["borrowed"] == []
    data["lanes"]["inputs"]["state"]["borrowed"] = [{"day": 20_000, "weekday": 6}]
    with server.store.writing() as con:
        con.execute(
            "UPDATE detector_states SET body = ? WHERE until = ?",
            [json.dumps(data), until],
        )
    body = read_detector_status(
        server.store,
        server.config,
        server.scheduler.detector_runner,
        "m",
        TimeRange(NOW - DAY, NOW, HOUR, NOW),
    )
    said = {lane["lane"]: lane["other_weekdays"] for lane in body["lanes"]}
    assert said.pop("inputs") == [{"day": date(2024, 10, 8), "weekday": 6}]
    assert not any(said.values())


def test_smallest_change_is_found_about_half_of_the_time() -> None:
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rates = [Rate("status", "error rate", 1.0)]
        rows = np.full((336, 1), 300.0)
        fitted = fit_rates(rates, rng.binomial(300, 0.02, (336, 1)).astype(float), rows)
        p = float(detectable_rates(fitted, 300.0, 24, 2160)[0])
        now = initial_rates(fitted)
        for i in range(24):
            now, _ = advance_rates(
                fitted,
                2160,
                1,
                now,
                [RateCounts(i, rng.binomial(300, p, 1).astype(float), rows[0])],
            )
            found += any(e.opened == i for e in now.episodes)
    assert 4 <= found <= 18


def test_page_tells_its_likely_cause_in_the_overview_and_in_the_alert(
    server: Server,
) -> None:
    def lost(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        if at >= NOW - 2 * DAY and rng.random() < 0.3:
            row["features"]["y"] = None

    send(server, traffic(lost))
    (alert,) = evaluate(server)
    assert alert.finding.cause == "missing"
    span = TimeRange(NOW - 7 * DAY, NOW, HOUR, NOW)
    body = read_overview(server.store, server.config, Selection("m", span), NOW, 0)
    assert [(c["kind"], c["columns"]) for c in body["causes"]] == [("missing", ("y",))]
    assert body["reasons"][0]["moved"][0]["column"] == "y"


# rules against something else than the reference


def test_rule_may_compare_with_the_window_before_the_same_hours_of_weeks_or_another_version(
    tmp_path: Path,
) -> None:
    def weekly(at: datetime, row: dict[str, Any], rng: np.random.Generator) -> None:
        row["features"]["x"] += 2.0 * (at.weekday() == (NOW - DAY).weekday())
        row["version"] = "b" if rng.random() < 0.5 else "a"
        row["features"]["y"] += 2.0 * (row["version"] == "b")

    about = {"statistic": "psi", "limit": 0.2, "columns": ("x", "y")}
    rules = (
        RuleConfig(name="against-reference", **about),
        RuleConfig(name="against-previous", against="previous", **about),
        RuleConfig(name="against-weeks", against="weeks", **about),
        RuleConfig(name="against-version", against="version:a", version="b", **about),
    )
    config = Config(
        default_rules=False,
        rules=rules,
        models={"m": ModelConfig(detector=DetectorConfig(enabled=False))},
    )
    # the end of the odd day of the week
    now = (NOW - DAY).replace(hour=0, minute=0) + DAY
    with closing(opened(tmp_path, config, now=lambda: now)) as server:
        send(server, before(traffic(weekly), now))
        evaluate(server)
        found = {
            (f.rule.removeprefix("against-"), f.column): f.verdict
            for f in server.store.alerts.latest_findings("m")
        }
    assert {key for key, verdict in found.items() if verdict == "breach"} == {
        ("reference", "x"),
        ("previous", "x"),
        ("version", "y"),
    }
    assert found["weeks", "x"] == "ok"


def test_unknown_comparison_is_refused() -> None:
    with pytest.raises(ValueError, match="against"):
        RuleConfig(name="r", statistic="psi", limit=0.2, against="yesterday")
