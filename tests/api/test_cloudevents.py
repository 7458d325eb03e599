"""CloudEvents of an inference logger: a pair becomes events once, in any order."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from conftest import Served

from monitor.api import create_app
from monitor.config.config import Config
from monitor.config.limits import Limits
from monitor.contracts import NotUnderstood
from monitor.ingest.pairing import PairBuffer, PairPart, event_id, read
from monitor.send.session import serving
from monitor.server.server import Server
from monitor.sql import quote

NOW = datetime.now(UTC).replace(microsecond=0)
V1 = {"instances": [[6.8, 2.8], [6.0, 3.4]]}, {"predictions": [1, 2]}
V2 = (
    {
        "inputs": [
            {
                "name": "x",
                "shape": [2, 2],
                "datatype": "FP64",
                "data": [6.8, 2.8, 6.0, 3.4],
            }
        ]
    },
    {"outputs": [{"name": "y", "shape": [2], "datatype": "INT64", "data": [1, 2]}]},
)


def cloud_event(
    part: str, data: Any, id_: str = "a-1", ms: int = 0, **attributes: Any
) -> CloudEvent:
    """Return a request or response as KServe's logger sends it."""
    return CloudEvent(
        {
            "type": f"org.kubeflow.serving.inference.{part}",
            "source": "http://localhost:9081/",
            "id": id_,
            "time": NOW - timedelta(minutes=1) + timedelta(milliseconds=ms),
            "datacontenttype": "application/json",
            "inferenceservicename": "sklearn-iris",
            "namespace": "default",
            "component": "predictor",
            "endpoint": "default",
            "specversion": "1.0",
            **attributes,
        },
        data,
    )


def post(
    url: str, event: CloudEvent, mode: Any = to_binary, path: str = "/v1/cloudevents"
) -> httpx.Response:
    message = mode(event, JSONFormat())
    return httpx.post(
        url + path,
        content=message.body,
        headers=message.headers,
        trust_env=False,
        timeout=30,
    )


def stored(url: str, model: str = "sklearn-iris") -> dict[str, Any]:
    """Return the row counts after everything accepted is loaded."""
    httpx.post(f"{url}/v1/flush", trust_env=False, timeout=30)
    accounting: dict[str, Any] = httpx.get(
        f"{url}/v1/status", trust_env=False, timeout=60
    ).json()["accounting"]
    return accounting


def events(server: Server, model: str = "sklearn-iris") -> list[tuple[Any, ...]]:
    """Return (id, version, latency, prediction, *features) of every stored row."""
    accounting = server.store.model(model)
    features = ", ".join(quote(f.field) for f in accounting.schema.features)
    return server.store.query(
        f"SELECT event_id, version, latency_ms, prediction, {features} FROM {accounting.events} ORDER BY event_id"
    )


def url_of(served: Served) -> str:
    return str(served.client.base_url).rstrip("/")


@pytest.mark.parametrize("pair", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize(
    "order", [(0, 1), (1, 0)], ids=["request first", "response first"]
)
@pytest.mark.parametrize(
    "mode", [to_binary, to_structured], ids=["binary", "structured"]
)
def test_a_pair_is_one_event_for_each_row(
    served: Served, pair: Any, order: Any, mode: Any
) -> None:
    halves = [cloud_event("request", pair[0]), cloud_event("response", pair[1], ms=25)]
    for i in order:
        answer = post(url_of(served), halves[i], mode)
        assert (answer.status_code, answer.json()) == (
            200,
            {"accepted": 1, "refused": 0, "refusals": []},
        )
    assert stored(url_of(served))["stored"] == 2
    assert events(served.server) == [
        ("a-1", "default", 25.0, 1.0, 6.8, 2.8),
        ("a-1-1", "default", 25.0, 2.0, 6.0, 3.4),
    ]


def test_repeats_store_nothing_twice(served: Served) -> None:
    url = url_of(served)
    for part in ("request", "request", "response", "response", "request", "response"):
        assert (
            post(url, cloud_event(part, V1[part == "response"], ms=5)).status_code
            == 200
        )
    assert {k: stored(url)[k] for k in ("stored", "duplicate", "refused")} == {
        "stored": 2,
        "duplicate": 0,
        "refused": 0,
    }
    assert not served.server.pairs.waiting


def test_batch_accepts_the_valid_and_refuses_the_invalid(served: Served) -> None:
    good = [
        json.loads(
            to_structured(cloud_event(p, V1[p == "response"]), JSONFormat()).body
        )
        for p in ("response", "request")
    ]
    batch = [
        good[0],
        {"nonsense": 1},
        7,
        good[1],
        {**good[1], "type": "org.kubeflow.serving.inference.outlier"},
    ]
    kind = {"content-type": "application/cloudevents-batch+json"}
    answer = served.client.post(
        "/v1/cloudevents", content=json.dumps(batch), headers=kind
    )
    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["refused"]) == (2, 3)
    assert [r["line"] for r in answer.json()["refusals"]] == [2, 3, 5]
    accounting = stored(url_of(served))
    assert (accounting["stored"], accounting["refused"]) == (2, 3)
    assert (
        served.client.post("/v1/cloudevents", content=b"{", headers=kind).status_code
        == 400
    )


def test_body_of_curl_without_a_content_type_is_read(served: Served) -> None:
    message = to_binary(cloud_event("request", V1[0]), JSONFormat())
    headers = {**message.headers, "content-type": "application/x-www-form-urlencoded"}
    assert (
        served.client.post(
            "/v1/cloudevents", content=json.dumps(V1[0]), headers=headers
        ).status_code
        == 200
    )
    post(url_of(served), cloud_event("response", V1[1]))
    assert stored(url_of(served))["stored"] == 2


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[]", b"\xff", b'{"specversion": "9"}', b"[" * 50_000]
)
def test_anything_but_a_cloudevent_is_refused_with_a_reason(
    served: Served, body: bytes
) -> None:
    answer = served.client.post(
        "/v1/cloudevents",
        content=body,
        headers={"content-type": "application/cloudevents+json"},
    )
    assert answer.status_code == 200 and answer.json()["refused"] == 1
    assert "not a CloudEvent" in answer.json()["refusals"][0]["reason"]
    assert stored(url_of(served))["refused"] == 1


def test_event_without_a_model_gets_the_model_parameter(served: Served) -> None:
    nameless = cloud_event("request", V1[0], inferenceservicename="")
    assert (
        "names no model"
        in post(url_of(served), nameless).json()["refusals"][0]["reason"]
    )
    for part in ("request", "response"):
        half = cloud_event(part, V1[part == "response"], inferenceservicename="")
        assert (
            post(url_of(served), half, path="/v1/cloudevents?model=iris").json()[
                "accepted"
            ]
            == 1
        )
    stored(url_of(served))
    assert len(events(served.server, "iris")) == 2


def test_key_for_another_model_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", Config())
    with serving(create_app(server, background=False, key="boot")) as url:
        assert post(url, cloud_event("request", V1[0])).status_code == 401
        about = {"name": "k", "scopes": ["ingest"], "models": ["other"]}
        created = httpx.post(
            f"{url}/v1/keys",
            json=about,
            headers={"authorization": "Bearer boot"},
            trust_env=False,
            timeout=60,
        )
        message = to_binary(cloud_event("request", V1[0]), JSONFormat())
        headers = {
            **message.headers,
            "authorization": f"Bearer {created.json()['secret']}",
        }
        for path, refused in (
            ("/v1/cloudevents", 1),
            ("/v1/cloudevents?model=other", 0),
        ):
            answer = httpx.post(
                url + path,
                content=message.body,
                headers=headers,
                trust_env=False,
                timeout=60,
            ).json()
            assert answer["refused"] == refused, answer
        assert [
            half.model
            for halves in server.pairs.waiting.values()
            for half in halves.values()
        ] == ["other"]


def test_pair_of_many_rows_is_stored_whole_within_the_limit_of_rows(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path / "data", Config(limits=Limits(max_rows=100)))
    with serving(create_app(server, background=False)) as url:
        post(url, cloud_event("request", {"instances": [[i] for i in range(250)]}))
        assert (
            post(
                url, cloud_event("response", {"predictions": list(range(250))})
            ).status_code
            == 200
        )
        assert stored(url)["stored"] == 250


def test_pair_that_cannot_be_read_is_in_the_quarantine(served: Served) -> None:
    post(url_of(served), cloud_event("request", {"pixels": 1}))
    assert (
        post(url_of(served), cloud_event("response", {"predictions": [1]})).status_code
        == 200
    )
    assert stored(url_of(served))["refused"] == 1
    [(reason, id_, model)] = served.server.store.query(
        "SELECT reason, event_id, model FROM quarantine"
    )
    assert "neither `instances` nor `inputs`" in reason and (id_, model) == (
        "a-1",
        "sklearn-iris",
    )


@pytest.mark.parametrize(
    "ends_with",
    [
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow, id="stopped"),
        pytest.param(signal.SIGKILL, id="killed"),
    ],
)
def test_restart_between_request_and_response_loses_neither(
    tmp_path: Path, unused_url: str, real_server: Any, ends_with: int
) -> None:
    folder = tmp_path / "data"
    with real_server(folder, unused_url, ends_with) as url:
        post(url, cloud_event("response", V1[1], ms=10))
        post(url, cloud_event("request", V1[0], id_="b-2"))
        post(url, cloud_event("request", V1[0], id_="c-3"))
        post(url, cloud_event("response", V1[1], id_="c-3"))
    with real_server(folder, unused_url) as url:
        assert (
            httpx.get(f"{url}/v1/status", trust_env=False, timeout=60).json()[
                "halves_waiting"
            ]
            == 2
        )
        post(url, cloud_event("request", V1[0]))
        post(url, cloud_event("response", V1[1], id_="b-2"))
        post(url, cloud_event("response", V1[1], id_="c-3"))
        accounting = stored(url)
    assert (accounting["stored"], accounting["duplicate"], accounting["refused"]) == (
        6,
        0,
        0,
    )
    server = Server(folder, Config())
    assert [row[0] for row in events(server)] == [
        "a-1",
        "a-1-1",
        "b-2",
        "b-2-1",
        "c-3",
        "c-3-1",
    ]
    server.close()


def test_documented_script_sends_a_pair(served: Served) -> None:
    script = Path(__file__).parents[2] / "docs" / "ways-in" / "kserve_pair.py"
    done = subprocess.run(
        [sys.executable, str(script), url_of(served)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.count("'accepted': 1") == 2, done.stderr
    assert stored(url_of(served))["stored"] == 2


def half(part: Any, body: Any, pair: str = "p") -> PairPart:
    return PairPart(
        pair,
        part,
        "a-1",
        "m",
        "",
        NOW - timedelta(minutes=1),
        json.dumps(body).encode(),
    )


def test_crash_after_the_second_part_stores_the_pair_once(server: Server) -> None:
    for part, body in zip(("request", "response"), V1, strict=True):
        for written in server.pairs.add(half(part, body)):
            written.result(60)
    # the files as a crash leaves them: both parts, and no mark that they were stored
    again = PairBuffer(server.folder / "halves", server.collector)
    again.start(background=False)
    assert again.settled == 0 and len(again.waiting) == 1
    server.scheduler.load_all()
    assert len(events(server, "m")) == 2
    again.settle_due(datetime.now(UTC))
    assert again.settled == 1 and not again.waiting
    again.close()


def test_unpaired_request_is_refused_with_a_reason_after_an_hour(
    server: Server, wait_for: Any
) -> None:
    for written in server.pairs.add(half("request", V1[0])):
        written.result(60)
    assert server.pairs.settle_due(datetime.now(UTC)) == 0
    later = datetime.now(UTC) + timedelta(minutes=61)
    assert server.pairs.settle_due(later) == 1
    wait_for(lambda: server.pairs.settle_due(later) == 0, "the refusal to be on disk")
    server.scheduler.load_all()
    assert server.pairs.settled == 1 and not server.pairs.waiting
    [(reason, id_)] = server.store.query("SELECT reason, event_id FROM quarantine")
    assert (reason, id_) == (
        "no response arrived for this request within 60 minutes",
        "a-1",
    )
    assert server.store.query("SELECT sum(refused)::INT FROM accounting") == [(1,)]


def test_full_buffer_is_503_with_retry_after(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", Config(limits=Limits(max_halves_mb=1)))
    large = {"instances": [[0.5] * 180_000]}
    with serving(create_app(server, background=False)) as url:
        assert post(url, cloud_event("request", large)).status_code == 200
        answer = post(url, cloud_event("request", large, id_="b-2"))
        assert answer.status_code == 503 and answer.headers["retry-after"] == "30"
        assert (
            post(url, cloud_event("response", {"predictions": [1]})).status_code == 200
        )
        assert post(url, cloud_event("request", large, id_="b-2")).status_code == 200


def test_files_do_not_grow_with_stored_pairs(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.ingest.pairing.MIN_COMPACTION_BYTES", 10_000)
    for i in range(50):
        for part, body in (
            ("request", V1[0]),
            ("response", {**V1[1], "pad": "x" * 1000}),
        ):
            for written in server.pairs.add(half(part, body, f"p{i}")):
                written.result(60)
    for written in server.pairs.add(half("request", V1[0], "alone")):
        written.result(60)
    server.pairs.settle_due(datetime.now(UTC))
    size = sum(path.stat().st_size for path in (server.folder / "halves").iterdir())
    assert size < 10_000
    again = PairBuffer(server.folder / "halves", server.collector)
    again.start(background=False)
    assert list(again.waiting) == ["alone"] and len(again._settled) == 50
    again.close()


def test_ids_stay_within_the_limit() -> None:
    assert [event_id("a", i) for i in (0, 1)] == ["a", "a-1"]
    assert len(event_id("x" * 200, 99_999)) <= 128
    with pytest.raises(NotUnderstood):
        read(b"[]", b"{}")
