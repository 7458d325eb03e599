"""The spool: what was synced is read back whole, what is torn is reported, nothing grows for ever."""

import random
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monitor.errors import Overloaded
from monitor.spool.record import (
    MAX_JOINED_BYTES,
    NewRecord,
    SpoolPosition,
    WriteBatch,
)
from monitor.spool.spool import Spool

START = SpoolPosition(0, 0)


def payloads(spool: Spool, start: SpoolPosition = START) -> list[bytes]:
    return [record.payload for record in spool.records(start)]


def test_records_come_back_in_order_after_they_are_synced(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for i in range(100):
        spool.append(NewRecord.of({"kind": "x", "i": i}, b"p%d\nq" % i)).result(60)
    assert payloads(spool) == [b"p%d\nq" % i for i in range(100)]
    assert [f.header["i"] for f in spool.records(START)] == list(range(100))
    spool.close()


def test_reading_goes_on_after_a_position(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for i in range(10):
        spool.append(NewRecord.of({}, bytes([i]))).result(60)
    fourth = list(spool.records(START))[3]
    assert payloads(spool, fourth.end) == [bytes([i]) for i in range(4, 10)]
    spool.close()


def test_a_new_process_reads_what_the_last_one_left(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.append(NewRecord.of({}, b"a")).result(60)
    first.close()
    second = Spool(tmp_path)
    second.append(NewRecord.of({}, b"b")).result(60)
    assert payloads(second) == [b"a", b"b"]
    second.close()


def test_many_threads_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so that segments change under the syncs
    monkeypatch.setattr("monitor.spool.spool.SEGMENT_BYTES", 5000)
    spool = Spool(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda i: spool.append(NewRecord.of({}, b"%05d" % i * 20)).result(30),
                range(800),
            )
        )
    assert len(spool.segments()) > 5
    assert sorted(payloads(spool)) == [b"%05d" % i * 20 for i in range(800)]
    spool.close()


def test_released_segments_are_deleted_and_the_rest_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for payload in (b"a", b"b"):
        spool.append(NewRecord.of({}, payload)).result(60)
    spool.roll()
    spool.append(NewRecord.of({}, b"c")).result(60)
    ends = [record.end for record in spool.records(START)]
    spool.release(ends[0])
    # the position is inside the first segment
    assert payloads(spool) == [b"a", b"b", b"c"]
    spool.release(ends[1])
    assert payloads(spool) == [b"c"]
    spool.close()


def test_a_full_spool_says_when_to_come_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, capacity=1000)
    spool.append(NewRecord.of({}, b"x" * 800))
    assert not spool.half_full  # the segment being written cannot be released
    spool.roll()
    assert spool.half_full
    with pytest.raises(Overloaded, match="spool is full") as refused:
        spool.append(NewRecord.of({}, b"x" * 800))
    assert refused.value.retry_after > 0
    spool.close()


@pytest.mark.parametrize("seed", range(40))
def test_torn_and_flipped_bytes_lose_no_record_before_them_and_are_reported(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    spool = Spool(tmp_path)
    sizes = [rng.randrange(0, 300) for _ in range(20)]
    for i, size in enumerate(sizes):
        spool.append(NewRecord.of({"i": i}, rng.randbytes(size))).result(60)
    ends = [record.end.offset for record in spool.records(START)]
    segment = spool.synced.segment
    spool.close()
    path = tmp_path / f"{segment:08d}.spool"
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    if seed % 2:
        del data[at:]
    else:
        data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    again = Spool(tmp_path)
    again.append(NewRecord.of({"i": 99}, b"later")).result(60)
    read = [record.header["i"] for record in again.records(START)]
    whole = [i for i, end in enumerate(ends) if end <= at]
    assert read[-1] == 99
    assert read[: len(whole)] == whole
    if len(read) - 1 < len(sizes) and not (seed % 2 and at in [0, *ends]):
        assert again.damage
        assert again.damage[0].segment == segment
    again.close()


def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    mode = (tmp_path / f"{spool.synced.segment:08d}.spool").stat().st_mode & 0o777
    assert mode == 0o600
    spool.close()


def test_a_write_that_fails_is_refused_whole_and_the_next_one_succeeds(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path)
    spool.append(NewRecord.of({"i": 0}, b"a" * 100)).result(60)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # as if the disk were full
    resource.setrlimit(resource.RLIMIT_FSIZE, (spool.synced.offset + 500, hard))
    try:
        failed = [spool.append(NewRecord.of({"i": i}, b"b" * 1000)) for i in (1, 2)]
        for done in failed:
            with pytest.raises(Overloaded, match="free disk space"):
                done.result(60)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.append(NewRecord.of({"i": 3}, b"c")).result(60)
    assert [record.header["i"] for record in spool.records(START)] == [0, 3]
    assert spool.damage == []
    spool.close()


def test_records_go_on_in_the_next_segment_when_one_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.spool.spool.SEGMENT_BYTES", 300)
    spool = Spool(tmp_path)
    for i in range(50):
        spool.append(NewRecord.of({"i": i}, b"x" * 40))
    spool.append(NewRecord.of({"i": 50}, b"")).result(60)
    assert [record.header["i"] for record in spool.records(START)] == list(range(51))
    assert len(spool.segments()) > 5
    spool.close()


def test_what_is_written_is_not_held_in_memory_by_whoever_remembers_it(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path)
    done = spool.append(NewRecord.of({"kind": "x"}, b"y" * 1000))
    done.result(60)
    assert isinstance(done, WriteBatch)
    # an answer that is kept for its Idempotency-Key keeps this future
    assert done.records == []
    spool.close()


def test_payloads_of_one_header_share_a_record_whose_rows_are_their_sum(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path)
    one, other = {"kind": "a"}, {"kind": "b"}
    records = (
        (one, b"1\n", 1),
        (one, b"2\n3\n", 2),
        (other, b"4\n", 1),
        (other, b"5\n", 0),  # this one stands alone
        (other, b"6\n", 1),
        (one, b"x" * MAX_JOINED_BYTES, 7),
        (one, b"8\n", 1),  # what came before is large enough
    )
    with spool._wake:  # the writing thread waits
        for header, payload, rows in records:
            spool.append(NewRecord.of(dict(header), payload, rows))
    spool.append(NewRecord.of({"kind": "end"}, b"")).result(60)
    found = [
        (f.header["kind"], f.header.get("rows"), f.payload)
        for f in spool.records(START)
    ]
    assert found == [
        ("a", 3, b"1\n2\n3\n"),
        ("b", 1, b"4\n"),
        ("b", None, b"5\n"),
        ("b", 1, b"6\n"),
        ("a", 7, b"x" * MAX_JOINED_BYTES),
        ("a", 1, b"8\n"),
        ("end", None, b""),
    ]
    size = (tmp_path / f"{spool.synced.segment:08d}.spool").stat().st_size
    assert (spool.synced.offset, spool._bytes) == (size, size)
    spool.close()
