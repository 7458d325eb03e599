"""The reconstruction error: features that no longer move together are seen, though none of them alone has changed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from events import NOW
from hypothesis import given
from hypothesis import strategies as st

from monitor import reconstruction
from monitor.arrow_columns import numpy_of, to_ipc
from monitor.config.config import Config
from monitor.config.model_section import ModelConfig
from monitor.evaluation.evaluator import column_names
from monitor.layout import Layout, categorical_layout, numeric_layout
from monitor.profile import Profile
from monitor.schema import RECONSTRUCTION_ERROR
from monitor.server.server import Server
from monitor.statistics.drift import ks

START = NOW.replace(minute=0, second=0) - timedelta(days=3)
ARROW = "application/vnd.apache.arrow.stream"
Columns = Mapping[str, Any]
NUMBER = numeric_layout([0.0])


def tied(n: int, seed: int, broken: bool = False) -> dict[str, np.ndarray]:
    """Four numbers that follow one cause; each of them alone is the same when the last is `broken` off."""
    random = np.random.default_rng(seed)
    cause = random.normal(size=n)
    found = {
        name: 0.9 * cause + math.sqrt(0.19) * random.normal(size=n) for name in "abcd"
    }
    if broken:
        found["d"] = random.normal(size=n)
    return found


def learned(
    columns: Columns | pa.Table, layouts: Mapping[str, Layout]
) -> reconstruction.Reconstruction:
    found = reconstruction.fit(
        columns if isinstance(columns, pa.Table) else pa.table(columns), layouts
    )
    assert found is not None
    return found


def by_definition(reference: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The distance from the leading components, from a singular value decomposition instead."""
    mean, sd = reference.mean(axis=0), reference.std(axis=0)
    z = np.clip((reference - mean) / sd, -10, 10)
    _, singular, directions = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    explained = np.cumsum(singular**2) / (singular**2).sum()
    kept = directions[: min(int(np.argmax(explained >= 0.65)) + 1, len(directions) - 1)]
    z = np.clip((rows - mean) / sd, -10, 10)
    return np.asarray(np.linalg.norm(z - z @ kept.T @ kept, axis=1))


@given(st.integers(0, 2**32 - 1), st.integers(3, 9))
def test_the_error_is_the_distance_from_the_leading_components(
    seed: int, features: int
) -> None:
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(features, features)) * random.uniform(
        0.1, 5, size=features
    )
    reference, rows = (
        random.normal(size=(100 * features, features)) @ mixing,
        random.normal(size=(50, features)) @ mixing,
    )
    names = [f"x{i}" for i in range(features)]
    layouts = dict.fromkeys(names, NUMBER)
    found = learned(dict(zip(names, reference.T, strict=True)), layouts)
    errors = found.errors(pa.table(dict(zip(names, rows.T, strict=True))), layouts)
    assert errors.to_pylist() == pytest.approx(by_definition(reference, rows), abs=1e-6)


def test_known_values() -> None:
    """Three columns that are one: the direction (1, 1, 1) is kept, and what is off it is the error."""
    x = np.tile([-1.0, 1.0], 150)
    layouts = dict.fromkeys("abc", NUMBER)
    found = learned(dict.fromkeys("abc", x), layouts)
    rows = pa.table({"a": [2.0, 1.0, 3.0], "b": [2.0, 1.0, 0.0], "c": [2.0, -2.0, 0.0]})
    assert found.errors(rows, layouts).to_pylist() == pytest.approx(
        [0.0, math.sqrt(6.0), math.sqrt(6.0)]
    )


def test_missing_and_invalid_values_count_as_the_mean_and_a_row_of_nothing_has_no_error() -> (
    None
):
    x = np.tile([-1.0, 1.0], 150)
    layouts = dict.fromkeys("abc", NUMBER)
    found = learned(dict.fromkeys("abc", x), layouts)
    rows = pa.table(
        {
            "a": [1.0, 1.0, 1.0, None],
            "b": [0.0, None, math.nan, None],
            "c": [0.0, None, math.inf, None],
        }
    )
    first, *others, nothing = found.errors(rows, layouts).to_pylist()
    assert others == [first, first] and nothing is None


def test_one_broken_value_counts_ten_sd() -> None:
    x = np.tile([-1.0, 1.0], 150)
    layouts = dict.fromkeys("abc", NUMBER)
    found = learned(dict.fromkeys("abc", x), layouts)
    rows = pa.table({"a": [10.0, 1e100], "b": [0.0, 0.0], "c": [0.0, 0.0]})
    assert len(set(found.errors(rows, layouts).to_pylist())) == 1


def test_a_category_counts_as_its_share_of_the_reference() -> None:
    names = np.array(["often"] * 200 + ["seldom"] * 100)
    like = np.where(names == "often", 2 / 3, 1 / 3)
    columns = {"k": names, "x": like, "y": like}
    layouts = {"k": categorical_layout(["often", "seldom"]), "x": NUMBER, "y": NUMBER}
    found = learned(columns, layouts)
    rows = pa.table(
        {
            "k": ["often", "seldom", "seldom", "never seen"],
            "x": [2 / 3, 1 / 3, 2 / 3, 2 / 3],
            "y": [2 / 3, 1 / 3, 2 / 3, 2 / 3],
        }
    )
    as_it_was, as_well, other, unseen = found.errors(rows, layouts).to_pylist()
    assert as_it_was == pytest.approx(0, abs=1e-6) and as_well == pytest.approx(
        0, abs=1e-6
    )
    assert 1 < other < unseen


@given(st.lists(st.integers(1, 90), max_size=12), st.integers(0, 2**32 - 1))
def test_rows_have_the_same_error_whichever_rows_they_come_with(
    cuts: Sequence[int], seed: int
) -> None:
    columns = pa.table(tied(500, seed))
    layouts = dict.fromkeys("abcd", NUMBER)
    found = reconstruction.Reconstruction.from_json(learned(columns, layouts).to_json())
    whole = found.errors(columns, layouts).to_pylist()
    edges = [0, *sorted({5 * cut for cut in cuts}), 500]
    parts = [
        found.errors(columns.slice(a, b - a), layouts).to_pylist()
        for a, b in pairwise(edges)
    ]
    assert list(chain(*parts)) == whole


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        (tied(399, 1), "fewer rows than a hundred for each feature"),
        ({name: x for name, x in tied(500, 1).items() if name in "ab"}, "two features"),
        (
            {
                "a": np.ones(900),
                "b": np.zeros(900),
                **{n: x for n, x in tied(900, 1).items() if n in "cd"},
            },
            "two that vary",
        ),
        (
            {
                f"x{i}": x
                for i, x in enumerate(
                    np.random.default_rng(1).normal(size=(101, 11_000))
                )
            },
            "too many",
        ),
        ({n: pa.nulls(900, pa.float64()) for n in "abc"}, "nothing but missing values"),
    ],
)
def test_there_is_none_where_it_would_mean_nothing(columns: Columns, why: str) -> None:
    assert (
        reconstruction.fit(pa.table(columns), dict.fromkeys(columns, NUMBER)) is None
    ), why


def test_rows_that_were_not_learned_from_look_like_those_that_were() -> None:
    """With as few rows as are allowed: the mean error of new rows is within 0.05 sd, the tolerance of the detector."""
    off = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        mixing = random.normal(size=(20, 20))
        layouts = {f"x{i}": NUMBER for i in range(20)}
        reference, fresh = (
            dict(zip(layouts, (random.normal(size=(n, 20)) @ mixing).T, strict=True))
            for n in (2000, 20_000)
        )
        found = learned(reference, layouts)
        old, new = (
            np.array(found.errors(pa.table(rows), layouts).to_pylist())
            for rows in (reference, fresh)
        )
        off.append((new.mean() - old.mean()) / old.std())
    assert abs(float(np.mean(off))) < 0.05


# through the whole


def table(columns: Columns, first: datetime) -> pa.Table:
    n = len(next(iter(columns.values())))
    ts = pa.array(
        [first + timedelta(seconds=i) for i in range(n)], pa.timestamp("us", "UTC")
    )
    ids = [f"{first.timestamp()}-{i}" for i in range(n)]
    own = {"event_id": ids, "model": ["m"] * n, "ts": ts, "prediction": np.zeros(n)}
    return pa.table({**own, **columns})


@contextmanager
def opened(folder: Path, wanted: bool = True) -> Iterator[Server]:
    config = Config(
        models={"m": ModelConfig(reconstruction_error=wanted, segments=("k",))}
    )
    server = Server(folder, config)
    server.start(background=False)
    yield server
    server.close()


def send(server: Server, columns: Columns, first: datetime) -> None:
    server.collector.events(to_ipc(table(columns, first)), ARROW).durable.result(60)
    server.scheduler.load_all()


def with_reference(server: Server, columns: Columns | None = None) -> None:
    server.set_reference_table(
        "m", table(tied(5000, 1) if columns is None else columns, START), "file", NOW
    )


def profiles_of(server: Server, segment: str = "") -> dict[str, Profile]:
    start, end = (at.replace(tzinfo=None) for at in (START, NOW + timedelta(hours=1)))
    return {
        column: found[0]
        for column, found in server.store.profiles(
            "m", start, end, segment=segment
        ).items()
    }


def test_features_that_no_longer_move_together_are_seen_by_it_alone(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as server:
        with_reference(server)
        send(server, tied(5000, 2, broken=True), START)
        reference, current, names = (
            server.store.references.profiles("m"),
            profiles_of(server),
            column_names(server.store.model("m")),
        )
        found = {
            names[c]: ks.measure(reference[c], current[c]).value
            for c in names
            if c != "prediction"
        }
        assert found.pop(RECONSTRUCTION_ERROR) > 0.15
        assert max(found.values()) < 0.05


def test_what_is_counted_is_the_error_of_each_row_and_stays_so_when_profiles_are_made_anew(
    tmp_path: Path,
) -> None:
    rows = tied(3000, 2, broken=True)
    with opened(tmp_path) as server:
        with_reference(server)
        for first in range(0, 3000, 700):
            some = {name: x[first : first + 700] for name, x in rows.items()}
            send(server, some, START + timedelta(seconds=first))
        model = server.store.model("m")
        fields = [feature.field for feature in model.schema.features]
        assert model.reconstruction is not None
        errors = model.reconstruction.errors(
            pa.table(rows).rename_columns(fields), server.store.layouts("m")
        )
        before = profiles_of(server)[RECONSTRUCTION_ERROR]
        assert before.n == 3000 and before.sum == pytest.approx(sum(errors.to_pylist()))
        assert (
            before.counts.tolist()
            == np.bincount(
                before.layout.bins_of(numpy_of(errors)), minlength=before.layout.size
            ).tolist()
        )
    with opened(tmp_path) as server:
        send(server, tied(100, 3), START + timedelta(hours=2))
        server.store.rebuild()
        after = profiles_of(server)[RECONSTRUCTION_ERROR]
        assert after.n == 3100
        assert (after.counts >= before.counts).all()


def test_it_is_kept_for_segments_and_for_rows_that_have_some_of_the_features(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as server:
        columns = {**tied(5000, 1), "k": np.array(["one", "two"] * 2500)}
        with_reference(server, columns)
        send(server, {name: x[:1000] for name, x in columns.items()}, START)
        send(server, {"a": np.zeros(50)}, START + timedelta(hours=1))
        send(server, {"new": np.zeros(30)}, START + timedelta(hours=2))
        assert profiles_of(server, "k=one")[RECONSTRUCTION_ERROR].n == 500
        whole = profiles_of(server)[RECONSTRUCTION_ERROR]
        assert (whole.n, whole.rows, whole.missing) == (1050, 1080, 30)


def test_erasing_a_person_whose_name_is_a_category_leaves_nothing_of_it(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as server:
        with_reference(
            server,
            {**tied(5000, 1), "who": np.array(["Ada Lovelace", "Grace Hopper"] * 2500)},
        )
        server.erase("Ada Lovelace", "who", ["m"])
        send(server, {**tied(100, 2), "who": np.array(["Grace Hopper"] * 100)}, START)
        assert profiles_of(server)[RECONSTRUCTION_ERROR].n == 100
    assert b"Ada Lovelace" not in (tmp_path / "driftdeck.duckdb").read_bytes()


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with opened(tmp_path, wanted=False) as server:
        with_reference(server)
        assert server.store.model("m").reconstruction is None
        assert (
            RECONSTRUCTION_ERROR not in column_names(server.store.model("m")).values()
        )


def test_a_reference_with_too_few_rows_takes_it_away(tmp_path: Path) -> None:
    with opened(tmp_path) as server:
        with_reference(server)
        assert RECONSTRUCTION_ERROR in server.store.layouts("m")
        with_reference(server, tied(300, 1))
        assert RECONSTRUCTION_ERROR not in server.store.layouts("m")
    with opened(tmp_path) as server:
        assert server.store.model("m").reconstruction is None
        send(server, tied(100, 2), START)
        assert RECONSTRUCTION_ERROR not in profiles_of(server)
