"""Latency, request errors and traffic over time.

Rows are a full time grid: a bucket without events is a gap, not a line.
"""

from typing import Any

import plotly.graph_objects as go

from app import figures
from app.charts.look import Look, framed, limit_line, time_axis

Rows = list[dict[str, Any]]
Values = list[float | None]
# a rate of fewer requests is drawn pale: one failure in 15 requests is no outage
MIN_REQUESTS = 50


def _column(rows: Rows, name: str) -> Values:
    return [row.get(name) for row in rows]


def _times(rows: Rows, look: Look) -> list[Any]:
    return list(look.times([row["t"] for row in rows]))


def latency(
    rows: Rows, look: Look, limit: float | None = None, height: int = 250
) -> go.Figure:
    """Return p50 to p95 as a band, p95 as a strong line, p99 dotted, the limit dashed."""
    c, x = look.colours, _times(rows, look)
    p50, p95 = _column(rows, "p50"), _column(rows, "p95")
    figure = go.Figure()
    _add_band(figure, (x, p50, p95), c.blue_fill, look.say("chart.band"))
    shared: dict[str, Any] = {"x": x, "hovertemplate": "%{y:,.0f} ms"}
    figure.add_scatter(
        y=_column(rows, "p99"),
        name="p99",
        mode="lines",
        line={"color": c.blue, "width": 1, "dash": "dot"},
        **shared,
    )
    figure.add_scatter(
        y=p95,
        name="p95",
        mode="lines+markers" if _isolated(p95) else "lines",
        line={"color": c.blue, "width": 2.2},
        marker={"size": 4},
        **shared,
    )
    figure.add_scatter(
        y=p50,
        name="p50",
        mode="lines",
        line={"color": c.blue, "width": 1.2},
        opacity=0.75,
        **shared,
    )
    limit_line(figure, look, limit, figures.milliseconds(limit))
    framed(figure, look, height)
    figure.update_yaxes(ticksuffix=" ms", rangemode="tozero")
    return time_axis(figure, look)


def errors(
    rows: Rows,
    look: Look,
    limit: float | None = None,
    height: int = 200,
    intervals: bool = False,
) -> go.Figure:
    """Return one bar per bucket: over the limit orange and hatched, pale when thin."""
    x, rates = _times(rows, look), _column(rows, "error_rate")
    figure = go.Figure()
    if intervals:
        # the interval of a thin bucket would fill the picture
        thick = [row if (row.get("n") or 0) >= MIN_REQUESTS else {} for row in rows]
        band = (x, _column(thick, "error_low"), _column(thick, "error_high"))
        _add_band(figure, band, look.colours.grey_fill, look.say("chart.interval"))
    figure.add_bar(
        x=x,
        y=rates,
        name=look.say("chart.failed"),
        marker=_rate_marker(rows, rates, limit, look),
        customdata=_rate_texts(rows, rates, look),
        hovertemplate="%{customdata}",
    )
    limit_line(figure, look, limit, figures.percent(limit))
    framed(figure, look, height, legend=intervals)
    top = max([rate for rate in rates if rate is not None] + [limit or 0.0, 0.001])
    if intervals:
        # wide intervals of thin buckets may leave the picture, the rates and the limit
        # may not
        highest = max([row.get("error_high") or 0.0 for row in rows], default=0.0)
        top = max(top, min(highest, 2 * top))
    tick_format = ".1%" if top < 0.1 else ".0%"
    figure.update_yaxes(tickformat=tick_format, range=[0, top * 1.25])
    return time_axis(figure, look)


def _rate_marker(
    rows: Rows, rates: Values, limit: float | None, look: Look
) -> dict[str, Any]:
    c = look.colours
    is_over = [
        limit is not None and rate is not None and rate > limit for rate in rates
    ]
    is_thin = [(row.get("n") or 0) < MIN_REQUESTS for row in rows]
    return {
        "color": [c.orange if over else c.grey for over in is_over],
        "opacity": [0.45 if thin else 1.0 for thin in is_thin],
        "line": {"width": 0},
        "pattern": {
            "shape": ["/" if over else "" for over in is_over],
            "fgcolor": c.card,
            "size": 5,
        },
    }


def _rate_texts(rows: Rows, rates: Values, look: Look) -> list[str]:
    texts = []
    for row, rate in zip(rows, rates, strict=True):
        n = figures.count(row.get("n") or 0)
        texts.append(look.say("chart.few", rate=figures.percent(rate), n=n))
    return texts


def traffic(rows: Rows, before: Rows, look: Look, height: int = 200) -> go.Figure:
    """Return requests per bucket, and the same hours one week before as a grey line."""
    c = look.colours
    figure = go.Figure()
    if before:
        figure.add_scatter(
            x=_times(before, look),
            y=_column(before, "n"),
            name=look.say("chart.before"),
            mode="lines",
            line={"color": c.grey, "width": 1.6},
            hovertemplate="%{y:,}",
        )
    figure.add_scatter(
        x=_times(rows, look),
        y=[row.get("n") or 0 for row in rows],
        name=look.say("chart.now"),
        mode="lines",
        line={"color": c.blue, "width": 2},
        fill="tozeroy",
        fillcolor=c.blue_fill,
        hovertemplate="%{y:,}",
    )
    framed(figure, look, height)
    figure.update_yaxes(rangemode="tozero", tickformat="~s")
    return time_axis(figure, look)


def _add_band(
    figure: go.Figure, band: tuple[list[Any], Values, Values], fill: str, name: str
) -> None:
    """Add a filled band between two series.

    One closed shape per run of data: a single one would paint across gaps.
    """
    for i, (xs, low, high) in enumerate(_runs(*band)):
        figure.add_scatter(
            x=xs + xs[::-1],
            y=high + low[::-1],
            fill="toself",
            fillcolor=fill,
            mode="lines",
            line={"width": 0},
            hoverinfo="skip",
            name=name,
            legendgroup=name,
            showlegend=i == 0,
        )


def _isolated(values: Values) -> bool:
    """Return whether some value has no neighbour: a line alone would not show it."""
    padded = [None, *values, None]
    triples = zip(padded, padded[1:], padded[2:], strict=False)
    return any(
        value is not None and before is None and after is None
        for before, value, after in triples
    )


def _runs(
    x: list[Any], low: Values, high: Values
) -> list[tuple[list[Any], list[float], list[float]]]:
    """Return the runs of at least two neighbouring buckets in which both values exist."""
    runs: list[tuple[list[Any], list[float], list[float]]] = []
    open_run = False
    for at, bottom, top in zip(x, low, high, strict=True):
        if bottom is None or top is None:
            open_run = False
            continue
        if not open_run:
            runs.append(([], [], []))
            open_run = True
        for values, value in zip(runs[-1], (at, bottom, top), strict=True):
            values.append(value)
    return [run for run in runs if len(run[0]) > 1]
