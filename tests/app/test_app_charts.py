"""Charts from values: lines and marks, gaps, and very little data."""

import json
from datetime import datetime
from typing import Any

import plotly.graph_objects as go
import pytest

from app import charts
from app.figures import zone

LOOKS = [charts.Look(), charts.Look(charts.DARK, "zh", zone("Asia/Taipei"))]


def row(
    hour: int, n: int = 500, p95: float | None = 30.0, rate: float | None = 0.005
) -> dict[str, Any]:
    empty = n == 0
    return {
        "t": f"2026-11-20T{hour:02d}:00:00Z",
        "n": n,
        "p50": None if empty else p95 and p95 / 2,
        "p95": None if empty else p95,
        "p99": None if empty else p95 and p95 * 2,
        "error_rate": None if empty else rate,
        "error_low": None if empty else 0.0,
        "error_high": None if empty else 0.02,
    }


def named(figure: go.Figure, name: str) -> Any:
    return next(trace for trace in figure.data if trace.name == name)


@pytest.mark.parametrize("look", LOOKS)
def test_latency_draws_percentiles_band_and_limit(look: charts.Look) -> None:
    figure = charts.latency([row(h) for h in range(4)], look, limit=60)
    assert {"p50", "p95", "p99", "p50–p95"} == {trace.name for trace in figure.data}
    assert figure.layout.shapes[0].y0 == figure.layout.shapes[0].y1 == 60
    assert "60 ms" in figure.layout.annotations[0].text


def test_latency_band_does_not_cross_a_gap() -> None:
    figure = charts.latency(
        [row(0), row(1), row(2, n=0), row(3), row(4)], charts.Look()
    )
    bands = [trace for trace in figure.data if trace.fill == "toself"]
    assert len(bands) == 2
    assert [trace.showlegend for trace in bands] == [True, False]
    assert named(figure, "p95").y[2] is None


def test_single_bucket_between_gaps_is_a_visible_point() -> None:
    figure = charts.latency([row(0, n=0), row(1), row(2, n=0)], charts.Look())
    assert named(figure, "p95").mode == "lines+markers"
    assert named(charts.latency([row(0), row(1)], charts.Look()), "p95").mode == "lines"


def test_no_limit_draws_no_line() -> None:
    assert not charts.latency([row(0), row(1)], charts.Look()).layout.shapes


def test_errors_over_the_limit_are_orange_and_hatched() -> None:
    look = charts.Look()
    bars = named(
        charts.errors([row(0), row(1, rate=0.07), row(2, n=0)], look, limit=0.02),
        "failed",
    )
    assert list(bars.marker.pattern.shape) == ["", "/", ""]
    assert list(bars.marker.color) == [
        look.colours.grey,
        look.colours.orange,
        look.colours.grey,
    ]


def test_rates_of_few_requests_are_pale() -> None:
    bars = named(
        charts.errors([row(0), row(1, n=15, rate=1 / 15)], charts.Look(), limit=0.02),
        "failed",
    )
    assert list(bars.marker.opacity) == [1.0, 0.45]
    assert bars.customdata[1] == "6.7% of 15"


def test_errors_show_their_interval_when_asked() -> None:
    figure = charts.errors([row(0), row(1)], charts.Look(), limit=0.02, intervals=True)
    assert named(figure, "95% CI").fill == "toself"


def test_errors_without_a_single_answer_still_have_an_axis() -> None:
    figure = charts.errors([row(0, n=0)], charts.Look())
    assert figure.layout.yaxis.range[1] > 0


def test_traffic_is_zero_in_a_gap_and_grey_for_the_week_before() -> None:
    look = charts.Look()
    figure = charts.traffic(
        [row(0), row(1, n=0)], [{"t": "2026-11-20T00:00:00Z", "n": 480}], look
    )
    assert list(named(figure, "this period").y) == [500, 0]
    assert named(figure, "one week before").line.color == look.colours.grey
    assert len(charts.traffic([row(0)], [], look).data) == 1


def test_times_are_on_the_viewers_clock() -> None:
    look = charts.Look(zone=zone("Asia/Taipei"))
    assert charts.traffic([row(17)], [], look).data[0].x[0] == datetime(2026, 11, 21, 1)


def drifting(
    name: str, levels: list[str], values: list[float | None]
) -> dict[str, Any]:
    return {"column": name, "levels": levels, "values": values}


STEPS = ["2026-11-20T00:00:00Z", "2026-11-20T06:00:00Z"]


@pytest.mark.parametrize("look", LOOKS)
def test_heatmap_marks_bad_cells_with_a_glyph(look: charts.Look) -> None:
    columns = [
        drifting("a", ["breach", "severe"], [0.3, 0.6]),
        drifting("b", ["ok", "warn"], [0.01, 0.12]),
    ]
    cells = charts.heatmap(columns, STEPS, "PSI", look).data[0]
    assert [list(line) for line in cells.text] == [["•", "▲"], ["", ""]]
    assert [list(line) for line in cells.z] == [[3, 4], [1, 2]]
    assert cells.customdata[0][0].startswith("PSI 0.300")


def test_heatmap_with_missing_steps_and_unknown_levels_has_empty_cells() -> None:
    columns = [
        drifting("a", ["insufficient"], [None]),
        drifting("b", ["dancing", "ok"], [0.1, 0.01]),
    ]
    figure = charts.heatmap(columns, STEPS, "PSI", charts.Look())
    assert [list(line) for line in figure.data[0].z] == [[0, 0], [0, 1]]
    assert len(figure.data[1].x) == 3


def test_heatmap_of_one_step_and_of_none() -> None:
    for steps in (STEPS[:1], []):
        assert charts.heatmap(
            [drifting("a", ["ok"] * len(steps), [0.0] * len(steps))],
            steps,
            "PSI",
            charts.Look(),
        ).data


BINS = [
    {"label": "≤ 18", "reference": 0.5, "current": 0.2, "contribution": 0.27},
    {"label": "> 18", "reference": 0.5, "current": 0.8, "contribution": 0.01},
    {"label": "missing", "reference": 0.0, "current": 0.1, "contribution": None},
]


def test_comparison_marks_the_bins_that_explain_most() -> None:
    figure = charts.comparison(BINS, "PSI", charts.Look())
    parts = named(figure, "PSI part")
    assert list(parts.text) == ["96%", "", ""]
    assert list(parts.y) == [0.27, 0.01, 0]
    assert parts.marker.color[0] == charts.LIGHT.orange


def test_comparison_translates_only_the_special_bins() -> None:
    figure = charts.comparison(BINS, "PSI", charts.Look(language="zh"))
    assert list(figure.layout.xaxis2.ticktext) == ["≤ 18", "&gt; 18", "缺值"]


def test_comparison_without_drift_has_no_marked_bin() -> None:
    quiet = [row | {"contribution": 0.0} for row in BINS]
    assert set(
        named(charts.comparison(quiet, "PSI", charts.Look()), "PSI part").text
    ) == {""}


def test_names_in_charts_are_not_markup() -> None:
    figure = charts.heatmap(
        [drifting("<b>x</b>", ["ok", "ok"], [0.0, 0.0])], STEPS, "PSI", charts.Look()
    )
    assert figure.data[0].y[0] == "&lt;b&gt;x&lt;/b&gt;"


def episode(label: str, until: str | None, **more: str) -> dict[str, Any]:
    return {
        "label": label,
        "since": STEPS[0],
        "until": until,
        "severity": "critical",
        "state": "firing",
        "hover": "",
    } | more


def test_timeline_has_one_bar_per_episode_hatched_while_open() -> None:
    episodes = [
        episode("a", STEPS[1]),
        episode("a", None),
        episode("b", None, severity="warning", state="pending"),
    ]
    bars = charts.timeline(episodes, "2026-11-20T12:00:00Z", charts.Look()).data[0]
    assert list(bars.x) == [6 * 3_600_000, 12 * 3_600_000, 12 * 3_600_000]
    assert list(bars.marker.pattern.shape) == ["", "/", "/"]
    assert list(bars.marker.color) == [
        charts.LIGHT.red,
        charts.LIGHT.red,
        charts.LIGHT.orange,
    ]
    assert list(bars.marker.opacity) == [1.0, 1.0, 0.5]


def test_sparkline_drops_gaps_and_thins_long_series() -> None:
    assert charts.sparkline([1, None, 3]) == [1.0, 3.0]
    thin = charts.sparkline([float(i) for i in range(600)], points=60)
    assert len(thin) == 60 and thin[0] == 4.5 and thin[-1] == 594.5


@pytest.mark.parametrize("look", LOOKS)
def test_every_chart_is_plain_json_and_keeps_zoom(look: charts.Look) -> None:
    for figure in (
        charts.latency([row(0)], look, 60),
        charts.errors([row(0)], look, 0.02, intervals=True),
        charts.traffic([row(0)], [row(1)], look),
        charts.heatmap(
            [drifting("a", ["ok", "warn"], [0.0, None])], STEPS, "PSI", look
        ),
        charts.comparison(BINS, "PSI", look),
        charts.timeline([episode("a", None)], STEPS[1], look),
    ):
        assert json.loads(figure.to_json())["layout"]["uirevision"] == "keep"


def test_interval_of_thin_buckets_is_not_drawn() -> None:
    figure = charts.errors(
        [row(0, n=15), row(1, n=15)], charts.Look(), limit=0.02, intervals=True
    )
    assert [trace.type for trace in figure.data] == ["bar"]


def test_many_bins_keep_every_second_label_and_the_special_ones() -> None:
    many = [
        {
            "label": f"{i} - {i + 1}",
            "reference": 0.05,
            "current": 0.05,
            "contribution": 0.0,
        }
        for i in range(20)
    ]
    labels = charts.comparison(
        [*many, BINS[2]], "PSI", charts.Look()
    ).layout.xaxis2.ticktext
    assert labels[:4] == ("0 - 1", "", "2 - 3", "") and labels[-1] == "missing"


@pytest.mark.parametrize("look", LOOKS)
def test_receipts_of_one_hour_are_added_up_and_refused_rows_are_hatched(
    look: charts.Look,
) -> None:
    at = "2026-11-20T05:00:00Z"
    rows = [
        {"hour": at, "stored": 10, "duplicate": 1, "refused": 2},
        {"hour": at, "stored": 5, "duplicate": 0, "refused": 1},
        {"hour": "2026-11-20T07:00:00Z", "stored": 1, "duplicate": 0, "refused": 0},
    ]
    figure = charts.receipts(
        rows, 3600, ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"), look
    )
    stored, duplicate, refused = figure.data
    assert (list(stored.y), list(duplicate.y), list(refused.y)) == (
        [15, 1],
        [1, 0],
        [3, 0],
    )
    assert (
        refused.marker.pattern.shape == "/"
        and refused.marker.pattern.bgcolor == look.colours.orange
    )
    # a few refusals are seen beside millions
    assert stored.yaxis != refused.yaxis == duplicate.yaxis


def lane(name: str, hours: int = 1) -> dict[str, Any]:
    return {"lane": name, "window_hours": hours}


def at(hour: int, value: float, name: str = "inputs") -> dict[str, Any]:
    return {"t": f"2026-11-20T{hour:02d}:00:00Z", "lane": name, "value": value}


@pytest.mark.parametrize("look", LOOKS)
def test_change_score_is_drawn_for_signals_that_have_any_against_the_alert_level(
    look: charts.Look,
) -> None:
    rows = [
        at(0, 0.02),
        at(1, 50.0),
        at(4, 0.2),
        at(1, 0.3, "errors"),
        at(1, 0.001, "latency"),
    ]
    figure = charts.scores(
        [lane("errors"), lane("latency"), lane("inputs")], rows, [], look
    )
    assert [trace.name for trace in figure.data] == [
        look.say("lane.inputs"),
        look.say("lane.errors"),
    ]
    # capped at ten alert levels; an hour without a row is a score of 0, drawn on the
    # floor
    assert list(figure.data[0].y) == [0.02, 10.0, 0.01, 0.2]
    assert figure.data[0].customdata[1] == "5000%"
    assert figure.layout.shapes[0].y0 == 1


def test_open_change_is_shaded_from_its_beginning() -> None:
    opened = [{"from": "2026-11-20T02:00:00Z"}]
    figure = charts.scores(
        [lane("inputs")], [at(0, 0.02), at(5, 0.02)], opened, charts.Look()
    )
    shaded = figure.layout.shapes[0]
    assert (str(shaded.x0), str(shaded.x1)) == (
        "2026-11-20 02:00:00",
        "2026-11-20 05:00:00",
    )
    older = charts.scores(
        [lane("inputs")],
        [at(0, 0.02), at(5, 0.02)],
        [{"from": "2026-04-01T00:00:00Z"}],
        charts.Look(),
    )
    assert [shape.type for shape in older.layout.shapes] == ["line"]


def test_long_line_of_change_scores_keeps_its_peaks() -> None:
    rows = [
        {
            "t": f"2026-{1 + d // 28:02d}-{1 + d % 28:02d}T{h:02d}:00:00Z",
            "lane": "inputs",
            "value": 0.02,
        }
        for d in range(60)
        for h in range(24)
    ]
    rows[777]["value"] = 3.0
    figure = charts.scores([lane("inputs")], rows, [], charts.Look())
    assert len(figure.data[0].y) <= 400
    assert max(figure.data[0].y) == 3.0


def test_signal_of_a_newer_server_is_drawn_under_its_own_name() -> None:
    figure = charts.scores(
        [lane("<b>new</b>")],
        [at(0, 0.5, "<b>new</b>"), at(1, 0.5, "<b>new</b>")],
        [],
        charts.Look(),
    )
    assert figure.data[0].name == "&lt;b&gt;new&lt;/b&gt;"
