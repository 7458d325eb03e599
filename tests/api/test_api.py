"""HTTP API: rows become figures; every error is a status and one sentence."""

import gzip
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
import zstandard
from conftest import Served
from events import NDJSON, NOW, event, lines
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.api import create_app
from monitor.config.config import Config
from monitor.config.limits import Limits
from monitor.config.rule import RuleConfig
from monitor.plugins import statistics
from monitor.queries.figures.drift import read_drift
from monitor.queries.figures.selection import Selection
from monitor.queries.known_statistics import drift_statistics
from monitor.queries.time_range import parse_time_range
from monitor.schema import NON_FEATURE_COLUMNS
from monitor.send.session import serving
from monitor.server.server import Server

ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def filled(served: Served) -> Served:
    """A model with a reference, a day of events, labels, and one evaluation."""
    rows = [
        event(i, ts=(NOW - timedelta(minutes=i % 1400)).isoformat())
        for i in range(1500)
    ]
    csv = "age,country,premium,prediction,label\n" + "".join(
        f"{r['features']['age']},{r['features']['country']},{r['features']['premium']},{r['prediction']},{int(r['prediction'] > 0.5)}\n"
        for r in rows
    )
    answer = served.client.put(
        "/v1/models/m/reference", content=csv, headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["task"] == "binary"
    for i, row in enumerate(rows):
        # all ages are 20 years higher than in the reference
        row["features"]["age"] += 20
        row["status"] = 503 if i % 10 == 0 else 200
    assert served.post("/v1/events", lines(*rows)).json() == {
        "accepted": 1500,
        "refused": 0,
        "refusals": [],
    }
    labels = [
        {
            "event_id": r["event_id"],
            "model": "m",
            "label": int(r["prediction"] > 0.4),
            "ts": NOW.isoformat(),
        }
        for r in rows
    ]
    assert served.post("/v1/labels", lines(*labels)).json()["accepted"] == 1500
    served.server.scheduler.tick()
    return served


def test_models_and_overview_report_counts_and_status(filled: Served) -> None:
    (model,) = filled.get("/v1/models")["models"]
    assert (
        model["model"],
        model["task"],
        model["versions"],
        model["events"],
        model["labels"],
    ) == (
        "m",
        "binary",
        ["v1"],
        1500,
        1500,
    )
    assert model["reference"]["status"] == "set"
    overview = filled.get("/v1/models/m/overview")
    assert overview["status"] == "breach"
    assert {
        (r["rule"], r["column"])
        for r in overview["reasons"]
        if r["verdict"] == "breach"
    } >= {("drift", "age")}
    assert overview["predictions"]["n"] == 1500
    assert overview["drifted"]["n"] == 1
    assert overview["drifted"]["of"] == 3
    assert overview["prediction_error"]["value"] == pytest.approx(0.1, abs=0.03)
    assert overview["prediction_error"]["reference"] == 0
    fresh = overview["freshness"]
    assert (
        fresh["received"],
        fresh["stored"],
        fresh["refused"],
        fresh["pending"],
        fresh["lost"],
    ) == (
        1500,
        1500,
        0,
        0,
        0,
    )


def test_service_figures_match_the_rows(filled: Served) -> None:
    import numpy as np

    service = filled.get(
        "/v1/models/m/service",
        step="1h",
        **{"from": (NOW - timedelta(days=2)).isoformat()},
    )
    exact = [event(i)["latency_ms"] for i in range(1500)]
    totals = service["totals"]
    assert totals["n"] == 1500
    assert totals["error_rate"] == pytest.approx(0.1)
    assert totals["error_low"] < 0.1 < totals["error_high"]
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert totals[name] == pytest.approx(
            float(np.quantile(exact, q, method="inverted_cdf")), rel=0.01
        )
    assert sum(r["n"] for r in service["rows"]) == 1500
    times = [datetime.fromisoformat(r["t"]) for r in service["rows"]]
    assert {b - a for a, b in pairwise(times)} == {timedelta(hours=1)}
    (version,) = service["versions"]
    assert (version["version"], version["n"]) == ("v1", 1500)


def test_drift_ranks_the_shifted_column_first_and_shows_its_bins(
    filled: Served,
) -> None:
    drift = filled.get("/v1/models/m/drift", step="6h")
    first = drift["columns"][0]
    assert (first["column"], first["status"]) == ("age", "breach")
    assert first["value"] > 1
    assert first["low"] > drift["limit"]
    # the window leaves this hour out
    assert first["mean"] - first["mean_reference"] == pytest.approx(20, abs=0.5)
    assert len(first["values"]) == len(first["levels"]) == len(drift["steps"])
    assert {c["status"] for c in drift["columns"][1:]} == {"ok"}
    column = filled.get("/v1/models/m/columns/age")
    assert sum(b["reference"] for b in column["bins"]) == pytest.approx(1)
    assert sum(b["current"] for b in column["bins"]) == pytest.approx(1)
    assert [s["statistic"] for s in column["statistics"]] == [
        "psi",
        "ks",
        "missing_rate",
        "out_of_range_share",
        "type_error_rate",
    ]


@pytest.mark.parametrize("step", [1, 24, 168])
def test_current_drift_is_of_a_whole_window_in_an_incomplete_step(
    server: Server, step: int
) -> None:
    """At 00:09 the step of the day has nine minutes; the window is still the last day."""
    midnight = NOW.replace(hour=0, minute=0, second=0) - timedelta(days=1)
    rows = [
        event(i, ts=(midnight + timedelta(minutes=8 - i)).isoformat())
        for i in range(1200)
    ]
    server.collector.events(lines(*rows), NDJSON).durable.result(60)
    server.scheduler.load_all()
    server.set_reference_period("m", midnight - timedelta(days=9), NOW, NOW)
    at = midnight + timedelta(minutes=9)
    time_range = parse_time_range(
        (at - timedelta(days=30)).isoformat(),
        at.isoformat(),
        f"{step}h",
        NOW,
        timedelta(hours=1),
    )
    drift = read_drift(server.store, server.config, Selection("m", time_range), "psi")
    assert {c["n"] for c in drift["columns"]} == {1200}
    assert {c["status"] for c in drift["columns"]} == {"ok"}
    assert all(c["values"][-1] == c["value"] for c in drift["columns"])


@pytest.mark.parametrize("statistic", drift_statistics())
def test_every_drift_statistic_sees_the_shift_in_the_columns_it_is_for(
    filled: Served, statistic: str
) -> None:
    drift = filled.get("/v1/models/m/drift", step="6h", statistic=statistic)
    kinds = statistics()[statistic].KINDS
    assert drift["statistic"] == statistic
    assert {c["kind"] for c in drift["columns"]} <= kinds | NON_FEATURE_COLUMNS
    assert drift["columns"][0]["column"] == "age"
    assert drift["columns"][0]["low"] > max(
        (c["value"] for c in drift["columns"][1:]), default=0
    )
    assert [c["detectable"] is not None for c in drift["columns"][:1]] == [
        statistic == "psi"
    ]


def test_new_categories_are_listed(filled: Served) -> None:
    more = [
        event(
            i, event_id=f"n{i}", features={"age": 60, "country": "VN", "premium": True}
        )
        for i in range(200)
    ]
    filled.post("/v1/events", lines(*more))
    filled.server.scheduler.tick()
    column = filled.get("/v1/models/m/columns/country")
    assert [(v["value"], v["n"]) for v in column["new_values"]] == [("VN", 200)]
    assert next(b for b in column["bins"] if b["label"] == "new")[
        "current"
    ] == pytest.approx(200 / 1700)


def test_a_feature_without_a_reference_is_learning(
    filled: Served,
) -> None:
    filled.post("/v1/events", lines(event(9, event_id="x", features={"income": 3})))
    filled.server.scheduler.tick()
    columns = {c["column"]: c for c in filled.get("/v1/models/m/drift")["columns"]}
    assert columns["income"]["status"] == "learning"
    assert filled.get("/v1/models/m/columns/income")["status"] == "learning"


def test_a_period_in_the_body_of_a_reference_is_refused(filled: Served) -> None:
    body = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    answer = filled.client.put("/v1/models/m/reference", json=body)
    assert (
        answer.status_code == 422
        and "a period is a parameter, not a body" in answer.text
    )


def test_a_reference_without_rows_is_refused(filled: Served) -> None:
    answer = filled.client.put(
        "/v1/models/m/reference", params={"from": "2001-01-01", "to": "2001-01-02"}
    )
    assert answer.status_code == 422
    assert "has no rows" in answer.json()["error"]
    assert filled.get("/v1/models/m/drift")["columns"][0]["column"] == "age"


def test_alerts_can_be_listed_acknowledged_and_silenced(filled: Served) -> None:
    alerts = filled.get("/v1/alerts", model="m")["alerts"]
    alert = next(a for a in alerts if a["column"] == "age" and a["rule"] == "drift")
    assert alert["state"] == "firing"
    assert [t["to"] for t in alert["transitions"]] == ["pending", "firing"]
    path = f"/v1/alerts/{alert['id']}"
    changed = filled.client.post(f"{path}/acknowledge", json={"by": "Mei-Ling"}).json()
    assert changed["acknowledged_by"] == "Mei-Ling"
    quiet = filled.client.post(
        f"{path}/silence", json={"hours": 24, "by": "Mei-Ling"}
    ).json()
    assert datetime.fromisoformat(quiet["silenced_until"]) > datetime.now(
        UTC
    ) + timedelta(hours=23)
    filled.server.scheduler.tick()
    stored = next(
        a
        for a in filled.get("/v1/alerts", state="all")["alerts"]
        if a["id"] == alert["id"]
    )
    assert stored["acknowledged_by"] == "Mei-Ling"
    assert stored["transitions"][-1]["by"] == "Mei-Ling"
    assert filled.client.post(f"{path}/silence", json={"hours": -1}).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "/v1/models/m/service",
        "/v1/models/m/drift",
        "/v1/models/m/columns/age",
        "/v1/models/m/findings",
        "/v1/alerts",
    ],
)
def test_every_list_is_available_as_arrow(filled: Served, path: str) -> None:
    answer = filled.client.get(path, headers={"accept": ARROW})
    assert answer.headers["content-type"] == ARROW
    with pa.ipc.open_stream(answer.content) as reader:
        table = reader.read_all()
    body = filled.get(path)
    assert table.num_rows == max(
        len(v)
        for k, v in body.items()
        if isinstance(v, list) and k not in ("previous_week", "steps")
    )
    assert json.loads(table.schema.metadata[b"driftdeck"])


def test_metrics_findings_and_status(filled: Served) -> None:
    text = filled.client.get("/metrics").text
    assert (
        'driftdeck_rows_total{kind="events",model="m",outcome="stored"} 1500.0' in text
    )
    assert (
        'driftdeck_finding_breach{column="age",model="m",rule="drift",segment="",statistic="psi"} 1.0'
        in text
    )
    status = filled.get("/v1/status")
    assert status["accounting"] == {
        "received": 3000,
        "stored": 3000,
        "duplicate": 0,
        "refused": 0,
        "pending": 0,
        "unchecked": 0,
    }
    assert filled.get("/healthz") == {"status": "ok"}
    assert filled.get("/readyz")["status"] == "ready"
    findings = filled.get("/v1/models/m/findings")["findings"]
    assert {f["verdict"] for f in findings} <= {
        "ok",
        "warn",
        "breach",
        "insufficient",
        "no_data",
        "learning",
    }
    assert all(f["text"] for f in findings)


def test_history_is_evaluated_again_on_request_and_rebuild_changes_nothing(
    filled: Served,
) -> None:
    before = filled.get("/v1/models/m/drift")["columns"]
    assert filled.client.post("/v1/rebuild").json() == {"rows": {"m": 1500}}
    after = filled.get("/v1/models/m/drift")["columns"]
    assert [(c["column"], c["value"]) for c in before] == [
        (c["column"], c["value"]) for c in after
    ]
    answer = filled.client.post(
        "/v1/evaluate",
        params={"model": "m", "from": (NOW - timedelta(days=3)).isoformat()},
    )
    assert answer.json()["moments"]["m"] > 0


def test_a_period_can_become_the_reference(filled: Served) -> None:
    period = {
        "from": (NOW - timedelta(days=1)).isoformat(),
        "to": (NOW + timedelta(hours=1)).isoformat(),
    }
    answer = filled.client.put("/v1/models/m/reference", params=period)
    assert answer.status_code == 200
    assert answer.json()["reference"]["source"] == "period"
    assert filled.get("/v1/models/m/drift")["columns"][0]["status"] == "ok"


def test_another_reference_resolves_the_alerts_of_the_old_one(
    filled: Served,
) -> None:
    def drifted():
        return [
            a
            for a in filled.get("/v1/alerts", state="open")["alerts"]
            if a["rule"] == "drift"
        ]

    assert [a["column"] for a in drifted()] == ["age"]
    period = {
        "from": (NOW - timedelta(days=2)).isoformat(),
        "to": (NOW + timedelta(hours=1)).isoformat(),
    }
    assert filled.client.put("/v1/models/m/reference", params=period).status_code == 200
    filled.server.scheduler.tick()
    assert drifted() == []


def test_version_and_segment_narrow_the_figures(tmp_path: Path) -> None:
    from monitor.config.model_section import ModelConfig

    server = Server(tmp_path, Config(models={"m": ModelConfig(segments=("country",))}))
    with (
        serving(create_app(server, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        rows = [event(i, version=f"v{i % 3}") for i in range(300)]
        client.post(
            "/v1/events", content=lines(*rows), headers={"content-type": NDJSON}
        )
        server.scheduler.load_all()

        def count(**params):
            return client.get("/v1/models/m/service", params=params).json()["totals"][
                "n"
            ]

        assert count() == 300
        assert count(version="v1") == 100
        assert count(segment="country=a") == sum(
            r["features"]["country"] == "a" for r in rows
        )
        assert count(segment="country=zz") == 0
        by = client.get("/v1/models/m/service", params={"by": "version"}).json()["rows"]
        assert {r["version"] for r in by} == {"v0", "v1", "v2"}


# errors


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "words"),
    [
        (
            "POST",
            "/v1/events",
            {"content": b"{}", "headers": {"content-type": "application/xml"}},
            415,
            "use one of",
        ),
        (
            "POST",
            "/v1/events",
            {"content": b"{nope", "headers": {"content-type": "application/json"}},
            400,
            "not JSON",
        ),
        (
            "POST",
            "/v1/events",
            {"content": b"x" * 6_000_000, "headers": {"content-type": NDJSON}},
            413,
            "more than 5 MB",
        ),
        (
            "POST",
            "/v1/events",
            {
                "content": iter([b"x" * 3_000_000] * 2),
                "headers": {"content-type": NDJSON},
            },
            413,
            "more than 5 MB",
        ),
        (
            "POST",
            "/v1/events",
            {"content": b"{}\n" * 10_001, "headers": {"content-type": NDJSON}},
            413,
            "more than 10,000 rows",
        ),
        (
            "POST",
            "/v1/events",
            {
                "content": b"\x1f\x8b",
                "headers": {"content-type": NDJSON, "content-encoding": "gzip"},
            },
            400,
            "does not match its Content-Encoding",
        ),
        (
            "POST",
            "/v1/events",
            {
                "content": b"{}",
                "headers": {"content-type": NDJSON, "content-encoding": "br"},
            },
            415,
            "use gzip, zstd, or none",
        ),
        *(
            (
                "POST",
                "/v1/events",
                {
                    "content": body,
                    "headers": {"content-type": NDJSON, "content-encoding": kind},
                },
                status,
                text,
            )
            for kind, body, status, text in (
                ("gzip", gzip.compress(b" " * 50_000_000), 413, "more than 5 MB"),
                ("zstd", zstandard.compress(b" " * 50_000_000), 413, "more than 5 MB"),
                (
                    "zstd",
                    zstandard.ZstdCompressor(write_content_size=False).compress(
                        b" " * 50_000_000
                    ),
                    413,
                    "more than 5 MB",
                ),
                (
                    "zstd",
                    zstandard.compress(b"{}" * 1000)[:-3],
                    400,
                    "does not match its Content-Encoding",
                ),
                (
                    "zstd",
                    b"not zstd at all",
                    400,
                    "does not match its Content-Encoding",
                ),
            )
        ),
        (
            "POST",
            "/v1/events?max_age=-1",
            {"content": b"", "headers": {"content-type": NDJSON}},
            422,
            "max_age",
        ),
        (
            "GET",
            "/v1/models/nope/service",
            {},
            404,
            "there is no model 'nope'; known: m",
        ),
        (
            "GET",
            "/v1/models/m/columns/nope",
            {},
            404,
            "has no column 'nope'; known: age",
        ),
        (
            "GET",
            "/v1/models/m/service?from=yesterday",
            {},
            422,
            "`from` 'yesterday' is not a time",
        ),
        (
            "GET",
            "/v1/models/m/service?from=2026-02-02&to=2026-01-01",
            {},
            422,
            "must be before",
        ),
        ("GET", "/v1/models/m/service?step=1s", {}, 422, "too short"),
        ("GET", "/v1/models/m/service?step=abc", {}, 422, "not a duration"),
        (
            "GET",
            "/v1/models/m/service?step=1m&from=2026-01-01",
            {},
            422,
            "more than 2000 points",
        ),
        ("GET", "/v1/models/m/drift?statistic=psl", {}, 422, "known: psi, chi_squared"),
        ("GET", "/v1/alerts?state=angry", {}, 422, "state"),
        ("GET", "/v1/alerts?limit=0", {}, 422, "limit"),
        (
            "POST",
            "/v1/alerts/nope/acknowledge",
            {"json": {"by": "x"}},
            404,
            "no alert 'nope'",
        ),
        (
            "PUT",
            "/v1/models/m/reference?from=2026-01-01",
            {},
            422,
            "both `from` and `to`",
        ),
        (
            "PUT",
            "/v1/models/m/reference",
            {"content": b"x\n", "headers": {"content-type": "text/csv"}},
            400,
            "CSV",
        ),
        ("GET", "/nope", {}, 404, "there is no /nope"),
        ("DELETE", "/v1/events", {}, 405, "Method Not Allowed"),
    ],
)
def test_an_error_is_a_status_and_one_sentence(
    served: Served,
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
    words: str,
) -> None:
    served.post("/v1/events", lines(event(0)))
    served.server.scheduler.load_all()
    answer = served.client.request(method, path, **options)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("kind", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)]
)
def test_a_compressed_body_is_the_same_body(
    served: Served, kind: str, pack: Callable[[bytes], bytes]
) -> None:
    body = lines(*(event(i) for i in range(100)))
    headers = {"content-type": NDJSON, "idempotency-key": "k1"}
    first = served.client.post(
        "/v1/events", content=pack(body), headers={**headers, "content-encoding": kind}
    )
    again = served.client.post("/v1/events", content=body, headers=headers)
    assert (
        first.json() == again.json() == {"accepted": 100, "refused": 0, "refusals": []}
    )
    served.client.post("/v1/flush")
    assert served.client.get("/v1/status").json()["accounting"]["stored"] == 100


def test_another_body_under_the_same_key_is_409(served: Served) -> None:
    headers = {"idempotency-key": "k"}
    assert served.post("/v1/events", lines(event(0)), **headers).status_code == 200
    assert served.post("/v1/events", lines(event(0)), **headers).json()["accepted"] == 1
    assert served.post("/v1/events", lines(event(1)), **headers).status_code == 409


def test_a_full_spool_is_503_with_retry_after(served: Served) -> None:
    served.server.spool.capacity = 10
    answer = served.post("/v1/events", lines(event(0)))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "spool is full" in answer.json()["error"]


def test_too_many_bodies_at_once_are_429(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # other requests take up all the memory
    monkeypatch.setattr("monitor.api.request_body._small_bodies.bytes", 64 << 20)
    answer = served.post("/v1/events", lines(event(0)))
    assert answer.status_code == 429
    assert answer.headers["retry-after"]


def test_with_a_key_every_request_needs_it(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with (
        serving(create_app(server, background=False, key="s3cret")) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        assert client.get("/healthz").status_code == 200
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": "s3cret"},
        ):
            answer = client.get("/v1/models", headers=headers)
            assert answer.status_code == 401
            assert "DRIFTDECK_KEY" in answer.json()["error"]
        assert (
            client.get(
                "/v1/models", headers={"authorization": "Bearer s3cret"}
            ).status_code
            == 200
        )


def test_limits_can_be_set(tmp_path: Path) -> None:
    server = Server(tmp_path, Config(limits=Limits(max_rows=2, max_age_days=5000)))
    with (
        serving(create_app(server, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):

        def send(*rows):
            return client.post(
                "/v1/events", content=lines(*rows), headers={"content-type": NDJSON}
            )

        assert send(event(0), event(1), event(2)).status_code == 413
        assert send(event(0, ts="2014-01-01T00:00:00Z")).json()["accepted"] == 1


def test_the_description_lists_every_route_with_examples(served: Served) -> None:
    spec = served.get("/openapi.json")
    assert set(spec["paths"]) >= {
        "/v1/events",
        "/v1/labels",
        "/v1/models",
        "/v1/models/{model}/drift",
        "/v1/alerts",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    body = spec["paths"]["/v1/events"]["post"]["requestBody"]["content"]
    assert set(body) == {
        "application/x-ndjson",
        "application/jsonl",
        "application/json",
        ARROW,
        "application/vnd.apache.parquet",
        "text/csv",
    }
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)


def test_an_unknown_model_gives_no_stack_trace_and_an_empty_server_no_models(
    served: Served,
) -> None:
    assert served.get("/v1/models")["models"] == []
    answer = served.client.get("/v1/models/m/overview")
    assert answer.status_code == 404
    assert "none yet" in answer.json()["error"]


@pytest.mark.parametrize(
    "name", ["team/churn", "流失 模型", 'say "hi"', "50% off?", "#1"]
)
def test_every_model_and_feature_name_has_an_address(served: Served, name: str) -> None:
    from urllib.parse import quote

    served.post(
        "/v1/events",
        lines(*(event(i, model=name, features={name: i}) for i in range(5))),
    )
    served.server.scheduler.tick()
    path = f"/v1/models/{quote(name, safe='')}"
    assert served.get("/v1/models")["models"][0]["model"] == name
    assert served.get(f"{path}/service")["totals"]["n"] == 5
    assert served.get(f"{path}/columns/{quote(name, safe='')}")["column"] == name


def test_a_model_with_too_little_data_is_not_ok(served: Served) -> None:
    served.post("/v1/events", lines(*(event(i) for i in range(5))))
    served.server.scheduler.tick()
    overview = served.get("/v1/models/m/overview")
    assert overview["status"] in ("insufficient", "no_data", "learning")
    assert served.get("/v1/models")["models"][0]["status"] != "ok"


def test_rules_of_the_configuration_are_applied(tmp_path: Path) -> None:
    rule = RuleConfig(
        name="slow",
        statistic="latency_quantile",
        limit=1.0,
        minimum=10,
        window=timedelta(days=4),
    )
    server = Server(tmp_path, Config(rules=(rule,), default_rules=False))
    with (
        serving(create_app(server, background=False)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        client.post(
            "/v1/events",
            content=lines(*(event(i) for i in range(5000))),
            headers={"content-type": NDJSON},
        )
        server.scheduler.tick()
        finding, detector = client.get("/v1/models/m/findings").json()["findings"]
        assert (finding["rule"], finding["statistic"], finding["verdict"]) == (
            "slow",
            "latency_quantile",
            "breach",
        )
        assert (detector["rule"], detector["verdict"]) == ("detector", "learning")
        assert client.get("/v1/models/m/overview").json()["latency_p95"]["limit"] == 1.0


ODD = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59Z",
            "2026-11-22",
            "1970-01-01",
            "-1",
            "1e9",
            "NaN",
            "\x00",
            "1w",
            "1m",
            "0.5s",
        ]
    ),
    st.datetimes().map(datetime.isoformat),
)
READS = [
    "/v1/models/m/overview",
    "/v1/models/m/service",
    "/v1/models/m/drift",
    "/v1/models/m/columns/age",
    "/v1/models/m/findings",
    "/v1/alerts",
    "/v1/models",
]


def test_no_parameter_and_no_body_makes_the_server_fail(filled: Served) -> None:
    names = st.sampled_from(
        [
            "from",
            "to",
            "step",
            "version",
            "segment",
            "statistic",
            "by",
            "model",
            "state",
            "limit",
            "max_age",
        ]
    )

    @settings(max_examples=400 if os.environ.get("DRIFTDECK_NIGHTLY") else 60)
    @given(st.sampled_from(READS), st.dictionaries(names, ODD, max_size=3))
    def reads(path: str, params: dict[str, str]) -> None:
        params = {k: v.encode("utf-8", "replace").decode() for k, v in params.items()}
        answer = filled.client.get(path, params=params)
        assert answer.status_code < 500, (path, params, answer.text)
        assert answer.status_code == 200 or answer.json()["error"]

    kinds = st.sampled_from(
        [
            NDJSON,
            "application/json",
            ARROW,
            "application/vnd.apache.parquet",
            "text/csv",
            "text/plain",
        ]
    )
    value = st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(st.text(max_size=8), x, max_size=3)
        ),
    )
    near = st.fixed_dictionaries({}, optional=dict.fromkeys(event(0), value)).map(
        lambda changes: json.dumps(event(1) | changes).encode()
    )
    body = st.one_of(
        st.binary(max_size=200), near, value.map(lambda v: json.dumps(v).encode())
    )

    @settings(max_examples=400 if os.environ.get("DRIFTDECK_NIGHTLY") else 60)
    @given(
        st.sampled_from(["/v1/events", "/v1/labels"]), kinds, st.lists(body, max_size=3)
    )
    def writes(path: str, kind: str, bodies: list[bytes]) -> None:
        answer = filled.post(path, b"\n".join(bodies), kind)
        assert answer.status_code < 500, (path, kind, bodies, answer.text)
        filled.server.scheduler.load_all()
        counts = filled.get("/v1/status")["accounting"]
        assert (
            counts["received"]
            == counts["stored"] + counts["duplicate"] + counts["refused"]
        )
        assert counts["pending"] == 0

    reads()
    writes()
