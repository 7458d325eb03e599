"""Models with more features than have columns of their own: stored packed, read like any other."""

import io
import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Served
from events import NDJSON, NOW, event, lines

from monitor import schema
from monitor.config.config import Config
from monitor.config.model_section import ModelConfig
from monitor.queries.figures.drift import read_drift
from monitor.queries.figures.selection import Selection
from monitor.queries.time_range import TimeRange
from monitor.schema import ModelSchema
from monitor.server.server import Server
from monitor.spool.record import SpoolPosition
from monitor.store.rows.line_reader import read_lines
from monitor.store.rows.wide_rows import Relation

WIDE = 10_000
PARQUET = "application/vnd.apache.parquet"


def wide_event(i: int, features: int = WIDE) -> dict[str, Any]:
    """An event of many features; every fiftieth is a text, every seventh is missing in every third event."""
    rng = np.random.default_rng(i)
    numbers = rng.normal(size=features).round(4).tolist()
    values: dict[str, Any] = {
        f"feature {j}": ["red", "green", "blue"][(i + j) % 3]
        if j % 50 == 0
        else numbers[j]
        for j in range(features)
        if i == 0 or j % 7 or (i + j) % 3
    }
    return {
        "event_id": f"w{i}",
        "model": "wide",
        "ts": (NOW - timedelta(minutes=i)).isoformat(),
        "features": values,
        "prediction": 0.5,
    }


def stored(
    server: Server, names: list[str], model: str = "wide"
) -> list[tuple[Any, ...]]:
    """What the events table holds of some features, by event id."""
    found = server.store.model(model)
    relation = Relation("", found.schema)
    values = ", ".join(
        relation.value(found.schema.by_name[name].field) for name in names
    )
    return server.store.query(
        f"SELECT event_id, {values} FROM {found.events} ORDER BY event_id"
    )


def profile_rows(server: Server) -> dict[str, list[tuple[Any, ...]]]:
    """Every stored profile and reference, added up."""
    keys = 'segment, version, "column", bucket, layout'
    return {
        "bins": server.store.query(
            f"SELECT {keys}, bin, sum(n) FROM profile_bins GROUP BY ALL HAVING sum(n) <> 0 ORDER BY ALL"
        ),
        "moments": server.store.query(
            f'SELECT {keys}, sum("rows"), sum(missing), sum(invalid), round(sum("sum"), 6), min("min"), max("max") '
            'FROM profile_moments GROUP BY ALL HAVING sum("rows") <> 0 ORDER BY ALL'
        ),
        "reference": server.store.query(
            'SELECT "column", layout, bin, n FROM reference_bins ORDER BY ALL'
        ),
    }


@pytest.mark.parametrize("wide", [1_200, pytest.param(WIDE, marks=pytest.mark.slow)])
def test_very_many_features_work_as_the_server_comes(
    served: Served, caplog: pytest.LogCaptureFixture, wide: int
) -> None:
    server, events = served.server, [wide_event(i, wide) for i in range(12)]
    served.client.timeout = httpx.Timeout(120)
    with caplog.at_level(logging.WARNING):
        for some in (events[:1], events[1:]):
            answer = served.post("/v1/events", lines(*some)).json()
            assert (answer["accepted"], answer["refused"]) == (len(some), 0)
            assert server.scheduler.load_all() == len(some)
        reference = pa.Table.from_pylist([e["features"] for e in events]).append_column(
            "prediction", pa.array([0.5] * 12)
        )
        body = io.BytesIO()
        pq.write_table(reference, body)
        answer = served.client.put(
            "/v1/models/wide/reference",
            content=body.getvalue(),
            headers={"content-type": PARQUET},
        )
        assert answer.json()["reference"]["rows"] == 12
        body = io.BytesIO()
        more = pa.Table.from_pylist(
            [
                {k: v for k, v in wide_event(i, wide).items() if k != "features"}
                for i in (20, 21)
            ]
        )
        for name, column in zip(
            reference.column_names[:-1], reference.columns[:-1], strict=True
        ):
            more = more.append_column(name, column.slice(2, 2))
        pq.write_table(more, body)
        assert (
            served.post("/v1/events", body.getvalue(), PARQUET).json()["accepted"] == 2
        )
        assert server.scheduler.load_all() == 2
        # labels find their events, which are judged without their features
        labels = "\n".join(
            json.dumps(
                {
                    "event_id": f"w{i}",
                    "model": "wide",
                    "label": 1,
                    "ts": NOW.isoformat(),
                }
            )
            for i in (0, 20)
        )
        assert served.post("/v1/labels", labels.encode()).json()["accepted"] == 2
        server.scheduler.load_all()
    assert not [
        r for r in caplog.records if "one by one" in r.message or "memory" in r.message
    ]
    names = [f"feature {j}" for j in (1, 50, wide // 2 - 1, wide - 50, wide - 1)]
    expected = [
        (e["event_id"], *(e["features"].get(name) for name in names)) for e in events
    ]
    expected += [
        (f"w{i}", *(events[i - 18]["features"].get(name) for name in names))
        for i in (20, 21)
    ]
    assert stored(server, names) == sorted(expected)
    profiles = server.store.profiles(
        "wide",
        NOW.replace(tzinfo=None) - timedelta(days=2),
        NOW.replace(tzinfo=None) + timedelta(hours=2),
    )
    layouts = server.store.layouts("wide")
    assert {
        layouts[f.field].kind for f in server.store.model("wide").schema.features
    } == {"numeric", "categorical"}
    for feature in server.store.model("wide").schema.features:
        (profile,) = profiles[feature.field]
        present = [
            row["features"].get(feature.name) for row in [*events, events[2], events[3]]
        ]
        assert profile.rows == 14
        assert profile.missing == present.count(None)
        assert profile.n == 14 - present.count(None)
    assert profiles["wrong"][0].rows == 2
    before = profile_rows(server)
    server.store.rebuild()
    assert profile_rows(server) == before
    answer = served.get("/v1/models/wide/drift", limit=40)
    assert (answer["of"], len(answer["columns"])) == (wide + 1, 40)
    assert len(served.get("/v1/models/wide/drift")["columns"]) == 500
    assert (
        served.get(f"/v1/models/wide/columns/feature {wide - 1}")["reference"]["rows"]
        == 12
    )
    (findings,) = server.scheduler.evaluator.findings(server.store.model("wide"), [NOW])
    assert len({f.column for f in findings}) > wide


def test_packed_features_are_stored_profiled_and_erased_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def life(folder: Path, own: int) -> tuple[Server, dict[str, Any]]:
        monkeypatch.setattr(schema, "MAX_FEATURE_COLUMNS", own)
        monkeypatch.setattr(schema, "MAX_PACKED", 2)
        config = Config(models={"m": ModelConfig(segments=("country",))})
        server = Server(folder, config)
        server.start(background=False)
        for first in (0, 40, 80):
            events = [
                event(
                    i,
                    features={**event(i)["features"], **({"late": i} if first else {})},
                )
                for i in range(first, first + 40)
            ]
            if first == 40:
                events[3]["features"]["age"] = "old"
                events[4]["features"] = {}
            server.collector.events(lines(*events), NDJSON).durable.result(60)
            server.scheduler.load_all()
            if first == 40:
                server.set_reference_period(
                    "m", NOW - timedelta(days=9), NOW + timedelta(days=1), NOW
                )
        labels = [
            json.dumps(
                {
                    "event_id": f"e{i}",
                    "model": "m",
                    "label": i % 2,
                    "ts": NOW.isoformat(),
                }
            )
            for i in range(0, 120, 5)
        ]
        server.collector.labels("\n".join(labels).encode(), NDJSON).durable.result(60)
        server.scheduler.load_all()
        return server, profile_rows(server)

    plain, expected = life(tmp_path / "plain", 500)
    packed, found = life(tmp_path / "packed", 1)
    try:
        fields = {f.name: f.field for f in packed.store.model("m").schema.features}
        assert [fields[name] for name in ("age", "country", "premium", "late")] == [
            "f_0001",
            "w_0002",
            "w_0003",
            "w_0004",
        ]
        own = {f.field: f.name for f in plain.store.model("m").schema.features}
        names = own | {field: name for name, field in fields.items()}

        def by_name(
            rows: dict[str, list[tuple[Any, ...]]],
        ) -> dict[str, set[tuple[Any, ...]]]:
            return {
                what: {
                    tuple(names.get(v, v) if isinstance(v, str) else v for v in row)
                    for row in of
                }
                for what, of in rows.items()
            }

        assert by_name(found) == by_name(expected)
        assert any(row[0] == "country=a" for row in found["bins"])
        for server in (plain, packed):
            before = profile_rows(server)
            server.store.rebuild()
            assert profile_rows(server) == before
        every = ["age", "country", "premium", "late"]
        # repr: NaN is not equal to itself
        assert repr(stored(packed, every, "m")) == repr(stored(plain, every, "m"))
        erased = [
            server.store.erase("m", "late", "77", "77").events
            for server in (plain, packed)
        ]
        assert erased == [1, 1]
    finally:
        plain.close()
        packed.close()


def test_a_schema_never_moves_a_packed_feature_and_never_shrinks() -> None:
    kinds = {
        f"f{i}": "numeric" if i % 3 else "categorical"
        for i in range(schema.MAX_FEATURE_COLUMNS + 3 * schema.MAX_PACKED)
    }
    half = ModelSchema("m").extended(dict(list(kinds.items())[:700]))  # type: ignore[arg-type]
    whole = half.extended(kinds)  # type: ignore[arg-type]
    assert {f: p for f, p in whole.places.items() if f in half.places} == half.places
    assert len(set(whole.places.values())) == len(whole.places) == 3 * schema.MAX_PACKED
    assert (
        half.updated(whole.to_dict(700))
        == whole
        == ModelSchema("m").updated(whole.to_dict())
    )
    assert whole.updated(half.to_dict()) == whole
    # as spools before had it
    older = {key: value for key, value in whole.to_dict().items() if key != "since"}
    assert ModelSchema("m").updated(older) == whole


def test_the_spool_holds_what_a_schema_grew_by_however_long_its_names(
    server: Server,
) -> None:
    names = [f"{i:05d}{'x' * 195}" for i in range(WIDE)]
    first = event(0, features=dict.fromkeys(names[:-1], 1.0))
    server.collector.events(lines(first), NDJSON).durable.result(60)
    server.collector.events(
        lines(event(1, features={names[-1]: 2.0})), NDJSON
    ).durable.result(60)
    frames = [
        f
        for f in server.spool.records(SpoolPosition(0, 0))
        if f.header["kind"] == "schema"
    ]
    assert len(frames[0].payload) > 1 << 20
    assert [len(json.loads(f.payload)["features"]) for f in frames] == [WIDE - 1, 1]
    assert server.scheduler.load_all() == 2
    assert not server.spool.damage
    assert stored(server, [names[0], names[-1]], "m") == [
        ("e0", 1.0, None),
        ("e1", None, 2.0),
    ]


@pytest.mark.parametrize("few", [True, False])
def test_lines_are_the_same_however_they_are_read(server: Server, few: bool) -> None:
    given = [
        event(0, features={"a": 1, "b": "x", "c": True}, tags={"k": "v"}),
        event(
            1,
            features={"a": 2**60, "b": "", "c": "no"},
            error="bad",
            ts="2026-11-01T10:00:00.25+02:00",
        ),
        event(2, features={"a": None}, prediction=None, latency_ms=None, version="v2"),
        event(3, features={}, status=404, prediction=1),
    ]
    known = ModelSchema("m").extended(
        {"a": "numeric", "b": "categorical", "c": "categorical"}, "number"
    )
    path = server.folder / "given.jsonl"
    path.write_bytes(lines(*given))
    with server.store.cursor() as cursor:
        table = read_lines(cursor, known, lines(*given) if few else path)
    assert [
        list(row.values())
        for row in table.select(
            ["event_id", "version", "prediction", "status", "error"]
        ).to_pylist()
    ] == [
        ["e0", "v1", given[0]["prediction"], 200, None],
        ["e1", "v1", given[1]["prediction"], 200, "bad"],
        ["e2", "v2", None, 200, None],
        ["e3", "v1", 1.0, 404, None],
    ]
    assert table["ts"].to_pylist()[1].isoformat() == "2026-11-01T08:00:00.250000"
    assert [
        json.loads(tags) if tags else None for tags in table["tags"].to_pylist()
    ] == [{"k": "v"}, None, None, None]
    assert [
        list(r.values())
        for r in table.select(["f_0001", "f_0002", "f_0003"]).to_pylist()
    ] == [
        [1.0, "x", "true"],
        [2.0**60, "", "no"],
        [None, None, None],
        [None, None, None],
    ]


def test_the_drift_of_the_most_harmful_columns_is_the_same_when_fewer_are_asked_for(
    server: Server,
) -> None:
    server.collector.events(
        lines(*(event(i) for i in range(200))), NDJSON
    ).durable.result(60)
    server.scheduler.load_all()
    server.set_reference_period(
        "m", NOW - timedelta(days=9), NOW + timedelta(days=1), NOW
    )
    span = TimeRange(NOW - timedelta(days=2), NOW, timedelta(hours=6), NOW)
    every = read_drift(server.store, server.config, Selection("m", span), "psi")
    some = read_drift(server.store, server.config, Selection("m", span), "psi", limit=2)
    assert every["of"] == some["of"] == len(every["columns"]) == 4
    assert some["columns"] == every["columns"][:2]
