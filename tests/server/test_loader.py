"""Spool to store: exactly once, profiles equal to a rebuild after any mix, crashes survived."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pytest
from events import NDJSON, NOW, event, lines
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from server_process import start_server

from monitor.config.config import Config
from monitor.config.model_section import ModelConfig
from monitor.errors import StorageError
from monitor.event import Refusal, label_text
from monitor.profile import Profile
from monitor.server.server import Server
from monitor.store.database import transaction
from monitor.store.rows.load_transaction import LoadTransaction
from monitor.store.rows.recent_ids import RecentIds

NIGHTLY = bool(os.environ.get("DRIFTDECK_NIGHTLY"))


def snapshot(server: Server, model: str = "m") -> dict[tuple[str, str, int], Profile]:
    """Every stored profile of a model by segment, column and hour."""
    # whole hours: minutes that were rolled up lie in the same step as before
    start = NOW.replace(tzinfo=None, minute=0, second=0) - timedelta(days=10)
    found = {}
    segments = [
        s for (s,) in server.store.query("SELECT DISTINCT segment FROM profile_moments")
    ] or [""]
    for segment in segments:
        read = server.store.profiles(
            model, start, start + timedelta(days=11), timedelta(hours=1), None, segment
        )
        found.update(
            {
                (segment, c, i): p
                for c, profiles in read.items()
                for i, p in enumerate(profiles)
                if p.rows
            }
        )
    return found


def assert_equal(a: dict[Any, Profile], b: dict[Any, Profile]) -> None:
    assert a.keys() == b.keys()
    for key, p in a.items():
        q = b[key]
        assert (p.counts == q.counts).all(), key
        assert (p.rows, p.missing, p.invalid) == (q.rows, q.missing, q.invalid), key
        np.testing.assert_allclose(
            [p.sum, p.sum_sq], [q.sum, q.sum_sq], rtol=1e-9, atol=1e-9, err_msg=str(key)
        )
        np.testing.assert_equal([p.min, p.max], [q.min, q.max])


def send(server: Server, *events: dict[str, Any], key: str | None = None) -> None:
    server.collector.events(lines(*events), NDJSON, key).durable.result(60)


def label(server: Server, *labels: dict[str, Any]) -> None:
    server.collector.labels(lines(*labels), NDJSON).durable.result(60)


@dataclass
class Expected:
    """What a server must hold after any order of events and labels: the plainest bookkeeping, in memory."""

    received: int = 0
    refused: int = 0
    events: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    labels: dict[tuple[str, str], tuple[datetime, Any]] = field(default_factory=dict)
    given: set[tuple[str, str, Any, datetime]] = field(default_factory=set)
    labels_received: int = 0
    # of features: by their first value
    kinds: dict[tuple[str, str], str] = field(default_factory=dict)
    mistyped: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def event(self, row: dict[str, Any]) -> None:
        """An event that was taken."""
        self.received += 1
        self.events.setdefault((row["model"], row["event_id"]), row)
        for name, value in row["features"].items():
            if value is not None:
                kind = self.kinds.setdefault(
                    (row["model"], name),
                    "text" if isinstance(value, str | bool) else "number",
                )
                if came := self._wrong(kind, value):
                    self.mistyped[row["model"], name, came] += 1

    @staticmethod
    def _wrong(kind: str, value: Any) -> str | None:
        if kind == "text":
            return None if isinstance(value, str | bool) else "number"
        if isinstance(value, bool):
            return "boolean"
        return "text" if isinstance(value, str) else "NaN" if value != value else None

    def label(self, model: str, id_: str, value: Any, ts: datetime) -> None:
        """A label that was taken: the one that became known last counts, of several the one that was received last."""
        self.labels_received += 1
        again = (model, id_, str(value), ts) in self.given
        self.given.add((model, id_, str(value), ts))
        known = self.labels.get((model, id_))
        if not again and (known is None or ts >= known[0]):
            self.labels[model, id_] = ts, value

    def quality(self, model: str) -> tuple[int, int, int]:
        """Predictions with a label, of them those that cannot be judged, and those that were wrong."""
        joined = [
            (e, self.labels[key][1])
            for key, e in self.events.items()
            if key[0] == model and key in self.labels
        ]
        judged = [
            (e["prediction"] >= 0.5) != (NUMBERS[v] >= 0.5)
            for e, v in joined
            if v in NUMBERS and e["prediction"] is not None
        ]
        return len(joined), len(joined) - len(judged), sum(judged)


NUMBERS: dict[Any, int] = {0: 0, 1: 1, "1": 1}  # True is 1
MODELS = ("m", "M", "航班/a 'b\"; --")
CONTENT: dict[str, dict[str, Any]] = {
    "plain": {},
    "odd": {"features": {"age": "x", "country": "d", "new": 1.5}, "latency_ms": None},
    "missing": {"features": {}, "prediction": None},
    "string": {
        "features": {"age": float("nan"), "country": None, "premium": True},
        "status": 503,
    },
    "widened": {"features": {"age": 7, "country": 886, "Age": "7", "new": True}},
}


class Mix(RuleBasedStateMachine):
    """Any mix of new, late, early, repeated and refused events of several models, labels before and after, repeated,
    late and corrected, types that change; references set, servers restarted at any
    time.
    """

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.expected, self.clock = Expected(), 0
        self.kind: dict[tuple[str, int], str] = {}
        self.sent: list[list[dict[str, Any]]] = []
        self.open()

    def open(self) -> None:
        models = {
            name: ModelConfig(segments=("country",), task="binary") for name in MODELS
        }
        self.server = Server(Path(self.folder.name), Config(models=models))
        self.server.start(background=False)

    def content(self, model: str, i: int, kind: str) -> dict[str, Any]:
        """An event whose content belongs to its id; some are days late, some are minutes early."""
        minutes = 4000 + i if i % 7 == 3 else -8 if i % 11 == 5 else i
        ts = (NOW - timedelta(minutes=minutes)).isoformat()
        return event(
            i, model=model, ts=ts, **CONTENT[self.kind.setdefault((model, i), kind)]
        )

    @rule(
        model=st.sampled_from(MODELS),
        order=st.lists(st.integers(0, 60), min_size=1, max_size=20),
        kind=st.sampled_from(sorted(CONTENT)),
        bad=st.booleans(),
    )
    def events(self, model: str, order: list[int], kind: str, bad: bool) -> None:
        rows = [self.content(model, i, kind) for i in order]
        send(
            self.server,
            *rows,
            *([{**rows[0], "ts": "1999-01-01T00:00:00Z"}] if bad else []),
        )
        for row in rows:
            self.expected.event(row)
        self.expected.received += bad
        self.expected.refused += bad

    @rule(
        model=st.sampled_from(MODELS),
        first=st.integers(0, 60),
        n=st.integers(1, 20),
        value=st.sampled_from([0, 1, True, "1", "x"]),
        back=st.booleans(),
        at_once=st.booleans(),
    )
    def labels(
        self, model: str, first: int, n: int, value: Any, back: bool, at_once: bool
    ) -> None:
        self.clock += not at_once  # else at the time of the labels before
        ts = NOW + timedelta(seconds=-self.clock if back else self.clock)
        self.sent.append(
            [
                {
                    "event_id": f"e{i}",
                    "model": model,
                    "label": value,
                    "ts": ts.isoformat(),
                }
                for i in range(first, first + n)
            ]
        )
        self.repeat_labels(0, True)

    @rule(back=st.integers(0, 8), whole=st.booleans())
    def repeat_labels(self, back: int, whole: bool) -> None:
        again = (
            self.sent[-1 - back % len(self.sent)][:: None if whole else -2]
            if self.sent
            else []
        )
        if again:
            label(self.server, *again)
        for one in again:
            self.expected.label(
                one["model"],
                one["event_id"],
                one["label"],
                datetime.fromisoformat(one["ts"]),
            )

    @rule()
    def load(self) -> None:
        self.server.scheduler.load_all()
        self.compare()

    @rule()
    def restart(self) -> None:
        self.server.spool.close()
        self.server.store.close()
        self.open()
        self.compare()

    @rule(model=st.sampled_from(MODELS))
    def set_reference(self, model: str) -> None:
        self.load()
        if model in self.server.store.models() and self.server.store.span(model)[2]:
            naive = NOW.replace(tzinfo=None)
            self.server.set_reference_period(
                model, naive - timedelta(days=9), naive + timedelta(days=1), NOW
            )
            self.compare()

    @rule()
    def compact(self) -> None:
        self.server.store.profiler.backlog.loads = 10_000
        self.server.store.maintain(NOW)

    def compare(self) -> None:
        """Everything that was taken is loaded: totals, labels, metrics and wrong types are those of the bookkeeping."""
        store, expected = self.server.store, self.expected
        counts = "sum(received)::BIGINT, sum(stored)::BIGINT, sum(duplicate)::BIGINT, sum(refused)::BIGINT"
        found = {
            kind: rest
            for kind, *rest in store.query(
                f"SELECT kind, {counts} FROM accounting GROUP BY kind"
            )
        }
        n = len(expected.events)
        if expected.received:
            again = expected.received - expected.refused - n
            assert found["events"] == [expected.received, n, again, expected.refused]
        if expected.labels_received:
            again = expected.labels_received - len(expected.given)
            assert found["labels"] == [
                expected.labels_received,
                len(expected.given),
                again,
                0,
            ]
        for name, model in store.models().items():
            assert store.span(name)[2] == sum(key[0] == name for key in expected.events)
            joined = store.query(
                f"SELECT event_id, label, ts FROM {model.labels} WHERE joined ORDER BY 1"
            )
            assert joined == sorted(
                (id_, label_text(value), ts.replace(tzinfo=None))
                for (of, id_), (ts, value) in expected.labels.items()
                if of == name and (of, id_) in expected.events
            )
            if model.task == "binary":
                wrong = [
                    p
                    for (segment, c, _), p in snapshot(self.server, name).items()
                    if c == "wrong" and not segment
                ]
                totals = (
                    sum(p.rows for p in wrong),
                    sum(p.missing for p in wrong),
                    sum(int(p.counts[1]) for p in wrong),
                )
                assert totals == expected.quality(name)
        rows = store.query(
            'SELECT model, "column", came, sum("rows")::BIGINT FROM mistyped GROUP BY ALL'
        )
        assert {tuple(key): n for *key, n in rows} == dict(expected.mistyped)

    @invariant()
    def rebuilt_profiles_are_equal(self) -> None:
        if not hasattr(self, "server"):
            return
        before = {
            name: snapshot(self.server, name) for name in self.server.store.models()
        }
        self.server.store.rebuild()
        for name, profiles in before.items():
            assert_equal(profiles, snapshot(self.server, name))

    @invariant()
    def everything_is_accounted_for(self) -> None:
        if not hasattr(self, "server"):
            return
        rows = self.server.store.query(
            "SELECT kind, sum(received), sum(stored), sum(duplicate), sum(refused) FROM accounting GROUP BY kind"
        )
        for _, received, stored, duplicate, refused in rows:
            assert received == stored + duplicate + refused

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.load()
            self.server.close()
            self.folder.cleanup()


TestMix = pytest.mark.timeout(3600 if NIGHTLY else 300)(Mix.TestCase)
TestMix.settings = settings(
    max_examples=400 if NIGHTLY else 20,
    stateful_step_count=15,
    suppress_health_check=list(HealthCheck),
)


def test_labels_before_after_and_corrected(server: Server) -> None:
    label(server, {"event_id": "e0", "model": "m", "label": 1, "ts": NOW.isoformat()})
    send(server, *(event(i, prediction=0.9) for i in range(4)))
    server.scheduler.load_all()
    server.set_reference_period("m", datetime(2020, 1, 1), datetime(2099, 1, 1), NOW)
    label(
        server,
        *(
            {"event_id": f"e{i}", "model": "m", "label": 0, "ts": NOW.isoformat()}
            for i in (1, 2)
        ),
    )
    server.scheduler.load_all()

    def wrong() -> tuple[int, int]:
        found = [p for (_, c, _), p in snapshot(server).items() if c == "wrong"]
        return sum(p.rows for p in found), sum(int(p.counts[1]) for p in found)

    assert wrong() == (3, 2)
    assert server.store.query("SELECT prediction FROM models") == [("number",)]
    later, earlier = (
        (NOW + timedelta(minutes=5)).isoformat(),
        (NOW - timedelta(minutes=5)).isoformat(),
    )
    label(
        server,
        {"event_id": "e1", "model": "m", "label": 1, "ts": later},
        {"event_id": "e2", "model": "m", "label": 1, "ts": earlier},
    )
    server.scheduler.load_all()
    # e1 was corrected, the old label of e2 came too late to count
    assert wrong() == (3, 1)
    label(server, {"event_id": "e1", "model": "m", "label": 1, "ts": later})
    server.scheduler.load_all()
    assert wrong() == (3, 1)


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2), (1, 2, 3), (1, 2, 3, 4)])
@pytest.mark.parametrize("event_at", [0, 2, 5])
def test_of_labels_with_one_time_the_last_received_counts_however_loads_are_cut(
    tmp_path: Path, cuts: tuple[int, ...], event_at: int
) -> None:
    """Also when the first is sent again after it was corrected, when the server is restarted, and on a rebuild."""
    given = [("e1", 1, 0), ("e1", 0, 0), ("e1", 1, 0), ("e2", 1, 0), ("e1", 1, -60)]
    server = Server(tmp_path)
    server.start(background=False)
    for i, (id_, value, seconds) in enumerate(given):
        if i == event_at:
            send(server, event(1, prediction=0.9))
        ts = (NOW + timedelta(seconds=seconds)).isoformat()
        label(server, {"event_id": id_, "model": "m", "label": value, "ts": ts})
        if i + 1 in cuts:
            server.close()
            server = Server(tmp_path)
            server.start(background=False)
    if event_at == len(given):
        send(server, event(1, prediction=0.9))
    server.scheduler.load_all()
    with closing(server):
        table = server.store.model("m").labels
        joined = f"SELECT event_id, label, ts FROM {table} WHERE joined"
        assert server.store.query(joined) == [("e1", "0", NOW.replace(tzinfo=None))]
        counts = "SELECT sum(received), sum(stored), sum(duplicate) FROM accounting WHERE kind = 'labels'"
        assert server.store.query(counts) == [(5, 4, 1)]
        assert server.store.query(f"SELECT event_id FROM {table} WHERE NOT joined") == [
            ("e2",)
        ]
        assert server.store.rewrite()
        assert server.store.query(joined) == [("e1", "0", NOW.replace(tzinfo=None))]


def test_the_spans_of_all_models_are_those_of_each_whatever_was_loaded_or_deleted(
    server: Server,
) -> None:
    def same() -> None:
        for _ in range(2):
            assert server.store.spans() == {
                n: server.store.span(n)
                for n in server.store.models()
                if server.store.span(n)[2]
            }

    send(server, *(event(i, model=f"m{i % 3}") for i in range(6, 30)))
    server.scheduler.load_all()
    same()
    # newer, older, and a model that is new
    for first, model in ((0, "m0"), (40, "m1"), (3, "m3")):
        send(server, event(first, model=model), event(first + 1, model=model))
        label(
            server,
            {
                "event_id": f"e{first}",
                "model": model,
                "label": 1,
                "ts": NOW.isoformat(),
            },
        )
        server.scheduler.load_all()
        same()
    assert {name: span[3] for name, span in server.store.spans().items()} == {
        "m0": 1,
        "m1": 1,
        "m2": 0,
        "m3": 1,
    }
    newest = server.store.spans()["m0"][1]
    assert server.store.erase("m0", "event_id", "e0", "e0").events == 1
    same()
    assert newest is not None and (server.store.spans()["m0"][1] or newest) < newest
    server.store.forget(NOW, 1, None)
    server.store.note_failure()
    server.store.reopen_if_failed()
    same()


def test_a_restart_goes_on_where_the_spool_was(tmp_path: Path) -> None:
    server = Server(tmp_path)
    send(server, *(event(i) for i in range(5)))  # acknowledged, not loaded
    server.spool.close()
    server.store.close()
    again = Server(tmp_path)
    again.start(background=False)
    assert again.store.span("m")[2] == 5
    send(again, event(5, features={"age": 1.0, "country": "a", "premium": True}))
    again.scheduler.load_all()
    assert again.store.span("m")[2] == 6
    again.close()


def test_rows_missing_from_the_database_are_replayed_from_the_spool(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path)
    server.start(background=False)
    send(server, *(event(i) for i in range(50)))
    server.scheduler.load_all()
    server.store.database.connection.execute("CHECKPOINT")
    send(server, *(event(i) for i in range(50, 80)))
    server.scheduler.load_all()
    assert server.store.span("m")[2] == 80
    # as it is without its write-ahead log
    database = (tmp_path / "driftdeck.duckdb").read_bytes()
    server.spool.close()
    server.store.database.connection.close()
    (tmp_path / "driftdeck.duckdb").write_bytes(database)
    (tmp_path / "driftdeck.duckdb.wal").unlink(missing_ok=True)
    again = Server(tmp_path)
    again.start(background=False)
    assert again.store.span("m")[2] == 80
    again.close()


def test_a_failed_load_changes_nothing_and_can_be_repeated(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(server, *(event(i) for i in range(5)))
    record = LoadTransaction._record
    monkeypatch.setattr(
        LoadTransaction,
        "_record",
        lambda *_: (_ for _ in ()).throw(duckdb.IOException("disk full")),
    )
    with pytest.raises(duckdb.IOException):
        server.scheduler.load_all()
    assert server.store.models() == {}
    monkeypatch.setattr(LoadTransaction, "_record", record)
    server.scheduler.load_all()
    assert server.store.span("m")[2] == 5


def test_a_transaction_with_an_exception_rolls_back() -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE t(x INTEGER)")
    with pytest.raises(ZeroDivisionError), transaction(con):
        con.execute("INSERT INTO t VALUES (1)")
        1 / 0  # noqa: B018
    assert con.execute("SELECT count(*) FROM t").fetchall() == [(0,)]


def test_a_model_without_reference_gets_a_provisional_one(server: Server) -> None:
    for start in range(0, 1500, 300):
        send(server, *(event(i) for i in range(start, start + 300)))
        server.scheduler.load_all()
    about = server.store.references.about("m")
    assert about.status == "provisional"
    assert about.rows >= 1000
    assert server.store.model("m").task == "binary"
    total = sum(
        p.rows for (_, c, _), p in snapshot(server).items() if c == "prediction"
    )
    assert total == 1500  # what came before the reference was profiled afterwards


def test_the_engine_is_closed_to_files_and_settings(server: Server) -> None:
    for statement in (
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "ATTACH '/tmp/y.duckdb'",
        "SET threads = 1",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            server.store.query(statement)


# opening


def test_a_database_held_by_another_process_is_named_with_its_pid(
    tmp_path: Path,
) -> None:
    code = f"import duckdb, time; c = duckdb.connect(r'{tmp_path / 'driftdeck.duckdb'}'); print('up', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(
            StorageError, match=f"in use by another process \\(PID {holder.pid}\\)"
        ):
            Server(tmp_path)
    finally:
        holder.kill()
        holder.communicate()


def test_a_newer_or_foreign_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "driftdeck.duckdb"
    Server(tmp_path).close()
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE meta SET schema_version = 99")
    with pytest.raises(StorageError, match="schema version 99, newer"):
        Server(tmp_path)
    path.unlink()
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE theirs(x INTEGER)")
    with pytest.raises(StorageError, match="not one of driftdeck's"):
        Server(tmp_path)
    path.write_bytes(b"something else entirely" * 1000)
    with pytest.raises(StorageError, match="not a DuckDB database"):
        Server(tmp_path)


def test_a_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        Server(tmp_path / "file" / "data")


# kill -9


def test_killed_servers_lose_and_double_nothing(tmp_path: Path) -> None:
    """The whole service under load, killed at random moments; the client retries with the same key."""
    cycles = 200 if NIGHTLY else 4
    rng = np.random.default_rng(17)
    acknowledged: list[str] = []
    number, waiting = 0, None
    for cycle in range(cycles):
        process, url = start_server(tmp_path)
        deadline = time.monotonic() + float(rng.uniform(0.3, 1.2))
        try:
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
                while time.monotonic() < deadline:
                    if waiting is None:
                        ids = range(number, number + 50)
                        number += 50
                        waiting = (
                            f"batch-{ids.start}",
                            lines(
                                *(
                                    event(i, ts=datetime.now(UTC).isoformat())
                                    for i in ids
                                )
                            ),
                            ids,
                        )
                    key, body, ids = waiting
                    answer = client.post(
                        "/v1/events",
                        content=body,
                        headers={"content-type": NDJSON, "idempotency-key": key},
                    )
                    assert answer.status_code == 200, answer.text
                    acknowledged += [f"e{i}" for i in ids]
                    waiting = None
                    if cycle % 2:
                        process.send_signal(signal.SIGKILL)
        except httpx.HTTPError:
            pass
        finally:
            process.kill()
            process.wait()
    server = Server(tmp_path)
    server.start(background=False)
    stored = [
        i
        for (i,) in server.store.query(
            f"SELECT event_id FROM {server.store.model('m').events}"
        )
    ]
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    before = snapshot(server)
    server.store.rebuild()
    assert_equal(before, snapshot(server))
    server.close()


def test_the_answers_of_json_are_json(server: Server) -> None:
    assert json.loads(
        json.dumps(server.collector.events(lines(event(0)), NDJSON).body())
    ) == {
        "accepted": 1,
        "refused": 0,
        "refusals": [],
    }


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    with closing(Server(tmp_path)) as server:
        server.start(background=False)
        send(server, event(1), {**event(2), "ts": "never"})
        server.scheduler.load_all()
    with duckdb.connect(str(tmp_path / "driftdeck.duckdb")) as con:
        con.execute("ALTER TABLE accounting DROP COLUMN unchecked")
        con.execute("ALTER TABLE quarantine DROP COLUMN id")
        con.execute("DROP TABLE refusals")
        con.execute("DROP TABLE api_keys")
        con.execute("UPDATE meta SET schema_version = 1")
    with closing(Server(tmp_path)) as server:
        assert [q.id for q in server.store.ledger.refused()] == [1]
        assert server.store.ledger.totals() == {
            "received": 2,
            "stored": 1,
            "duplicate": 0,
            "refused": 1,
            "unchecked": 0,
        }
        server.start(background=False)
        send(server, event(3))
        server.scheduler.load_all()
        assert server.store.ledger.totals()["stored"] == 2


def test_ids_of_a_database_of_before_are_compressed_like_new_ones(
    tmp_path: Path,
) -> None:
    first = {**event(1), "event_id": "0198F0A2-6f5b-7c1e-9d57-2f6f6f2a7b10"}
    with closing(Server(tmp_path)) as server:
        server.start(background=False)
        send(server, first, *(event(i) for i in range(2, 30)))
        label(
            server,
            {"event_id": "e2", "model": "m", "label": True, "ts": NOW.isoformat()},
        )
        server.scheduler.load_all()
    with duckdb.connect(str(tmp_path / "driftdeck.duckdb")) as con:
        for table in ("events_1", "labels_1"):  # as they were made by version 6
            con.execute(f"CREATE TABLE before AS FROM {table}")
            con.execute(f"DROP TABLE {table}")
            con.execute(f"ALTER TABLE before RENAME TO {table}")
        con.execute("UPDATE meta SET schema_version = 6")
    with closing(Server(tmp_path)) as server:
        made = server.store.query(
            "SELECT sql FROM duckdb_tables() WHERE table_name IN ('events_1', 'labels_1')"
        )
        assert [
            "event_id VARCHAR USING COMPRESSION ZSTD" in sql for (sql,) in made
        ] == [True, True]
        server.start(background=False)
        send(
            server,
            first,
            event(30),
            event(31, features={"x": 1.5, **{f"new {i}": 1.0 for i in range(20)}}),
        )
        for id_ in ("e2", "e3"):
            label(
                server,
                {"event_id": id_, "model": "m", "label": True, "ts": NOW.isoformat()},
            )
        server.scheduler.load_all()
        assert server.store.query(
            "SELECT count(*), count(DISTINCT event_id) FROM events_1"
        ) == [(31, 31)]
        assert server.store.query(
            "SELECT count(*) FROM events_1 WHERE event_id = $1", [first["event_id"]]
        ) == [(1,)]
        assert server.store.query(
            "SELECT event_id, label, joined FROM labels_1 ORDER BY 1"
        ) == [
            ("e2", "true", True),
            ("e3", "true", True),
        ]
        ((made,),) = server.store.query(
            "SELECT sql FROM duckdb_tables() WHERE table_name = 'events_1'"
        )
        # written anew for the columns that came
        assert "event_id VARCHAR USING COMPRESSION ZSTD" in made


def test_a_repeat_with_another_time_is_recognised(server: Server) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    for minutes in (3, 1, 2):
        send(
            server,
            event(1, ts=(at - timedelta(minutes=minutes)).isoformat()),
            event(10 + minutes, ts=at.isoformat()),
        )
        server.scheduler.load_all()
    send(
        server,
        event(20, ts=at.isoformat()),
        event(20, ts=(at - timedelta(minutes=5)).isoformat()),
    )
    server.scheduler.load_all()
    found = server.store.ledger.totals()
    assert (found["stored"], found["duplicate"], found["unchecked"]) == (5, 3, 0)


def test_after_a_restart_repeats_are_still_recognised(tmp_path: Path) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    for minutes in (1, 2):
        with closing(Server(tmp_path)) as server:
            server.start(background=False)
            send(server, event(1, ts=(at - timedelta(minutes=minutes)).isoformat()))
            server.scheduler.load_all()
            found = server.store.ledger.totals()
    assert (found["received"], found["stored"], found["duplicate"]) == (2, 1, 1)


def test_after_a_restart_repeats_of_many_models_are_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.store.rows.recent_ids.MAX_MODELS", 2)
    at, models = datetime.now(UTC).replace(microsecond=0), [f"m{i}" for i in range(5)]
    # at first 1 and 2, then 1 once more and 3
    for minutes, stored in ((2, 10), (1, 15)):
        with closing(Server(tmp_path)) as server:
            server.start(background=False)
            ts = (at - timedelta(minutes=minutes)).isoformat()
            send(
                server,
                *(
                    event(i, model=model, ts=ts)
                    for model in models
                    for i in (1, 4 - minutes)
                ),
            )
            server.scheduler.load_all()
            found = server.store.ledger.totals()
            assert (found["stored"], found["duplicate"]) == (stored, stored - 10)


def test_old_rows_are_checked_against_their_own_time_and_counted_as_unchecked(
    server: Server,
) -> None:
    old = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    send(server, event(1, ts=old), event(2, ts=old))
    server.scheduler.load_all()
    send(server, event(1, ts=old), event(3, ts=old))
    server.scheduler.load_all()
    found = server.store.ledger.totals()
    assert (found["stored"], found["duplicate"], found["unchecked"]) == (3, 1, 3)


def test_the_oldest_ids_are_forgotten_by_the_generation() -> None:
    recent = RecentIds(capacity=800)
    noon = datetime(2026, 1, 1, 12)
    for i in range(20):
        recent.add(
            np.arange(i * 60, i * 60 + 60, dtype=np.uint64), noon + timedelta(minutes=i)
        )
    assert recent.since > noon  # from here on everything is known
    first = int((recent.since - noon) / timedelta(minutes=1)) + 1
    assert recent.stored(np.arange(first * 60, 1200, dtype=np.uint64)).all()
    assert not recent.stored(np.arange(1200, 1300, dtype=np.uint64)).any()
    assert not recent.stored(np.arange(0, 60, dtype=np.uint64)).any()


def test_a_repeated_label_is_a_duplicate_and_an_orphan_waits(server: Server) -> None:
    late = {"event_id": "e1", "model": "m", "label": True, "ts": NOW.isoformat()}
    for _ in range(2):
        send(server, event(2))
        label(server, late)
        server.scheduler.load_all()
    counts = server.store.query(
        "SELECT sum(received), sum(stored), sum(duplicate) FROM accounting WHERE kind = 'labels'"
    )
    assert counts == [(2, 1, 1)]
    send(server, event(1))
    server.scheduler.load_all()
    assert server.store.query(
        f"SELECT event_id, joined FROM {server.store.model('m').labels}"
    ) == [("e1", True)]


def test_segments_are_never_numbered_again_when_all_were_let_go(tmp_path: Path) -> None:
    for i in range(4):
        with closing(Server(tmp_path)) as server:
            server.start(background=False)
            send(server, event(10 * i), event(10 * i + 1))
            server.scheduler.load_all()
            server.spool.roll()
            server.loader.release(datetime.now(UTC))
            assert [p.stat().st_size for p in (tmp_path / "spool").iterdir()] == [0]
            assert server.store.ledger.totals()["stored"] == 2 * (i + 1)


def test_a_load_that_runs_out_of_memory_is_done_after_writing_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.collector.events(
        lines(*(event(i) for i in range(5))), NDJSON
    ).durable.result(60)
    server.scheduler.load_all()
    server.collector.events(
        lines(*(event(i) for i in range(5, 20))), NDJSON
    ).durable.result(60)
    whole, failures = server.store.load, [duckdb.OutOfMemoryException("full")]

    def load_once_full(batch: Any, now: Any) -> Any:
        if failures:
            raise failures.pop()
        return whole(batch, now)

    monkeypatch.setattr(server.store, "load", load_once_full)
    assert server.scheduler.load_all() == 15
    assert server.store.query(
        f"SELECT count(*) FROM {server.store.model('m').events}"
    ) == [(20,)]


def test_a_correction_changes_the_metric_of_windows_that_were_evaluated(
    server: Server,
) -> None:
    """Labels that come days later, and then turn out wrong, are in the finding of the window of their events."""
    hour = NOW.replace(minute=0, second=0) - timedelta(days=6)
    rows = [
        event(i, prediction=0.9, ts=(hour + timedelta(seconds=i)).isoformat())
        for i in range(400)
    ]
    send(
        server,
        *rows,
        *(
            event(1000 + i, ts=(NOW - timedelta(minutes=5)).isoformat())
            for i in range(50)
        ),
    )
    server.scheduler.load_all()
    known = [
        {
            "event_id": r["event_id"],
            "model": "m",
            "label": 1,
            "ts": (NOW - timedelta(days=2)).isoformat(),
        }
        for r in rows
    ]
    label(server, *known[:300])
    server.scheduler.load_all()
    server.set_reference_period(
        "m",
        hour.replace(tzinfo=None),
        (hour + timedelta(seconds=200)).replace(tzinfo=None),
        NOW,
    )
    server.scheduler.note_reference("m")

    def wrong() -> tuple[int, float]:
        server.scheduler.load_all()
        server.scheduler.evaluate_due(settle=timedelta(0))
        (found,) = [
            f
            for f in server.store.alerts.latest_findings("m")
            if f.statistic == "wrong_share"
        ]
        assert found.value is not None
        return found.n, found.value

    assert wrong() == (300, 0.0)
    label(server, *known[300:])  # the last hundred come later
    assert wrong() == (400, 0.0)
    later = (NOW - timedelta(days=1)).isoformat()
    # and a quarter was not true after all
    label(server, *({**one, "label": 0, "ts": later} for one in known[:100]))
    assert wrong() == (400, 0.25)
    opened = [
        a
        for a in server.store.alerts.open_alerts("m").values()
        if a.finding.statistic == "wrong_share"
    ]
    assert len(opened) == 1 and opened[0].since < NOW - timedelta(
        days=1
    )  # not since the correction: since their window
    label(server, *({**one, "label": 1, "ts": NOW.isoformat()} for one in known[:100]))
    assert wrong() == (400, 0.0)
    early = (NOW - timedelta(days=2, hours=5)).isoformat()
    label(
        server, *({**one, "label": 0, "ts": early} for one in known), *known[:50]
    )  # older ones and repeats change nothing
    assert wrong() == (400, 0.0)


def test_lines_taken_before_a_name_that_differs_only_in_case_are_loaded(
    server: Server,
) -> None:
    send(server, event(1))
    send(server, event(2), event(3))  # known by now: kept as lines
    send(server, event(4, features={"age": 1.0, "Age": 2.0}))
    server.scheduler.load_all()
    assert server.store.span("m")[2] == 4
    send(server, event(5))
    server.scheduler.load_all()
    assert server.store.span("m")[2] == 5


def test_a_refusal_with_an_absurd_line_does_not_stop_the_loader(server: Server) -> None:
    server.collector.refuse(
        "events", [Refusal(10**30, None, "odd", "x")]
    ).durable.result(60)
    send(server, event(1))
    server.scheduler.load_all()
    assert server.store.span("m")[2] == 1
    assert [q.line for q in server.store.ledger.refused()] == [2**63 - 1]
