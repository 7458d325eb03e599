"""The outbox and the webhook: signed, retried with the same id, in order, never told twice."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from findings import T0, finding
from receiver import SECRET, Receiver
from standardwebhooks import Webhook, WebhookVerificationError

from monitor.alert import Transition, advance
from monitor.alerting.channel_sender import RETRIES, ChannelSender
from monitor.alerting.channels.webhook import WebhookConfig
from monitor.alerting.delivery import body_of, messages_for
from monitor.plugins import channels
from monitor.server.server import Server
from monitor.store.alert_store import AlertStore

# an example section of each type of channel
SECTIONS: dict[str, dict[str, Any]] = {
    "webhook": {"name": "c", "url": "http://receiver/hook", "secret": SECRET}
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


def queue(
    server: Server, channel: WebhookConfig, *verdicts: Any, now: datetime = T0
) -> None:
    """Play findings through alerts into the outbox."""
    for i, verdict in enumerate(verdicts):
        at = now + timedelta(minutes=i)
        alerts, transitions = advance(
            server.store.alerts.open_alerts("m"), [finding(verdict)], at
        )
        server.store.alerts.save(
            1,
            "m",
            at,
            [],
            alerts,
            transitions,
            messages_for(alerts, transitions, [channel], at, timedelta(days=1)),
        )


def deliver(book: AlertStore, channel: WebhookConfig, now: datetime) -> int:
    return ChannelSender(channel, book).send_due(now)


def test_a_firing_and_a_resolved_message_arrive_signed_and_in_order(
    server: Server, receiver: Receiver
) -> None:
    channel = WebhookConfig(name="c", url=receiver.url, secret=SECRET)
    queue(server, channel, "breach", "ok")
    now = datetime.now(UTC)
    while deliver(server.store.alerts, channel, now):
        pass
    bodies = [Webhook(SECRET).verify(body, headers) for headers, body in receiver.got]
    assert [b["type"] for b in bodies] == ["alert.firing", "alert.resolved"]
    assert bodies[0]["data"]["text"].startswith("Request error rate 50.0%")
    assert bodies[0]["data"]["alert_id"] == bodies[1]["data"]["alert_id"]
    assert len({h["webhook-id"] for h, _ in receiver.got}) == 2
    headers, body = receiver.got[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"firing", b"FIRING"), headers)


def test_a_failed_try_is_repeated_later_with_the_same_id_and_holds_back_what_follows(
    server: Server, receiver: Receiver
) -> None:
    channel = WebhookConfig(name="c", url=receiver.url, secret=SECRET)
    queue(server, channel, "breach", "ok")
    receiver.answers = [
        (500, {}),
        (302, {"location": "http://127.0.0.1:1/"}),
        (429, {"retry-after": "3600"}),
    ]
    now = datetime.now(UTC)
    for _ in range(4):
        assert deliver(server.store.alerts, channel, now) == 1
        assert deliver(server.store.alerts, channel, now) == (
            0 if len(receiver.got) < 4 else 1
        )
        now += timedelta(hours=2)
    ids = [h["webhook-id"] for h, _ in receiver.got]
    assert len(set(ids[:4])) == 1
    assert ids[4] != ids[0]
    assert json.loads(receiver.got[4][1])["type"] == "alert.resolved"
    assert server.store.alerts.waiting() == 0


def test_retry_after_is_honoured(server: Server, receiver: Receiver) -> None:
    channel = WebhookConfig(name="c", url=receiver.url, secret=SECRET)
    queue(server, channel, "breach")
    receiver.answers = [(429, {"retry-after": "3600"})]
    now = datetime.now(UTC)
    deliver(server.store.alerts, channel, now)
    assert deliver(server.store.alerts, channel, now + timedelta(minutes=59)) == 0
    assert deliver(server.store.alerts, channel, now + timedelta(minutes=61)) == 1


@pytest.mark.parametrize(
    ("answers", "tries"), [([(410, {})], 1), ([(500, {})] * 99, len(RETRIES) + 1)]
)
def test_it_gives_up_when_told_or_after_three_days(
    server: Server,
    receiver: Receiver,
    answers: list[Any],
    tries: int,
) -> None:
    channel = WebhookConfig(name="c", url=receiver.url, secret=SECRET)
    queue(server, channel, "breach")
    receiver.answers = list(answers)
    now = datetime.now(UTC)
    for _ in range(30):
        deliver(server.store.alerts, channel, now)
        now += timedelta(hours=30)
    assert len(receiver.got) == tries
    (alert,) = server.store.alerts.open_alerts("m").values()
    (delivery,) = server.store.alerts.deliveries([alert.id])[alert.id]
    assert delivery["status"] == "failed"
    assert delivery["tries"] == tries


def test_a_receiver_that_is_down_is_tried_again(
    server: Server, receiver: Receiver
) -> None:
    receiver.server.shutdown()
    receiver.server.server_close()
    channel = WebhookConfig(name="c", url=receiver.url, secret=SECRET)
    queue(server, channel, "breach")
    deliver(server.store.alerts, channel, datetime.now(UTC))
    (alert,) = server.store.alerts.open_alerts("m").values()
    (delivery,) = server.store.alerts.deliveries([alert.id])[alert.id]
    assert (delivery["status"], delivery["tries"]) == ("waiting", 1)
    assert "ConnectError" in delivery["detail"]


def test_history_and_silenced_alerts_are_not_told(server: Server) -> None:
    channel = WebhookConfig(name="c", url="http://x/", secret=SECRET)
    (alert,), transitions = advance({}, [finding("breach")], T0)

    def told(a, now):
        return len(messages_for([a], transitions, [channel], now, timedelta(days=1)))

    assert told(alert, T0) == 1
    assert told(alert, T0 + timedelta(days=2)) == 0
    from dataclasses import replace

    assert told(replace(alert, silenced_until=T0 + timedelta(hours=1)), T0) == 0


def test_a_round_evaluated_again_is_not_told_again(server: Server) -> None:
    channel = WebhookConfig(name="c", url="http://x/", secret=SECRET)
    queue(server, channel, "breach")
    assert server.store.alerts.waiting() == 1
    server.store.alerts.rewind(1, "m", T0 - timedelta(days=1))
    queue(server, channel, "breach")
    assert server.store.alerts.waiting() == 1


def test_an_alert_that_was_told_ends_when_history_finds_an_earlier_beginning(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitor.detector.model_run import RunContext
    from monitor.schema import ModelSchema
    from monitor.store.model import Model

    channel = WebhookConfig(name="c", url="http://x/", secret=SECRET)
    scheduler = server.scheduler
    scheduler.evaluation.config = server.config.model_copy(
        update={"channels": (channel,)}
    )
    model = Model(1, "m", "unknown", ModelSchema("m"))
    found: dict[datetime, Any] = {}
    monkeypatch.setattr(
        scheduler.evaluator,
        "findings",
        lambda _, moments: [[found[at]] for at in moments],
    )
    monkeypatch.setattr(scheduler.detector_runner, "run", lambda *_: RunContext())
    monkeypatch.setattr(scheduler.evaluator, "first_event", lambda _: T0)
    hours = [T0 + timedelta(hours=i) for i in range(5)]
    found |= dict(
        zip(
            hours,
            [finding(v) for v in ("ok", "ok", "breach", "breach", "breach")],
            strict=True,
        )
    )
    scheduler.evaluation._evaluate_times(model, hours, hours[-1])
    (told,) = server.store.alerts.open_alerts("m").values()
    server.store.alerts.rewind(1, "m", hours[0])
    found[hours[1]] = finding("breach")  # rows that came late
    scheduler.evaluation._evaluate_times(model, hours, hours[-1])
    (now_open,) = server.store.alerts.open_alerts("m").values()
    assert now_open.since == hours[1]
    assert server.store.alerts.get(told.id).state == "resolved"
    bodies = [
        json.loads(b)["type"]
        for (b,) in server.store.query(
            "SELECT body FROM outbox WHERE alert = ? ORDER BY rowid", [told.id]
        )
    ]
    assert bodies == ["alert.firing", "alert.resolved"]


def test_channels_choose_by_severity_and_model() -> None:
    (alert,), transitions = advance({}, [finding("breach")], T0)
    for changes, told in (
        ({}, 1),
        ({"severities": ("critical",)}, 0),
        ({"models": ("other",)}, 0),
        ({"models": ("m",)}, 1),
    ):
        channel = WebhookConfig(name="c", url="http://x/", secret=SECRET, **changes)
        assert (
            len(messages_for([alert], transitions, [channel], T0, timedelta(days=1)))
            == told
        )


def test_every_channel_has_an_example() -> None:
    assert set(SECTIONS) == set(channels())


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.parametrize("state", ["firing", "resolved"])
def test_every_channel_renders_a_short_body_without_its_secret(
    name: str, state: Any
) -> None:
    module = channels()[name]
    config = module.CONFIG(**SECTIONS[name])
    (alert,), transitions = advance({}, [finding("breach")], T0)
    body = body_of(
        alert, Transition(alert.id, T0, "pending", state, transitions[0].finding)
    )
    request = module.render(config, body, "id-1", T0)
    assert request.url == "http://receiver/hook"
    assert len(request.body) < 20_000
    everything = request.body + json.dumps(request.headers).encode()
    assert SECRET.removeprefix("whsec_").encode() not in everything
    assert json.loads(request.body)["type"] == f"alert.{state}"
    assert request.headers["webhook-id"] == "id-1"
    again = module.render(config, body, "id-1", T0)
    assert again == request
