"""Values of the wrong type: the row is kept, the value is counted, and it is said what was expected and what came."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Served
from events import NDJSON, event, lines

from monitor.arrow_columns import to_ipc
from monitor.config.columns import ColumnPolicy
from monitor.config.config import Config
from monitor.config.model_section import ModelConfig
from monitor.schema import Feature
from monitor.server.server import Server
from monitor.statistics.data_quality import type_error_rate
from monitor.store import type_mismatches
from monitor.type_mismatch import MAX_KINDS, TypeMismatch, mismatched_type, of_events

PARQUET, ARROW = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"


def known(served: Served) -> None:
    """The model m with its three features."""
    assert served.post("/v1/events", lines(event(0), event(1))).json()["accepted"] == 2


def of(i: int, age: Any, **features: Any) -> dict[str, Any]:
    return event(i, features={"age": age, "country": "a", "premium": True} | features)


def parquet(table: pa.Table) -> bytes:
    kept = io.BytesIO()
    pq.write_table(table, kept)
    return kept.getvalue()


def table(ages: pa.Array, first: int = 10) -> pa.Table:
    n = len(ages)
    ts = pa.array([datetime.now(UTC)] * n, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "event_id": [f"t{i}" for i in range(first, first + n)],
            "model": ["m"] * n,
            "ts": ts,
            "age": ages,
        }
    )


def seen(served: Served, **params: Any) -> list[tuple[str, str, str, int, str]]:
    served.client.post("/v1/flush")
    found = served.get("/v1/accounting", **params)["mistyped"]
    return [
        (m["column"], m["expected"], m["came"], m["rows"], m["sample"]) for m in found
    ]


@pytest.mark.parametrize(
    ("value", "kind", "came"),
    [
        (1.5, "numeric", None),
        (3, "numeric", None),
        (None, "numeric", None),
        ("1.5", "numeric", "text"),
        (True, "numeric", "boolean"),
        (float("nan"), "numeric", "NaN"),
        (float("-inf"), "numeric", "infinity"),
        ("NaN", "numeric", "NaN"),
        ("a", "categorical", None),
        (False, "categorical", None),
        (3.0, "categorical", "number"),
        (None, "categorical", None),
    ],
)
def test_what_a_value_came_as(value: Any, kind: Any, came: str | None) -> None:
    assert mismatched_type(value, kind) == came


def test_a_wrong_value_keeps_its_row_and_is_said_in_the_answer_and_in_the_accounts(
    served: Served,
) -> None:
    known(served)
    rows = [
        of(10, "forty"),
        of(11, True),
        of(12, 41),
        of(13, None),
        of(14, "x"),
        of(15, 1, country=886),
    ]
    answer = served.post("/v1/events", lines(*rows)).json()
    assert (answer["accepted"], answer["refused"]) == (6, 0)
    assert answer["mistyped"] == [
        {
            "column": "age",
            "rows": 2,
            "reason": "expected number, got text: counted as invalid",
        },
        {
            "column": "age",
            "rows": 1,
            "reason": "expected number, got boolean: counted as invalid",
        },
        {
            "column": "country",
            "rows": 1,
            "reason": "expected text, got number: kept as its text",
        },
    ]
    assert seen(served) == [
        ("age", "number", "text", 2, '"forty"'),
        ("age", "number", "boolean", 1, "true"),
        ("country", "text", "number", 1, "886.0"),
    ]
    served.post("/v1/events", lines(of(16, "later")))
    # added to the hour, not a row of its own
    assert seen(served)[0] == ("age", "number", "text", 3, '"forty"')
    assert served.server.store.query("SELECT count(*) FROM mistyped") == [(3,)]
    assert seen(served, model="other") == []
    (first, *_) = served.get("/v1/accounting")["mistyped"]
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert datetime.fromisoformat(first["hour"]) in (hour, hour - timedelta(hours=1))
    assert {m["hour"] for m in served.get("/v1/accounting", by="time")["mistyped"]} == {
        None
    }


def test_every_way_in_counts_the_same(served: Served) -> None:
    known(served)
    csv = "event_id,model,ts,age\n" + "".join(
        f"c{i},m,{datetime.now(UTC).isoformat()},{v}\n"
        for i, v in enumerate(["7", "old", ""])
    )
    ways = [
        ("text/csv", csv.encode(), {("age", "number", "text", 1, '"old"')}),
        (
            PARQUET,
            parquet(table(pa.array(["7", "old", None]))),
            {("age", "number", "text", 2, '"old"')},
        ),
        (
            ARROW,
            to_ipc(table(pa.array([True, None, False]), 20)),
            {("age", "number", "boolean", 2, "true")},
        ),
        (
            ARROW,
            to_ipc(table(pa.array([1.0, float("nan"), float("inf")]), 30)),
            {
                ("age", "number", "NaN", 1, "NaN"),
                ("age", "number", "infinity", 1, "Infinity"),
            },
        ),
        (
            "application/json",
            json.dumps([of(50, "x"), of(51, 1.0)]).encode(),
            {("age", "number", "text", 3, '"old"')},
        ),
    ]
    for kind, body, expected in ways:
        assert served.post("/v1/events", body, kind).json()["refused"] == 0
        assert expected <= set(seen(served))
    (field,) = [
        f.field
        for f in served.server.store.model("m").schema.features
        if f.name == "age"
    ]
    ((invalid,),) = served.server.store.query(
        f'SELECT count(*) FROM events_1 WHERE NOT isfinite("{field}")'
    )
    assert invalid == sum(m["rows"] for m in served.get("/v1/accounting")["mistyped"])


def test_refused_rows_beside_do_not_count(served: Served) -> None:
    known(served)
    body = to_ipc(
        table(pa.array(["x", "y", "3"])).set_column(
            0, "event_id", pa.array(["", "t2", "t3"])
        )
    )
    assert served.post("/v1/events", body, ARROW).json()["refused"] == 1
    served.post("/v1/events", lines(of(1, "z", **{}) | {"ts": "never"}))
    assert seen(served) == [("age", "number", "text", 1, '"y"')]


def test_the_share_is_a_statistic_with_a_finding_and_an_alert(served: Served) -> None:
    for i in range(0, 1500, 500):
        served.post(
            "/v1/events",
            lines(
                *(event(j, ts=_ago(minutes=200 + j % 600)) for j in range(i, i + 500))
            ),
        )
        served.client.post("/v1/flush")
    bad = [
        of(2000 + i, "forty" if i % 3 == 0 else 40.0)
        | {"ts": _ago(minutes=70 + i % 100)}
        for i in range(600)
    ]
    served.post("/v1/events", lines(*bad))
    served.server.scheduler.tick()
    (found,) = [
        f
        for f in served.get("/v1/models/m/findings")["findings"]
        if (f["statistic"], f["column"]) == ("type_error_rate", "age")
    ]
    assert (
        found["verdict"] == "breach" and found["low"] < found["value"] < found["high"]
    )
    assert 0.05 < found["value"] < 0.25 and found["reference_value"] == 0
    assert "age: invalid-value rate" in found["text"]
    assert ("type-errors", "age") in [
        (a["rule"], a["column"]) for a in served.get("/v1/alerts")["alerts"]
    ]
    assert type_error_rate.NAME in [
        s["statistic"] for s in served.get("/v1/models/m/columns/age")["statistics"]
    ]


def _ago(**before: float) -> str:
    return (datetime.now(UTC) - timedelta(**before)).isoformat()


def test_a_hidden_column_shows_no_sample_anywhere(tmp_path: Path) -> None:
    policy = {"age": ColumnPolicy(keep="hash"), "pin": ColumnPolicy(keep="drop")}
    server = Server(tmp_path)
    server.start(background=False)
    server.collector.events(lines(of(1, 40.0, pin=1.0)), NDJSON).durable.result(60)
    server.close()
    server = Server(tmp_path, Config(models={"m": ModelConfig(columns=policy)}))
    server.start(background=False)
    server.collector.events(
        lines(of(2, 41.5, pin="secret-pin"), of(3, "secret-age")), NDJSON
    ).durable.result(60)
    server.scheduler.load_all()
    rows = server.store.query('SELECT "column", came, "rows", sample FROM mistyped')
    # the hash is text; the config says so, and this shows what follows
    assert rows == [("age", "text", 2, "")]
    server.close()
    assert not [
        p
        for p in tmp_path.rglob("*")
        if p.is_file()
        and (b"secret-age" in p.read_bytes() or b"secret-pin" in p.read_bytes())
    ]


def test_erasing_lets_go_of_samples_and_keeps_counts(server: Server) -> None:
    server.collector.events(
        lines(of(1, 40.0, user="u1"), of(2, 1.0, user="u2")), NDJSON
    ).durable.result(60)
    server.collector.events(
        lines(of(3, "Grace Hopper", user="u1")), NDJSON
    ).durable.result(60)
    server.scheduler.load_all()
    server.erase("u1", "user", ["m"])
    assert server.store.query('SELECT "rows", sample FROM mistyped') == [(1, "")]


def test_a_crash_between_spool_and_load_counts_once(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.start(background=False)
    server.collector.events(lines(event(1)), NDJSON).durable.result(60)
    server.collector.events(lines(of(2, "x")), NDJSON, "key").durable.result(60)
    again = server.collector.events(lines(of(2, "x")), NDJSON, "key")
    assert again.replayed and again.body()["mistyped"][0]["rows"] == 1
    server.spool.close()
    server.store.close()
    for _ in range(2):
        server = Server(tmp_path)
        server.start(background=False)
        assert (
            server.collector.events(lines(of(2, "x")), NDJSON, "key").body()[
                "mistyped"
            ][0]["rows"]
            == 1
        )
        server.scheduler.load_all()
        assert server.store.query('SELECT "column", "rows" FROM mistyped') == [
            ("age", 1)
        ]
        server.close()


def test_what_exceeds_the_kinds_told_apart_is_counted_together() -> None:
    names = [f"f{i}" for i in range(MAX_KINDS + 5)]
    features = [Feature(name, name, "numeric") for name in names]
    found = of_events([dict.fromkeys(names, "x"), {"f7": "y"}], features)
    assert len(found) == MAX_KINDS + 1
    assert found[0] == TypeMismatch("f7", "number", "text", 2, '"x"')
    assert found[-1] == TypeMismatch("", "other", "other", 5, "")


def test_an_older_database_gets_the_table(tmp_path: Path) -> None:
    Server(tmp_path).close()
    with duckdb.connect(str(tmp_path / "driftdeck.duckdb")) as con:
        con.execute("DROP TABLE mistyped")
        con.execute("UPDATE meta SET schema_version = 3")
    server = Server(tmp_path)
    with server.store.cursor() as cursor:
        assert (
            type_mismatches.list_mismatches(
                cursor, None, datetime(2000, 1, 1), datetime(2100, 1, 1), True
            )
            == []
        )
    server.close()
