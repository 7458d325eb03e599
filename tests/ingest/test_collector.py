"""Every way in: what is taken, what is refused with which reason, and that both add up."""

import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from events import NDJSON, NOW, event, lines

from monitor.arrow_columns import to_ipc
from monitor.contracts import BodyLimits
from monitor.errors import (
    Conflict,
    DriftdeckError,
    PayloadError,
    TooLarge,
    UnsupportedMedia,
)
from monitor.ingest.ingest_result import IngestResult
from monitor.server.server import Server

ARROW, PARQUET, CSV, JSON = (
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
    "text/csv",
    "application/json",
)


def stored(
    server: Server, columns: str = "event_id", model: str = "m"
) -> list[tuple[Any, ...]]:
    """Rows of the model's events table, after loading."""
    server.scheduler.load_all()
    return server.store.query(
        f"SELECT {columns} FROM {server.store.model(model).events} ORDER BY event_id"
    )


def take(
    server: Server, body: bytes, kind: str = NDJSON, **options: Any
) -> IngestResult:
    answer = server.collector.events(body, kind, **options)
    answer.durable.result(60)
    return answer


def table(n: int = 20) -> pa.Table:
    events = [event(i) for i in range(n)]
    flat = [
        {
            **{k: v for k, v in e.items() if k not in ("features", "ts")},
            **e["features"],
            "ts": e["ts"],
        }
        for e in events
    ]
    return pa.Table.from_pylist(flat)


def as_csv(t: pa.Table) -> bytes:
    sink = io.BytesIO()
    pa_csv.write_csv(t, sink)
    return sink.getvalue()


def as_parquet(t: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(t, sink)
    return sink.getvalue()


FORMATS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "ndjson": (NDJSON, lambda: lines(*(event(i) for i in range(20)))),
    "json array": (JSON, lambda: json.dumps([event(i) for i in range(20)]).encode()),
    "arrow": (ARROW, lambda: to_ipc(table())),
    "parquet": (PARQUET, lambda: as_parquet(table())),
    "csv": (CSV, lambda: as_csv(table())),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_events_are_stored_from_every_format(
    server: Server, name: str
) -> None:
    kind, body = FORMATS[name]
    assert take(server, body(), kind).accepted == 20
    rows = stored(
        server,
        "event_id, epoch_us(ts), version, prediction, latency_ms, status, f_0001, f_0002, f_0003",
    )
    expected = []
    for e in sorted((event(i) for i in range(20)), key=lambda e: e["event_id"]):
        from datetime import datetime

        ts = int(datetime.fromisoformat(e["ts"]).timestamp() * 1e6)
        f = e["features"]
        expected.append(
            (
                e["event_id"],
                ts,
                "v1",
                e["prediction"],
                e["latency_ms"],
                200,
                f["age"],
                f["country"],
                str(f["premium"]).lower(),
            )
        )
    order = [
        server.store.model("m").schema.by_name[n].field
        for n in ("age", "country", "premium")
    ]
    assert order == ["f_0001", "f_0002", "f_0003"]
    assert rows == expected


def test_json_over_several_lines_is_loaded_whole(server: Server) -> None:
    take(server, json.dumps(event(0)).encode(), JSON)
    take(server, json.dumps(event(1), indent=2).encode(), JSON)
    take(
        server,
        json.dumps([event(i) for i in range(2, 5)], indent=2)
        .replace("\n", "\r\n")
        .encode(),
        JSON,
    )
    assert len(stored(server)) == 5
    counts = server.store.query(
        "SELECT sum(received), sum(stored), sum(duplicate), sum(refused) FROM accounting"
    )[0]
    assert counts == (5, 5, 0, 0)


def test_one_object_is_an_array_of_one(server: Server) -> None:
    assert take(server, json.dumps(event(1)).encode(), JSON).accepted == 1


@pytest.mark.parametrize("name", FORMATS)
def test_one_bad_record_in_the_middle_is_refused_and_the_rest_kept(
    server: Server, name: str
) -> None:
    events = [event(i) for i in range(9)]
    events[4]["ts"] = "2001-01-01T00:00:00Z"
    kind = FORMATS[name][0]
    if kind in (NDJSON, JSON):
        body = lines(*events) if kind == NDJSON else json.dumps(events).encode()
    else:
        t = pa.Table.from_pylist(
            [
                {**{k: v for k, v in e.items() if k != "features"}, **e["features"]}
                for e in events
            ]
        )
        body = {ARROW: to_ipc, PARQUET: as_parquet, CSV: as_csv}[kind](t)
    answer = take(server, body, kind)
    assert (answer.accepted, answer.refused) == (8, 1)
    refusal = answer.refusals[0]
    assert refusal.event_id == "e4"
    # a CSV file's first line is the header
    assert refusal.line == (6 if kind == CSV else 5)
    assert "older than 400 days" in refusal.reason
    assert len(stored(server)) == 8
    kept = server.store.query("SELECT model, event_id, reason, raw FROM quarantine")
    assert [(k[0], k[1]) for k in kept] == [("m", "e4")]
    assert "2001" in kept[0][3]


def test_lines_that_are_no_events_are_named_with_their_number(server: Server) -> None:
    body = (
        lines(event(0))
        + b"{broken\n\n"
        + lines(event(1))
        + b'"text"\n'
        + b'{"model": "m"}\n'
    )
    answer = take(server, body)
    assert answer.accepted == 2
    assert [(r.line, r.reason.split(";")[0][:24]) for r in answer.refusals] == [
        (2, "not JSON at character 2:"),
        (5, "an event is a JSON objec"),
        (6, "`ts` is missing"),
    ]


def test_a_wrong_type_is_an_invalid_value_not_a_lost_event(server: Server) -> None:
    take(server, lines(*(event(i) for i in range(5))))
    odd = [
        event(10, features={"age": "41"}),
        event(11, features={"age": True}),
        event(12, features={"age": None}),
        event(13, features={}),
    ]
    body = (
        lines(*odd)
        + b'{"event_id":"e14","model":"m","ts":"%s","features":{"age":NaN}}\n'
        % NOW.isoformat().encode()
    )
    assert take(server, body).refused == 0
    rows = dict(stored(server, "event_id, isnan(f_0001)"))
    assert [rows[f"e{i}"] for i in range(10, 15)] == [True, True, None, None, True]


def test_a_number_in_a_categorical_feature_is_a_category(server: Server) -> None:
    take(server, lines(event(0)))
    take(server, lines(event(1, features={"country": 7})))
    assert dict(stored(server, "event_id, f_0002"))["e1"] == "7"


def test_new_features_add_columns(server: Server) -> None:
    take(server, lines(event(0)))
    take(server, lines(event(1, features={"income": 3.5})))
    take(server, lines(event(2, features={"income": 4, "age": 1})))
    server.scheduler.load_all()
    field = server.store.model("m").schema.by_name["income"].field
    assert stored(server, f"event_id, {field}") == [
        ("e0", None),
        ("e1", 3.5),
        ("e2", 4.0),
    ]


@pytest.mark.parametrize(
    "names",
    [
        ["Temp", "temp"],
        ['quote"d', "semi;colon", "drop table events"],
        ["event_id", "ts", "prediction"],
        ["名前", "a.b", " "],
        ["a\nb", "a\\b"],
        ["at", "select"],
    ],
)
def test_any_name_is_only_a_name(server: Server, names: list[str]) -> None:
    for i in range(3):
        take(
            server,
            lines(
                event(i, features={name: i + j / 10 for j, name in enumerate(names)})
            ),
        )
    server.scheduler.load_all()
    schema = server.store.model("m").schema
    fields = ", ".join(schema.by_name[name].field for name in names)
    assert stored(server, fields) == [
        tuple(i + j / 10 for j in range(len(names))) for i in range(3)
    ]


def test_predictions_of_each_kind(server: Server) -> None:
    take(
        server,
        lines(
            *(
                event(i, model="c", prediction="late" if i % 2 else "on time")
                for i in range(4)
            )
        ),
    )
    take(
        server,
        lines(
            *(
                event(i, model="p", prediction={"no": 0.25, "yes": 0.75})
                for i in range(3)
            )
        ),
    )
    assert stored(server, "predicted_class", "c") == [
        ("on time",),
        ("late",),
        ("on time",),
        ("late",),
    ]
    assert stored(server, "prediction, predicted_class", "p") == [(0.75, "yes")] * 3
    answer = take(
        server,
        lines(
            event(9, model="c", prediction={"a": 1.0}),
            event(10, model="p", prediction=3),
        ),
    )
    assert answer.accepted == 0
    assert "kind class" in answer.refusals[0].reason


def test_repeated_events_are_stored_once(server: Server) -> None:
    take(server, lines(*(event(i % 10) for i in range(30))))
    take(server, lines(*(event(i) for i in range(20))))
    assert len(stored(server)) == 20
    counts = server.store.query(
        "SELECT sum(received), sum(stored), sum(duplicate), sum(refused) FROM accounting"
    )[0]
    assert counts == (50, 20, 30, 0)


def test_a_key_answers_as_the_first_time_and_refuses_another_body(
    server: Server,
) -> None:
    body = lines(event(0), {"model": "m"})
    first = take(server, body, key="k")
    assert take(server, body, key="k").body() == first.body()
    server.scheduler.load_all()
    assert take(server, body, key="k").body() == first.body()
    with pytest.raises(Conflict, match="another body"):
        take(server, lines(event(1)), key="k")
    assert len(stored(server)) == 1
    assert server.store.query("SELECT count(*) FROM quarantine") == [(1,)]


def test_a_key_is_known_after_a_restart(server: Server) -> None:
    body = lines(event(0))
    take(server, body, key="k")
    server.scheduler.load_all()
    server.collector.results.forget()
    assert take(server, body, key="k").accepted == 1
    assert len(stored(server)) == 1


@pytest.mark.parametrize(
    ("body", "kind", "error", "words"),
    [
        (b"x", "application/xml", UnsupportedMedia, "use one of"),
        (b"x", "", UnsupportedMedia, "(none)"),
        (b"{nope", JSON, PayloadError, "not JSON"),
        (b"3", JSON, PayloadError, "neither an array nor an object"),
        (b"nope", ARROW, PayloadError, "not an Arrow IPC stream"),
        (b"nope", PARQUET, PayloadError, "not Parquet"),
        (b"", CSV, PayloadError, "empty"),
        (b"event_id,model\n", CSV, PayloadError, "without rows"),
        (b"event_id,model\na,m\n", CSV, PayloadError, "no column ts"),
    ],
)
def test_a_body_that_cannot_be_read_is_one_clear_error(
    server: Server, body: bytes, kind: str, error: type[DriftdeckError], words: str
) -> None:
    with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")):
        take(server, body, kind)


def test_too_many_rows_are_refused_as_a_whole(server: Server) -> None:
    limits = BodyLimits(max_rows=10)
    server.collector.limits = server.collector.validator.limits = limits
    with pytest.raises(TooLarge, match="more than 10 rows"):
        take(server, lines(*(event(i) for i in range(11))))
    assert server.collector.pending.rows() == 0


def test_too_many_models_are_refused_with_the_limit(server: Server) -> None:
    server.collector.quota.max_models = 2
    answer = take(server, lines(*(event(i, model=f"m{i}") for i in range(4))))
    assert (answer.accepted, answer.refused) == (2, 2)
    assert "raise limits.max_models" in answer.refusals[0].reason


def test_rows_over_the_feature_quota_are_refused_alone_and_kept_to_be_sent_again(
    server: Server,
) -> None:
    server.collector.quota.max_features = 3
    rows = [
        event(0, features={"a": 1, "b": 2}),
        event(1, features={"a": 1, "c": 1, "d": 1}),
    ]
    rows += [
        event(2, features={"b": 3, "c": "x"}),
        event(3, features={"a": 4, "e": None}),
    ]
    answer = take(server, lines(*rows))
    assert (answer.accepted, [r.event_id for r in answer.refusals]) == (
        3,
        [rows[1]["event_id"]],
    )
    assert (
        "`features.d`" in answer.refusals[0].reason
        and "limits.max_features allows 3" in answer.refusals[0].reason
    )
    assert json.loads(answer.refusals[0].raw) == rows[1]
    assert len(stored(server)) == 3
    server.collector.quota.max_features = 4
    again = take(server, answer.refusals[0].raw.encode() + b"\n")
    assert (again.accepted, len(stored(server))) == (1, 4)


def test_rows_of_a_table_without_a_value_of_the_feature_too_many_are_kept(
    server: Server,
) -> None:
    server.collector.quota.max_features = 1
    t = pa.table(
        {"event_id": ["x", "y"], "ts": [NOW, NOW], "a": [1.0, 2.0], "b": [None, 1.0]}
    )
    answer = take(server, to_ipc(t), ARROW, model="m")
    assert (answer.accepted, [r.event_id for r in answer.refusals]) == (1, ["y"])
    assert json.loads(answer.refusals[0].raw)["features"] == {"a": 2.0, "b": 1.0}
    assert stored(server) == [("x",)]


def test_new_names_of_an_hour_are_counted_by_model_and_come_again_the_next(
    server: Server,
) -> None:
    server.collector.quota.new_names = 2
    assert take(server, lines(event(0, features={"a": 1, "b": 1}))).accepted == 1
    answer = take(server, lines(event(1, features={"c": 1})))
    assert "limits.new_names_per_hour allows 2" in answer.refusals[0].reason
    assert (
        take(server, lines(event(2, model="other", features={"c": 1, "d": 1}))).accepted
        == 1
    )
    third = take(server, lines(event(3, model="third", features={})))
    assert "limits.new_names_per_hour allows 2 new models" in third.refusals[0].reason
    clock = server.collector.clock
    server.collector.clock = lambda: clock() + timedelta(hours=1)
    assert (
        take(
            server,
            lines(event(1, features={"c": 1}), event(3, model="third", features={})),
        ).accepted
        == 2
    )


def test_a_prediction_of_a_foreign_kind_keeps_its_record_in_the_refusal(
    server: Server,
) -> None:
    take(server, lines(event(0)))
    odd = event(1, prediction={"yes": 0.4, "no": 0.6})
    answer = take(server, lines(odd))
    assert json.loads(answer.refusals[0].raw) == odd


def test_rows_of_several_models_in_one_body(server: Server) -> None:
    for _ in range(2):
        take(
            server,
            lines(
                *(event(i, model=f"m{i % 3}", event_id=f"{_}-{i}") for i in range(30))
            ),
        )
    for name in ("m0", "m1", "m2"):
        assert len(stored(server, model=name)) == 20


def test_csv_with_a_short_row_keeps_the_others(server: Server) -> None:
    rows = "event_id,model,ts,prediction,x\n" + "".join(
        f"a{i},m,{NOW.isoformat()},0.5,{i}\n" for i in range(3)
    )
    answer = take(
        server,
        (rows + "broken,row\n" + f"a3,m,{NOW.isoformat()},0.5,3\n").encode(),
        CSV,
    )
    assert (answer.accepted, answer.refused) == (4, 1)
    assert "2 values, the header 5" in answer.refusals[0].reason


def test_one_bad_number_does_not_turn_a_csv_column_into_text(server: Server) -> None:
    rows = [
        f"a{i},m,{NOW.isoformat()},0.5,{'oops' if i == 7 else i}" for i in range(40)
    ]
    assert (
        take(
            server, ("event_id,model,ts,prediction,x\n" + "\n".join(rows)).encode(), CSV
        ).accepted
        == 40
    )
    server.scheduler.load_all()
    assert server.store.model("m").schema.by_name["x"].kind == "numeric"
    assert sum(bool(v) for (v,) in stored(server, "isnan(f_0001)")) == 1


def test_lines_that_the_engine_reads_more_strictly_are_loaded_all_the_same(
    server: Server,
) -> None:
    take(server, lines(event(0)))
    # lower case is RFC 3339 too
    stamp = (NOW - timedelta(hours=1)).strftime("%Y-%m-%dt%H:%M:%Sz")
    odd = (
        b'{"event_id":"odd","model":"m","version":"v1","ts":"%s","prediction":0.25}\n'
        % stamp.encode()
    )
    twice = (
        b'{"event_id":"twice","model":"m","ts":"%s","prediction":0.25,"prediction":0.75}\n'
        % NOW.isoformat().encode()
    )
    assert take(server, odd + twice + lines(event(1))).accepted == 3
    assert dict(stored(server, "event_id, prediction"))["twice"] == 0.75
    assert len(stored(server)) == 4
    counts = server.store.query(
        "SELECT sum(received), sum(stored), sum(duplicate), sum(refused) FROM accounting"
    )[0]
    assert counts == (4, 4, 0, 0)


def test_error_text_without_a_status_counts_as_a_failure(server: Server) -> None:
    take(
        server,
        lines(event(0), event(1, error="boom"), event(2, error="late", status=404)),
    )
    assert stored(server, "event_id, status") == [("e0", 200), ("e1", 500), ("e2", 404)]


def test_rows_of_a_table_without_a_model_are_refused_and_counted(
    server: Server,
) -> None:
    body = f"model,event_id,ts,x\nm,a,{NOW.isoformat()},1\n,b,{NOW.isoformat()},2\nn,c,{NOW.isoformat()},3\n".encode()
    answer = server.collector.events(body, "text/csv")
    assert (answer.accepted, answer.refused) == (2, 1)
    assert answer.refusals[0].reason == "`model` is missing; it is required"


def test_two_columns_of_one_name_are_one_clear_error(server: Server) -> None:
    with pytest.raises(PayloadError, match="the column 'x' is there more than once"):
        server.collector.events(b"ts,x,x\n2026-01-01,1,2\n", "text/csv", model="m")
    with pytest.raises(PayloadError, match="more than once"):
        server.collector.labels(b"event_id,label,label\na,1,2\n", "text/csv", model="m")


def test_lines_without_id_under_a_key_are_known_after_the_key_was_forgotten(
    server: Server,
) -> None:
    rows = [{k: v for k, v in event(i).items() if k != "event_id"} for i in range(5)]
    for round_ in range(2):
        server.collector.events(lines(*rows, rows[0]), NDJSON, "file-1").durable.result(
            10
        )
        server.scheduler.load_all()
        server.collector.results.forget()
        with server.store.writing() as con:
            con.execute("DELETE FROM idempotency")  # as after seven days
        found = server.store.ledger.totals()
        assert (found["stored"], found["duplicate"]) == (
            6,
            6 * round_,
        )  # the same line twice in one body are two events
    server.collector.events(lines(rows[1], rows[0]), NDJSON, "file-1").durable.result(
        10
    )
    server.scheduler.load_all()
    # another body under a key that was used again is something else
    assert server.store.ledger.totals()["stored"] == 8
