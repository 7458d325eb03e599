"""The WSGI middleware changes nothing the caller sees but one header, and logs what really happened."""

import io
import json
import time
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from monitor.client import Client
from monitor.client.wsgi import DriftdeckMiddleware

BODY = {"features": {"a": 1, "b": "x"}}
JSON = [("Content-Type", "application/json")]


def predict(environ, start_response):
    length = int(environ["CONTENT_LENGTH"])
    features = json.loads(environ["wsgi.input"].read(length))["features"]
    time.sleep(features.get("sleep", 0))
    start_response("200 OK", JSON)
    return [b'{"predic', b'tion": 0.25}']


@pytest.fixture
def client(collector):
    with Client(collector.url, model="m", flush_interval=60) as client:
        yield client


def ask(app, path="/predict", body=BODY, method="POST", take=None):
    raw = json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
    }
    environ |= {"CONTENT_LENGTH": str(len(raw)), "wsgi.input": io.BytesIO(raw)}
    setup_testing_defaults(environ)
    seen = {}
    written = []

    def start_response(status, headers, exc_info=None):
        seen.update(status=status, headers=dict(headers))
        return written.append

    parts = app(environ, start_response)
    try:
        chunks = [part for _, part in zip(range(take or 1_000), parts, strict=False)]
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return seen["status"], seen["headers"], b"".join(written + chunks)


def logged(client, collector):
    assert client.flush(20)
    return collector.records()


def test_prediction_is_logged_with_latency_status_and_id(client, collector):
    app = DriftdeckMiddleware(predict, client)
    status, headers, answer = ask(app, body={"features": {"a": 1, "sleep": 0.05}})
    [event] = logged(client, collector)
    assert (status, answer) == ("200 OK", b'{"prediction": 0.25}')
    assert headers["X-Driftdeck-Event-Id"] == event["event_id"]
    assert (event["features"], event["prediction"], event["status"]) == (
        {"a": 1, "sleep": 0.05},
        0.25,
        200,
    )
    assert 50 <= event["latency_ms"] < 10_000


def test_middleware_keeps_to_the_wsgi_standard(client, collector):
    status, _, answer = ask(validator(DriftdeckMiddleware(validator(predict), client)))
    assert (status, answer) == ("200 OK", b'{"prediction": 0.25}')
    assert len(logged(client, collector)) == 1


def test_exception_is_logged_as_500_and_raised_again(client, collector):
    def broken(environ, start_response):
        environ["wsgi.input"].read()
        raise ZeroDivisionError("no model loaded")

    with pytest.raises(ZeroDivisionError):
        ask(DriftdeckMiddleware(broken, client))
    [event] = logged(client, collector)
    assert (event["status"], event["error"]) == (
        500,
        "ZeroDivisionError: no model loaded",
    )
    assert event["features"] == BODY["features"]


def test_exception_in_the_middle_of_the_answer_is_logged_once(client, collector):
    def broken(environ, start_response):
        start_response("200 OK", JSON)
        yield b"{"
        raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        ask(DriftdeckMiddleware(broken, client))
    [event] = logged(client, collector)
    assert (event["status"], event["error"]) == (500, "ValueError: half")


def test_error_status_is_logged(client, collector):
    def refusing(environ, start_response):
        start_response("503 Service Unavailable", JSON)
        return [b'{"error": "loading"}']

    ask(DriftdeckMiddleware(refusing, client))
    assert logged(client, collector)[0]["status"] == 503


def test_answer_through_write_is_seen_too(client, collector):
    def old_style(environ, start_response):
        environ["wsgi.input"].readline()
        start_response("200 OK", JSON)(b'{"prediction": 1}')
        return []

    assert ask(DriftdeckMiddleware(old_style, client))[2] == b'{"prediction": 1}'
    assert logged(client, collector)[0]["prediction"] == 1


def test_body_read_line_by_line_is_seen(client, collector):
    def by_lines(environ, start_response):
        assert b"".join(environ["wsgi.input"])
        assert environ["wsgi.input"].readlines() == []
        start_response("200 OK", JSON)
        return [b'{"prediction": 1}']

    ask(DriftdeckMiddleware(by_lines, client))
    assert logged(client, collector)[0]["features"] == BODY["features"]


def test_answer_is_closed_and_logged_when_the_caller_leaves(client, collector):
    closed = []

    class Parts:
        def __iter__(self):
            yield b'{"prediction": 1'
            yield b"}"

        def close(self):
            closed.append(True)

    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", JSON)
        return Parts()

    ask(DriftdeckMiddleware(app, client), take=1)
    [event] = logged(client, collector)
    assert closed == [True]
    assert "prediction" not in event


def test_other_paths_are_passed_through_untouched(client, collector):
    answer = [b"hello"]

    def page(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return answer

    app = DriftdeckMiddleware(page, client)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/health"}
    assert app(environ, lambda status, headers: None) is answer
    assert logged(client, collector) == []
