"""What keeps memory bounded: loads in parts, names of new values, profiles added up some hours at a time."""

import json
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest
from conftest import Served
from events import NDJSON, NOW, event, lines

from monitor.event import TimeBounds, label_text, parse_event
from monitor.server import spool_batch
from monitor.server.server import Server
from monitor.store.database import transaction
from monitor.store.profiles import compaction, profiler
from monitor.store.rows.load_batch import LoadBatch


def fail_above(
    server: Server, monkeypatch: pytest.MonkeyPatch, rows: int, never: str = ""
) -> list[int]:
    """Let loads of more rows, and any with the id `never`, run out of memory; the rows of each load that did not."""
    whole, loads = server.store.load, list[int]()

    def load(batch: LoadBatch, now: Any) -> Any:
        tables = [
            *(table for some in batch.tables.values() for table in some),
            *batch.labels.values(),
        ]
        ids = [id_ for table in tables for id_ in table["event_id"].to_pylist()]
        ids += [
            str(i)
            for given in batch.lines.values()
            for i in range(bytes(given).count(b"\n"))
        ]  # type: ignore[arg-type]
        if len(ids) > rows or never in ids:
            raise duckdb.OutOfMemoryException("full")
        loads.append(len(ids))
        return whole(batch, now)

    monkeypatch.setattr(server.store, "load", load)
    return loads


def totals(server: Server) -> tuple[int, ...]:
    found = server.store.ledger.totals()
    return tuple(found[name] for name in ("received", "stored", "duplicate", "refused"))


def test_a_load_beyond_memory_is_halved_until_its_requests_fit(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in range(0, 50, 10):
        server.collector.events(
            lines(*(event(i) for i in range(first, first + 10))), NDJSON
        ).durable.result(60)
    loads = fail_above(server, monkeypatch, 20)
    assert server.scheduler.load_all() == 50
    assert totals(server) == (50, 50, 0, 0)
    assert max(loads) <= 20


def test_a_row_beyond_memory_goes_to_the_quarantine_and_the_rest_is_stored(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.collector.events(
        lines(*(event(i) for i in range(2))), NDJSON
    ).durable.result(60)
    server.scheduler.load_all()
    server.collector.events(
        lines(*(event(i) for i in range(2, 40))), NDJSON, "key"
    ).durable.result(60)
    loads = fail_above(server, monkeypatch, 6, never="e17")
    assert server.scheduler.load_all() == 37
    assert totals(server) == (40, 39, 0, 1)
    (kept,) = server.store.ledger.refused()
    assert kept.event_id == "e17"
    assert "limits.memory" in kept.reason
    sent = event(17)
    # a boolean is stored as its text
    sent["features"]["premium"] = label_text(sent["features"]["premium"])
    again, first = (
        parse_event(one, NOW, TimeBounds()) for one in (json.loads(kept.raw), sent)
    )
    assert again == first  # as it is it can be sent again
    assert max(loads) <= 6
    assert server.scheduler.load_all() == 0
    assert server.collector.events(
        lines(*(event(i) for i in range(2, 40))), NDJSON, "key"
    ).replayed
    server.store.rebuild()
    assert server.store.span("m")[2] == 39


def test_a_crash_between_the_parts_of_a_request_leaves_the_accounts_true(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.collector.events(
        lines(*(event(i) for i in range(20))), NDJSON
    ).durable.result(60)
    fail_above(server, monkeypatch, 5)
    in_parts, done = server.store.load, list[int]()

    def crash_at_third(batch: LoadBatch, now: Any) -> Any:
        loaded = in_parts(batch, now)
        done.append(loaded.events)
        if len([n for n in done if n]) == 3:
            raise RuntimeError("killed")
        return loaded

    monkeypatch.setattr(server.store, "load", crash_at_third)
    with pytest.raises(RuntimeError):
        server.scheduler.load_all()
    monkeypatch.undo()
    stored = sum(done)
    assert 0 < stored < 20
    server.scheduler.load_all()
    assert totals(server) == (20 + stored, 20, stored, 0)


def late(i: int, value: int, minutes: int = 0) -> dict[str, Any]:
    return {
        "event_id": f"e{i}",
        "model": "m",
        "label": value,
        "ts": (NOW - timedelta(minutes=minutes)).isoformat(),
    }


def test_labels_beyond_memory_are_stored_in_parts_that_fit(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.collector.events(
        lines(*(event(i, prediction=0.9) for i in range(30))), NDJSON
    ).durable.result(60)
    server.scheduler.load_all()
    body = lines(
        *(late(i, 0) for i in range(40)), *(late(i, 1) for i in range(0, 40, 2))
    )
    server.collector.labels(body, NDJSON, "key").durable.result(60)
    loads = fail_above(server, monkeypatch, 6, never="e17")
    server.scheduler.load_all()
    assert max(loads) <= 6
    assert totals(server) == (90, 89, 0, 1)
    (kept,) = server.store.ledger.refused()
    assert (kept.kind, kept.event_id) == ("labels", "e17")
    assert "limits.memory" in kept.reason
    joined = (
        f"SELECT event_id, label FROM {server.store.model('m').labels} WHERE joined"
    )
    expected = {(f"e{i}", str(1 - i % 2)) for i in range(30) if i != 17}
    assert set(server.store.query(joined)) == expected
    assert server.scheduler.load_all() == 0
    assert server.collector.labels(body, NDJSON, "key").replayed
    # what is in the quarantine can be sent again as it is
    monkeypatch.undo()
    server.collector.labels(kept.raw.encode(), NDJSON).durable.result(60)
    server.scheduler.load_all()
    assert set(server.store.query(joined)) == expected | {("e17", "0")}


def test_a_crash_between_the_parts_of_labels_leaves_the_accounts_true(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.collector.labels(
        lines(*(late(i, 1) for i in range(20))), NDJSON
    ).durable.result(60)
    fail_above(server, monkeypatch, 5)
    in_parts, done = server.store.load, list[int]()

    def crash_at_third(batch: LoadBatch, now: Any) -> Any:
        done.append(in_parts(batch, now).labels)
        if len([n for n in done if n]) == 3:
            raise RuntimeError("killed")
        return in_parts(batch, now)

    monkeypatch.setattr(server.store, "load", crash_at_third)
    with pytest.raises(RuntimeError):
        server.scheduler.load_all()
    monkeypatch.undo()
    server.scheduler.load_all()
    received, stored, duplicate, refused = totals(server)
    assert (stored, refused, received) == (20, 0, 20 + duplicate)
    assert duplicate > 0


def test_names_of_a_free_text_are_bounded_when_they_are_written(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = served.server
    monkeypatch.setattr(profiler, "MAX_UNTRIMMED_VALUES", 2_500)
    monkeypatch.setattr(compaction, "MAX_VALUES_OF_MODEL", 1_200)
    server.collector.events(
        lines(*(event(i, features={"a": "x", "b": "y"}) for i in range(10))), NDJSON
    ).durable.result(60)
    server.scheduler.load_all()
    server.set_reference_period(
        "m", NOW - timedelta(days=9), NOW + timedelta(days=1), NOW
    )
    for first in range(1000, 8000, 1000):
        body = [
            event(i, features={"a": f"id {i}", "b": f"id {i % 300}"})
            for i in range(first, first + 1000)
        ]
        server.collector.events(lines(*body), NDJSON).durable.result(60)
        server.scheduler.load_all()
        assert (
            server.store.query("SELECT count(*) FROM new_values")[0][0]
            <= 2_500 + 1_200 + 1_000
        )
    column = served.get("/v1/models/m/columns/a")
    assert {b["label"] for b in column["bins"]} == {"x", "new"}
    assert (
        sum(
            p.counts[p.layout.new_bin or 0]
            for p in server.store.profiles(
                "m",
                (NOW - timedelta(days=9)).replace(tzinfo=None),
                (NOW + timedelta(days=1)).replace(tzinfo=None),
                columns=["f_0001"],
            )["f_0001"]
        )
        == 7000
    )


def test_profiles_added_up_in_spans_are_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in range(0, 600, 100):
        server.collector.events(
            lines(*(event(i) for i in range(first, first + 100))), NDJSON
        ).durable.result(60)
        server.scheduler.load_all()
        if not first:
            server.set_reference_period(
                "m", NOW - timedelta(days=9), NOW + timedelta(days=1), NOW
            )
    sums = (
        'SELECT "column", bucket, bin, sum(n) FROM profile_bins GROUP BY ALL ORDER BY ALL',
        'SELECT "column", bucket, sum("rows"), sum(missing), min("min"), max("max") FROM profile_moments GROUP BY ALL ORDER BY ALL',
    )
    before, rows = (
        [server.store.query(q) for q in sums],
        server.store.query("SELECT count(*) FROM profile_bins"),
    )
    monkeypatch.setattr(compaction, "MAX_SORTED_ROWS", 200)
    con = server.store.database.connection
    with transaction(con):
        compaction.compact(con, (NOW - timedelta(days=9)).replace(tzinfo=None))
    assert [server.store.query(q) for q in sums] == before
    assert server.store.query("SELECT count(*) FROM profile_bins") < rows
    hourly = "SELECT \"column\", date_trunc('hour', bucket), bin, sum(n) FROM profile_bins GROUP BY ALL ORDER BY ALL"
    before = [server.store.query(hourly)]
    with transaction(con):
        assert (
            compaction.roll_up(con, (NOW + timedelta(days=1)).replace(tzinfo=None)) > 0
        )
    assert [server.store.query(hourly)] == before
    assert not server.store.query(
        f"SELECT 1 FROM profile_bins WHERE {compaction.MINUTES}"
    )


def test_the_first_list_of_new_models_asks_none_of_their_tables(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asked = served.server.store, []
    # a body of more models is several loads
    monkeypatch.setattr(spool_batch, "MAX_MODELS", 7)
    query = store.database.query
    monkeypatch.setattr(
        store.database,
        "query",
        lambda sql, params=None: asked.append(sql) or query(sql, params),
    )
    for turn in range(2):
        rows = [
            event(100 * turn + i, model=f"model {i}", prediction="yes")
            for i in range(20)
        ]
        assert served.post("/v1/events", lines(*rows)).json()["accepted"] == 20
        assert served.server.scheduler.load_all() == 20
        asked.clear()
        spans = store.spans()
        assert len(spans) == 20 and not [sql for sql in asked if "events_" in sql]
        last = {
            f"model {i}": datetime.fromisoformat(event(i)["ts"]).replace(tzinfo=None)
            for i in range(20)
        }
        # the second turn brings older ones
        assert {name: span[1] for name, span in spans.items()} == last


def test_two_hundred_models_in_one_body_are_loaded_with_few_statements(
    served: Served,
) -> None:
    rows = [
        event(i, model=f"model {i % 200}", version=f"v:{i % 3}") for i in range(600)
    ]
    assert served.post("/v1/events", lines(*rows)).json()["accepted"] == 600
    assert served.server.scheduler.load_all() == 600
    assert len(served.get("/v1/models")["models"]) == 200
    assert {
        row[0]
        for row in served.server.store.query(
            "SELECT DISTINCT version FROM profile_bins"
        )
    } == {
        "v:0",
        "v:1",
        "v:2",
    }
    for number in (0, 7, 199):
        model = served.server.store.model(f"model {number}")
        mine = [row for row in rows if row["model"] == model.name]
        assert {
            id_
            for (id_,) in served.server.store.query(
                f"SELECT event_id FROM {model.events}"
            )
        } == {r["event_id"] for r in mine}
        (status,) = served.server.store.profiles(
            model.name,
            (NOW - timedelta(days=9)).replace(tzinfo=None),
            (NOW + timedelta(days=1)).replace(tzinfo=None),
            columns=["status"],
        )["status"]
        assert status.n == 3
    assert served.post("/v1/events", lines(*rows)).json()["accepted"] == 600
    assert served.server.scheduler.load_all() == 0
    assert served.server.store.ledger.totals()["duplicate"] == 600
