"""No thread of the server ends, no failure hides, and a failed engine is opened again."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import pytest
from conftest import Served
from events import NDJSON, NOW, event, lines

from monitor.errors import StorageError
from monitor.queries import server_status
from monitor.queries.server_status import why_not_ready
from monitor.server import background_step
from monitor.server.background_step import BackgroundStep
from monitor.server.server import Server
from monitor.store import database


class Failing:
    """An action that raises the next of some errors, then works."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)


def test_a_thread_lives_on_after_every_kind_of_failure(
    server: Server, monkeypatch: pytest.MonkeyPatch, wait_for: Any
) -> None:
    monkeypatch.setattr(background_step, "PAUSE_AFTER_FAILURE_S", 0.01)
    action = Failing(
        ValueError(),
        duckdb.FatalException("broken"),
        MemoryError(),
        RecursionError("deep"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
    )
    stopping = threading.Event()
    step = BackgroundStep("load", action, 0.01, server.store, stopping)
    step.start()
    wait_for(lambda: action.runs > 7, "the step to run again")
    assert step.problem is None
    stopping.set()
    step.join(60)


def test_a_success_of_one_step_does_not_hide_the_failure_of_another(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = served.server.scheduler
    load, evaluate, notify, _ = scheduler.steps
    monkeypatch.setattr(load, "_action", lambda: 1 / 0)
    for _ in range(3):
        load.attempt()
        evaluate.attempt()
        notify.attempt()
    answer = served.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["error"] == "not ready: load: load: division by zero"
    monkeypatch.undo()
    load.attempt()
    assert served.client.get("/readyz").status_code == 200


def test_strangers_get_a_word_and_a_key_gets_the_reason(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = served.server.scheduler.steps[0]
    load.problem = "load: the model 'secret' failed in /a/path"
    key = served.server.keys.create("k", ["read"], None, None, NOW)[1]
    answer = served.client.get("/readyz")
    assert (answer.status_code, answer.json()["error"]) == (503, "not ready: load")
    answer = served.client.get("/readyz", headers={"authorization": f"Bearer {key}"})
    assert "secret" in answer.json()["error"]


def test_rows_that_wait_while_no_load_ends_are_not_ready(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert why_not_ready(server) is None
    server.scheduler.loading.begin()
    monkeypatch.setattr(server_status, "MAX_STANDSTILL_S", -1)
    problem = why_not_ready(server)
    assert problem is not None and problem.part == "load"


def test_a_deleted_data_folder_is_not_ready(served: Served) -> None:
    assert served.client.get("/readyz").status_code == 200
    for file in served.server.spool.folder.iterdir():
        file.unlink()
    served.server.spool.folder.rmdir()
    assert served.client.get("/readyz").status_code == 503
    answer = served.post("/v1/events", lines(event(0)))
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


def test_a_failed_engine_is_opened_again_while_others_read(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.collector.events(lines(event(0)), NDJSON).durable.result(60)
    server.scheduler.load_all()
    store, ended = server.store, threading.Event()
    load = server.scheduler.steps[0]

    def read() -> int:
        count = 0
        while not ended.is_set():
            with store.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM range(20000)").fetchall()
                count += 1
        return count

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(6)]
        try:
            for _ in range(10):
                before = store.database.connection
                store.note_failure()
                assert load.attempt(), load.problem
                assert store.database.connection is not before
        finally:
            ended.set()
        assert all(reader.result(60) for reader in readers)
    assert store.span("m")[2] == 1


def test_a_reader_that_does_not_end_delays_the_reopening_and_no_more(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "REOPEN_PATIENCE_S", 0.05)
    store, load = server.store, server.scheduler.steps[0]
    with store.cursor() as cursor:
        cursor.execute("SELECT 1")
        store.note_failure()
        assert not load.attempt()
        assert "1 reads have not ended" in (load.problem or "")
    assert load.attempt()


def test_a_database_that_cannot_be_opened_again_yet_is_tried_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = server.scheduler.steps[0]
    server.store.note_failure()
    with monkeypatch.context() as patch:

        def refuse(*_: Any) -> Any:
            raise StorageError("no room")

        patch.setattr(database, "open_database", refuse)
        assert not load.attempt() and load.problem == "load: no room"
        assert not load.attempt()
    assert load.attempt()
    server.collector.events(lines(event(0)), NDJSON).durable.result(60)
    assert server.scheduler.load_all() == 1


def test_a_failed_commit_reports_its_own_reason(server: Server) -> None:
    class Connection:
        def execute(self, sql: str) -> None:
            if sql == "COMMIT":
                raise duckdb.IOException("No space left on device")
            if sql == "ROLLBACK":
                raise duckdb.TransactionException("no transaction is active")

    with (
        pytest.raises(duckdb.IOException, match="No space left"),
        database.transaction(Connection()),
    ):  # type: ignore[arg-type]
        pass


def test_a_fatal_error_in_a_request_leads_to_the_reopening(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = served.server.store
    with monkeypatch.context() as patch:

        def fail(*_: Any) -> Any:
            raise duckdb.FatalException("the database has been invalidated")

        patch.setattr(store.database, "query", fail)
        answer = served.client.get("/v1/models")
        assert answer.status_code in (200, 503)
        answer = served.client.get("/v1/accounting")
        assert answer.status_code == 503
    before = store.database.connection
    assert served.server.scheduler.steps[0].attempt()
    assert store.database.connection is not before
