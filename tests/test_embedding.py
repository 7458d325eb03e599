"""Embeddings: what is kept of a list of numbers is the same from JSON and from Arrow, for ever, and shows drift."""

import json
import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import Served
from hypothesis import given
from hypothesis import strategies as st

from monitor import embedding
from monitor.config.columns import ColumnPolicy, Policy
from monitor.config.rule import RuleConfig
from monitor.evaluation.rules import columns_of
from monitor.event import Refused, TimeBounds, parse_event
from monitor.ingest.tables import from_events, from_table
from monitor.layout import numeric_layout
from monitor.schema import ModelSchema
from monitor.server.server import Server

NOW = datetime(2026, 11, 24, tzinfo=UTC)
# of the numbers 1/384, 2/384 to 1, as first computed
EXPECTED_384 = [
    11.335803193,
    384.0,
    0.626193341,
    -0.616359235,
    -0.308844084,
    0.835899006,
    0.59855153,
    0.114554045,
    -0.166648228,
    -0.690247923,
]
ELEMENTS = st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=40)


def event(features: object) -> dict[str, object]:
    return {
        "event_id": "e",
        "model": "m",
        "ts": "2026-11-24T00:00:00Z",
        "features": features,
    }


def parsed(features: object) -> dict[str, object]:
    return dict(parse_event(event(features), NOW, TimeBounds()).features)


def test_norm_size_and_projections_are_those_of_the_definition() -> None:
    found = parsed({"text": [3, 4], "age": 5})
    assert found["age"] == 5 and found["text.norm"] == 5 and found["text.size"] == 2
    signs = embedding.directions(2) * math.sqrt(2)
    assert np.abs(signs) == pytest.approx(1.0)
    for k in range(embedding.PROJECTIONS):
        assert found[f"text.projection_{k + 1}"] == pytest.approx(
            (3 * signs[0, k] + 4 * signs[1, k]) / math.sqrt(2)
        )


def test_the_directions_never_change() -> None:
    assert embedding.directions(4)[:, 0].tolist() == [0.5, 0.5, -0.5, 0.5]
    found = embedding.summarise(np.arange(1.0, 385.0)[None, :] / 384)[0]
    assert found == pytest.approx(EXPECTED_384, abs=1e-8)


def test_projections_keep_squared_distances_on_average() -> None:
    random = np.random.default_rng(5)
    one, other = random.normal(size=(2, 400, 96))
    projected = (embedding.summarise(one) - embedding.summarise(other))[:, 2:]
    ratio = (projected**2).mean() / (((one - other) ** 2).sum(axis=1).mean() / 96)
    assert ratio == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            [[1.0], [2.0]],
            "`features.text` is a list with a list at place 1; an embedding is a flat list of numbers",
        ),
        (
            [1.0, "2"],
            "`features.text` is a list with text at place 2; an embedding is a flat list of numbers",
        ),
        (
            [1, True],
            "`features.text` is a list with a boolean at place 2; an embedding is a flat list of numbers",
        ),
        (
            [0] * 65_537,
            "`features.text` has 65537 elements; an embedding has at most 65536",
        ),
        (
            {"a": 1},
            "`features.text` is an object; expected number, text, boolean, null or a list of numbers",
        ),
    ],
)
def test_what_is_no_embedding_is_refused_with_the_reason(
    value: object, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        parsed({"text": value})
    assert str(refused.value) == said


def test_a_column_policy_goes_by_the_name_of_the_list_in_json_and_in_tables() -> None:
    policy = Policy(
        {"text": ColumnPolicy(keep="drop"), "face": ColumnPolicy(keep="hash")}, key=b"k"
    )
    raw = event({"text": [1.0, 2.0], "face": [3.0], "photo": [4.0]})
    found = dict(parse_event(policy.event(raw), NOW, TimeBounds()).features)
    assert set(found) == {"face", *embedding.names("photo")}
    assert str(found["face"]).startswith("h:")
    table = policy.table(
        pa.table(
            {"ts": pa.array([NOW]), "text": [[1.0]], "face": [[3.0]], "photo": [[4.0]]}
        )
    )
    shaped = from_table(table, ModelSchema("m"), NOW, TimeBounds())
    assert set(shaped.schema.by_name) == set(found)
    assert shaped.table[shaped.schema.by_name["face"].field].to_pylist() == [
        found["face"]
    ]


def test_a_name_that_an_embedding_needs_cannot_be_another_feature() -> None:
    with pytest.raises(Refused, match="rename one"):
        parsed({"text": [1.0], "text.norm": 1.0})
    with pytest.raises(Refused, match="too long for an embedding"):
        parsed({"t" * 195: [1.0]})


def test_values_that_are_not_finite_make_the_embedding_invalid_and_an_empty_one_has_only_a_size() -> (
    None
):
    for value in ([1, None], [10**400], [1e308, 1e308], []):
        found = parsed({"text": value})
        assert found["text.size"] == len(value)
        assert math.isnan(found["text.norm"]) and math.isnan(found["text.projection_8"])  # type: ignore[arg-type]


@given(st.lists(ELEMENTS | st.none(), min_size=1, max_size=6))
def test_json_and_arrow_keep_the_same(rows: list[list[float | None] | None]) -> None:
    events = [
        parse_event(
            json.loads(json.dumps(event({"text": row, "n": 1}))), NOW, TimeBounds()
        )
        for row in rows
    ]
    schema = ModelSchema("m").with_events(events)
    ours = from_events(list(enumerate(events, 1)), schema).table
    foreign = pa.table(
        {
            "event_id": ["e"] * len(rows),
            "ts": pa.array([NOW] * len(rows), pa.timestamp("us", "UTC")),
            "text": pa.array(rows, pa.list_(pa.float64())),
            "n": [1] * len(rows),
        }
    )
    theirs = from_table(foreign, schema, NOW, TimeBounds())
    assert not theirs.refusals
    if any(row is not None for row in rows):
        for name in embedding.names("text"):
            field = schema.by_name[name].field
            mine, its = (
                np.array(t[field].to_pylist(), float)
                for t in (ours, theirs.table.select(ours.column_names))
            )
            assert its == pytest.approx(mine, rel=1e-9, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.large_list(pa.int64()), pa.list_(pa.float64(), 3)],
)
def test_every_list_type_of_arrow_is_an_embedding(kind: pa.DataType) -> None:
    table = pa.table(
        {"ts": pa.array([NOW, NOW]), "text": pa.array([[1, 2, 2], None], kind)}
    )
    shaped = from_table(table, ModelSchema("m"), NOW, TimeBounds())
    norm = shaped.table[shaped.schema.by_name["text.norm"].field]
    assert norm.to_pylist() == [3.0, None]
    assert "text" not in shaped.schema.by_name


def test_a_table_with_a_list_too_long_loses_that_row_only() -> None:
    table = pa.table(
        {"ts": pa.array([NOW, NOW]), "text": pa.array([[1.0], [0.0] * 65_537])}
    )
    shaped = from_table(table, ModelSchema("m"), NOW, TimeBounds())
    assert shaped.table.num_rows == 1
    assert (
        shaped.refusals[0].line == 2
        and "has 65537 elements" in shaped.refusals[0].reason
    )


def test_the_documented_program_shows_darker_pictures(served: Served) -> None:
    script = Path(__file__).parents[1] / "docs" / "ways-in" / "embeddings.py"

    def run(pictures: int, brightness: float) -> None:
        command = [
            sys.executable,
            str(script),
            str(served.client.base_url),
            str(pictures),
            str(brightness),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.stdout == f"{pictures}\n", done.stderr
        assert served.post("/v1/flush", b"").status_code == 200

    run(600, 1.0)
    now = datetime.now(UTC)
    period = {
        "from": (now - timedelta(hours=1)).isoformat(),
        "to": (now + timedelta(hours=1)).isoformat(),
    }
    answer = served.client.put("/v1/models/photos/reference", params=period)
    assert answer.status_code == 200, answer.text
    columns = {
        c["column"]: c
        for c in served.get("/v1/models/photos/drift", statistic="mmd")["columns"]
    }
    assert {"photo.brightness", *embedding.names("embedding")} <= set(columns)
    # compared with itself
    assert columns["embedding.projection_1"]["value"] == pytest.approx(0, abs=0.02)
    run(1800, 0.7)
    columns = {
        c["column"]: c
        for c in served.get("/v1/models/photos/drift", statistic="mmd")["columns"]
    }
    assert columns["photo.brightness"]["value"] > 0.3
    assert (
        max(columns[name]["value"] or 0 for name in embedding.names("embedding")) > 0.3
    )
    assert columns["photo.width"]["value"] in (None, 0)


def test_a_rule_may_be_about_all_that_is_kept_of_an_embedding() -> None:
    layout = numeric_layout([1.0, 2.0])
    names = {"f1": "text.norm", "f2": "text.size", "f3": "textual", "f4": "age"}
    rule = RuleConfig(name="r", statistic="mmd", limit=0.1, columns=("text.*", "age"))
    assert columns_of(rule, dict.fromkeys(names, layout), names) == ["f1", "f2", "f4"]


def test_a_parquet_reference_and_json_events_are_compared(server: Server) -> None:
    random = np.random.default_rng(7)
    rows = pa.table({"text": pa.array(random.normal(size=(2000, 16)).tolist())})
    server.set_reference_table("m", rows, "file", NOW)
    (column,) = (
        f
        for f in server.store.model("m").schema.features
        if f.name == "text.projection_3"
    )
    reference = server.store.references.profiles("m")[column.field]
    assert reference.n == 2000
    assert reference.variance == pytest.approx(1, rel=0.1)
