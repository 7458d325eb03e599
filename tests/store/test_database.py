"""The owner of the DuckDB file: cursors, transactions, reopening and rewriting."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from monitor.store.database import Database, aware, insert_rows


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "driftdeck.duckdb")
    with database.writing() as con:
        con.execute("CREATE TABLE numbers(n INTEGER, text VARCHAR)")
        insert_rows(con, "numbers", [(1, "a"), (2, "b")])
        insert_rows(con, "numbers", [])
    yield database
    database.close()


def numbers(database: Database) -> list[int]:
    return [n for (n,) in database.query("SELECT n FROM numbers ORDER BY n")]


def test_a_failed_transaction_stores_nothing_and_the_next_one_works(
    database: Database,
) -> None:
    with pytest.raises(duckdb.ConversionException), database.writing() as con:
        con.execute("INSERT INTO numbers VALUES (3, 'c')")
        con.execute("INSERT INTO numbers VALUES ('x', 'y')")
    assert numbers(database) == [1, 2]
    with database.writing() as con:
        con.execute("INSERT INTO numbers VALUES (3, 'c')")
    assert numbers(database) == [1, 2, 3]


def test_a_reader_sees_what_was_committed_when_it_began(database: Database) -> None:
    with database.cursor() as cursor, database.writing() as con:
        con.execute("DELETE FROM numbers")
        assert cursor.execute("SELECT count(*) FROM numbers").fetchall() == [(2,)]
        assert numbers(database) == [1, 2]
    assert numbers(database) == []


def test_a_write_waits_for_the_lock(database: Database) -> None:
    def insert() -> None:
        with database.writing() as con:
            con.execute("INSERT INTO numbers VALUES (3, 'c')")

    writer = threading.Thread(target=insert)
    with database.write_lock:
        writer.start()
        writer.join(0.2)
        assert writer.is_alive() and numbers(database) == [1, 2]
        with database.writing() as con:  # of the same thread
            con.execute("DELETE FROM numbers WHERE n = 1")
    writer.join(60)
    assert numbers(database) == [2, 3]


def test_a_database_is_rewritten_when_no_reader_is_left(database: Database) -> None:
    with database.writing() as con:
        con.execute("INSERT INTO numbers SELECT range, 'Ada' FROM range(3, 200_000)")
    database.checkpoint()
    with database.writing() as con:
        con.execute("DELETE FROM numbers WHERE n > 2")
    before = database.path.stat().st_size
    with database.cursor() as cursor:
        cursor.execute("SELECT * FROM numbers")
        assert not database.rewrite(patience_s=0.1)
        assert numbers(database) == [1, 2]
    assert database.rewrite(patience_s=60)
    assert numbers(database) == [1, 2]
    assert database.path.stat().st_size < before
    assert b"Ada" not in database.path.read_bytes()
    assert [
        p.name for p in database.path.parent.iterdir() if "rewritten" in p.name
    ] == []


def test_a_reopened_database_has_what_was_committed(database: Database) -> None:
    old = database.connection
    database.note_failure()
    database.reopen_if_failed()
    assert database.connection is not old
    with pytest.raises(duckdb.ConnectionException):
        old.execute("SELECT 1")
    assert numbers(database) == [1, 2]


def test_stored_times_are_utc() -> None:
    assert aware(datetime(2026, 1, 2, 3)) == datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert aware(None) is None
