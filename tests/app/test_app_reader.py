"""The reader: requests, responses, the cache, and a silent server."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from app import reader, response_fields
from tests.app.conftest import SILENT


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[httpx.Request]]:
    """Respond to every request with this; return the list that requests are added to."""

    def start(status: int = 200, **response: object) -> list[httpx.Request]:
        asked: list[httpx.Request] = []
        lock = threading.Lock()

        def answer(request: httpx.Request) -> httpx.Response:
            with lock:
                asked.append(request)
            return httpx.Response(status, **response)  # type: ignore[arg-type]

        monkeypatch.setattr(reader, "transport", httpx.MockTransport(answer))
        return asked

    return start


def test_names_are_quoted_and_the_range_becomes_from(
    answering: Callable[..., list[httpx.Request]],
) -> None:
    asked = answering(json={})
    reader.column("a/b", "x y?", "v1")
    assert asked[0].url.raw_path.startswith(b"/v1/models/a%2Fb/columns/x%20y%3F?")
    assert asked[0].url.params["version"] == "v1"
    reader.drift("a/b", "v1", "24h")
    hours = (
        datetime.now(UTC) - datetime.fromisoformat(asked[1].url.params["from"])
    ).total_seconds() / 3600
    assert 24 <= hours < 24.1


def test_key_and_url_come_from_the_environment(
    answering: Callable[..., list[httpx.Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTDECK_URL", "http://monitor.test:9/")
    monkeypatch.setenv("DRIFTDECK_KEY", "k-1")
    asked = answering(json={"models": []})
    reader.models()
    assert str(asked[0].url) == "http://monitor.test:9/v1/models"
    assert asked[0].headers["authorization"] == "Bearer k-1"


def test_second_question_is_answered_from_the_cache(
    answering: Callable[..., list[httpx.Request]],
) -> None:
    asked = answering(json={"models": []})
    reader.models()
    reader.models()
    assert len(asked) == 1


def test_nan_and_infinity_become_none(
    answering: Callable[..., list[httpx.Request]],
) -> None:
    answering(content=b'{"rows": [{"p95": NaN, "p99": Infinity, "p50": 1.5}]}')
    assert reader.service("m", "", "7d")["rows"] == [
        {"p95": None, "p99": None, "p50": 1.5}
    ]


def test_fields_the_server_leaves_out_have_their_defaults(
    answering: Callable[..., list[httpx.Request]],
) -> None:
    answering(
        json={
            "model": "m",
            "latency_p95": {"value": 3},
            "reasons": None,
            "freshness": None,
        }
    )
    overview = reader.overview("m", "", "7d")
    assert overview["latency_p95"] == {
        "value": 3,
        "previous_week": None,
        "limit": None,
        "status": "no_data",
    }
    assert overview["reasons"] == [] and overview["freshness"]["lost"] is None
    assert response_fields.OVERVIEW["latency_p95"]["value"] is None


def test_silent_server_is_unreachable_with_a_sentence() -> None:
    with pytest.raises(reader.Unreachable) as caught:
        reader.models()
    assert "No response from http://127.0.0.1:8700" in str(caught.value)
    assert reader.link().error is caught.value and reader.link().last_good is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b'{"error": "there is no model x"}', reader.NotFound),
        (401, b'{"error": "key"}', reader.Refused),
        (422, b'{"error": "step must be like 1h"}', reader.Refused),
        (503, b'{"error": "starting"}', reader.Unreachable),
        (200, b"<html>a proxy</html>", reader.Unreachable),
        (200, b"[1]", reader.Refused),
    ],
)
def test_other_answers_are_typed_errors(
    status: int,
    body: bytes,
    kind: type[Exception],
    answering: Callable[..., list[httpx.Request]],
) -> None:
    answering(status, content=body)
    with pytest.raises(kind):
        reader.models()


def test_last_good_answer_stands_in_for_a_silent_server(
    answering: Callable[..., list[httpx.Request]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(json={"models": [{"model": "m"}]})
    good = reader.models()
    reader._cached.clear()
    monkeypatch.setattr(reader, "transport", SILENT)
    assert reader.models() == good
    assert (
        isinstance(reader.link().error, reader.Unreachable)
        and reader.link().last_good is not None
    )


def test_not_found_is_never_covered_by_an_older_answer(
    answering: Callable[..., list[httpx.Request]],
) -> None:
    answering(json={"findings": [{"rule": "r"}]})
    assert reader.findings("m")
    reader._cached.clear()
    answering(404, json={"error": "gone"})
    with pytest.raises(reader.NotFound):
        reader.findings("m")


def test_after_a_failure_questions_fail_at_once_until_it_is_forgotten(
    answering: Callable[..., list[httpx.Request]],
) -> None:
    with pytest.raises(reader.Unreachable):
        reader.models()
    asked = answering(json={"models": []})
    with pytest.raises(reader.Unreachable):
        reader.models()
    assert not asked
    reader.forget_failure()
    assert reader.models()["models"] == []
    assert reader.link().error is None


def test_acting_on_an_alert_sends_the_body_and_drops_the_cache(
    answering: Callable[..., list[httpx.Request]],
) -> None:
    asked = answering(json={"alerts": []})
    reader.alerts("m", "open")
    reader.acknowledge("a/1", "Mei")
    reader.silence(7, 24, "Mei")
    reader.alerts("m", "open")
    assert [request.method for request in asked] == ["GET", "POST", "POST", "GET"]
    assert (
        asked[1].url.raw_path == b"/v1/alerts/a%2F1/acknowledge"
        and asked[1].content == b'{"by":"Mei"}'
    )
    assert asked[2].content == b'{"hours":24,"by":"Mei"}'
    assert dict(asked[0].url.params) == {"model": "m", "state": "open", "limit": "100"}


def test_an_answer_that_was_under_way_while_somebody_acted_is_not_the_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: list[str] = []

    def server(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            names.append("Mei")
            return httpx.Response(200, json={})
        answer = httpx.Response(
            200,
            json={
                "alerts": [{"id": 1, "acknowledged_by": name} for name in names[-1:]]
            },
        )
        if not names:
            reader.acknowledge(1, "Mei")  # while the answer is on its way
        return answer

    monkeypatch.setattr(reader, "transport", httpx.MockTransport(server))
    assert not reader.alerts("m", "open")["alerts"]
    assert reader.alerts("m", "open")["alerts"][0]["acknowledged_by"] == "Mei"


def test_what_a_viewer_does_is_tried_even_right_after_a_failure(
    answering: Callable[..., list[httpx.Request]],
) -> None:
    with pytest.raises(reader.Unreachable):
        reader.models()
    asked = answering(json={})
    reader.acknowledge(1, "Mei")
    assert [request.method for request in asked] == ["POST"]


@pytest.mark.parametrize("span", reader.RANGES)
def test_range_is_whole_minutes_before_now(span: str) -> None:
    now = datetime(2026, 11, 22, 12, 0, 31, tzinfo=UTC)
    start = datetime.fromisoformat(reader.window(span, now)["from"])
    assert (
        start.second == 0
        and 0 <= (now - start).total_seconds() - reader.RANGES[span] * 3600 < 60
    )
