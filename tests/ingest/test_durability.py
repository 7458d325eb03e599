"""A request is on disk as a whole or refused as a whole, whatever fails between its parts."""

import random
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from events import NDJSON, NOW, event, lines
from full_disk import faulty_disk

from monitor.arrow_columns import to_ipc
from monitor.config.config import Config
from monitor.errors import Conflict, Overloaded
from monitor.event import TimeBounds
from monitor.schema import ModelSchema
from monitor.server.server import Server
from monitor.spool.record import SpoolPosition

ARROW = "application/vnd.apache.arrow.stream"
START = SpoolPosition(0, 0)


def stored_ids(server: Server, model: str) -> list[str]:
    server.scheduler.load_all()
    events = server.store.model(model).events
    return [id_ for (id_,) in server.store.query(f"SELECT event_id FROM {events}")]


def accepted(server: Server, body: bytes, kind: str = NDJSON, **options: Any) -> int:
    result = server.collector.events(body, kind, **options)
    result.durable.result(60)
    return result.accepted


def rows_without_ids(first: int, count: int) -> list[dict[str, Any]]:
    rows = [event(i) for i in range(first, first + count)]
    return [{k: v for k, v in row.items() if k != "event_id"} for row in rows]


def arrow_body(first: int, count: int) -> bytes:
    """A table without ids, of the model "m"."""
    ts = [(NOW - timedelta(minutes=i)).isoformat() for i in range(count)]
    values = [float(first + i) for i in range(count)]
    return to_ipc(pa.table({"model": ["m"] * count, "ts": ts, "x": values}))


@pytest.mark.parametrize("fault", ["sync", "write"])
def test_a_model_whose_first_write_failed_is_new_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    body = lines(*(event(i, model="new") for i in range(10)))
    with faulty_disk(monkeypatch) as disk:
        disk.sync_fails = fault == "sync"
        disk.max_write_bytes = 100 if fault == "write" else None
        with pytest.raises(Overloaded, match="free disk space"):
            accepted(server, body, key="k")
    assert accepted(server, body, key="k") == 10
    assert len(stored_ids(server, "new")) == 10
    assert server.collector.pending.rows() == 0


def test_a_feature_whose_first_write_failed_is_stored_by_the_retry(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(server, lines(event(0, features={"age": 1})))
    body = lines(event(1, features={"age": 2, "height": 180}))
    with faulty_disk(monkeypatch) as disk:
        disk.sync_fails = True
        with pytest.raises(Overloaded):
            accepted(server, body)
    assert accepted(server, body) == 1
    assert len(stored_ids(server, "m")) == 2
    key = server.store.column_key("m", "height")
    events = server.store.model("m").events
    heights = server.store.query(f"SELECT {key} FROM {events} WHERE event_id = 'e1'")
    assert heights == [(180.0,)]


def test_a_request_rests_on_no_schema_that_a_failed_write_lost(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # validated against a schema whose write fails before the rows are appended
    collector = server.collector
    validate = collector.validator.events
    with faulty_disk(monkeypatch) as disk:
        disk.sync_fails = True
        first = collector.events(lines(event(0)), NDJSON)

        def fail_meanwhile(*arguments: Any) -> Any:
            batch = validate(*arguments)
            with pytest.raises(Overloaded):
                first.durable.result(60)
            return batch

        monkeypatch.setattr(collector.validator, "events", fail_meanwhile)
        with pytest.raises(Overloaded, match="earlier write"):
            collector.events(lines(event(1)), NDJSON)
    monkeypatch.setattr(collector.validator, "events", validate)
    assert accepted(server, lines(event(0), event(1))) == 2
    assert sorted(stored_ids(server, "m")) == ["e0", "e1"]


def test_all_records_of_a_request_are_in_one_write(server: Server) -> None:
    # a new model, rows as lines and in columns, refused rows, and a key
    accepted(server, lines(event(0)))
    waiting = threading.Event()
    spool = server.spool
    with spool._wake:  # the writing thread waits
        body = lines(event(1), event(2, model="other"), {"model": "m"})
        result = server.collector.events(body, NDJSON, key="k")
        batch = spool._batch
        assert result.durable is batch
        assert len(batch.records) == 5  # schema, lines, columns, refused, key
        waiting.set()
    result.durable.result(60)
    kinds = [r.header["kind"] for r in spool.records(START)][-5:]
    assert kinds == ["schema", "events", "events", "refused", "key"]


@pytest.mark.parametrize("seed", range(4))
def test_acknowledged_is_stored_once_while_large_writes_fail(
    server: Server, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    acknowledged: Counter[str] = Counter()
    lock = threading.Lock()

    def send(worker: int) -> None:
        for i in range(12):
            first = 1000 * worker + 20 * i
            # new models and new features come all the time
            name = rng.choice(["m", f"model {worker} {i}"])
            features = {"x": 1.0, f"f{worker}_{i}": 2.0}
            rows = [
                event(first + n, model=name, features=features)
                for n in range(rng.randint(1, 20))
            ]
            for _ in range(40):
                try:
                    accepted(server, lines(*rows), key=f"{worker}-{i}")
                except Overloaded:
                    continue
                with lock:
                    acknowledged[name] += len(rows)
                break

    with faulty_disk(monkeypatch) as disk:
        disk.max_write_bytes = 4096
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(send, range(6)))
        assert disk.failed
    server.scheduler.load_all()
    assert acknowledged
    for name, count in acknowledged.items():
        ids = stored_ids(server, name)
        assert len(ids) == len(set(ids)) == count
    assert server.collector.pending.rows() == 0
    assert server.spool.damage == []


def test_nothing_is_written_behind_records_that_could_not_be_cut_off(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(server, lines(event(0)))
    with faulty_disk(monkeypatch) as disk:
        disk.sync_fails = disk.truncate_fails = True
        with pytest.raises(Overloaded):
            accepted(server, lines(event(1, features={"lost": 1.0})))
        disk.sync_fails = False
        with pytest.raises(Overloaded):
            accepted(server, lines(event(2)))
    assert accepted(server, lines(event(3, features={"kept": 2.0}))) == 1
    assert sorted(stored_ids(server, "m")) == ["e0", "e3"]
    names = [feature.name for feature in server.store.model("m").schema.features]
    assert "lost" not in names and "kept" in names


def test_a_deleted_spool_file_is_never_acknowledged_into(server: Server) -> None:
    accepted(server, lines(event(0)))
    [file] = server.spool.folder.glob("*.spool")
    file.unlink()
    assert "was deleted" in (server.spool.problem() or "")
    with pytest.raises(Overloaded, match="was deleted"):
        accepted(server, lines(event(1)))


def test_a_full_disk_is_noticed_to_be_free_again_without_a_request(
    server: Server, monkeypatch: pytest.MonkeyPatch, wait_for: Any
) -> None:
    with faulty_disk(monkeypatch) as disk:
        disk.sync_fails = True
        with pytest.raises(Overloaded):
            accepted(server, lines(event(0)))
        assert "No space left" in (server.spool.problem() or "")
    wait_for(lambda: server.spool.problem() is None, "the spool to be writable")
    assert accepted(server, lines(event(0))) == 1


def test_a_write_that_fails_for_any_reason_does_not_end_the_writing_thread(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(server.spool, "_write", lambda _: 1 / 0)
        with pytest.raises(Overloaded, match="division by zero"):
            accepted(server, lines(event(0)))
    assert accepted(server, lines(event(0))) == 1


# exactly once


@pytest.mark.parametrize("columns", [True, False])
def test_rows_whose_key_was_lost_in_a_crash_are_stored_once(
    tmp_path: Path, columns: bool
) -> None:
    body = arrow_body(0, 50) if columns else lines(*rows_without_ids(0, 50))
    kind = ARROW if columns else NDJSON
    server = Server(tmp_path / "data", Config())
    server.start(background=False)
    accepted(server, body, kind, key="k")
    server.close()
    # as a crash leaves it: the last record, with the key, is cut off
    [file] = (tmp_path / "data" / "spool").glob("*.spool")
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b'"kind":"key"')])
    (tmp_path / "data" / "driftdeck.duckdb").unlink()
    again = Server(tmp_path / "data", Config())
    again.start(background=False)
    assert len(stored_ids(again, "m")) == 50
    assert accepted(again, body, kind, key="k") == 50
    assert len(stored_ids(again, "m")) == 50
    again.close()


def test_rows_of_several_models_keep_their_lines_and_ids(server: Server) -> None:
    times = [NOW.isoformat()] * 4 + ["yesterday"]
    columns = {"model": ["a", "b", "a", "b", "a"], "ts": times, "x": [1.0] * 5}
    body = to_ipc(pa.table(columns))
    result = server.collector.events(body, ARROW, key="k")
    result.durable.result(60)
    assert [refused.line for refused in result.refusals] == [5]
    first = stored_ids(server, "a") + stored_ids(server, "b")
    assert len(set(first)) == 4
    server.collector.results.forget()
    with server.store.writing() as con:
        con.execute("DELETE FROM idempotency")
    accepted(server, body, ARROW, key="k")
    assert stored_ids(server, "a") + stored_ids(server, "b") == first


def test_a_key_belongs_to_its_route_its_model_and_its_times(server: Server) -> None:
    label = {"event_id": "e0", "label": 1}
    csv = f"ts,x\n{NOW.isoformat()},1\n".encode()
    assert accepted(server, csv, "text/csv", key="k", model="a") == 1
    # the same file for another model is another request
    with pytest.raises(Conflict, match="another body or query"):
        accepted(server, csv, "text/csv", key="k", model="b")
    week = TimeBounds(max_age=timedelta(days=7))
    with pytest.raises(Conflict):
        accepted(server, csv, "text/csv", key="k", model="a", bounds=week)
    # labels under the same key are another request
    result = server.collector.labels(lines({**label, "model": "a"}), NDJSON, key="k")
    assert (result.accepted, result.replayed) == (1, False)
    assert server.collector.events(csv, "text/csv", "k", "a").replayed


@pytest.mark.parametrize("kind", ["events", "labels"])
def test_a_key_of_an_earlier_version_is_still_known(server: Server, kind: str) -> None:
    import hashlib

    body = lines(event(0))
    answer = '{"accepted": 1, "refused": 0, "refusals": []}'
    digest = hashlib.sha256(body).hexdigest()
    with server.store.writing() as con:
        con.execute(
            "INSERT INTO idempotency VALUES ('k', ?, ?, now())", [digest, answer]
        )
    ingest = getattr(server.collector, kind)
    assert ingest(body, NDJSON, "k").replayed
    with pytest.raises(Conflict):
        ingest(lines(event(1)), NDJSON, "k")


def test_a_reference_and_events_that_grow_a_model_at_once_keep_their_columns(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted(server, lines(event(0, features={"age": 1.0})))
    server.scheduler.load_all()
    grow_schema = server.collector.grow_schema

    def events_first(before: ModelSchema | None, schema: ModelSchema) -> bool:
        # an event with another new column arrives while the reference is read
        if "height" not in server.collector.schemas["m"].by_name:
            accepted(server, lines(event(1, features={"height": 180.0})))
        return grow_schema(before, schema)

    monkeypatch.setattr(server.collector, "grow_schema", events_first)
    reference = pa.table({"age": [1.0, 2.0, 3.0], "weight": [70.0, 80.0, 90.0]})
    server.set_reference_table("m", reference, "test", NOW)
    server.scheduler.load_all()
    stored = server.store.model("m").schema
    assert stored == server.collector.schemas["m"]
    assert sorted(stored.by_name) == ["age", "height", "weight"]
    key = server.store.column_key("m", "height")
    events = server.store.model("m").events
    assert server.store.query(f"SELECT {key} FROM {events} WHERE event_id = 'e1'") == [
        (180.0,)
    ]


def test_half_a_surrogate_pair_in_a_record_fails_its_own_request_only(
    server: Server,
) -> None:
    from monitor.event import Refused
    from monitor.ingest.pairing import PairPart

    half = PairPart("\ud800", "request", "\ud800", "m", "", NOW, b"{}")
    with pytest.raises(Refused, match="half a surrogate pair"):
        server.pairs.add(half)
    good = PairPart("a", "request", "a", "m", "", NOW, b"{}")
    writes: list[Future[None]] = server.pairs.add(good)
    for write in writes:
        write.result(60)
    assert server.pairs.unpaired_count() == 1
