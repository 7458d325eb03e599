"""Comparison of current rows with reference rows, from files and tables, without a server."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from monitor.analysis.compare_tables import compare, rules_for
from monitor.analysis.comparison import Compared, Comparison
from monitor.arrow_columns import to_ipc
from monitor.cli import app
from monitor.config.config import Config
from monitor.config.rule import RuleConfig
from monitor.errors import PayloadError, StorageError
from monitor.finding_text import text_of
from monitor.ingest.file_batches import ARROW, ColumnMapping
from monitor.server.server import Server

DAY = timedelta(days=1)


def rows(n: int = 2000, seed: int = 1, shift: float = 0.0) -> dict[str, Any]:
    """Numbers of several laws, texts of few and of very many values, a prediction, and some missing values."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3, 1, n)
    amount[rng.random(n) < 0.03] = np.nan
    return {
        "event_id": [f"{seed}-{i}" for i in range(n)],
        "ts": [f"2026-11-{1 + i * 27 // n:02d}T00:00:00Z" for i in range(n)],
        "age": rng.normal(40 + 10 * shift, 10, n),
        "amount": [None if np.isnan(x) else float(x) for x in amount],
        "items": rng.poisson(2, n),
        "plan": rng.choice(["free", "basic", "pro"], n, p=[0.7, 0.2, 0.1]),
        "place": [f"place {x}" for x in rng.zipf(1.3, n).clip(max=100_000)],
        "prediction": rng.beta(2, 5, n),
    }


def table(**how: Any) -> pa.Table:
    return pa.table(rows(**how))


def column(found: Comparison, name: str) -> Compared:
    return next(c for c in found.columns if c.column == name)


def value(found: Comparison, name: str, statistic: str = "psi") -> float:
    (finding,) = [f for f in column(found, name).findings if f.statistic == statistic]
    assert finding.value is not None
    return finding.value


# what is found


def test_at_most_one_in_twenty_comparisons_of_nothing_names_a_column() -> None:
    """Of 400: at most 5 % and three standard errors, and not so few that nothing could be named."""
    named = sum(
        any(
            c.changed
            for c in compare(
                table(n=400, seed=2 * i), table(n=600, seed=2 * i + 1)
            ).columns
        )
        for i in range(400)
    )
    assert 2 <= named <= 0.05 * 400 + 3 * np.sqrt(0.05 * 0.95 * 400)


def test_quiet_columns_are_ok_and_say_what_they_would_have_seen() -> None:
    found = compare(table(seed=1), table(seed=2))
    assert found.status == "ok"
    assert found.text == "No column changed"
    assert {c.column for c in found.columns} == {
        "age",
        "amount",
        "items",
        "plan",
        "place",
        "prediction",
    }
    assert all(
        "a breach shows from" in text_of(f)
        for f in column(found, "age").findings
        if f.statistic == "psi"
    )


def test_a_large_shift_breaks_a_limit_a_small_one_is_a_change() -> None:
    found = compare(table(seed=1), table(seed=2, shift=1.0))
    assert found.text == "1 of 6 columns is over its limit: age"
    assert found.columns[0].column == "age"
    found = compare(table(n=20_000, seed=1), table(n=20_000, seed=2, shift=0.1))
    assert found.text == "1 of 6 columns changed within its limits: age"
    assert found.status == "ok"


def test_it_finds_what_the_server_finds(server: Server) -> None:
    """Profiles of the same rows: the server's of stored events, on the reference that it froze."""
    reference, now = table(seed=1, n=3000).drop_columns(["ts"]), datetime.now(UTC)
    current = table(seed=2, shift=0.3).drop_columns(["ts"])
    server.set_reference_table("m", reference, "file", now)
    timed = current.append_column(
        "ts", pa.array([now] * 2000, pa.timestamp("us", "UTC"))
    )
    server.collector.events(to_ipc(timed), ARROW, model="m").durable.result(60)
    server.scheduler.load_all()
    keys = {f.name: f.field for f in server.store.model("m").schema.features} | {
        "prediction": "prediction"
    }
    stored = server.store.references.profiles("m")
    hours = server.store.profiles(
        "m",
        *(t.replace(tzinfo=None) for t in (now - DAY, now + DAY)),
        None,
        None,
        "",
        list(keys.values()),
    )
    found = compare(reference, current)
    for name, key in keys.items():
        ours = column(found, name).reference
        assert ours.layout == stored[key].layout
        assert ours.counts.tolist() == stored[key].counts.tolist()
        assert (ours.rows, ours.missing, ours.invalid) == (
            stored[key].rows,
            stored[key].missing,
            stored[key].invalid,
        )
        assert (
            column(found, name).current.counts.tolist() == hours[key][0].counts.tolist()
        )


def test_missing_values_wrong_types_and_columns_that_are_gone() -> None:
    current = rows(seed=2)
    current["age"] = [
        str(x) if i % 10 else "unknown" for i, x in enumerate(current["age"])
    ]
    current["plan"] = [None if i % 5 == 0 else x for i, x in enumerate(current["plan"])]
    del current["items"]
    found = compare(table(seed=1), pa.table(current | {"campaign": ["x"] * 2000}))
    assert value(found, "age", "type_error_rate") == pytest.approx(0.1)
    assert value(found, "plan", "missing_rate") == pytest.approx(0.2)
    assert value(found, "items", "missing_rate") == 1
    assert {c.column for c in found.columns if c.status == "breach"} == {
        "age",
        "plan",
        "items",
    }
    assert found.added == ("campaign",)


def test_new_values_of_a_column_with_few_and_with_very_many() -> None:
    current = rows(seed=2)
    current["plan"] = [
        "team" if i % 20 == 0 else x for i, x in enumerate(current["plan"])
    ]
    found = compare(table(seed=1), pa.table(current))
    assert column(found, "plan").status == "breach"
    assert column(found, "place").status == "ok"
    assert value(found, "place", "new_category_share") > 0.05  # as chance brings them


# what comes in


@pytest.mark.parametrize(
    "write",
    [
        lambda t, p: (
            pq.write_table(t, p.with_suffix(".parquet")) or p.with_suffix(".parquet")
        ),
        lambda t, p: (
            feather.write_feather(t, str(p.with_suffix(".arrow")))
            or p.with_suffix(".arrow")
        ),
        lambda t, p: (
            t.to_pandas().to_csv(p.with_suffix(".csv"), index=False)
            or p.with_suffix(".csv")
        ),
        lambda t, p: (
            t.to_pandas().to_json(
                p.with_suffix(".jsonl"),
                orient="records",
                lines=True,
                double_precision=15,
            )
            or p.with_suffix(".jsonl")
        ),
        lambda t, p: t.to_pandas(),
    ],
    ids=["parquet", "arrow", "csv", "jsonl", "pandas"],
)
def test_every_form_of_the_same_rows_says_the_same(
    write: Callable[[pa.Table, Path], Any], tmp_path: Path
) -> None:
    reference, current = table(seed=1), table(seed=2, shift=0.2)
    plain = compare(reference, current)
    found = compare(
        write(reference, tmp_path / "reference"), write(current, tmp_path / "current")
    )
    for name in ("age", "amount", "items", "plan", "place", "prediction"):
        assert value(found, name) == pytest.approx(value(plain, name), abs=1e-9)
        assert column(found, name).p_value == pytest.approx(
            column(plain, name).p_value, abs=1e-9
        )


def test_events_as_they_are_sent_are_compared_with_plain_columns(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.jsonl"
    own = ("event_id", "ts", "prediction")
    events = [
        {k: row[k] for k in own}
        | {"model": "m", "features": {k: v for k, v in row.items() if k not in own}}
        for row in table(seed=2).to_pylist()
    ]
    path.write_text("\n".join(map(json.dumps, events)))
    plain, found = compare(table(seed=1), table(seed=2)), compare(table(seed=1), path)
    assert [(c.column, c.p_value) for c in found.columns] == [
        (c.column, c.p_value) for c in plain.columns
    ]
    assert found.added == ()


def test_parts_are_one_and_files_are_read_in_parts(tmp_path: Path) -> None:
    reference, current = table(seed=1), table(n=130_000, seed=2)
    pq.write_table(current, tmp_path / "now.parquet", row_group_size=7000)
    whole = compare(reference, current)
    found = compare(reference, tmp_path / "now.parquet")
    parts = compare(
        [reference.slice(0, 700), reference.slice(700)],
        [current.slice(0, 5000), current.slice(5000)],
    )
    for other in (found, parts):
        assert other.current_rows == 130_000
        assert [c.current.counts.tolist() for c in other.columns] == [
            c.current.counts.tolist() for c in whole.columns
        ]


def test_texts_that_are_numbers_are_numbers_in_every_form(tmp_path: Path) -> None:
    for name, seed in (("reference", 1), ("now", 2)):
        codes = [str(x) for x in np.random.default_rng(seed).integers(0, 1000, 2000)]
        pq.write_table(pa.table({"code": codes}), tmp_path / f"{name}.parquet")
    for now in (
        tmp_path / "now.parquet",
        pq.read_table(tmp_path / "now.parquet").to_pandas().astype("category"),
    ):
        found = compare(tmp_path / "reference.parquet", now)
        assert (found.columns[0].kind, found.columns[0].current.invalid) == (
            "numeric",
            0,
        )


def test_dictionaries_booleans_and_embeddings() -> None:
    rng = np.random.default_rng(3)

    def some(n: int, mean: float) -> pa.Table:
        return pa.table(
            {
                "city": pa.array(rng.choice(["a", "b"], n)).dictionary_encode(),
                "member": pa.array(rng.random(n) < 0.3),
                "vector": pa.array(rng.normal(mean, 1, (n, 16)).tolist()),
            }
        )

    found = compare(some(2000, 0), some(2000, 1))
    assert column(found, "city").status == column(found, "member").status == "ok"
    assert column(found, "vector.norm").status == "breach"


def test_times_and_ids_are_left_out_and_reported() -> None:
    n = 12_000
    base = pd.DataFrame(
        {
            "x": np.arange(n) % 7,
            "when": pd.date_range("2026-01-01", periods=n, freq="min"),
            "nothing": [None] * n,
        }
    )
    base["order"] = [f"o{i}" for i in range(n)]
    found = compare(base, base.head(500))
    assert found.left_out == {
        "when": "times",
        "nothing": "empty in the reference",
        "order": "nearly every row has its own value",
    }
    assert [c.column for c in found.columns] == ["x"]


def test_columns_may_have_other_names() -> None:
    reference = table(seed=1).rename_columns({"prediction": "score"})
    current = table(seed=2).rename_columns({"prediction": "score"})
    found = compare(
        reference, current, ColumnMapping(prediction="score", features=("age", "plan"))
    )
    assert {c.column for c in found.columns} == {"age", "plan", "prediction"}
    assert column(found, "prediction").reference.layout.kind == "unit"


def test_rules_of_the_configuration_hold() -> None:
    own = RuleConfig(name="drift", statistic="psi", limit=0.01, model="m")
    other = RuleConfig(name="ks", statistic="ks", limit=0.5, model="other")
    config = Config(rules=(own, other))
    found = compare(
        table(seed=1), table(seed=2, shift=0.3), rules=rules_for(config, "m")
    )
    assert [c.column for c in found.columns if c.status == "breach"] == ["age"]
    assert {f.statistic for f in column(found, "age").findings} == {
        "psi",
        "missing_rate",
        "type_error_rate",
    }


def test_too_few_rows_are_not_judged() -> None:
    found = compare(table(n=300), table(n=20, seed=2))
    assert found.status == "insufficient"
    assert found.text == "Insufficient data: no column could be checked"


@pytest.mark.parametrize(
    ("reference", "current", "said"),
    [
        (
            pa.table({"x": pa.array([], pa.float64())}),
            pa.table({"x": [1.0]}),
            "the reference has no rows",
        ),
        (
            pa.table({"x": [1.0]}),
            pa.table({"x": pa.array([], pa.float64())}),
            "there are no current rows",
        ),
        (pa.table({"event_id": ["a"]}), pa.table({"x": [1.0]}), "no column to compare"),
        (pa.table({"x": [None]}), pa.table({"x": [1.0]}), "no column to compare"),
    ],
)
def test_nothing_to_compare_is_reported(
    reference: pa.Table, current: pa.Table, said: str
) -> None:
    with pytest.raises(PayloadError, match=said):
        compare(reference, current)


def test_files_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"x")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    with pytest.raises(StorageError, match=r"\.xlsx is not known"):
        compare(tmp_path / "a.xlsx", table())
    with pytest.raises(PayloadError, match=r"b\.parquet is not Parquet"):
        compare(tmp_path / "b.parquet", table())
    with pytest.raises(StorageError, match=r"c\.csv does not exist"):
        compare(table(), str(tmp_path / "c.csv"))
    with pytest.raises(PayloadError, match="not ndarray"):
        compare(table(), np.zeros(3))


def test_what_a_notebook_shows_is_the_sentence() -> None:
    found = compare(table(seed=1), table(seed=2, shift=1.0))
    assert (
        repr(found)
        == "<2,000 current, 2,000 reference rows: 1 of 6 columns is over its limit: age>"
    )
    assert repr(found.columns[0]) == "<age: breach, changed>"


# the verb


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    pq.write_table(table(seed=1), tmp_path / "reference.parquet")
    pq.write_table(table(seed=2, shift=1.0), tmp_path / "now.parquet")
    return str(tmp_path / "reference.parquet"), str(tmp_path / "now.parquet")


def test_command_prints_changes_and_checks_on_demand(files: tuple[str, str]) -> None:
    answer = CliRunner().invoke(app, ["compare", *files])
    assert answer.exit_code == 0
    assert "1 of 6 columns is over its limit: age" in answer.output
    assert "age: drift (PSI) " in answer.output
    assert CliRunner().invoke(app, ["compare", "--check", *files]).exit_code == 6
    assert (
        CliRunner().invoke(app, ["compare", "--check", files[0], files[0]]).exit_code
        == 0
    )


def test_command_prints_json(files: tuple[str, str]) -> None:
    answer = json.loads(CliRunner().invoke(app, ["compare", "--json", *files]).output)
    assert (answer["status"], answer["reference_rows"], answer["current_rows"]) == (
        "breach",
        2000,
        2000,
    )
    age = answer["columns"][0]
    assert age["column"] == "age"
    assert (
        len(age["bins"])
        == len(age["reference"]["counts"])
        == len(age["current"]["counts"])
    )
    assert sum(age["current"]["counts"]) == 2000


def test_lines_that_cannot_be_read_are_reported_and_the_others_compared(
    tmp_path: Path,
) -> None:
    path = tmp_path / "now.csv"
    table(seed=2).to_pandas().to_csv(path, index=False)
    path.write_text(path.read_text() + "1,2,3\n")
    pq.write_table(table(seed=1), tmp_path / "reference.parquet")
    answer = CliRunner().invoke(
        app, ["compare", str(tmp_path / "reference.parquet"), str(path)]
    )
    assert "1 lines could not be read" in answer.output
    assert "No column changed" in answer.output
