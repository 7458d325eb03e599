"""The spool keeps what was logged through crashes, shares no file between processes, and says what it dropped."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from monitor.client import Client, sender
from monitor.client.disk_spool import disk_backlog
from monitor.client.disk_spool.process_spool import ProcessSpool
from monitor.client.disk_spool.spool_line import read_line, spool_line

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def short_delays(monkeypatch):
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)


def adds_up(stats):
    return (
        stats["logged"]
        == stats["accepted"] + stats["refused"] + stats["dropped"] + stats["queued"]
    )


def device(url, folder, **options):
    return Client(url, model="m", spool=folder, **{"timeout": 0.3, **options})


def test_events_and_labels_of_a_closed_client_are_sent_by_the_next_in_order(
    tmp_path, unused_url, collector
):
    client = device(unused_url, tmp_path)
    ids = [client.log({"i": i}, i) for i in range(1200)]
    client.label(ids[0], True)
    client.close()
    stats = client.stats()
    assert (stats["queued"], stats["dropped"]) == (1201, 0) and adds_up(stats)
    later = device(collector.url, tmp_path, timeout=PATIENCE)
    last = later.log({}, "last")
    assert later.flush(PATIENCE)
    later.close()
    assert later.stats()["accepted"] == 1202 and adds_up(later.stats())
    assert [r["event_id"] for r in collector.of("/v1/events")] == [*ids, last]
    assert [r["event_id"] for r in collector.of("/v1/labels")] == [ids[0]]
    assert list(tmp_path.iterdir()) == []


def test_sending_begins_before_the_first_record_when_something_waits(
    tmp_path, unused_url, collector, wait_for
):
    first = device(unused_url, tmp_path)
    first.log({}, 1)
    first.close()
    with device(collector.url, tmp_path, timeout=PATIENCE):
        wait_for(
            lambda: len(collector.records()) == 1, "the record of the process before"
        )


FEATURES = {f"feature_{i:02d}": i * 0.37 + 0.123456 for i in range(20)}


def test_kill_9_loses_nothing_that_log_returned(tmp_path, unused_url, collector):
    script = (
        "import sys, threading; from monitor.client import Client\n"
        "client = Client(sys.argv[1], model='m', spool=sys.argv[2])\n"
        "features = {f'feature_{i:02d}': i * 0.37 + 0.123456 for i in range(20)}\n"
        "def work(n):\n"
        "    i = 0\n"
        "    while True:\n"
        "        values = features if i % 3 else {**features, 'country': 'TW', 'text': 'a b'}\n"
        "        tags = {'region': 'east'} if i % 5 == 0 else None\n"
        "        sys.stdout.write(client.log(values, n + i / 7, latency_ms=12.5, tags=tags) + '\\n')\n"
        "        sys.stdout.flush(); i += 1\n"
        "for n in range(3): threading.Thread(target=work, args=(1000 * n,)).start()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, unused_url, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = [process.stdout.readline().strip() for _ in range(6_000)]
    process.send_signal(signal.SIGKILL)
    seen += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    with device(collector.url, tmp_path, timeout=PATIENCE) as client:
        client.log({}, "after")
        assert client.flush(PATIENCE)
        assert client.stats()["dropped"] == 0
    arrived = collector.of("/v1/events")[:-1]
    ids = [record["event_id"] for record in arrived]
    assert set(seen) <= set(ids)
    # one of each thread may have been kept and not yet printed
    assert len(ids) == len(set(ids)) <= len(set(seen)) + 3
    for record in arrived:
        assert {
            name: value
            for name, value in record["features"].items()
            if name in FEATURES
        } == FEATURES
        assert record["latency_ms"] == 12.5 and record[
            "prediction"
        ] * 7 == pytest.approx(round(record["prediction"] * 7))
    assert {len(record["features"]) for record in arrived} == {20, 22}
    assert {"tags" in record for record in arrived} == {True, False}


def test_numbers_apart_that_are_damaged_are_counted(tmp_path, unused_url, collector):
    client = device(unused_url, tmp_path)
    for _ in range(3):
        client.log(FEATURES, 0.5)
    client.close()
    [file] = tmp_path.glob("*/*.log")
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:30] + bytes([lines[1][30] ^ 1]) + lines[1][31:]
    file.write_bytes(b"".join(lines))
    with device(collector.url, tmp_path, timeout=PATIENCE) as later:
        assert later.log(FEATURES, 0.5) and later.flush(PATIENCE)
        stats = later.stats()
    assert (stats["accepted"], stats["dropped"]) == (3, 1) and adds_up(stats)


def test_batch_under_way_at_a_crash_is_sent_again_under_the_same_key(
    tmp_path, collector
):
    script = (
        "import sys; from monitor.client import Client\n"
        "client = Client(sys.argv[1], model='m', spool=sys.argv[2], flush_interval=0.01, timeout=60)\n"
        "for i in range(10): client.log({'i': i}, i)\n"
        "client.label('x', 1)\n"
        "sys.stdin.readline()"
    )
    held = threading.Event()

    def hold(records):
        held.wait(PATIENCE)
        return {"status": 503}

    collector.plan = [hold]
    process = subprocess.Popen(
        [sys.executable, "-c", script, collector.url, tmp_path], stdin=subprocess.PIPE
    )
    while not collector.requests:
        assert process.poll() is None
    process.kill()
    process.wait()
    process.stdin.close()
    held.set()
    with device(collector.url, tmp_path, timeout=PATIENCE) as client:
        client.log({}, "more")
        assert client.flush(PATIENCE)
    first = collector.requests[0]
    again = [r for r in collector.requests[1:] if r.key == first.key]
    assert [r.records for r in again] == [first.records]
    stored = [record["prediction"] for record in collector.records()]
    assert stored == [*range(10), "more"]


def test_torn_tail_is_recognised_and_the_rest_arrives(tmp_path, unused_url, collector):
    client = device(unused_url, tmp_path)
    for i in range(3):
        client.log({"i": i}, i)
    client.close()
    [file] = tmp_path.glob("*/*.log")
    whole = file.read_bytes()
    torn = spool_line(
        "/v1/labels", {"event_id": "never acknowledged", "label": 1, "ts": 1.5}, 1
    )[:-7]
    file.write_bytes(whole + torn)
    with device(collector.url, tmp_path, timeout=PATIENCE) as later:
        assert later.log({}, "last") and later.flush(PATIENCE)
        assert later.stats()["accepted"] == later.stats()["logged"] == 4
    assert [r["prediction"] for r in collector.of("/v1/events")] == [0, 1, 2, "last"]


def test_damaged_line_is_counted_and_the_others_arrive(tmp_path, unused_url, collector):
    client = device(unused_url, tmp_path)
    for i in range(3):
        client.log({"i": f"text {i}"}, i)
    client.close()
    [file] = tmp_path.glob("*/*.log")
    lines = file.read_bytes().splitlines(keepends=True)
    assert b'"text 1"' in lines[1]
    lines[1] = lines[1].replace(b'"text 1"', b'"text 7"')
    file.write_bytes(b"".join(lines))
    with device(collector.url, tmp_path, timeout=PATIENCE) as later:
        assert later.log({}, "last") and later.flush(PATIENCE)
        stats = later.stats()
    assert (stats["accepted"], stats["dropped"]) == (3, 1) and adds_up(stats)
    assert "damaged" in stats["last_error"]


def test_full_spool_drops_the_oldest_and_counts_them(tmp_path, unused_url, collector):
    client = device(unused_url, tmp_path, spool_bytes=1_000_000)
    for i in range(6_000):
        client.log({"i": i, "text": "x" * 200}, i)
    client.close()
    stats = client.stats()
    assert stats["dropped"] > 1_000 and adds_up(stats)
    assert (
        "the oldest were dropped" in stats["last_error"]
        or "no response" in stats["last_error"]
    )
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*.log")) <= 1_000_000
    with device(collector.url, tmp_path, timeout=PATIENCE) as later:
        assert later.log({}, "last") and later.flush(PATIENCE)
        assert later.stats()["accepted"] == stats["queued"] + 1
    arrived = [r["prediction"] for r in collector.of("/v1/events")]
    assert arrived[-2:] == [5_999, "last"]
    assert arrived[:-1] == sorted(arrived[:-1])


def test_processes_that_log_at_once_share_no_file_and_lose_nothing(tmp_path, collector):
    script = (
        "import sys; from monitor.client import Client\n"
        "with Client(sys.argv[1], model='m', spool=sys.argv[2], flush_interval=0.01, timeout=30) as client:\n"
        "    for i in range(400): client.log({'i': i}, int(sys.argv[3]) * 1000 + i)"
    )
    command = [sys.executable, "-c", script, collector.url, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(n)]) for n in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    found = sorted(r["prediction"] for r in collector.records())
    assert found == sorted(n * 1000 + i for n in range(4) for i in range(400))
    assert len(collector.of("/v1/events")) == 1600  # nothing was sent twice


def test_folder_of_a_living_process_is_not_adopted(tmp_path):
    process_spool = ProcessSpool.create(tmp_path)
    process_spool.append(
        spool_line("/v1/labels", {"event_id": "a", "label": 1, "ts": 1.5}, 1), 1, 1000
    )
    assert ProcessSpool.adopt(process_spool.folder) is None
    process_spool.release()
    again = ProcessSpool.adopt(process_spool.folder)
    assert again is not None and again.rows == 1
    again.close_descriptors()


def test_forked_child_has_its_own_folder(tmp_path, unused_url):
    client = device(unused_url, tmp_path)
    client.log({}, "parent")
    child = os.fork()
    if child == 0:
        client.log({}, "child")
        alone = client.stats()["logged"] == 1 and len(list(tmp_path.iterdir())) == 2
        os._exit(0 if alone else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.close()
    kept = [
        read_line(line).body
        for path in tmp_path.glob("*/*.log")
        for line in path.read_bytes().splitlines(True)
    ]
    assert sorted(b"parent" in body for body in kept) == [False, True]


def test_wrong_key_keeps_the_data_until_somebody_mends_it(tmp_path, collector):
    collector.plan = [{"status": 401, "body": {"error": "the key is wrong"}}] * 3
    with device(collector.url, tmp_path, timeout=PATIENCE) as client:
        client.log({}, 1)
        assert client.flush(PATIENCE)
        assert client.stats()["accepted"] == 1 and client.stats()["retries"] == 3


def test_table_waits_on_disk_like_the_rest(tmp_path, unused_url, collector):
    client = device(unused_url, tmp_path)
    ids = client.log_frame({"a": [1.0, 2.0, 3.0], "prediction": [0.1, 0.2, 0.3]})
    client.close()
    assert client.stats()["queued"] == 3
    with device(collector.url, tmp_path, timeout=PATIENCE) as later:
        assert later.log({}, 1) and later.flush(PATIENCE)
    assert [r["event_id"] for r in collector.of("/v1/events?model=m")] == ids


def test_disk_that_cannot_be_written_costs_the_caller_nothing(tmp_path, unused_url):
    file = tmp_path / "not-a-folder"
    file.write_text("")
    client = device(unused_url, file / "spool")
    assert client.log({}, 1)
    stats = client.stats()
    assert stats["dropped"] == 1 and "cannot be written" in stats["last_error"]
    client.close(0)


def test_too_small_a_spool_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="at least 1,000,000"):
        Client("http://127.0.0.1:9", spool=tmp_path, spool_bytes=10)


def test_what_was_logged_is_synced_about_every_second(
    tmp_path, unused_url, monkeypatch, wait_for
):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(fd))
    monkeypatch.setattr(disk_backlog, "SYNC_INTERVAL_S", 0.01)
    client = device(unused_url, Path(tmp_path))
    client.log({}, 1)
    wait_for(lambda: synced, "a sync")
    client.close(0)
