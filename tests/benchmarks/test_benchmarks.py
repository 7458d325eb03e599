"""The benchmarks run and measure what they say; nothing here asserts a time."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks import (
    client,
    detector,
    policy,
    proxy,
    report,
    rows,
    start,
    stored,
    wide,
)
from benchmarks.__main__ import arguments, chosen
from benchmarks.columns import FEATURES
from benchmarks.figure import Figure, quantile
from benchmarks.process import python, run

END, DAY = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)


def test_same_seed_gives_the_same_rows() -> None:
    first, again = (next(rows.chunks(500, 7, END, DAY, drifted=True)) for _ in range(2))
    assert first.equals(again)
    assert not first.equals(next(rows.chunks(500, 8, END, DAY, drifted=True)))


def test_rows_have_every_feature_and_unique_ids_in_order_of_time() -> None:
    table = next(rows.chunks(500, 7, END, DAY, drifted=False))
    assert set(FEATURES) < set(table.column_names)
    assert len(set(table["event_id"].to_pylist())) == 500
    times = table["ts"].to_pylist()
    assert times == sorted(times)
    assert all(END - DAY <= t.replace(tzinfo=UTC) < END for t in times)


def test_ndjson_lines_hold_the_same_events(tmp_path: Path) -> None:
    rows.write_ndjson(tmp_path / "e.ndjson", 50, 7, END, DAY, drifted=True)
    lines = [
        json.loads(line) for line in (tmp_path / "e.ndjson").read_text().splitlines()
    ]
    table = next(rows.chunks(50, 7, END, DAY, drifted=True))
    assert [line["event_id"] for line in lines] == table["event_id"].to_pylist()
    assert [line["features"]["n03"] for line in lines] == table["n03"].to_pylist()
    assert lines[0]["ts"].endswith("Z")


@pytest.mark.parametrize(
    ("measured", "bound", "state"),
    [
        (0.9, "most", "met"),
        (1.9, "most", "half way"),
        (2.1, "most", "not met"),
        (1.1, "least", "met"),
        (0.4, "least", "not met"),
    ],
)
def test_goal_is_judged_by_its_bound(measured: float, bound: str, state: str) -> None:
    assert Figure("x", "s", [measured], goal=1.0, bound=bound).state == state  # type: ignore[arg-type]


def test_ratio_is_the_median_of_the_pairs() -> None:
    figure = Figure(
        "x", "s", [1.0, 9.0, 3.0], "y", [2.0, 3.0, 3.0], goal=1.0, of="ratio"
    )
    assert figure.ratios == [0.5, 3.0, 1.0]
    assert figure.state == "met"
    assert report.row(figure)[4] == "1 (0.5–3), 3"


def test_quantile_is_a_sample() -> None:
    assert [quantile([3, 1, 2, 4], share) for share in (0.5, 0.95, 1.0)] == [2, 4, 4]


def test_process_is_measured_from_outside() -> None:
    measured = run(["python3", "-c", "print('{\"a\": 1}')"])
    assert measured.said == {"a": 1}
    assert measured.cpu_s > 0
    assert measured.rss_mib > 1


def test_failing_process_is_an_error_with_its_words() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        run(["python3", "-c", "raise SystemExit('no such thing')"])


def test_only_names_what_is_measured() -> None:
    assert list(chosen(arguments(["--only", "start", "--quick"]))) == ["start"]
    every = [
        "ingest",
        "drift",
        "detector",
        "stored",
        "pages",
        "start",
        "client",
        "proxy",
        "policy",
        "burst",
        "wide",
    ]
    assert list(chosen(arguments([]))) == every


def test_start_is_measured_and_reported(tmp_path: Path) -> None:
    figures = start.measure(tmp_path, pairs=1, servers=1)
    facts = report.about(datetime.now(UTC), report.commit())
    report.write_json(tmp_path / "found.json", {"start": figures}, facts)
    found = json.loads((tmp_path / "found.json").read_text())
    assert {f["name"] for f in found["figures"]["start"]} == {f.name for f in figures}
    assert found["versions"]["duckdb"]
    assert "driftdeck --help" in report.markdown({"start": figures})


def test_logging_is_measured_and_loses_nothing(tmp_path: Path) -> None:
    figures = client.measure(tmp_path, pairs=1, events=50)
    assert len(figures) == 6 and all(
        value > 0 for figure in figures for value in figure.ours
    )


@pytest.mark.slow
def test_proxy_is_measured_and_every_prediction_is_stored(tmp_path: Path) -> None:
    figures = proxy.measure(tmp_path, pairs=1, requests=20)
    assert len(figures) == 3


@pytest.mark.slow
def test_policies_are_measured_on_the_same_rows(tmp_path: Path) -> None:
    figures = policy.measure(tmp_path, rows=600, pairs=1)
    assert len(figures) == 3 and all(figure.ratios for figure in figures)


def test_driftdeck_counts_what_numpy_counts(tmp_path: Path) -> None:
    files = [tmp_path / "reference.parquet", tmp_path / "current.parquet"]
    rows.write_parquet(files[0], 2000, 1, END, DAY, drifted=False)
    rows.write_parquet(files[1], 3000, 2, END, DAY, drifted=True)
    ours, theirs = (
        run(python(f"benchmarks.sides.drift_{side}", *files)).said
        for side in ("driftdeck", "numpy")
    )
    assert ours["counts"] == theirs["counts"]
    assert ours["psi"] == pytest.approx(theirs["psi"])


def test_detector_is_measured() -> None:
    figures = detector.measure(1, detector.QUICK_WIDE)
    assert [f.unit for f in figures] == ["CPU s", "CPU ms", "CPU ms", "MiB"] * 2
    assert "40 features" in figures[-1].name
    assert all(f.ours[0] > 0 for f in figures)


@pytest.mark.slow
def test_a_wide_model_is_measured_with_its_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wide, "SETTLED_S", 0)
    figures = wide.measure(tmp_path, wide.Size(features=120, events=3, models=2))
    assert all(value > 0 for figure in figures for value in figure.ours)
    alone, with_reference = (
        f.ours[0] for f in figures if f.name.startswith("120") and f.unit == "MiB"
    )
    assert with_reference >= alone


def test_drift_of_a_wide_model_comes_from_stored_profiles(tmp_path: Path) -> None:
    figures = stored.measure(tmp_path, stored.Size(columns=12, days=2, rows=3, asked=2))
    assert [len(f.ours) for f in figures] == [2, 2, 2, 2]
