"""A whole body is read in one call only when each of its lines is an event of its own."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.ingest.json_lines import count_fitting_lines, decode_fitting
from monitor.schema import Feature, ModelSchema

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
EARLIEST, LATEST = NOW - timedelta(days=1), NOW + timedelta(minutes=10)
SCHEMA = ModelSchema(
    "m",
    (Feature("age", "f_0001", "numeric"), Feature("country", "f_0002", "categorical")),
    "number",
)


def line(i: int = 0, **more: object) -> bytes:
    event = {
        "event_id": f"e{i}",
        "model": "m",
        "ts": NOW.isoformat(),
        "features": {"age": 41.5, "country": "TW"},
    }
    return json.dumps(event | more, ensure_ascii=False).encode()


def taken(body: bytes) -> int:
    return count_fitting_lines(SCHEMA, body, EARLIEST, LATEST)


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("n", [1, 2, 500])
def test_every_line_of_a_plain_body_counts(n: int, end: bytes) -> None:
    assert taken(b"\n".join(line(i) for i in range(n)) + end) == n


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        line() + line(1),
        line() + b" " + line(1) + b"\n" + line(2),
        line().replace(b'"model"', b'\n"model"'),
        line().replace(b'"model"', b'\n"model"') + line(1),
        line() + b"\n\n" + line(1),
        line() + b"\n\n",
        b"\n" + line(),
        line() + b"\r\n" + line(1),
        b" " + line(),
        line() + b"\n" + line(1)[:-1],
        line(age=1),
        line(ts="2026-11-22T10:00:00Z"),
        line() + b"\n" + line(ts="2026-11-20T10:00:00Z"),
        line(event_id="é" * 3),
        line(event_id="a").replace(b'"a"', b'"\\u00e9"'),
    ],
)
def test_a_body_that_may_hold_anything_else_is_read_line_by_line(body: bytes) -> None:
    assert taken(body) == 0


def test_other_text_than_ascii_outside_an_id_counts() -> None:
    assert (
        taken(
            line(features={"country": "台灣"})
            + b"\n"
            + line(features={"country": 'a"b\\'})
        )
        == 2
    )


PIECES = st.sampled_from(
    [line(), line(1), b"\n", b"\n", b"\r", b" ", b"{", b"}", b'{"event_id"', b'"']
)


@given(st.lists(PIECES, max_size=8).map(b"".join))
def test_what_is_taken_as_a_whole_is_an_event_a_line(body: bytes) -> None:
    n = taken(body)
    if n:
        lines = body.removesuffix(b"\n").split(b"\n")
        assert len(lines) == n
        assert all(decode_fitting(SCHEMA, one) is not None for one in lines)
