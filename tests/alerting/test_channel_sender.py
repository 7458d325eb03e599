"""A receiver that drips, hangs, floods or is gone delays no other channel."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from findings import T0, finding
from receiver import SECRET, Receiver

from monitor.alert import advance
from monitor.alerting import channel_sender
from monitor.alerting.channel_sender import ChannelSender, drop_unconfigured
from monitor.alerting.channels.webhook import WebhookConfig
from monitor.alerting.delivery import messages_for
from monitor.config.config import Config
from monitor.server.server import Server


def drip(connection: Any) -> None:
    """A byte of a header every twentieth of a second, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def hang(connection: Any) -> None:
    """No answer."""
    time.sleep(3600)


def flood(connection: Any) -> None:
    """Headers at once, then a body of 16 GB as fast as it is read."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 17179869184\r\n\r\n")
    part = bytes(1 << 20)
    while True:
        connection.sendall(part)


@contextmanager
def bad_receiver(behave: Any) -> Iterator[str]:
    """The address of a receiver that behaves like this after it read a request."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            try:
                behave(self.request)
            except OSError:
                return

    class Receivers(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Receivers(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook"
        server.shutdown()


def queue(server: Server, channels: list[WebhookConfig], alerts: int = 1) -> None:
    """Open alerts of some models, each with a message for each channel."""
    for i in range(alerts):
        found, transitions = advance({}, [finding("breach", model=f"m{i}")], T0)
        messages = messages_for(found, transitions, channels, T0, timedelta(days=1))
        server.store.alerts.save(i + 1, f"m{i}", T0, [], found, transitions, messages)


def statuses(server: Server) -> list[tuple[str, str]]:
    return sorted(
        server.store.query("SELECT channel, status FROM outbox ORDER BY channel")
    )


@pytest.mark.parametrize("behave", [drip, hang], ids=["drips", "hangs"])
def test_an_attempt_has_one_deadline(
    server: Server, monkeypatch: pytest.MonkeyPatch, behave: Any
) -> None:
    monkeypatch.setattr(channel_sender, "DEADLINE_S", 0.5)
    with bad_receiver(behave) as url:
        channel = WebhookConfig(name="bad", url=url, secret=SECRET)
        queue(server, [channel])
        assert ChannelSender(channel, server.store.alerts).send_due(datetime.now(UTC))
    [(status, detail)] = server.store.query("SELECT status, detail FROM outbox")
    assert (status, "no response within 0.5 s" in detail) == ("waiting", True)


def test_the_body_of_a_response_is_not_read(server: Server) -> None:
    with bad_receiver(flood) as url:
        channel = WebhookConfig(name="bad", url=url, secret=SECRET)
        queue(server, [channel])
        assert ChannelSender(channel, server.store.alerts).send_due(datetime.now(UTC))
    assert statuses(server) == [("bad", "delivered")]


@pytest.mark.parametrize("behave", [drip, hang], ids=["drips", "hangs"])
def test_a_bad_receiver_delays_no_other_channel(
    tmp_path: Path, wait_for: Any, behave: Any
) -> None:
    good = Receiver()
    with bad_receiver(behave) as url:
        channels = [
            WebhookConfig(name="bad", url=url, secret=SECRET),
            WebhookConfig(name="good", url=good.url, secret=SECRET),
        ]
        server = Server(tmp_path / "data", Config(channels=tuple(channels)))
        server.start()
        queue(server, channels, alerts=30)
        # far less than the deadline of the first attempt of the bad one
        wait_for(lambda: len(good.got) == 30, "the good channel to have all messages")
        server.close()  # in the middle of the bad one's attempt
    good.server.shutdown()
    good.server.server_close()
    # what was under way is sent again after the start, as the same attempt
    again = Server(tmp_path / "data", Config(channels=tuple(channels)))
    counted = again.store.query("SELECT max(tries) FROM outbox WHERE channel = 'bad'")
    assert counted == [(0,)]
    again.close()


def test_a_receiver_that_is_gone_gets_nothing_more(server: Server) -> None:
    receiver = Receiver()
    receiver.answers = [(410, {})]
    channel = WebhookConfig(name="gone", url=receiver.url, secret=SECRET)
    queue(server, [channel], alerts=3)
    sender = ChannelSender(channel, server.store.alerts)
    while sender.send_due(datetime.now(UTC)):
        pass
    assert len(receiver.got) == 1
    assert statuses(server) == [("gone", "failed")] * 3
    # after a restart, with the address corrected, it is tried again
    queue(server, [channel], alerts=5)
    assert ChannelSender(channel, server.store.alerts).send_due(datetime.now(UTC))
    assert len(receiver.got) > 1
    receiver.server.shutdown()
    receiver.server.server_close()


def test_messages_of_a_channel_that_is_configured_no_more_fail(server: Server) -> None:
    channel = WebhookConfig(name="old", url="http://127.0.0.1:9/", secret=SECRET)
    queue(server, [channel])
    drop_unconfigured(server.store.alerts, ["old"], datetime.now(UTC))
    assert statuses(server) == [("old", "waiting")]
    drop_unconfigured(server.store.alerts, ["new"], datetime.now(UTC))
    assert statuses(server) == [("old", "failed")]
