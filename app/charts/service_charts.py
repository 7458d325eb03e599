"""Latency, errors and traffic over time.

Rows are a full time grid: a bucket without events is a gap, not a line.
"""

from typing import Any

import plotly.graph_objects as go

from app import figures
from app.charts.look import Look, framed, limit_line, time_axis

Rows = list[dict[str, Any]]
Values = list[float | None]
# a rate of fewer answers than this is drawn pale: one failure in 15 calls is not an
# outage
FEW = 50


def _column(rows: Rows, name: str) -> Values:
    return [row.get(name) for row in rows]


def latency(
    rows: Rows, look: Look, limit: float | None = None, height: int = 250
) -> go.Figure:
    """p50 to p95 as a band, p95 strong, p99 dotted, the limit dashed."""
    c, x = look.colours, look.times([row["t"] for row in rows])
    hover = "%{y:,.0f} ms"
    figure = go.Figure()
    add = figure.add_scatter
    p50, p95 = _column(rows, "p50"), _column(rows, "p95")
    lone = "lines+markers" if _isolated(p95) else "lines"
    _add_band(figure, (x, p50, p95), c.blue_fill, look.say("chart.band"))
    line = {"color": c.blue, "width": 1, "dash": "dot"}
    add(
        x=x,
        y=_column(rows, "p99"),
        name="p99",
        mode="lines",
        line=line,
        hovertemplate=hover,
    )
    add(
        x=x,
        y=p95,
        name="p95",
        mode=lone,
        line={"color": c.blue, "width": 2.2},
        marker={"size": 4},
        hovertemplate=hover,
    )
    line = {"color": c.blue, "width": 1.2}
    add(
        x=x,
        y=p50,
        name="p50",
        mode="lines",
        line=line,
        opacity=0.75,
        hovertemplate=hover,
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
    """A bar per bucket: over the limit orange and hatched, pale when few answers stand behind it."""
    c = look.colours
    rate = _column(rows, "error_rate")
    over = [limit is not None and one is not None and one > limit for one in rate]
    counts = [row.get("n") or 0 for row in rows]
    figure = go.Figure()
    x = look.times([row["t"] for row in rows])
    if intervals:
        # of thin buckets it would fill the picture
        thick = [one if (one.get("n") or 0) >= FEW else {} for one in rows]
        low, high = _column(thick, "error_low"), _column(thick, "error_high")
        _add_band(figure, (x, low, high), c.grey_fill, look.say("chart.interval"))
    figure.add_bar(
        x=x,
        y=rate,
        name=look.say("chart.failed"),
        marker={
            "color": [c.orange if bad else c.grey for bad in over],
            "opacity": [0.45 if n < FEW else 1.0 for n in counts],
            "line": {"width": 0},
            "pattern": {
                "shape": ["/" if bad else "" for bad in over],
                "fgcolor": c.card,
                "size": 5,
            },
        },
        customdata=[
            look.say("chart.few", rate=figures.percent(r), n=figures.count(n))
            for r, n in zip(rate, counts, strict=True)
        ],
        hovertemplate="%{customdata}",
    )
    limit_line(figure, look, limit, figures.percent(limit))
    framed(figure, look, height, legend=intervals)
    top = max([one for one in rate if one is not None] + [limit or 0.0, 0.001])
    # wide intervals of thin buckets may leave the picture, the rates and the limit may
    # not
    if intervals:
        top = max(
            top,
            min(
                max(
                    [r["error_high"] or 0.0 for r in rows if r.get("error_high")]
                    + [0.0]
                ),
                2 * top,
            ),
        )
    figure.update_yaxes(tickformat=".1%" if top < 0.1 else ".0%", range=[0, top * 1.25])
    return time_axis(figure, look)


def traffic(rows: Rows, before: Rows, look: Look, height: int = 200) -> go.Figure:
    """Answers per bucket, with the same hours one week before as a grey line behind them."""
    c = look.colours
    figure = go.Figure()
    if before:
        figure.add_scatter(
            x=look.times([row["t"] for row in before]),
            y=_column(before, "n"),
            name=look.say("chart.before"),
            mode="lines",
            line={"color": c.grey, "width": 1.6},
            hovertemplate="%{y:,}",
        )
    figure.add_scatter(
        x=look.times([row["t"] for row in rows]),
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
    """A filled band between two series, one closed shape per stretch of data: a single one would paint across gaps."""
    for i, (xs, low, high) in enumerate(_stretches(*band)):
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
    """True when some value has no neighbour: a line alone would not show it."""
    padded = [None, *values, None]
    return any(
        here is not None and left is None and right is None
        for left, here, right in zip(padded, padded[1:], padded[2:], strict=False)
    )


def _stretches(
    x: list[Any], low: Values, high: Values
) -> list[tuple[list[Any], list[float], list[float]]]:
    """The runs of at least two neighbouring buckets in which both values exist."""
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
