"""Which windows rules look at: whole days of the model's clock, longer ones where rows are few."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from events import NDJSON, event, lines
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.calendar import Calendar
from monitor.config.config import Config
from monitor.config.model_section import DetectorConfig, ModelConfig
from monitor.config.rule import RuleConfig
from monitor.evaluation.evaluator import RuleEvaluator
from monitor.evaluation.rules import window_of
from monitor.finding import Finding
from monitor.server.server import Server

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
ZONE = "America/New_York"


def rule(**changes: Any) -> RuleConfig:
    return RuleConfig(
        **{"name": "r", "statistic": "missing_rate", "limit": 0.3, **changes}
    )


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from([ZONE, "UTC", "Asia/Kolkata", "Europe/Berlin"]),
)
def test_an_aligned_window_is_the_newest_closed_days_of_the_clock(
    at: datetime, zone: str
) -> None:
    now, calendar = at.replace(tzinfo=UTC), Calendar(zone)
    for align, days in (("day", 1), ("day", 3), ("week", 7)):
        window = window_of(rule(align=align, window=f"{days}d"), now, calendar)
        assert (
            now - timedelta(days=1 if align == "day" else 7, hours=2)
            < window.end
            <= now
        )
        assert abs(window.end - window.start - days * DAY) <= HOUR
        local = [t.astimezone(calendar.zone) for t in (window.start, window.end)]
        assert all(
            t.hour in (0, 23) if zone == "Asia/Kolkata" else t.hour == 0 for t in local
        )
        if align == "week":
            assert (local[1] + HOUR).weekday() == 0


def test_a_day_on_which_the_clock_changes_has_as_many_hours_as_it_has() -> None:
    noon = datetime(2026, 3, 9, 12, tzinfo=UTC)
    window = window_of(rule(align="day"), noon, Calendar(ZONE))
    assert window.end - window.start == 23 * HOUR


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"align": "day", "window": "36h"}, "whole days"),
        ({"align": "week", "window": "3d"}, "whole weeks"),
        ({"align": "month"}, "day"),
        ({"window": "2d", "up_to": "1d"}, "at least the window"),
    ],
)
def test_windows_that_make_no_sense_are_refused(
    changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        rule(**changes)


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[Callable[..., Finding]]:
    """The finding on x of one rule, of rows (age in hours, x) of a model with the clock of New York."""
    servers: list[Server] = []

    def judge(rows: list[tuple[float, float | None]], **changes: Any) -> Finding:
        config = Config(
            default_rules=False,
            rules=(rule(**changes),),
            models={
                "m": ModelConfig(detector=DetectorConfig(enabled=False, timezone=ZONE))
            },
        )
        server = Server(tmp_path / str(len(servers)), config)
        servers.append(server)
        server.start(background=False)
        body = [
            {
                "event_id": f"e{i}",
                "model": "m",
                "ts": (NOW - age * HOUR).isoformat(),
                "features": {"x": x},
                "prediction": 1.0,
            }
            for i, (age, x) in enumerate(rows)
        ]
        server.collector.events(
            "\n".join(map(json.dumps, body)).encode(), NDJSON
        ).durable.result(60)
        server.scheduler.load_all()
        server.set_reference_period("m", NOW - 30 * DAY, NOW, NOW)
        (found,) = [
            f
            for f in server.scheduler.evaluator.findings(
                server.store.model("m"), [NOW]
            )[0]
            if f.column == "x"
        ]
        # as it was kept
        assert (
            server.scheduler.evaluator.findings(server.store.model("m"), [NOW])[
                0
            ].count(found)
            == 1
        )
        return found

    yield judge
    for server in servers:
        server.close()


def hourly(days: int, each: int) -> list[tuple[float, float | None]]:
    return [(h + i / (each + 1), 1.0) for h in range(1, 24 * days) for i in range(each)]


def test_a_rule_is_evaluated_on_the_days_of_the_clock(
    judged: Callable[..., Finding],
) -> None:
    # up to now: the day may have ended less than an hour ago
    rows = [(hours - 0.99, value) for hours, value in hourly(5, 10)]
    found = judged(rows, align="day")
    local = [
        t.astimezone(Calendar(ZONE).zone)
        for t in (found.window_start, found.window_end)
    ]
    assert [t.hour for t in local] == [0, 0]
    assert found.n == 10 * (found.window_end - found.window_start) // HOUR
    assert found.verdict == "ok"


def test_a_window_with_too_few_rows_grows_until_it_has_enough(
    judged: Callable[..., Finding],
) -> None:
    rows = hourly(10, 1)  # 24 a day, 50 are needed
    assert judged(rows, window="1d").verdict == "insufficient"
    found = judged(rows, window="1d", up_to="14d")
    assert (found.verdict, found.n) == ("ok", 96)  # four days
    assert found.window_end - found.window_start == 4 * DAY
    assert judged(rows, window="1d", up_to="3d").verdict == "insufficient"


def test_a_window_does_not_grow_beyond_the_first_event(
    judged: Callable[..., Finding],
) -> None:
    found = judged([(h / 10, 1.0) for h in range(1, 48)], window="1d", up_to="14d")
    assert found.verdict == "insufficient"
    assert found.window_end - found.window_start == DAY


def test_silence_is_not_judged_by_what_came_before_it(
    judged: Callable[..., Finding],
) -> None:
    found = judged([(30 + h, 1.0) for h in range(200)], window="1d", up_to="14d")
    assert found.verdict == "no_data"


def test_an_alert_of_a_rule_that_is_gone_ends(tmp_path: Path) -> None:
    def opened(*rules: RuleConfig) -> Server:
        models = {"m": ModelConfig(detector=DetectorConfig(enabled=False))}
        server = Server(
            tmp_path, Config(default_rules=False, rules=rules, models=models)
        )
        server.start(background=False)
        return server

    always = rule(
        name="gone", statistic="volume", limit=1e9, direction="below", window="1d"
    )
    with closing(
        opened(
            always,
            rule(
                name="stays",
                statistic="volume",
                limit=1e9,
                direction="below",
                window="1d",
            ),
        )
    ) as server:
        rows = [
            {
                "event_id": f"e{h}",
                "model": "m",
                "ts": (NOW - h * HOUR).isoformat(),
                "prediction": 1.0,
            }
            for h in range(1, 60)
        ]
        server.collector.events(
            "\n".join(map(json.dumps, rows)).encode(), NDJSON
        ).durable.result(60)
        server.scheduler.tick()
        assert {
            a.finding.rule for a in server.store.alerts.open_alerts("m").values()
        } == {"gone", "stays"}
    with closing(
        opened(
            rule(
                name="stays",
                statistic="volume",
                limit=1e9,
                direction="below",
                window="1d",
            )
        )
    ) as server:
        server.scheduler.clock = lambda: datetime.now(UTC) + timedelta(minutes=2)
        server.scheduler.tick()
        assert {
            a.finding.rule for a in server.store.alerts.open_alerts("m").values()
        } == {"stays"}
        over = [
            a
            for a in server.store.alerts.listing(["m"], "all", 10)
            if a.finding.rule == "gone"
        ]
        assert [a.state for a in over] == ["resolved"]


MODELS = [f"m{i}" for i in range(5)]


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Server]:
    """Five models whose rows of the last three hours differ, with rules on their features, status, latency and a segment."""
    rules = [
        rule(name="hour", window="1h"),
        rule(name="minutes", statistic="error_rate", window="10m", limit=0.1),
        rule(name="late", statistic="latency_quantile", window="2h", limit=20),
        rule(name="east", window="2h", segment="features.country=a"),
        rule(name="before", window="1h", against="previous"),
    ]
    with closing(Server(tmp_path, Config(rules=rules, default_rules=False))) as server:
        server.start(background=False)
        rows = [
            event(
                i,
                model=name,
                ts=(NOW - 7 * i * timedelta(minutes=1)).isoformat(),
                status=500 if i < n else 200,
            )
            for n, name in enumerate(MODELS)
            for i in range(20 + n)
        ]
        body = lines(
            *({**row, "event_id": f"{row['model']}-{row['event_id']}"} for row in rows)
        )
        server.collector.events(body, NDJSON).durable.result(60)
        server.scheduler.load_all()
        yield server


def test_windows_read_for_many_models_at_once_are_those_read_one_by_one(
    several: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [several.store.model(name) for name in MODELS]
    apart = [
        RuleEvaluator(several.store, several.config).findings(model, [NOW])
        for model in models
    ]
    assert len({str(found) for found in apart}) == len(MODELS)
    judge = RuleEvaluator(several.store, several.config)
    judge.read_ahead(models, NOW)
    read: list[str] = []
    one = several.store.profiles
    monkeypatch.setattr(
        several.store,
        "profiles",
        lambda name, *rest, **more: read.append(name) or one(name, *rest, **more),
    )
    assert [judge.findings(model, [NOW]) for model in models] == apart
    assert read == MODELS  # only the hour before, which the last rule holds it against
    judge.read_ahead(models, NOW)
    # what was found in these windows stands
    assert judge._ahead == {name: {} for name in MODELS}


def test_rows_that_come_meanwhile_are_read(several: Server) -> None:
    judge, model = (
        RuleEvaluator(several.store, several.config),
        several.store.model("m0"),
    )
    judge.read_ahead([model], NOW)
    late = lines(
        *(
            event(i, model="m0", event_id=f"late{i}", ts=(NOW - HOUR / 2).isoformat())
            for i in range(9)
        )
    )
    several.collector.events(late, NDJSON).durable.result(60)
    several.scheduler.load_all()
    judge.note_rows("m0", NOW - HOUR / 2)
    assert judge.findings(model, [NOW]) == RuleEvaluator(
        several.store, several.config
    ).findings(model, [NOW])


def test_a_model_is_evaluated_once_a_minute_and_again_when_late_rows_came(
    several: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, now = (
        several.scheduler,
        [datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)],
    )
    loop.clock = lambda: now[0]
    asked: list[str] = []
    whole = loop.evaluation._evaluate_model
    monkeypatch.setattr(
        loop.evaluation,
        "_evaluate_model",
        lambda model, at: asked.append(model.name) or whole(model, at),
    )
    loop.evaluate_due(timedelta(0))
    assert asked == MODELS
    now[0] += timedelta(seconds=20)
    loop.evaluate_due(timedelta(0))
    assert asked == MODELS
    old = lines(event(0, model="m3", event_id="old", ts=(NOW - 5 * HOUR).isoformat()))
    several.collector.events(old, NDJSON).durable.result(60)
    loop.load_all()
    loop.evaluate_due(timedelta(0))
    assert asked == [*MODELS, "m3"]
    now[0] += timedelta(minutes=1)
    loop.evaluate_due(timedelta(0))
    assert asked == [*MODELS, "m3", *MODELS]


def test_evaluation_waits_while_rows_are_loaded(
    several: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.server.model_evaluation.MAX_WAIT_FOR_LOAD_S", 600.0)
    loop = several.scheduler
    done = threading.Event()
    waiting = threading.Thread(
        target=lambda: (loop.evaluate_due(timedelta(0)), done.set())
    )
    with loop.loading.before_evaluation():
        waiting.start()
        assert not done.wait(0.3)
    waiting.join(60)
    assert done.is_set()
    assert loop.last_tick is not None


def test_a_model_is_evaluated_from_its_first_event_on(several: Server) -> None:
    several.scheduler.clock = lambda: NOW
    # the first of 20 rows, 7 minutes apart, is two hours and 13 minutes old
    assert several.scheduler.evaluate("m0") == 3
    assert several.store.alerts.evaluated() == {several.store.model("m0").id: NOW}


def test_new_models_are_evaluated_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = (
        rule(name="hour", window="1h"),
        rule(name="minutes", statistic="error_rate", window="10m", limit=0.1),
    )
    with closing(Server(tmp_path, Config(rules=rules, default_rules=False))) as server:
        server.start(background=False)
        ts = (NOW - timedelta(minutes=20)).isoformat()
        body = lines(
            *(
                event(i, event_id=name, model=name, ts=ts)
                for i, name in enumerate(MODELS)
            )
        )
        server.collector.events(body, NDJSON).durable.result(60)
        server.scheduler.load_all()
        apart = {
            n: RuleEvaluator(server.store, server.config).findings(
                server.store.model(n), [NOW]
            )[0]
            for n in MODELS
        }
        read: list[str] = []
        monkeypatch.setattr(
            server.store, "profiles", lambda name, *_, **__: read.append(name)
        )
        monkeypatch.setattr(server.store, "first_event", read.append)
        server.scheduler.clock = lambda: NOW
        server.scheduler.evaluate_due(timedelta(0))
        assert read == []
        assert server.store.alerts.evaluated() == {
            server.store.model(n).id: NOW for n in MODELS
        }
        for name in MODELS:
            found = [
                f
                for f in server.store.alerts.latest_findings(name)
                if f.rule in ("hour", "minutes")
            ]
            assert len(found) == len(apart[name]) and {f.key for f in found} == {
                f.key for f in apart[name]
            }


def test_history_from_a_time_of_another_zone_has_the_same_days(
    several: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, start, seen = (
        several.scheduler,
        NOW - 4 * DAY - 3 * HOUR,
        list[list[datetime]](),
    )
    loop.clock = lambda: NOW
    monkeypatch.setattr(
        loop.evaluation,
        "_evaluate_times",
        lambda _, moments, __: seen.append(list(moments)),
    )
    for zone in (UTC, timezone(8 * HOUR)):
        loop.evaluate("m0", start.astimezone(zone))
    assert seen[0] == seen[1] and len(seen[0]) > 4
