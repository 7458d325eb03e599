"""Contract of engines: bin for bin what Layout.index says, on the values that break others."""

import math
import random
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.contracts import ProfileColumn
from monitor.layout import (
    BLOCK_VALUES,
    INTEGER,
    LOG,
    MIN_COMPARED_VALUES,
    UNIT,
    Layout,
    categorical_layout,
    numeric_layout,
)
from monitor.plugins import engines

ENGINES = engines()
HOSTILE = [
    None,
    0.0,
    -0.0,
    1.0,
    -1.0,
    math.nan,
    math.inf,
    -math.inf,
    1e300,
    -1e300,
    5e-324,
    1e-6,
    1e9,
    0.29,
    0.57,
    0.99,
    0.995,
    2.5,
]
NUMBERS = st.lists(st.one_of(st.sampled_from(HOSTILE), st.floats()), max_size=40)
TEXTS = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from(
            ["a", "b", "c", "rare", "", "A", "it's", "NULL", "\x00", "台北"]
        ),
        st.text(max_size=3),
    ),
    max_size=40,
)
START = datetime(2026, 3, 1)


@pytest.fixture(params=ENGINES, ids=str)
def engine(request: pytest.FixtureRequest) -> ModuleType:
    return ENGINES[request.param]


def rows(values: list[Any], type_: pa.DataType) -> pa.Table:
    rng = random.Random(len(values))
    times = [START + timedelta(minutes=rng.randrange(0, 180)) for _ in values]
    return pa.table(
        {
            "ts": pa.array(times, pa.timestamp("us")),
            "version": ["v1"] * len(values),
            "x": pa.array(values, type_),
        }
    )


def check(
    engine: ModuleType,
    values: list[Any],
    layout: Layout,
    type_: pa.DataType,
    bucket: str = "hour",
) -> None:
    """The engine's counts, missing and invalid equal those by definition, in every bucket."""
    table = rows(values, type_)
    found = engine.profile(table, [ProfileColumn("x", "x", layout, bucket)])
    bins, moments = found.bins.to_pylist(), found.moments.to_pylist()
    expected: dict[tuple[datetime, int], int] = {}
    totals: dict[datetime, list[int]] = {}
    for ts, value in zip(table["ts"].to_pylist(), table["x"].to_pylist(), strict=True):
        start = ts.replace(minute=0) if bucket == "hour" else ts
        total = totals.setdefault(start, [0, 0, 0])
        total[0] += 1
        index = None if value is None else layout.index(value)
        if value is None:
            total[1] += 1
        elif index is None:
            total[2] += 1
        else:
            expected[start, index] = expected.get((start, index), 0) + 1
    assert {(b["bucket"], b["bin"]): b["n"] for b in bins} == expected
    assert {
        m["bucket"]: [m["rows"], m["missing"], m["invalid"]] for m in moments
    } == totals
    assert {b["layout"] for b in bins} <= {layout.id}


@settings(max_examples=25)
@given(
    values=NUMBERS,
    layout=st.sampled_from(
        [numeric_layout([0, 0, 1, 2.5]), numeric_layout([]), LOG, UNIT]
    ),
)
def test_numbers_fall_in_the_bins_of_the_definition(
    values: list[float | None], layout: Layout
) -> None:
    for engine in ENGINES.values():
        check(engine, values, layout, pa.float64())


@settings(max_examples=15)
@given(values=TEXTS)
def test_categories_fall_in_the_bins_of_the_definition(
    values: list[str | None],
) -> None:
    for engine in ENGINES.values():
        check(
            engine, values, categorical_layout(["a", "b", "rare"], top=2), pa.string()
        )


def test_edges_themselves_belong_to_the_lower_bin(engine: ModuleType) -> None:
    check(
        engine,
        [1.0, 2.0, 3.0, math.nextafter(2.0, 3), math.nextafter(2.0, 1)],
        numeric_layout([1, 2, 3]),
        pa.float64(),
    )


def test_many_values_fall_in_the_same_bins_as_each_by_itself() -> None:
    layout = numeric_layout(np.linspace(-2, 2, 19), (-3.0, 3.0))
    # many of them on an edge
    x = (
        np.random.default_rng(1)
        .normal(size=MIN_COMPARED_VALUES + BLOCK_VALUES + 7)
        .round(1)
    )
    x[:6] = [np.nan, np.inf, -np.inf, 1e200, -3.0, 3.0]
    assert layout.bins_of(x).tolist() == [
        -1 if (b := layout.index(value)) is None else b for value in x.tolist()
    ]


def test_status_codes_are_bins_of_their_own(engine: ModuleType) -> None:
    check(
        engine, [200, 200, 404, 500, 599, 0, 999, None], INTEGER, pa.int16(), "minute"
    )


def test_latencies_by_the_minute(engine: ModuleType) -> None:
    rng = random.Random(3)
    check(
        engine,
        [rng.lognormvariate(2, 2) for _ in range(500)],
        LOG,
        pa.float64(),
        "minute",
    )


def test_empty_columns_and_no_rows(engine: ModuleType) -> None:
    check(engine, [None] * 7, numeric_layout([1.0]), pa.float64())
    check(engine, [None] * 7, categorical_layout([]), pa.string())
    check(engine, [], LOG, pa.float64())


def test_new_values_are_named_with_their_count_and_first_time(
    engine: ModuleType,
) -> None:
    layout = categorical_layout(["a"])
    found = engine.profile(
        rows(["a", "b", "b", "c"], pa.string()), [ProfileColumn("x", "x", layout)]
    ).new_values.to_pylist()
    assert {(r["value"], r["n"]) for r in found} == {("b", 2), ("c", 1)}
    assert all(r["first_seen"] >= START for r in found)


def test_many_columns_in_one_call_are_kept_apart(engine: ModuleType) -> None:
    rng = np.random.default_rng(5)
    data = {f"c{i}": rng.normal(i, 1, 200) for i in range(90)}
    table = pa.table(
        {
            "ts": pa.array([START] * 200, pa.timestamp("us")),
            "version": ["v"] * 200,
            **data,
        }
    )
    columns = [ProfileColumn(f"k{i}", f"c{i}", numeric_layout([i])) for i in range(90)]
    bins = engine.profile(table, columns).bins.to_pylist()
    for i in range(90):
        low = sum(b["n"] for b in bins if b["column"] == f"k{i}" and b["bin"] == 0)
        assert low == int((data[f"c{i}"] <= i).sum())


def test_hostile_column_names_are_only_names(engine: ModuleType) -> None:
    name = "x\"; DROP TABLE t; --'"
    table = rows([1.0, 2.0], pa.float64()).rename_columns(["ts", "version", name])
    found = engine.profile(table, [ProfileColumn(name, name, numeric_layout([1.0]))])
    assert {b["column"] for b in found.bins.to_pylist()} == {name}
