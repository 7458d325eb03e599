"""The model service, its traffic and the webhook receiver work over real HTTP."""

import json
import time
from datetime import UTC, datetime

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from monitor.alerting.channels import webhook
from monitor.client import Client
from monitor.demo import request_stream
from monitor.demo.flights import features_of
from monitor.demo.prediction_service import create_app, serving
from monitor.demo.receiver import receiving


class Recorder(Client):
    """A client that keeps what it is given instead of sending it."""

    def __init__(self):
        super().__init__(model="flight-delay")
        self.records = []

    def _put(self, path, record, rows=1):
        self.records.append((path, record))


def events(recorder):
    return [record for path, record in recorder.records if path == "/v1/events"]


def test_service_predicts_and_logs_its_real_latency(found, model):
    recorder = Recorder()
    flight = found.current.iloc[100]
    with (
        serving(create_app(model, recorder)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as http,
    ):
        start = time.perf_counter()
        answer = http.post("/predict", json={"features": features_of(flight)})
        took_ms = (time.perf_counter() - start) * 1_000
    [event] = events(recorder)
    expected = model.predict(found.current.iloc[100:101])[0]
    assert answer.json() == {"prediction": pytest.approx(expected, abs=1e-6)}
    assert event["features"] == features_of(flight)
    assert (event["status"], event["version"]) == (200, model.version)
    assert event["event_id"] == answer.headers["x-driftdeck-event-id"]
    assert 0 < event["latency_ms"] <= took_ms


@pytest.mark.parametrize(
    "features", [{}, {"carrier": None, "temp": None}, {"carrier": 5, "temp": 60}]
)
def test_service_predicts_from_what_it_gets(model, features):
    with (
        serving(create_app(model, Recorder())) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as http,
    ):
        assert (
            0
            <= http.post("/predict", json={"features": features}).json()["prediction"]
            <= 1
        )


def test_service_says_422_to_a_body_it_cannot_read_and_logs_it(model):
    recorder = Recorder()
    with (
        serving(create_app(model, recorder)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as http,
    ):
        assert http.post("/predict", json={"flight": 1}).status_code == 422
    assert events(recorder)[0]["status"] == 422


def test_traffic_flows_and_sends_labels_later(found, model, monkeypatch):
    monkeypatch.setattr(request_stream, "LABEL_DELAY_S", 0.05)
    recorder = Recorder()
    labelled = found.current[found.current["label"].notna()].head(5)
    with (
        serving(create_app(model, recorder)) as url,
        request_stream.flowing(url, labelled, recorder, per_second=50) as flow,
    ):
        end = time.monotonic() + 300
        while flow.sent < 12 and time.monotonic() < end:
            time.sleep(0.02)
    assert flow.sent >= 12 and flow.failed == 0
    labels = [record for path, record in recorder.records if path == "/v1/labels"]
    known = {event["event_id"] for event in events(recorder)}
    assert labels and {label["event_id"] for label in labels} <= known
    assert [label["label"] for label in labels[:5]] == [
        bool(label) for label in labelled["label"]
    ][: len(labels)]


def test_traffic_goes_on_when_the_service_does_not_answer(found):
    flow = request_stream.RequestStream(
        "http://127.0.0.1:9", found.current.head(1), Recorder(), per_second=100
    )
    with httpx.Client(trust_env=False, timeout=60) as http:
        flow._request(http, found.current.iloc[0])
    assert (flow.sent, flow.failed) == (0, 1)


def signed(receiver, identifier, body, secret=None):
    now = datetime.now(UTC)
    signature = Webhook(secret or receiver.secret).sign(identifier, now, body)
    headers = {"webhook-id": identifier, "webhook-timestamp": str(int(now.timestamp()))}
    return {**headers, "webhook-signature": signature}


def test_receiver_keeps_what_is_signed_once_and_rejects_the_rest():
    body = json.dumps({"type": "alert.firing", "data": {"text": "PSI of temp is 0.41"}})
    with receiving() as receiver, httpx.Client(trust_env=False, timeout=60) as http:
        for identifier in ("msg_1", "msg_1", "msg_2"):
            assert (
                http.post(
                    receiver.url,
                    content=body,
                    headers=signed(receiver, identifier, body),
                ).status_code
                == 204
            )
        forged = signed(receiver, "msg_3", body, "whsec_" + "QUJD" * 8)
        assert http.post(receiver.url, content=body, headers=forged).status_code == 401
        assert (
            http.post(
                receiver.url,
                content=body + " ",
                headers=signed(receiver, "msg_4", body),
            ).status_code
            == 401
        )
        assert http.post(receiver.url, content=body).status_code == 401
        assert http.post(receiver.url + "/other", content=body).status_code == 404
    assert receiver.messages == [json.loads(body)] * 2
    assert receiver.rejected == 3


def test_receiver_verifies_what_the_webhook_channel_signs():
    with receiving() as receiver, httpx.Client(trust_env=False, timeout=60) as http:
        config = webhook.WebhookConfig(
            name="demo", url=receiver.url, secret=receiver.secret
        )
        request = webhook.render(config, {"text": "溫度"}, "msg_1", datetime.now(UTC))
        assert (
            http.post(
                request.url, content=request.body, headers=request.headers
            ).status_code
            == 204
        )
    assert receiver.messages == [{"text": "溫度"}]
