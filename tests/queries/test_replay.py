"""Replay: the alerts that the rule would have fired; nothing is stored."""

import inspect
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from hour_stream import DAY, HOUR, NOW, START, evaluate, opened, send, shifted, traffic

from monitor.api import create_app
from monitor.api.routes.replay_routes import get_replay
from monitor.cli.replay_command import replay as replay_command
from monitor.config.config import Config
from monitor.config.rule import RuleConfig
from monitor.errors import InvalidRequest
from monitor.queries.replay import replay_rules, rule_of_parameters
from monitor.send.session import serving
from monitor.server.server import Server

RULE = {"statistic": "psi", "limit": 0.1, "window": "2d"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with closing(opened(tmp_path_factory.mktemp("server"))) as server:
        send(server, traffic(shifted(8)))
        yield server


def test_alerts_are_those_of_a_configured_rule(server: Server, tmp_path: Path) -> None:
    config = Config(default_rules=False, rules=(RuleConfig(name="on", **RULE),))
    with closing(opened(tmp_path, config)) as on:
        send(on, traffic(shifted(8)))
        real = [a for a in evaluate(on) if a.finding.rule == "on"]
        stored = replay_rules(on.scheduler, "m", None, None, NOW, DAY)
    body = replay_rules(
        server.scheduler, "m", [rule_of_parameters(RULE)], None, NOW, DAY
    )
    (rule,) = body["rules"]
    assert [(e["column"], e["fired_at"]) for e in rule["episodes"]] == [
        (a.finding.column, a.fired_at) for a in real
    ]
    assert [e["column"] for e in rule["episodes"]] == ["x"]
    assert NOW - 8 * DAY < rule["episodes"][0]["fired_at"] <= NOW - 5 * DAY
    assert 0.2 < rule["share_firing"] < 0.6
    # beside the rule's own alert is the detector's of the same change
    assert {s["rule"] for s in stored["stored"]} == {"on", "detector.inputs"}
    assert stored["rules"][0]["episodes"] == rule["episodes"]


def test_nothing_is_stored(server: Server) -> None:
    replay_rules(server.scheduler, "m", [rule_of_parameters(RULE)], None, NOW, None)
    assert [
        a.finding.rule for a in server.store.alerts.listing(["m"], "all", 100)
    ] == []
    assert server.store.alerts.latest_findings("m") == []


def test_a_higher_limit_and_a_longer_hold_fire_less(server: Server) -> None:
    def alerts(**more: object) -> tuple[int, float]:
        (rule,) = replay_rules(
            server.scheduler,
            "m",
            [rule_of_parameters({**RULE, **more})],
            None,
            NOW,
            6 * HOUR,
        )["rules"]
        return rule["alerts"], rule["share_firing"]

    assert alerts()[0] >= 1
    assert alerts(limit=5.0) == (0, 0.0)
    assert alerts(columns=("y",)) == (0, 0.0)
    assert alerts(hold="3d")[1] < alerts()[1]


def test_the_work_is_capped_and_the_time_range_needs_events(server: Server) -> None:
    assert replay_rules(server.scheduler, "m", None, None, NOW, None)["rules"] == []
    with pytest.raises(InvalidRequest, match="at least 1h"):
        replay_rules(
            server.scheduler,
            "m",
            [rule_of_parameters(RULE)],
            None,
            NOW,
            timedelta(minutes=1),
        )
    with pytest.raises(InvalidRequest, match="ask for a longer step"):
        replay_rules(
            server.scheduler, "m", [rule_of_parameters(RULE)] * 100, None, NOW, HOUR
        )
    with pytest.raises(InvalidRequest, match="no events"):
        replay_rules(
            server.scheduler, "m", [rule_of_parameters(RULE)], None, START - DAY, None
        )


def test_route_and_its_errors(tmp_path: Path) -> None:
    server = opened(tmp_path)  # the application closes it
    send(server, traffic(rows=10))
    with (
        serving(create_app(server, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        path = "/v1/models/m/replay"
        answer = client.get(
            path,
            params={**RULE, "columns": ["x", "y"], "step": "1d", "to": NOW.isoformat()},
        )
        assert answer.status_code == 200, answer.text
        assert [r["columns"] for r in answer.json()["rules"]] == [2]
        json.dumps(answer.json(), allow_nan=False)
        for params, words in (
            ({"statistic": "psl", "limit": 1}, "'psl' is unknown"),
            ({"statistic": "psi"}, "both `statistic` and `limit`"),
            ({"warn": 1}, "needs `statistic` and `limit`"),
            ({**RULE, "window": "x"}, "`window`"),
            ({**RULE, "compare": "x"}, "`compare`"),
            ({**RULE, "step": "x"}, "`step`"),
        ):
            answer = client.get(path, params=params)
            assert answer.status_code == 422
            assert words in answer.json()["error"]


def test_an_alert_without_further_rows_fires_at_most_all_of_the_time(
    server: Server,
) -> None:
    (rule,) = replay_rules(
        server.scheduler, "m", [rule_of_parameters(RULE)], None, NOW + 30 * DAY, DAY
    )["rules"]
    assert 0.6 < rule["share_firing"] <= 1


def test_rule_options_are_the_same_in_configuration_api_and_command() -> None:
    """The options of a rule are listed three times, each with every field of the model."""
    own = {"name", "model", "severity"}  # of a configured rule only
    fields = set(RuleConfig.model_fields) - own
    of_replay = {"step", "from_", "to"}
    api = set(inspect.signature(get_replay).parameters) - {"request", "model"}
    assert api == fields | of_replay
    command = set(inspect.signature(replay_command).parameters)
    of_command = {"model", "start", "end", "step", "url", "data", "config", "as_json"}
    assert command == fields | of_command
