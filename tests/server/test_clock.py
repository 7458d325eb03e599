"""A clock that was ahead, or jumps, silences nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from events import NDJSON, event, lines
from findings import finding
from receiver import SECRET

from monitor.alert import advance
from monitor.alerting.channels.webhook import WebhookConfig
from monitor.alerting.delivery import messages_for
from monitor.ingest.quota import Quota
from monitor.server.server import Server

DAY = timedelta(days=1)


def send_errors(server: Server, now: datetime, share: float, first: int) -> None:
    """An hour of events before `now`, some of which failed."""
    rows = [
        event(
            first + i,
            ts=(now - timedelta(seconds=6 * i)).isoformat(),
            status=500 if i % 100 < 100 * share else 200,
        )
        for i in range(600)
    ]
    server.collector.events(lines(*rows), NDJSON).durable.result(60)


def is_firing(server: Server) -> bool:
    return any(
        alert.state == "firing" and alert.finding.statistic == "error_rate"
        for alert in server.store.alerts.open_alerts("m").values()
    )


@pytest.mark.parametrize(
    "ahead", [timedelta(minutes=10), timedelta(hours=1), DAY, 30 * DAY]
)
def test_errors_after_a_clock_that_was_ahead_are_an_alert(
    server: Server, ahead: timedelta
) -> None:
    now = datetime.now(UTC)
    clock = now
    server.scheduler.clock = lambda: clock
    send_errors(server, now, 0, 0)
    server.scheduler.tick()
    clock = now + ahead  # for a minute
    server.scheduler.tick()
    clock = now + timedelta(minutes=1)
    server.scheduler.tick()
    assert not is_firing(server)
    clock = now + timedelta(minutes=20)
    send_errors(server, now + timedelta(minutes=4), 1, 1000)
    server.scheduler.tick()
    assert is_firing(server)


def test_a_clock_that_goes_back_a_minute_evaluates_nothing_twice(
    server: Server,
) -> None:
    now = datetime.now(UTC).replace(second=30)
    clock = now
    server.scheduler.clock = lambda: clock
    send_errors(server, now, 0, 0)
    server.scheduler.tick()
    model = server.store.model("m")
    until = server.store.alerts.evaluated()[model.id]
    clock = now - timedelta(minutes=1)
    server.scheduler.tick()
    assert server.store.alerts.evaluated()[model.id] == until


def test_a_message_that_was_queued_while_the_clock_was_ahead_is_due(
    server: Server,
) -> None:
    channel = WebhookConfig(name="c", url="http://127.0.0.1:9/", secret=SECRET)
    now = datetime.now(UTC)
    later = now + DAY
    alerts, transitions = advance({}, [finding("breach")], later)
    messages = messages_for(alerts, transitions, [channel], later, DAY)
    server.store.alerts.save(1, "m", later, [], alerts, transitions, messages)
    assert len(server.store.alerts.due(now, "c")) == 1


def test_a_quota_of_an_hour_that_lies_ahead_is_forgotten() -> None:
    quota = Quota(new_names=10)
    now = datetime.now(UTC)
    quota.note("m", 10, now + DAY)
    assert quota._remaining("m", now) == 10
    quota.note("m", 10, now)
    assert quota._remaining("m", now) == 0
