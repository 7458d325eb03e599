"""Row counts that add up, and refused rows from the quarantine to their correction."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import Served
from events import NDJSON, NOW, event, lines

from monitor.queries.ingestion import read_totals
from monitor.server.server import Server
from monitor.store.ledger import generalize

BAD = [
    {**event(90), "ts": "never"},
    {**event(91), "latency_ms": -1},
    {**event(92), "ts": "tomorrow"},
]


def flushed(served: Served, *events: dict[str, Any], **headers: str) -> Any:
    answer = served.post("/v1/events", lines(*events), **headers).json()
    served.client.post("/v1/flush")
    return answer


def adds_up(counts: dict[str, int]) -> bool:
    return (
        counts["received"]
        == counts["stored"]
        + counts["duplicate"]
        + counts["refused"]
        + counts["pending"]
    )


def test_counts_add_up_by_model_and_hour_with_reasons_and_freshness(
    served: Served,
) -> None:
    flushed(served, *(event(i) for i in range(20)), *BAD)
    flushed(served, event(1), event(30, model="n"))
    served.post("/v1/events", lines(event(40), event(41)))  # not loaded yet
    served.post("/v1/labels", lines({"event_id": "e1", "model": "m", "label": True}))
    body = served.get("/v1/accounting")
    assert body["totals"] == {
        "received": 28,
        "stored": 21,
        "duplicate": 1,
        "refused": 3,
        "pending": 3,
        "unchecked": 0,
    } | {"unchecked": body["totals"]["unchecked"]}
    rows = {(r["model"], r["kind"]): r for r in body["models"]}
    assert all(adds_up(row) for row in rows.values())
    assert rows["m", "events"]["pending"] == 2 and rows["m", "events"]["lag_s"] >= 0
    assert rows["m", "labels"]["pending"] == rows["m", "labels"]["received"] == 1
    assert datetime.fromisoformat(rows["m", "events"]["last_event"]) <= NOW
    assert rows["n", "events"]["age_s"] >= 0
    assert sum(h["received"] for h in body["hours"]) == 25  # what is loaded
    assert body["reasons"][0] == {
        "model": "m",
        "kind": "events",
        "reason": generalize("`ts` 'x' is not RFC 3339, e.g. 2026-11-22T09:30:00Z"),
        "rows": 2,
    }
    assert body["quarantine"]["records"] == 3
    served.client.post("/v1/flush")
    after = served.get("/v1/accounting")
    assert after["totals"]["pending"] == 0 and adds_up(after["totals"])
    assert {r["model"] for r in served.get("/v1/accounting", model="n")["models"]} == {
        "n"
    }
    metrics = served.client.get("/metrics").text
    assert (
        'driftdeck_rows_total{kind="events",model="m",outcome="refused"} 3.0' in metrics
    )
    assert 'driftdeck_rows_pending{kind="events",model="m"} 0.0' in metrics
    assert (
        "driftdeck_refusals_total" in metrics
        and "driftdeck_newest_event_age_seconds" in metrics
    )


def test_refused_rows_are_listed_corrected_and_sent_again(served: Served) -> None:
    flushed(served, *BAD, event(1))
    first = served.get("/v1/quarantine", limit=2)
    assert [r["event_id"] for r in first["records"]] == ["e90", "e91"]
    second = served.get("/v1/quarantine", limit=2, after=first["next"])
    assert [r["event_id"] for r in second["records"]] == ["e92"] and second[
        "next"
    ] is None
    assert [
        r["event_id"] for r in served.get("/v1/quarantine", reason="latency")["records"]
    ] == ["e91"]
    corrected = json.loads(first["records"][0]["raw"]) | {"ts": NOW.isoformat()}
    sent = [
        {"id": first["records"][0]["id"], "raw": json.dumps(corrected, indent=2)},
        {"id": first["records"][1]["id"]},
    ]
    answer = served.client.post("/v1/quarantine/resend", json=sent).json()
    assert (answer["accepted"], answer["refused"]) == (1, 1)
    assert (
        answer["refusals"][0]["id"] == first["records"][1]["id"]
        and "latency_ms" in answer["refusals"][0]["reason"]
    )
    served.client.post("/v1/flush")
    assert sorted(r["event_id"] for r in served.get("/v1/quarantine")["records"]) == [
        "e91",
        "e92",
    ]
    totals = served.get("/v1/accounting")["totals"]
    assert (totals["received"], totals["stored"], totals["refused"]) == (
        6,
        2,
        4,
    ) and adds_up(totals)
    assert (
        served.client.post("/v1/quarantine/resend", json=[{"id": 999}]).status_code
        == 422
    )


def test_a_refused_row_of_a_table_is_resent_as_an_event(served: Served) -> None:
    body = (
        f"event_id,ts,latency_ms,age,country\na,{NOW.isoformat()},-5,41,TW\n".encode()
    )
    served.post("/v1/events?model=m", body, "text/csv")
    served.client.post("/v1/flush")
    (record,) = served.get("/v1/quarantine")["records"]
    corrected = json.loads(record["raw"])
    assert corrected["features"] == {"age": "41", "country": "TW"}
    del corrected["latency_ms"]
    assert (
        served.client.post(
            "/v1/quarantine/resend",
            json=[{"id": record["id"], "raw": json.dumps(corrected)}],
        ).json()["accepted"]
        == 1
    )


def test_a_row_without_a_model_is_resent_to_its_model(
    served: Served,
) -> None:
    nameless = {k: v for k, v in event(5).items() if k != "model"} | {"ts": "never"}
    served.post("/v1/events?model=m", lines(nameless))
    served.client.post("/v1/flush")
    (record,) = served.get("/v1/quarantine", model="m")["records"]
    raw = json.dumps(nameless | {"ts": NOW.isoformat()})
    assert (
        served.client.post(
            "/v1/quarantine/resend", json=[{"id": record["id"], "raw": raw}]
        ).json()["accepted"]
        == 1
    )


def test_discarded_rows_stay_counted(served: Served) -> None:
    flushed(served, *BAD)
    ids = [r["id"] for r in served.get("/v1/quarantine")["records"]]
    assert served.client.post(
        "/v1/quarantine/discard", json={"ids": ids[:2]}
    ).json() == {"discarded": 2}
    assert served.get("/v1/quarantine")["records"][0]["id"] == ids[2]
    assert served.get("/v1/accounting")["totals"]["refused"] == 3


def test_the_quarantine_is_capped_and_keeps_the_newest_rows(served: Served) -> None:
    flushed(served, *(event(i, ts="never", tags={"x": "y" * 900}) for i in range(100)))
    served.server.store.quarantine_bytes = 20_000
    served.server.store.forget(datetime.now(UTC), None, None)
    records = served.get("/v1/quarantine")["records"]
    assert 0 < len(records) < 30 and records[-1]["event_id"] == "e99"
    assert served.get("/v1/accounting")["totals"]["refused"] == 100


def test_a_truncated_row_needs_its_raw(served: Served) -> None:
    flushed(
        served, event(1, ts="never", features={f"f{i}": "x" * 1000 for i in range(30)})
    )
    (record,) = served.get("/v1/quarantine")["records"]
    assert not record["whole"]
    refused = served.client.post("/v1/quarantine/resend", json=[{"id": record["id"]}])
    assert refused.status_code == 422 and "give its `raw`" in refused.json()["error"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("`event_id` has 200 bytes; at most 128", "`event_id` has … bytes; at most …"),
        ("unknown key 'x'; known: a", "unknown key …; known: a"),
        (
            "`features.age` is a list; expected number",
            "`features.…` is a list; expected number",
        ),
        (
            "`prediction` is the text 'it\\'s'; numbers",
            "`prediction` is the text …; numbers",
        ),
    ],
)
def test_equal_faults_have_equal_reasons(reason: str, expected: str) -> None:
    assert generalize(reason) == expected


def test_commands_list_export_and_resend(tmp_path: Path, served: Served) -> None:
    import subprocess
    import sys

    flushed(served, *BAD)
    url = str(served.client.base_url)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [
            sys.executable,
            "-m",
            "monitor.cli",
            "quarantine",
            *arguments,
            "--url",
            url,
        ]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False
        )

    assert "is not RFC 3339" in run("list").stdout
    file = tmp_path / "refused.jsonl"
    assert run("export", str(file), "--reason", "RFC").stdout.startswith("2 rows")
    file.write_text(
        file.read_text().replace(
            '\\"never\\"', json.dumps(json.dumps(NOW.isoformat()))[1:-1]
        )
    )
    done = run("resend", str(file))
    assert done.returncode == 5 and done.stdout.startswith(
        "1 accepted, 1 refused again"
    ), done.stderr + done.stdout
    assert run("discard").returncode == 1
    assert run("discard", "--model", "m").stdout == "2 rows discarded\n"
    assert run("list").stdout == "the quarantine is empty\n"


def test_a_batch_sent_again_in_parallel_is_stored_once(served: Served) -> None:
    from concurrent.futures import ThreadPoolExecutor

    bodies = [
        (f"k{i}", lines(*(event(i * 50 + j) for j in range(50)))) for i in range(10)
    ]
    with ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(
                served.client.post,
                "/v1/events",
                content=b,
                headers={"content-type": NDJSON, "idempotency-key": k},
            )
            for k, b in bodies
            for _ in range(4)
        ]
        assert {s.result().json()["accepted"] for s in sent} == {50}
    served.client.post("/v1/flush")
    totals = served.get("/v1/accounting")["totals"]
    assert (totals["received"], totals["stored"]) == (500, 500)


def test_by_time_all_models_are_added_up_in_steps_of_the_time_range(
    served: Served,
) -> None:
    flushed(
        served,
        *(event(i) for i in range(20)),
        *(event(i, model="n") for i in range(5)),
        *BAD,
    )
    short, long = (
        served.get("/v1/accounting", by="time"),
        served.get("/v1/accounting", by="time", **{"from": "2026-01-01"}),
    )
    assert short["step_s"] == 3600 and long["step_s"] > 3600
    for body in (short, long):
        assert [
            (h["kind"], h["received"], h["stored"], h["refused"]) for h in body["hours"]
        ] == [("events", 28, 25, 3)]
        assert "model" not in body["hours"][0]
    assert (
        datetime.fromisoformat(long["hours"][0]["hour"]).timestamp() % long["step_s"]
        == 4 * 86400 % long["step_s"]
    )


def test_the_newest_refused_rows_are_first_on_request(served: Served) -> None:
    flushed(served, *BAD)
    results = served.get("/v1/quarantine", newest=True, limit=2)
    assert [r["event_id"] for r in results["records"]] == ["e92", "e91"] and results[
        "next"
    ] is None


def test_rows_that_are_loaded_while_counting_count_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting waits while rows are committed and still pending."""
    totals_seen: list[dict[str, int]] = []
    asking: list[threading.Thread] = []
    remember = server.store.batch_loader._remember

    def slowly(load: Any, now: datetime) -> None:
        thread = threading.Thread(
            target=lambda: totals_seen.append(read_totals(server))
        )
        thread.start()
        asking.append(thread)
        thread.join(0.2)
        assert not totals_seen
        remember(load, now)

    monkeypatch.setattr(server.store.batch_loader, "_remember", slowly)
    server.collector.events(
        lines(*(event(i) for i in range(30))), NDJSON
    ).durable.result(60)
    assert read_totals(server)["received"] == 30
    server.scheduler.load_all()
    asking[0].join(10)
    assert (
        totals_seen[0]["received"],
        totals_seen[0]["stored"],
        totals_seen[0]["pending"],
    ) == (30, 30, 0)
