"""Kafka to a server, against librdkafka's own mock brokers: each message once, whatever dies or moves."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from command import run as command
from command import run_process
from conftest import Served
from events import NOW, event
from names import NAMES, assert_kept, row
from server_process import start_server

confluent_kafka = pytest.importorskip("confluent_kafka")

from monitor.errors import DriftdeckError, Unreachable  # noqa: E402
from monitor.send.kafka import Reader  # noqa: E402
from monitor.send.session import Session  # noqa: E402

QUICK = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "log_level": 0}


class Cluster:
    """Three mock brokers inside a producer of this process, reachable by others on the loopback address."""

    def __init__(self) -> None:
        self.producer = confluent_kafka.Producer(
            {"test.mock.num.brokers": 3, "log_level": 0}
        )
        self.topic = "events"

    def send(
        self, *values: bytes | None, partition: int = 0, topic: str = "events"
    ) -> None:
        for value in values:
            self.producer.produce(topic, value, partition=partition)
        assert self.producer.flush(30) == 0

    @property
    def brokers(self) -> str:
        about = self.producer.list_topics("events", 10)
        return ",".join(f"{b.host}:{b.port}" for b in about.brokers.values())


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    yield Cluster()


def rows(n: int, start: int = 0, **changes: Any) -> list[bytes]:
    """Events without ids: topic, partition and offset make them."""
    return [
        json.dumps({**event(i), "event_id": None, **changes}).encode()
        for i in range(start, start + n)
    ]


def reader(
    cluster: Cluster, session: Session, said: list[str] | None = None, **more: Any
) -> Reader:
    options = {"bootstrap.servers": cluster.brokers, "group.id": "g", **QUICK}
    settings = {"kind": "events", "model": None, **more}
    return Reader(
        options,
        "events",
        session,
        warn=(said if said is not None else []).append,
        **settings,
    )


def drain(member: Reader, n: int) -> None:
    """Read until `n` rows were answered and their offsets committed."""
    counts = member.counts
    done = lambda: counts.accepted + counts.refused >= n and not member._unsent  # noqa: E731
    for _ in range(240):
        if done():
            break
        member.step()
    assert done(), (counts, n)
    member.close()


def accounting(served: Served) -> tuple[int, int, int, int]:
    served.server.scheduler.load_all()
    counts = served.get("/v1/status")["accounting"]
    return counts["received"], counts["stored"], counts["duplicate"], counts["refused"]


def test_messages_become_events_once_and_a_later_member_goes_on(
    cluster: Cluster, served: Served
) -> None:
    session = Session(served.client, "here")
    cluster.send(*rows(30), partition=0)
    cluster.send(*rows(20, 100), partition=2)
    drain(reader(cluster, session), 50)
    assert accounting(served) == (50, 50, 0, 0)
    cluster.send(*rows(5, 200), partition=1)
    drain(reader(cluster, session), 5)
    assert accounting(served) == (55, 55, 0, 0)
    ids = [
        i
        for (i,) in served.server.store.query(
            f"SELECT event_id FROM {served.server.store.model('m').events}"
        )
    ]
    assert {"events-0-0", "events-0-29", "events-2-19", "events-1-4"} <= set(ids)


def test_poison_is_refused_with_its_place_and_blocks_nothing(
    cluster: Cluster, served: Served
) -> None:
    (good,) = rows(1)
    pretty = json.dumps({**event(1), "event_id": "own"}, indent=2).encode()
    poison = [
        b"\xff\xfe",
        b"{nope",
        None,
        b"[1]",
        b'{"model": "m"}',
        b'"text"',
        b"x" * 3_100_000,
    ]
    two = b"\n".join(rows(2, 5))
    cluster.producer = confluent_kafka.Producer(
        {"test.mock.num.brokers": 3, "log_level": 0, "message.max.bytes": 5_000_000}
    )
    cluster.send(good, *poison[:3], pretty, *poison[3:], two + b"\n{half")
    drain(reader(cluster, Session(served.client, "here")), 4 + 8)
    assert accounting(served) == (12, 4, 0, 8)
    kept = served.server.store.query(
        "SELECT reason, line FROM quarantine ORDER BY line"
    )
    assert all(reason.startswith(f"kafka events/0/{line}: ") for reason, line in kept)
    assert "has no value" in kept[2][0]
    assert "more than 3 MB" in kept[6][0]


def test_every_name_keeps_its_models_and_features_apart(
    cluster: Cluster, served: Served
) -> None:
    session = Session(served.client, "here")
    cluster.send(*(json.dumps(row(1, name)).encode() for name in NAMES))
    cluster.send(
        *(json.dumps(row(2, name), ensure_ascii=False).encode() for name in NAMES),
        partition=1,
    )
    drain(reader(cluster, session), 2 * len(NAMES))
    assert accounting(served) == (2 * len(NAMES), 2 * len(NAMES), 0, 0)
    assert_kept(served.server, 2)


def test_a_consumer_of_one_model_may_have_any_name_for_it(
    cluster: Cluster, served: Served
) -> None:
    name = "航班/a 'b\"; --"
    cluster.send(
        *(
            json.dumps({**event(i), "event_id": None, "model": None}).encode()
            for i in range(3)
        )
    )
    cluster.send(
        *(
            json.dumps({k: v for k, v in event(i).items() if k != "model"}).encode()
            for i in range(5, 9)
        )
    )
    drain(reader(cluster, Session(served.client, "here"), model=name), 7)
    served.server.scheduler.load_all()
    assert set(served.server.store.models()) == {name}


def test_labels_take_the_time_of_their_message(
    cluster: Cluster, served: Served
) -> None:
    cluster.send(
        *(json.dumps({"event_id": f"e{i}", "label": i % 2}).encode() for i in range(10))
    )
    drain(reader(cluster, Session(served.client, "here"), kind="labels", model="m"), 10)
    assert accounting(served) == (10, 10, 0, 0)
    times = [
        t
        for (t,) in served.server.store.query(
            f"SELECT ts FROM {served.server.store.model('m').labels}"
        )
    ]
    assert all(
        abs((t - NOW.replace(tzinfo=None)).total_seconds()) < 3600 for t in times
    )


class Dies(Exception):
    """The process is killed here."""


class Torn(Session):
    """A session whose process is killed around its n-th request: before the server has it, or after."""

    def __init__(self, inner: Session, nth: int, after: bool) -> None:
        super().__init__(inner.client, inner.server)
        self.left, self.after = nth, after

    def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        self.left -= 1
        if self.left:
            return super().request(method, path, **options)
        if self.after:
            super().request(method, path, **options)
        raise Dies


@pytest.mark.parametrize(
    "after",
    [pytest.param(False, marks=pytest.mark.slow, id="before the server has it"), True],
)
def test_a_kill_between_send_and_commit_repeats_and_loses_nothing(
    cluster: Cluster, served: Served, after: bool
) -> None:
    session = Session(served.client, "here")
    cluster.send(*rows(40), b"{poison")
    for nth in (1, 2):  # at the rows, and at what was refused
        member = reader(cluster, Torn(session, nth, after))
        with pytest.raises(Dies):
            member.run()
        member.close()
        # by its size the batch would be cut differently now
        cluster.send(*rows(7, 1000 * nth))
    member = reader(cluster, session)
    drain(member, 55)
    # no duplicate: the ledger knew the batch, not only the ids
    assert accounting(served) == (55, 54, 0, 1)


def test_a_commit_that_fails_after_the_answer_is_made_up_for(
    cluster: Cluster, served: Served
) -> None:
    cluster.send(*rows(10))
    member = reader(cluster, Session(served.client, "here"))
    commit: Callable[..., bool] = member._commit
    left = [2]

    def fails(partition: int, offset: int, metadata: str = "") -> bool:
        if not metadata and left[0]:
            left[0] -= 1
            return False
        return commit(partition, offset, metadata)

    member._commit = fails  # type: ignore[method-assign]
    drain(member, 10)
    assert (left, member.counts.already) == ([0], 20)
    assert accounting(served) == (10, 10, 0, 0)


def test_while_the_server_is_away_the_member_stays_and_then_goes_on(
    cluster: Cluster, served: Served
) -> None:
    away = [True]

    class Away(Session):
        def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
            if away[0]:
                raise Unreachable("no server")
            return super().request(method, path, **options)

    said: list[str] = []
    cluster.send(*rows(10))
    member = reader(cluster, Away(served.client, ""), said)
    for _ in range(240):
        member.step()
        if member.waiting:
            break
    assert member.waiting
    cluster.send(*rows(10, 50), partition=1)
    member.step()
    assigned = member.consumer.assignment()
    assert len(assigned) == 4
    assert said == ["waiting: no server"]
    away[0] = False
    drain(member, 20)
    assert accounting(served) == (20, 20, 0, 0)

    class Forbids(Session):
        def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
            raise DriftdeckError("the key was revoked")

    cluster.send(*rows(1, 90))
    stopped = reader(cluster, Forbids(served.client, ""))
    with pytest.raises(DriftdeckError, match="revoked"):
        stopped.run()
    stopped.close()


def test_two_members_share_the_partitions_and_hand_them_over(
    cluster: Cluster, served: Served
) -> None:
    n = 400
    for partition in range(4):
        cluster.send(*rows(n, partition * n), partition=partition)
    session = Session(served.client, "here")
    members = [reader(cluster, session)]
    ends = [threading.Event(), threading.Event()]
    work = lambda i: (members[i].run(ends[i].is_set), members[i].close())  # noqa: E731
    threads = [threading.Thread(target=work, args=(0,))]
    threads[0].start()
    members.append(reader(cluster, session))
    threads.append(threading.Thread(target=work, args=(1,)))
    threads[1].start()
    total = lambda: served.get("/v1/status")["accounting"]["received"]  # noqa: E731

    def wait_until(done: Callable[[], bool]) -> None:
        for _ in range(1200):
            if done():
                return
            time.sleep(0.05)
        raise AssertionError(total())

    try:
        for round_ in range(1, 200):  # until both have had partitions
            for partition in range(4):
                cluster.send(
                    *rows(10, 10_000 + round_ * 100 + partition * 10),
                    partition=partition,
                )
            if all(m.counts.accepted for m in members):
                break
            time.sleep(0.1)
        sent = 4 * n + 40 * round_
        ends[0].set()  # one leaves, the other takes its partitions
        threads[0].join(60)
        cluster.send(*rows(25, 90_000), partition=3)
        cluster.send(*rows(25, 91_000), partition=0)
        wait_until(lambda: total() >= sent + 50)
    finally:
        for end in ends:
            end.set()
        for thread in threads:
            thread.join(60)
    assert all(m.counts.accepted for m in members)
    assert accounting(served) == (sent + 50, sent + 50, 0, 0)


@pytest.mark.parametrize("n", [400, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_consumer_killed_again_and_again_reads_every_message_once(
    cluster: Cluster, tmp_path: Path, n: int
) -> None:
    for partition in range(4):
        cluster.send(*rows(n, partition * n), b"{poison", partition=partition)
    total = 4 * (n + 1)
    server, url = start_server(tmp_path / "data")
    words = [
        "kafka",
        "--brokers",
        cluster.brokers,
        "--topic",
        "events",
        "--group",
        "k",
        "--url",
        url,
    ]
    words += [
        "--set",
        "session.timeout.ms=6000",
        "--set",
        "heartbeat.interval.ms=500",
        "--json",
    ]
    process: subprocess.Popen[str] | None = None
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            received = lambda: client.get("/v1/status").json()["accounting"]["received"]  # noqa: E731
            for goal in (1, total // 3, total):
                process = subprocess.Popen(
                    [sys.executable, "-m", "monitor.cli", *words],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                for _ in range(4000):
                    if received() >= goal:
                        break
                    time.sleep(0.02)
                process.send_signal(signal.SIGINT if goal == total else signal.SIGKILL)
                said, _ = process.communicate(timeout=60)
                assert received() >= goal
            assert process is not None
            assert process.returncode == 0
            assert json.loads(said)["accepted"] > 0
            client.post("/v1/flush")
            counts = client.get("/v1/status").json()["accounting"]
        assert (
            counts["received"],
            counts["stored"],
            counts["duplicate"],
            counts["refused"],
        ) == (total, 4 * n, 0, 4)
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 4, "start one with `driftdeck up`"),
        (
            ["--url", "http://127.0.0.1:1", "--set", "nonsense"],
            2,
            "--set needs KEY=VALUE",
        ),
        (
            ["--url", "http://127.0.0.1:1", "--set", "x=env:NOPE"],
            2,
            "the environment variable NOPE is not set",
        ),
        (
            ["--url", "http://127.0.0.1:1", "--set", "no.such.option=1"],
            2,
            "no.such.option",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    done = command(
        "kafka", "--brokers", "127.0.0.1:1", "--topic", "t", *arguments, cwd=tmp_path
    )
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_package_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "confluent_kafka.py").write_text(
        "raise ImportError(name='confluent_kafka')"
    )
    done = run_process(
        "kafka",
        "--brokers",
        "x",
        "--topic",
        "t",
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
    )
    assert done.returncode == 1
    assert "pip install 'driftdeck[kafka]'" in done.stderr
