"""Drop folders: real files, the real parsing process, a real server that is killed."""

import gzip
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from events import NOW, event, lines
from server_process import start_server

from monitor.config.config import Config, DropConfig
from monitor.errors import ConfigError, PayloadError
from monitor.event import Refusal
from monitor.ingest.drop_folder.folder import DropFolder
from monitor.ingest.drop_folder.order import (
    Order,
    read_batches,
    read_order,
    write_batch,
    write_end,
)
from monitor.ingest.file_batches import ColumnMapping, FileBatch
from monitor.server.server import Server


def drop(server: Server, folder: Path, **settings: Any) -> DropFolder:
    return DropFolder(DropConfig(folder=folder, **settings), folder, server.collector)


def scan(folder: DropFolder, times: int = 2) -> int:
    """A file is read at the second look, when it has not changed since the first."""
    return sum(folder.scan() for _ in range(times))


def events(server: Server, model: str = "m") -> int:
    server.scheduler.load_all()
    return server.store.span(model)[2] if model in server.store.models() else 0


def csv(n: int, start: int = 0) -> bytes:
    rows = [
        "when,score,age",
        *(f"{NOW:%Y-%m-%dT%H:%M:%SZ},0.{i},{i}" for i in range(start, start + n)),
    ]
    return "\n".join(rows).encode()


def test_finished_files_of_every_format_are_read_and_moved(
    server: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    watched = drop(server, folder, model="m", timestamp="when", prediction="score")
    table = pa.table(
        {
            "when": [event(i)["ts"] for i in range(4)],
            "score": [0.5] * 4,
            "age": [1.0] * 4,
        }
    )
    (folder / "a.csv").write_bytes(csv(10))
    (folder / "b.csv.gz").write_bytes(gzip.compress(csv(6, 20)))
    pq.write_table(table, folder / "c.parquet")
    with pa.ipc.new_file(folder / "d.arrow", table.schema) as writer:
        writer.write_table(table)
    assert watched.scan() == 0  # not looked at twice yet
    assert watched.scan() == 4
    assert sorted(p.name for p in (folder / "done").iterdir()) == [
        "a.csv",
        "b.csv.gz",
        "c.parquet",
        "d.arrow",
    ]
    assert events(server) == 24
    assert (watched.status()["rows"], watched.status()["failed"]) == (24, [])


def test_lines_labels_and_delete(server: Server, tmp_path: Path) -> None:
    predictions = drop(server, tmp_path / "p", when_done="delete")
    outcomes = drop(
        server, tmp_path / "l", kind="labels", model="m", id="key", label="truth"
    )
    (tmp_path / "p" / "x.jsonl").write_bytes(
        lines(*(event(i) for i in range(5))) + b"{nope\n"
    )
    (tmp_path / "l" / "y.csv").write_text("key,truth\ne0,1\ne1,0\ne2,1,9\n")
    assert (scan(predictions), scan(outcomes)) == (1, 1)
    assert not (tmp_path / "p" / "x.jsonl").exists()
    assert not list((tmp_path / "p" / "done").iterdir())
    assert events(server) == 5
    assert server.store.span("m")[3] == 2
    assert (predictions.refused, outcomes.refused) == (
        1,
        1,
    )  # bad rows are kept beside good ones, no reason to fail a file


def test_the_same_content_again_adds_nothing(server: Server, tmp_path: Path) -> None:
    watched = drop(
        server, tmp_path / "in", model="m", timestamp="when", prediction="score"
    )
    for name in ("a.csv", "again.csv", "a.csv"):
        (tmp_path / "in" / name).write_bytes(csv(10))
        assert scan(watched) == 1
    assert (events(server), watched.rows) == (10, 10)
    assert len(list((tmp_path / "in" / "done").iterdir())) == 3


def test_what_is_not_finished_or_not_a_file_is_left_alone(
    server: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    watched = drop(server, folder, model="m", timestamp="when", prediction="score")
    secret = tmp_path / "secret.csv"
    secret.write_bytes(csv(3))
    for name in (".hidden.csv", "a.csv.tmp", "b.part"):
        (folder / name).write_bytes(csv(2))
    (folder / "link.csv").symlink_to(secret)
    os.mkfifo(folder / "pipe.csv")
    (folder / "sub.csv").mkdir()
    before = {p.name for p in folder.iterdir()}
    assert scan(watched, 3) == 0
    assert {p.name for p in folder.iterdir()} == before
    (folder / "a.csv.tmp").rename(folder / "a.csv")
    assert scan(watched) == 1
    growing = folder / "growing.csv"
    for n in (1, 2, 3):
        growing.write_bytes(csv(n))
        assert watched.scan() == 0  # another size than a scan ago
    assert watched.scan() == 1
    assert events(server) == 5


def test_a_poison_file_is_set_aside_after_three_tries_with_its_reason(
    server: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    watched = drop(server, folder, model="m", max_mb=1)
    for name, body in (
        ("bad.parquet", b"PAR1 and then nothing of the kind PAR1"),
        ("notes.txt", b"hello"),
        ("large.csv", b"a" * (2 << 20)),
        ("bomb.csv.gz", gzip.compress(b"a,b\n" + b"1" * (300 << 20))),
    ):
        (folder / name).write_bytes(body)
    assert scan(watched, 3) == 0
    assert not list((folder / "failed").iterdir())  # two tries each
    assert (folder / "bad.parquet").exists()
    watched.scan()
    reasons = {f["file"]: f["reason"] for f in watched.status()["failed"]}
    assert "is not Parquet" in reasons["bad.parquet"]
    assert "the ending .txt is not known; known: .arrow" in reasons["notes.txt"]
    assert "more than 1 MB (drop.max_mb)" in reasons["large.csv"]
    assert "unpacks to more than 250 times its size" in reasons["bomb.csv.gz"]
    assert all("Moved here after 3 attempts" in r for r in reasons.values())
    assert (folder / "failed" / "bad.parquet").read_bytes().startswith(b"PAR1")
    assert watched.status()["waiting"] == 0


def test_a_file_whose_reader_dies_harms_nobody(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    watched = drop(
        server, folder, model="m", timestamp="when", prediction="score", seconds=1
    )
    (folder / "endless.csv").write_bytes(
        csv(2) + csv(1).split(b"\n")[1].join([b"\n"] * 5_000_000)
    )  # takes longer than the second it is given
    (folder / "good.csv").write_bytes(csv(5))
    assert scan(watched, 4) == 1  # the good one
    (failed,) = watched.status()["failed"]
    assert failed["file"] == "endless.csv"
    assert "the process that read the file ended with signal" in failed["reason"]
    assert "drop.seconds" in failed["reason"]


def test_a_small_file_that_unpacks_to_more_memory_than_it_is_given_is_set_aside(
    server: Server, tmp_path: Path
) -> None:
    watched = drop(server, tmp_path / "in", model="m", memory_mb=768)
    table = pa.table({"prediction": pa.array(np.zeros(120_000_000))})
    with pa.ipc.new_file(
        tmp_path / "in" / "zeros.arrow",
        table.schema,
        options=pa.ipc.IpcWriteOptions(compression="zstd"),
    ) as writer:
        writer.write_table(table, max_chunksize=table.num_rows)
    assert (tmp_path / "in" / "zeros.arrow").stat().st_size < 1 << 20
    assert scan(watched, 4) == 0
    (failed,) = watched.status()["failed"]
    assert "768 MB" in failed["reason"]


def test_when_the_spool_is_full_a_file_waits_and_does_not_fail(
    server: Server, tmp_path: Path
) -> None:
    watched = drop(
        server, tmp_path / "in", model="m", timestamp="when", prediction="score"
    )
    (tmp_path / "in" / "a.csv").write_bytes(csv(5))
    capacity, server.spool.capacity = server.spool.capacity, 10
    assert scan(watched, 6) == 0
    assert "spool is full" in (watched.problem or "")
    assert not list((tmp_path / "in" / "failed").iterdir())
    server.spool.capacity = capacity
    assert scan(watched) == 1
    assert (events(server), watched.problem) == (5, None)


def test_orders_and_batches_come_out_as_they_went_in(tmp_path: Path) -> None:
    order = Order(
        "a.csv",
        "d",
        "events",
        "csv",
        "m",
        None,
        ColumnMapping(timestamp="t", features=("a", "b")),
        768,
        5,
    )
    assert read_order(order.dump()) == order
    batches = [
        FileBatch("events", "k", 1, "text/csv", b"\x00\n{", bytes_read=7),
        FileBatch("labels", "l", 5, refusals=(Refusal(5, None, "why", "raw"),)),
    ]
    path = tmp_path / "frames"
    with path.open("wb") as out:
        for batch in batches:
            write_batch(out, batch)
        write_end(out, None)
    with path.open("rb") as source:
        assert list(read_batches(source)) == batches
    whole = path.read_bytes()
    for cut in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with path.open("rb") as source, pytest.raises(EOFError):
            list(read_batches(source))
    with path.open("wb") as out:
        write_end(out, "x is not CSV")
    with path.open("rb") as source, pytest.raises(PayloadError, match="x is not CSV"):
        list(read_batches(source))


def test_a_server_that_is_killed_in_the_middle_reads_the_rest_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "driftdeck.toml").write_text(
        '[[drop]]\nfolder = "in"\nmodel = "m"\ntimestamp = "when"\nprediction = "score"\n'
    )
    rows = 60_000
    body = csv(rows)

    def start():
        return start_server(
            tmp_path / "data", "--config", str(tmp_path / "driftdeck.toml")
        )

    process, url = start()
    try:

        def received():
            return httpx.get(f"{url}/v1/status", trust_env=False, timeout=60).json()[
                "accounting"
            ]["received"]

        (tmp_path / "in" / ".a.csv").write_bytes(body)
        (tmp_path / "in" / ".a.csv").rename(tmp_path / "in" / "a.csv")
        for _ in range(6000):
            if received():
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / "in" / "a.csv").exists()
        process, url = start()
        before = received()
        assert 0 < before < rows
        for _ in range(600):
            if (tmp_path / "in" / "done" / "a.csv").exists():
                break
            time.sleep(0.1)
        httpx.post(f"{url}/v1/flush", trust_env=False, timeout=60)
        status = httpx.get(f"{url}/v1/status", trust_env=False, timeout=60).json()
        counts = status["accounting"]
        assert (
            counts["received"],
            counts["stored"],
            counts["duplicate"],
            counts["refused"],
        ) == (rows, rows, 0, 0)
        (about,) = status["drop"]
        assert (about["done"], about["waiting"], about["problem"], about["failed"]) == (
            1,
            0,
            None,
            [],
        )
        assert about["rows"] == rows - before
    finally:
        process.terminate()
        process.wait()


def test_a_mistake_in_the_section_is_named(tmp_path: Path) -> None:
    from monitor.config.config_file import read_config

    (tmp_path / "c.toml").write_text('[[drop]]\nformat = "xlsx"\nfolders = "x"\n')
    with pytest.raises(ConfigError) as wrong:
        read_config(tmp_path / "c.toml")
    assert "drop[0].folder is missing; it is required" in wrong.value.mistakes
    assert any(
        "drop[0].folders is unknown; known: folder, kind" in m
        for m in wrong.value.mistakes
    )
    assert any(
        "'xlsx' is unknown; known: arrow, csv, jsonl, parquet" in m
        for m in wrong.value.mistakes
    )
    assert Config().drop == ()
