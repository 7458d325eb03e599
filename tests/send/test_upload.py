"""Files to a server: compressed, by pattern, again, after a kill, and files made to do harm."""

import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from command import run
from events import event, lines
from server_process import start_server

from monitor.errors import PayloadError
from monitor.plugins import sources

Squeeze = Callable[[bytes], bytes]
SQUEEZE: dict[str, Squeeze] = {
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def status(cwd: Path, **environment: str) -> dict[str, Any]:
    return json.loads(run("status", "--json", cwd=cwd, **environment).stdout)


def csv_of(n: int) -> bytes:
    rows = [
        "event_id,ts,prediction,age",
        *(f"c{i},{event(i)['ts']},0.5,{i}" for i in range(n)),
    ]
    return "\n".join(rows).encode()


@pytest.mark.parametrize("ending", SQUEEZE)
def test_compressed_lines_and_csv_are_those_in_them(
    tmp_path: Path, ending: str
) -> None:
    (tmp_path / f"a.jsonl{ending}").write_bytes(
        SQUEEZE[ending](lines(*(event(i) for i in range(12))))
    )
    # two members one after the other, as log rotation by appending leaves them
    half = csv_of(10).split(b"\n")
    parts = b"\n".join(half[:6]) + b"\n", b"\n".join(half[6:])
    (tmp_path / f"b.csv{ending}").write_bytes(b"".join(map(SQUEEZE[ending], parts)))
    done = run(
        "ingest",
        f"a.jsonl{ending}",
        f"b.csv{ending}",
        "--model",
        "m",
        "--json",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accepted"] == 22
    assert status(tmp_path)["models"][0]["events"] == 22


@pytest.mark.parametrize("ending", SQUEEZE)
@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_a_bomb_a_cut_off_file_and_a_damaged_one_are_one_sentence(
    tmp_path: Path, ending: str, name: str
) -> None:
    good = SQUEEZE[ending](
        csv_of(5000) if name == "x.csv" else lines(*(event(i) for i in range(5000)))
    )
    source = sources()["csv" if name == "x.csv" else "jsonl"]
    path = tmp_path / f"{name}{ending}"
    for body, words in (
        (
            SQUEEZE[ending](b"a,b\n" + b"1" * (100 << 20)),
            "unpacks to more than 250 times its size",
        ),
        (good[:-20], "is cut off"),
        (b"nonsense" + good, "is not"),
    ):
        path.write_bytes(body)
        with pytest.raises(PayloadError, match=words):
            list(source.read_file(path, 1000))


def test_a_line_that_no_request_can_hold_is_refused_and_those_around_it_are_not(
    tmp_path: Path,
) -> None:
    body = (
        lines(event(0))
        + b'{"x": "'
        + b"a" * 9_000_000
        + b'"}\n'
        + lines(event(1))
        + b"{nope\n"
        + lines(event(2))
    )
    (tmp_path / "log.jsonl").write_bytes(body)
    done = run("ingest", "log.jsonl", cwd=tmp_path)
    assert done.returncode == 5
    assert "3 events accepted, 2 refused" in done.stdout
    assert "log.jsonl line 2: the line has more than 4 MB" in done.stderr
    assert "log.jsonl line 4: not JSON" in done.stderr
    again = run("ingest", "log.jsonl", cwd=tmp_path)
    assert (
        "3 events accepted, 2 refused; 3 of them were received before" in again.stdout
    )
    counts = status(tmp_path)["accounting"]
    # nothing is counted twice
    assert (counts["received"], counts["stored"], counts["refused"]) == (5, 3, 2)


def test_directories_and_quoted_patterns(tmp_path: Path) -> None:
    deep = tmp_path / "logs" / "2026" / "11"
    deep.mkdir(parents=True)
    (deep / "a.jsonl").write_bytes(lines(event(0)))
    (deep / "b.jsonl.gz").write_bytes(gzip.compress(lines(event(1))))
    (tmp_path / "logs" / "c.jsonl").write_bytes(lines(event(2)))
    (tmp_path / "logs" / "notes.txt").write_text("not for us")
    pq.write_table(
        pa.table({"ts": [event(3)["ts"]], "prediction": [0.5]}), deep / "d.parquet"
    )
    for arguments, accepted in (
        (["logs/**/*.jsonl"], 2),
        (["logs/**", "--model", "m"], 4),
        (["logs", "logs/*", "--model", "m"], 4),
    ):
        done = run("ingest", *arguments, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["accepted"] == accepted
    assert status(tmp_path)["models"][0]["events"] == 4
    wrong = run("ingest", "logs/**/*.txt", cwd=tmp_path)
    assert (wrong.returncode, "no file of a known format matches" in wrong.stderr) == (
        3,
        True,
    )


def test_a_run_that_was_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    n = 60_000
    (tmp_path / "big.jsonl").write_bytes(
        lines(*({**event(i), "event_id": None} for i in range(n)))
    )
    process, url = start_server(tmp_path / "data")
    command = [sys.executable, "-m", "monitor.cli", "ingest", "big.jsonl", "--url", url]
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            received = lambda: client.get("/v1/status").json()["accounting"]["received"]  # noqa: E731
            first = subprocess.Popen(
                command,
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(6000):
                if received():
                    break
                time.sleep(0.01)
            first.send_signal(signal.SIGKILL)
            first.wait()
            before = received()
            assert 0 < before < n
            done = run("ingest", "big.jsonl", "--url", url, "--json", cwd=tmp_path)
            answer = json.loads(done.stdout)
            client.post("/v1/flush")
            counts = client.get("/v1/status").json()["accounting"]
    finally:
        process.terminate()
        process.wait()
    # without ids of their own, so only the keys of the batches can tell
    assert answer["accepted"] == n
    assert answer["already"] >= before
    assert (counts["received"], counts["stored"], counts["duplicate"]) == (n, n, 0)
