"""Events and labels reach the server once, whatever the network does."""

import logging
import threading
import time

import pytest

from monitor.client import Client, sender

PATIENCE = 20.0  # seconds: a bound for a hanging test, not an expectation
MIDNIGHT = "2026-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def short_delays(monkeypatch):
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)


def adds_up(stats):
    return (
        stats["logged"]
        == stats["accepted"] + stats["refused"] + stats["dropped"] + stats["queued"]
    )


def test_event_and_label_arrive_as_logged(collector):
    with Client(collector.url, "secret", model="m", version="1") as client:
        event_id = client.log(
            {"a": 1.5, "b": "x"}, 0.25, latency_ms=3.5, tags={"zone": "eu"}, ts=MIDNIGHT
        )
        client.label(event_id, True, ts=1767225600)
        assert client.flush(PATIENCE)
        assert client.stats()["accepted"] == 2 and adds_up(client.stats())
    assert collector.records() == [
        {
            "event_id": event_id,
            "model": "m",
            "version": "1",
            "ts": MIDNIGHT,
            "features": {"a": 1.5, "b": "x"},
            "prediction": 0.25,
            "latency_ms": 3.5,
            "status": 200,
            "tags": {"zone": "eu"},
        }
    ]
    assert collector.records("/v1/labels") == [
        {
            "event_id": event_id,
            "model": "m",
            "label": True,
            "ts": "2026-01-01T00:00:00.000000Z",
        }
    ]
    assert {request.authorization for request in collector.requests} == {
        "Bearer secret"
    }


def test_many_events_travel_in_batches(collector):
    with Client(collector.url, model="m", batch=100, flush_interval=60) as client:
        ids = [client.log({"i": i}, i) for i in range(1050)]
        assert client.flush(PATIENCE)
    assert [record["event_id"] for record in collector.records()] == ids
    assert max(len(request.records) for request in collector.requests) == 100
    assert len(collector.requests) <= 12


def test_a_lone_event_goes_out_after_the_flush_interval(collector):
    with Client(collector.url, model="m", flush_interval=0.05) as client:
        client.log({}, 1)
        end = time.monotonic() + PATIENCE
        while not client.stats()["accepted"] and time.monotonic() < end:
            time.sleep(0.01)
        assert client.stats()["accepted"] == 1


def test_lost_answer_is_retried_under_the_same_key(collector):
    collector.plan = ["lose", "lose", "lose"]
    with Client(collector.url, model="m") as client:
        client.log({}, 1)
        assert client.flush(PATIENCE)
        assert client.stats()["retries"] >= 2
        assert client.stats()["accepted"] == 1
    assert len(collector.requests) == 4
    assert len({request.key for request in collector.requests}) == 1


def test_next_batch_has_another_key(collector):
    with Client(collector.url, model="m") as client:
        for i in range(2):
            client.log({}, i)
            assert client.flush(PATIENCE)
    assert len({request.key for request in collector.requests}) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(collector, status):
    collector.plan = [
        {"status": status, "headers": {"Retry-After": "1"}, "body": {"error": "busy"}}
    ]
    with Client(collector.url, model="m") as client:
        client.log({}, 1)
        assert client.flush(PATIENCE)
        assert "busy" in client.stats()["last_error"]
    first, second = collector.requests
    assert second.at - first.at >= 0.99
    assert first.key == second.key


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422])
def test_refused_batch_is_counted_and_not_sent_again(collector, status):
    collector.plan = [{"status": status, "body": {"error": "what to do"}}]
    with Client(collector.url, model="m") as client:
        client.log({}, 1)
        assert client.flush(PATIENCE)
        stats = client.stats()
    assert (stats["refused"], stats["accepted"], stats["retries"]) == (1, 0, 0)
    assert (
        f"HTTP {status}" in stats["last_error"] and "what to do" in stats["last_error"]
    )
    assert len(collector.requests) == 1


def test_refused_lines_of_an_accepted_batch_are_counted(collector):
    refusal = {"line": 2, "event_id": "x", "reason": "ts is missing"}
    collector.plan = [{"body": {"accepted": 2, "refused": 1, "refusals": [refusal]}}]
    with Client(collector.url, model="m") as client:
        for i in range(3):
            client.log({}, i)
        assert client.flush(PATIENCE)
        stats = client.stats()
    assert (stats["accepted"], stats["refused"], stats["sent"]) == (2, 1, 3)
    assert "ts is missing" in stats["last_error"]


def test_refusal_without_a_reason_is_counted_too(collector):
    collector.plan = [{"body": {"accepted": 0, "refused": 1, "refusals": []}}]
    with Client(collector.url, model="m") as client:
        client.log({}, 1)
        assert client.flush(PATIENCE)
        assert client.stats()["refused"] == 1 and client.stats()["retries"] == 0


@pytest.mark.parametrize(
    "answer", [[], "ok", {"refused": 0, "refusals": 5}, {"refused": None}]
)
def test_answer_of_another_shape_is_not_the_servers(collector, answer):
    collector.plan = [{"body": answer}]
    with Client(collector.url, model="m") as client:
        client.log({}, 1)
        assert client.flush(PATIENCE)
        assert client.stats()["accepted"] == 1
        assert client.stats()["retries"] == 1


def test_batch_too_large_is_halved(collector):
    def at_most_two(records):
        return (
            {} if len(records) <= 2 else {"status": 413, "body": {"error": "too large"}}
        )

    collector.plan = [at_most_two] * 50
    with Client(collector.url, model="m", flush_interval=60) as client:
        ids = {client.log({}, i) for i in range(7)}
        assert client.flush(PATIENCE)
        assert client.stats()["accepted"] == 7
    small = [
        request.records for request in collector.requests if len(request.records) <= 2
    ]
    assert {record["event_id"] for records in small for record in records} == ids


def test_a_batch_that_breaks_the_server_lets_the_others_through(collector, monkeypatch):
    monkeypatch.setattr(sender, "MAX_ATTEMPTS_AT_500", 3)
    collector.plan = [{"status": 500}] * 3
    with Client(collector.url, model="m") as client:
        client.log({}, 1)
        assert client.flush(PATIENCE)
        client.log({}, 2)
        assert client.flush(PATIENCE)
        stats = client.stats()
    assert (stats["dropped"], stats["accepted"]) == (1, 1)


def test_an_answer_of_another_web_server_does_not_count_as_stored(collector):
    collector.plan = [{"body": b"<html>Please log in</html>"}]
    with Client(collector.url, model="m") as client:
        client.log({}, 1)
        assert client.flush(PATIENCE)
        assert client.stats()["retries"] == 1
    assert len(collector.requests) == 2


def test_server_down_keeps_events_until_it_is_full_then_drops_and_says_so(
    unused_url, caplog
):
    with caplog.at_level(logging.WARNING, "driftdeck.client"):
        client = Client(unused_url, model="m", max_queue=50, batch=10)
        for i in range(80):
            client.log({"i": i}, i)
        stats = client.stats()
        assert stats["queued"] == 50 and stats["dropped"] == 30 and adds_up(stats)
        client.close(0.2)
    stats = client.stats()
    assert stats["dropped"] == 80 and stats["queued"] == 0 and adds_up(stats)
    assert "80 dropped" in caplog.text


def test_losses_are_reported_once_a_minute(collector, caplog):
    with (
        caplog.at_level(logging.WARNING, "driftdeck.client"),
        Client(collector.url, model="m") as client,
    ):
        for _ in range(5):
            collector.plan = [{"status": 400}]
            client.log({}, 1)
            assert client.flush(PATIENCE)
        assert len(caplog.records) <= 1


def test_server_that_is_back_gets_everything(collector):
    collector.plan = [{"status": 503, "headers": {"Retry-After": "0"}}] * 5
    with Client(collector.url, model="m", batch=10) as client:
        ids = {client.log({}, i) for i in range(35)}
        assert client.flush(PATIENCE)
    assert {record["event_id"] for record in collector.records()} == ids


def test_slow_server_does_not_hold_up_the_caller(collector):
    answer_now = threading.Event()

    def hold(records):
        answer_now.wait(PATIENCE)
        return {}

    collector.plan = [hold]
    client = Client(collector.url, model="m", batch=1, timeout=PATIENCE)
    for i in range(100):
        client.log({}, i)
    assert client.stats()["accepted"] == 0
    answer_now.set()
    client.close(PATIENCE)
    assert client.stats()["accepted"] == 100


def test_request_that_times_out_is_sent_again(collector):
    collector.plan = [{"sleep": 1.0}]
    client = Client(collector.url, model="m", timeout=0.2)
    client.log({}, 1)
    assert client.flush(PATIENCE)
    client.close()
    assert client.stats()["retries"] >= 1 and client.stats()["accepted"] == 1
    assert len({request.key for request in collector.requests}) == 1


def test_events_after_close_are_dropped_and_counted(collector):
    client = Client(collector.url, model="m")
    client.close()
    assert client.log({}, 1)
    assert client.stats()["dropped"] == 1 and adds_up(client.stats())


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8700", "ftp://host", "http://", "http://host:port", ""]
)
def test_unusable_address_is_named(url):
    with pytest.raises(ValueError, match="is not an address like"):
        Client(url)


def test_password_in_the_address_is_refused_without_repeating_it():
    with pytest.raises(ValueError, match="use key=") as refused:
        Client("http://me:hunter2@host")
    assert "hunter2" not in str(refused.value)


def test_path_before_the_api_is_kept(collector):
    with Client(collector.url + "/monitor/", model="m") as client:
        client.log({}, 1)
        assert client.flush(PATIENCE)
    assert collector.requests[0].path == "/monitor/v1/events"
