"""A growing log: every line once, whatever happens to the log, the follower or the server."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Served
from events import event, lines
from server_process import start_server

from monitor.errors import DriftdeckError, StorageError, Unreachable
from monitor.send.follow import Follower, position_file
from monitor.send.session import Session
from monitor.send.upload import Counts


class Idle(Exception):
    """Raised in place of waiting: nothing more is there to be read."""


class Log:
    """A log file, and followers of it that stop when there is nothing to read."""

    def __init__(self, folder: Path, session: Session) -> None:
        self.path, self.folder, self.session = folder / "app.jsonl", folder, session
        self.said: list[str] = []
        self.next = 0

    def write(self, n: int, end: bytes = b"") -> None:
        """Append lines without ids: only the follower can keep them from coming twice."""
        with self.path.open("ab") as file:
            file.write(
                lines(
                    *(
                        {**event(i), "event_id": None}
                        for i in range(self.next, self.next + n)
                    )
                )
                + end
            )
        self.next += n

    def follow(self, session: Session | None = None, idle: int = 3) -> Counts:
        """A fresh follower until it has nothing to do."""
        counts, left = Counts(), [idle]

        def pause() -> None:
            left[0] -= 1
            if not left[0]:
                raise Idle

        follower = Follower(
            self.path, position_file(self.folder, self.path), self.said.append
        )
        with pytest.raises(Idle):
            follower.run(session or self.session, counts, pause=pause)
        return counts


@pytest.fixture
def log(served: Served, tmp_path: Path) -> Iterator[Log]:
    yield Log(tmp_path, Session(served.client, "here"))


def stored(served: Served) -> int:
    served.server.scheduler.load_all()
    models = served.get("/v1/models")["models"]
    return models[0]["events"] if models else 0


def test_lines_come_as_they_are_written_and_a_partial_one_waits(
    log: Log, served: Served
) -> None:
    assert log.follow().accepted == 0  # not there yet
    log.write(3, end=b'{"model": ')
    assert log.follow().accepted == 3
    assert log.follow().accepted == 0
    with log.path.open("ab") as file:
        file.write(b'"m", "ts": "%s"}\n' % event(1)["ts"].encode())
    assert (log.follow().accepted, stored(served)) == (1, 4)


def test_a_bad_line_is_refused_with_its_line_in_the_log(
    log: Log, served: Served
) -> None:
    log.write(5)
    log.follow()
    log.write(1, end=b"{nope\n")
    log.write(1)
    counts = log.follow()
    assert (counts.accepted, counts.refused, counts.refusals[0]["line"]) == (2, 1, 7)


def test_rotation_by_rename_reads_the_old_log_to_its_end(
    log: Log, served: Served
) -> None:
    log.write(3)
    assert log.follow().accepted == 3
    with log.path.open("ab") as file:
        # the writer was stopped within a line: nobody will end it
        file.write(lines(event(100)).rstrip(b"\n"))
    log.path.rename(log.path.with_suffix(".jsonl.1"))
    log.write(4)
    log.follow(idle=4)
    log.write(2)
    log.follow()
    assert stored(served) == 10
    assert log.said == []


def test_a_log_that_is_cut_is_read_from_its_beginning(log: Log, served: Served) -> None:
    log.write(5)
    counts, steps = Counts(), iter(["cut", "write", "end"])
    follower = Follower(log.path, position_file(log.folder, log.path), log.said.append)

    def pause() -> None:
        match next(steps, "stop"):
            case "cut":
                log.path.write_bytes(b"")
            case "write":
                log.write(3)
            case "stop":
                raise Idle

    with pytest.raises(Idle):
        follower.run(log.session, counts, pause=pause)
    assert (counts.accepted, stored(served)) == (8, 8)


def test_an_old_log_that_is_gone_is_reported(log: Log, served: Served) -> None:
    log.write(2)
    log.follow()
    log.path.unlink()
    log.write(3)
    log.follow(idle=4)
    assert stored(served) == 5
    assert "the old one is gone; its lines after byte" in log.said[0]


class Torn(Session):
    """A session whose process dies around a request: before the server has it, or after."""

    def __init__(self, inner: Session, after: bool) -> None:
        super().__init__(inner.client, inner.server)
        self.after = after

    def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        if self.after:
            super().request(method, path, **options)
        raise Idle  # as good as a kill: nothing after this line runs


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_around_a_request_repeats_nothing_and_loses_nothing(
    log: Log, served: Served, after: bool
) -> None:
    log.write(4)
    log.follow(Torn(log.session, after))
    log.write(4)  # the batch would be cut differently now
    counts = log.follow()
    assert (counts.accepted, counts.already) == (8, 4 if after else 0)
    assert stored(served) == 8


def test_while_the_server_is_away_it_waits_and_says_so_once(
    log: Log, served: Served
) -> None:
    log.write(2)
    tries = [0]

    class Away(Session):
        def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
            tries[0] += 1
            if tries[0] < 4:
                raise Unreachable("no server")
            return super().request(method, path, **options)

    assert log.follow(Away(served.client, ""), idle=6).accepted == 2
    assert log.said == ["waiting: no server"]

    class Forbids(Session):
        def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
            raise DriftdeckError("the key was revoked")

    log.write(1)
    follower = Follower(log.path, position_file(log.folder, log.path), log.said.append)
    with pytest.raises(DriftdeckError, match="revoked"):
        follower.run(Forbids(served.client, ""), Counts())
    assert log.follow().accepted == 1


def test_a_damaged_position_is_one_sentence(log: Log) -> None:
    kept = position_file(log.folder, log.path)
    kept.parent.mkdir()
    kept.write_text("{")
    with pytest.raises(StorageError, match="does not hold a position"):
        log.follow()


def end(process: "subprocess.Popen[bytes]", ending: signal.Signals) -> None:
    """End a process; Ctrl-C again when Python lost the first in a callback."""
    for _ in range(10):
        process.send_signal(ending)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue
        return
    raise AssertionError(f"{ending!r} does not end it")


@pytest.mark.parametrize("rounds", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_random_writing_rotating_killing_and_restarting_gives_every_line_once(
    tmp_path: Path, rounds: int
) -> None:
    rng = random.Random(7)
    process, url = start_server(tmp_path / "data")
    log = tmp_path / "app.jsonl"
    command = [
        sys.executable,
        "-m",
        "monitor.cli",
        "ingest",
        str(log),
        "--follow",
        "--url",
        url,
        "--data",
        str(tmp_path),
    ]
    written, said = 0, tmp_path / "said"
    follower: subprocess.Popen[bytes] | None = None

    begun = 0

    def start() -> "subprocess.Popen[bytes]":
        nonlocal begun
        with said.open("ab") as file:
            begun = file.tell()
            return subprocess.Popen(command, stdout=file, stderr=file)

    def wait_until(true: Callable[[], bool]) -> None:
        for _ in range(3000):
            if true():
                return
            time.sleep(0.02)
        raise AssertionError(said.read_text())

    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            count = lambda: client.get("/v1/status").json()["accounting"]["received"]  # noqa: E731

            def wait_for(n: int) -> None:
                for _ in range(3000):
                    if count() >= n:
                        return
                    time.sleep(0.02)
                raise AssertionError((count(), n))

            follower = start()
            for round_ in range(rounds):
                n = rng.randrange(1, 1100 * rounds)
                with log.open("ab") as file:
                    file.write(
                        lines(*({**event(i), "event_id": None} for i in range(n)))
                    )
                written += n
                if round_ % 2:
                    # at whatever it is doing
                    follower.send_signal(rng.choice([signal.SIGKILL, signal.SIGINT]))
                    follower.wait()
                    follower = start()
                if round_ in (2, 5):
                    # one rotation at a time: of two in a row the middle log cannot be
                    # found again
                    wait_for(written)
                    log.rename(f"{log}.{round_}")
            wait_for(written)
            # the last one may only just have started
            wait_until(lambda: b"following" in said.read_bytes()[begun:])
            follower.send_signal(signal.SIGINT)
            assert follower.wait(60) == 0, said.read_text()
            assert "events accepted, 0 refused" in said.read_text().splitlines()[-1]
            client.post("/v1/flush")
            counts = client.get("/v1/status").json()["accounting"]
            assert (
                counts["received"],
                counts["stored"],
                counts["duplicate"],
                counts["refused"],
            ) == (
                written,
                written,
                0,
                0,
            )
    finally:
        if follower is not None and follower.poll() is None:
            follower.kill()
            follower.wait()
        process.terminate()
        process.wait()
