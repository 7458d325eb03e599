"""The loader outlives whatever the spool has: what cannot be loaded is set aside and counted."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from events import NDJSON, NOW, event, lines

from monitor.arrow_columns import to_ipc
from monitor.config.config import Config
from monitor.server.server import Server
from monitor.server.spool_batch import NO_SCHEMA
from monitor.spool.record import NewRecord

AT = NOW.isoformat(timespec="seconds")
EVENTS = {"kind": "events", "model": "m", "rows": 3, "at": AT}


def totals(server: Server) -> dict[str, int]:
    counted = server.store.ledger.totals()
    assert (
        counted["received"]
        == counted["stored"] + counted["duplicate"] + counted["refused"]
    )
    return counted


UNREADABLE = {
    "no Arrow": NewRecord.of({**EVENTS, "format": "arrow"}, b"nonsense"),
    "cut Arrow": NewRecord.of(
        {**EVENTS, "format": "arrow"}, to_ipc(pa.table({"x": [1.0] * 500}))[:700]
    ),
    "foreign columns": NewRecord.of(
        {**EVENTS, "format": "arrow"}, to_ipc(pa.table({"x": [1.0, 2.0, 3.0]}))
    ),
    "no format": NewRecord.of(EVENTS, b"{}\n"),
    "no time": NewRecord.of({**EVENTS, "at": None, "format": "lines"}, b"{}\n"),
    "no Arrow in labels": NewRecord.of({**EVENTS, "kind": "labels"}, b"nonsense"),
    "foreign labels": NewRecord.of(
        {**EVENTS, "kind": "labels"}, to_ipc(pa.table({"x": [1.0, 2.0, 3.0]}))
    ),
    "unknown kind": NewRecord.of({**EVENTS, "kind": "news"}, b""),
    "no kind": NewRecord.of({"at": AT, "rows": 3}, b""),
    "refused rows that are none": NewRecord.of(
        {"kind": "refused", "of": "events", "rows": 3, "at": AT}, b"[[1]]"
    ),
    "schema that is none": NewRecord.of(
        {"kind": "schema", "model": "m", "at": AT, "rows": 3}, b'{"features": 3}'
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_record_that_cannot_be_loaded_is_set_aside_and_its_rows_are_counted(
    server: Server, name: str
) -> None:
    server.collector.events(lines(event(0)), NDJSON).durable.result(60)
    server.spool.append(UNREADABLE[name]).result(60)
    server.collector.events(lines(event(1)), NDJSON).durable.result(60)
    assert server.scheduler.load_all() == 2
    assert len(server.loader.set_aside.names()) == 1
    counted = totals(server)
    assert (counted["stored"], counted["refused"]) == (2, 3)
    # nothing of it is loaded again
    assert server.scheduler.load_all() == 0 and totals(server) == counted


def test_a_server_starts_with_a_spool_of_unreadable_records(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", Config())
    server.start(background=False)
    for record in UNREADABLE.values():
        server.spool.append(record).result(60)
    server.collector.events(lines(event(0)), NDJSON).durable.result(60)
    server.spool.close()  # as after a crash: nothing was loaded
    server.store.close()
    again = Server(tmp_path / "data", Config())
    again.start(background=False)
    assert again.scheduler.problem is None
    assert totals(again)["stored"] == 1
    assert len(again.loader.set_aside.names()) == len(UNREADABLE)
    again.close()


def test_lines_whose_schema_was_lost_go_to_the_quarantine_and_can_be_sent_again(
    server: Server,
) -> None:
    # as a version before December 2026 left them after a full disk
    body = lines(*(event(i, model="lost") for i in range(3)))
    header = {"kind": "events", "format": "lines", "model": "lost", "at": AT, "rows": 3}
    server.spool.append(NewRecord.of(header, body)).result(60)
    server.collector.events(lines(event(9)), NDJSON).durable.result(60)
    assert server.scheduler.load_all() == 1
    rows = server.store.ledger.refused()
    assert [(row.model, row.reason, row.whole) for row in rows] == [
        ("lost", NO_SCHEMA, True)
    ] * 3
    assert totals(server)["refused"] == 3
    resent = b"\n".join(row.raw.encode() for row in rows)
    server.collector.events(resent, NDJSON).durable.result(60)
    assert server.scheduler.load_all() == 3


def test_a_set_aside_record_is_kept_as_it_was(server: Server) -> None:
    record = UNREADABLE["no Arrow"]
    server.spool.append(record).result(60)
    server.scheduler.load_all()
    [name] = server.loader.set_aside.names()
    path = server.loader.set_aside.folder / name
    first, payload = path.read_bytes().split(b"\n", 1)
    header = json.loads(first.split(b" ", 1)[1])
    assert payload == record.payload
    assert (header["kind"], header["model"], header["rows"]) == ("events", "m", 3)
    assert path.stat().st_mode & 0o077 == 0


def test_raw_lines_of_a_killed_server_are_deleted_at_the_start(tmp_path: Path) -> None:
    left = tmp_path / "data" / "staging" / "tmpabc" / "0.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text('{"event_id": "a person"}\n')
    server = Server(tmp_path / "data", Config())
    assert not left.exists()
    server.close()


def test_the_quarantine_never_gives_a_number_twice(server: Server) -> None:
    def refuse() -> list[int]:
        server.collector.events(b"{nope\n", NDJSON).durable.result(60)
        server.scheduler.load_all()
        return [row.id for row in server.store.ledger.refused()]

    first = refuse()
    server.store.ledger.discard(first)
    second = refuse()
    assert first != second and len(second) == 1


def failing(server: Server, monkeypatch: Any, is_bad: Any, error: Exception) -> None:
    """Make the store refuse every load that has a row of a bad id."""
    load = server.store.load

    def load_unless_bad(batch: Any, now: Any) -> Any:
        for tables in batch.tables.values():
            for table in tables:
                if any(map(is_bad, table["event_id"].to_pylist())):
                    raise error
        if any(b"poison" in lines for lines in batch.lines.values()):
            raise error
        return load(batch, now)

    monkeypatch.setattr(server.store, "load", load_unless_bad)


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("x"), TypeError()])
def test_a_row_that_the_store_cannot_take_goes_to_the_quarantine_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    rows = [event(i) for i in range(20)]
    rows[7]["event_id"] = "poison"
    server.collector.events(lines(event(30)), NDJSON).durable.result(60)
    server.collector.events(lines(*rows), NDJSON).durable.result(60)
    server.collector.events(lines(event(40)), NDJSON).durable.result(60)
    failing(server, monkeypatch, lambda id_: id_ == "poison", error)
    server.scheduler.load_all()
    counted = totals(server)
    assert (counted["stored"], counted["refused"]) == (21, 1)
    [row] = server.store.ledger.refused()
    assert row.event_id == "poison" and "cannot be stored" in row.reason
    assert json.loads(row.raw)["features"]["age"] == rows[7]["features"]["age"]


def test_when_no_row_can_be_stored_they_are_not_tried_one_by_one_for_ever(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.server.row_parts.MAX_SINGLE_FAILURES", 5)
    rows = [event(i, event_id=f"poison {i}") for i in range(200)]
    server.collector.events(lines(*rows), NDJSON).durable.result(60)
    server.collector.events(lines(event(900)), NDJSON).durable.result(60)
    failing(server, monkeypatch, lambda id_: "poison" in id_, ValueError("no"))
    server.scheduler.load_all()
    counted = totals(server)
    assert (counted["stored"], counted["refused"]) == (1, 200)
