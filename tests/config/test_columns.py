"""Per-column policies: what may not be kept is on no disk, whichever way it came."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from events import NDJSON, NOW, event, lines
from hypothesis import given
from hypothesis import strategies as st

from monitor.arrow_columns import to_ipc
from monitor.config.columns import ColumnPolicy, Policy, bucket_labels
from monitor.config.config import Config
from monitor.config.model_section import ModelConfig
from monitor.server.server import Server

ARROW = "application/vnd.apache.arrow.stream"
NEEDLES = (b"Ada Lovelace", b"A123456789", b"41.25")
COLUMNS = {
    "name": ColumnPolicy(keep="drop"),
    "passport": ColumnPolicy(keep="hash"),
    "age": ColumnPolicy(keep="bucket", edges=(18, 30, 50)),
    "tags.agent": ColumnPolicy(keep="drop"),
}


@contextmanager
def opened(folder: Path, **changes: Any) -> Iterator[Server]:
    model = ModelConfig(columns=COLUMNS, **changes)
    with closing(
        Server(folder, Config(models={"m": model}, default_rules=False))
    ) as server:
        server.start(background=False)
        yield server


def person(i: int, **changes: Any) -> dict[str, Any]:
    features = {
        "name": "Ada Lovelace",
        "passport": "A123456789",
        "age": 41.25,
        "country": "TW",
    }
    return event(
        i,
        features=features,
        tags={"agent": "Ada Lovelace", "region": "east"},
        **changes,
    )


def found(folder: Path) -> set[bytes]:
    """The needles that any file of the data folder holds."""
    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {needle for needle in NEEDLES for text in texts if needle in text}


def stored(server: Server) -> list[dict[str, Any]]:
    model = server.store.model("m")
    names = {f.field: f.name for f in model.schema.features}
    with server.store.cursor() as cursor:
        rows = (
            cursor.sql(f"SELECT * FROM {model.events} ORDER BY event_id")
            .to_arrow_table()
            .to_pylist()
        )
    return [{names.get(k, k): v for k, v in row.items()} for row in rows]


def take(server: Server, body: bytes, kind: str, model: str | None = None) -> Any:
    answer = server.collector.events(body, kind, None, model)
    answer.durable.result(60)
    server.scheduler.load_all()
    return answer


def test_nothing_that_may_not_be_kept_is_on_any_disk(tmp_path: Path) -> None:
    with opened(tmp_path) as server:
        take(server, lines(*(person(i) for i in range(20))), NDJSON)
        take(
            server,
            json.dumps([person(30), person(31, ts="never")]).encode(),
            "application/json",
        )
        take(
            server,
            b'{"model": "m", "features": {"name": "Ada Lovelace", broken',
            NDJSON,
        )
        flat = pa.table(
            {
                "event_id": ["t1", "t2"],
                "ts": [NOW.isoformat(), "never"],
                "name": ["Ada Lovelace"] * 2,
                "passport": ["A123456789"] * 2,
                "features.age": [41.25, 41.25],
            }
        )
        take(server, to_ipc(flat), ARROW, "m")
        take(
            server,
            f"event_id,ts,name,passport,age\nc1,{NOW.isoformat()},Ada Lovelace,A123456789,41.25\n".encode(),
            "text/csv",
            "m",
        )
        assert found(tmp_path) == set()
        rows = stored(server)
        assert len(rows) == 23
        assert {row["age"] for row in rows} == {"30 – 50"}
        # the same value, the same hash, by every way in
        assert len({row["passport"] for row in rows}) == 1
        assert not any("name" in row for row in rows)
        assert json.loads(rows[0 if rows[0]["tags"] else 5]["tags"]) == {
            "region": "east"
        }
        totals = server.store.ledger.totals()
        assert (totals["received"], totals["stored"], totals["refused"]) == (26, 23, 3)
    assert found(tmp_path) == set()


def test_a_mended_record_is_not_hashed_twice(tmp_path: Path) -> None:
    with opened(tmp_path) as server:
        take(server, lines(person(1), person(2, ts="never")), NDJSON)
        (record,) = server.store.ledger.refused()
        mended = json.loads(record.raw) | {"ts": NOW.isoformat()}
        assert take(server, lines(mended), NDJSON).accepted == 1
        assert (
            len({row["passport"] for row in stored(server)})
            == len({row["age"] for row in stored(server)})
            == 1
        )


def test_the_key_of_hashes_outlives_a_restart_and_is_the_owners_alone(
    tmp_path: Path,
) -> None:
    for i in (1, 2):
        with opened(tmp_path) as server:
            take(server, lines(person(i)), NDJSON)
            hashes = {row["passport"] for row in stored(server)}
    assert len(hashes) == 1
    assert (tmp_path / "hash.key").stat().st_mode & 0o777 == 0o600
    assert (
        Policy(COLUMNS, key=b"another").entity("passport", "A123456789") not in hashes
    )


def test_undeclared_columns_can_be_dropped(tmp_path: Path) -> None:
    with opened(tmp_path, undeclared="drop") as server:
        take(server, lines(person(1)), NDJSON)
        (row,) = stored(server)
        assert "country" not in row and row["age"] == "30 – 50" and row["tags"] is None


def test_the_reference_is_kept_the_same_way(tmp_path: Path) -> None:
    with opened(tmp_path) as server:
        table = pa.table(
            {
                "name": ["Ada Lovelace"] * 30,
                "passport": ["A123456789"] * 30,
                "age": [41.25] * 30,
                "prediction": [0.5] * 30,
            }
        )
        server.set_reference_table("m", table, "file", NOW)
        take(server, lines(person(1)), NDJSON)
        layouts = server.store.layouts("m")
        field = server.store.model("m").schema.by_name["age"].field
        assert layouts[field].categories == ("30 – 50",)
        assert found(tmp_path) == set()


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (17.9, "< 18"),
        (18, "18 – 30"),
        (50, "≥ 50"),
        (True, "invalid"),
        ("x", "invalid"),
        (float("nan"), "invalid"),
        ("30", "30 – 50"),
    ],
)
def test_buckets_hold_their_lower_bound(value: Any, label: str) -> None:
    assert (
        Policy(COLUMNS).event({"features": {"age": value}})["features"]["age"] == label
    )
    assert label in (*bucket_labels((18, 30, 50)), "invalid")


def test_a_bucket_without_edges_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs `edges`, ascending"):
        ColumnPolicy(keep="bucket", edges=(3, 1))


NAMES = st.sampled_from(
    ["name", "passport", "age", "country", "tags.agent", "error", "agent", "é"]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.lists(st.integers(0, 9), max_size=2),
    st.sampled_from(["30 – 50", "h:0123456789abcdef", "Ada Lovelace", 41.25, 30]),
)
COLUMNS_OF = st.dictionaries(
    NAMES | st.sampled_from(["tags.region", "tags.error"]),
    st.sampled_from(
        [
            ColumnPolicy(keep="keep"),
            ColumnPolicy(keep="drop"),
            ColumnPolicy(keep="hash"),
            ColumnPolicy(keep="bucket", edges=(18, 30, 50)),
        ]
    ),
)


@given(
    COLUMNS_OF,
    st.sampled_from(["keep", "drop"]),
    st.lists(
        st.fixed_dictionaries(
            {"event_id": VALUES, "prediction": VALUES},
            optional={
                "features": st.none() | st.dictionaries(NAMES, VALUES),
                "tags": st.none() | st.dictionaries(NAMES, st.text(max_size=3)),
                "error": st.none() | st.text(max_size=3),
            },
        ),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_lines_are_kept_as_events_are(
    columns: dict[str, ColumnPolicy],
    undeclared: Any,
    events: list[dict[str, Any]],
    ascii_: bool,
) -> None:
    policy = Policy(columns, undeclared, b"key")
    kept = policy.lines(
        "\n".join(json.dumps(e, ensure_ascii=ascii_) for e in events).encode()
    )
    assert kept is not None
    expected = [policy.event(e) for e in events]
    for one in expected:
        if one.get("error", "") is None and policy.columns.get("error") == ColumnPolicy(
            keep="drop"
        ):
            del one["error"]  # left out means the same
    assert [json.loads(line) for line in kept.splitlines()] == expected


def test_what_may_be_no_event_is_not_kept_as_a_line() -> None:
    policy = Policy(COLUMNS, key=b"key")
    for body in (
        b"[]",
        b"{",
        b'{"features": []}',
        b'{"label": 1}',
        b'{"features": {"age": NaN}}',
        b'{"tags": 3}',
    ):
        assert policy.lines(body) is None


def test_a_model_with_a_policy_takes_the_fast_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as server:
        take(server, lines(*(person(i) for i in range(20))), NDJSON)
        slow: list[bytes] = []
        event_lines = server.collector.validator.event_lines
        parse = event_lines._parse
        monkeypatch.setattr(
            event_lines,
            "_parse",
            lambda number, line, *rest: slow.append(line) or parse(number, line, *rest),
        )
        assert (
            take(server, lines(*(person(i) for i in range(20, 40))), NDJSON).accepted
            == 20
        )
        assert slow == []
        odd = lines(person(40), person(41, status="x"), person(42))
        # two events in a line are none
        both = lines(person(43)).rstrip() + b" " + lines(person(44))
        answer = take(server, odd + both, NDJSON)
        assert (answer.accepted, [r.line for r in answer.refusals]) == (2, [2, 4])
        assert len(slow) == 2
        assert take(server, both, NDJSON).refused == 1
        rows = stored(server)
        assert len(rows) == 42
        assert {row["age"] for row in rows} == {"30 – 50"}
        assert len({row["passport"] for row in rows}) == 1
        assert found(tmp_path) == set()
    assert found(tmp_path) == set()
