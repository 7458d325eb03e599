"""Drift: which feature, since when, and which of its values."""

from typing import Any

import plotly.graph_objects as go

from app.charts.look import Look, framed, shortened, tag_free, time_axis

Column = dict[str, Any]
# level -> (row of the colour scale, mark in the cell, so that reading never rests on
# hue alone)
LEVELS = {
    "no_data": (0, ""),
    "insufficient": (0, ""),
    "learning": (0, ""),
    "ok": (1, ""),
    "warn": (2, ""),
    "breach": (3, "•"),
    "severe": (4, "▲"),
}
ROW_PX, TOP_PX = 24.0, 60
# those worth a place in the legend
LEVEL_NAMES = ("ok", "warn", "breach", "severe", "insufficient")


def heatmap(
    columns: list[Column], steps: list[str], statistic: str, look: Look
) -> go.Figure:
    """One row per column in the order given, one cell per step, coloured and marked by level."""
    c = look.colours
    names = [tag_free(one["column"]) for one in columns]
    levels = [_padded(one["levels"], len(steps), "no_data") for one in columns]
    values = [_padded(one["values"], len(steps), None) for one in columns]
    told = [
        [
            f"{statistic} {value:.3f} · {_level(look, level)}"
            if value is not None
            else _level(look, level)
            for value, level in zip(row, marks, strict=True)
        ]
        for row, marks in zip(values, levels, strict=True)
    ]
    scale = [
        [(i + end) / 5, colour] for i, colour in enumerate(c.levels) for end in (0, 1)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=[[LEVELS.get(level, (0, ""))[0] for level in row] for row in levels],
            x=look.times(steps),
            y=names,
            text=[[LEVELS.get(level, (0, ""))[1] for level in row] for row in levels],
            customdata=told,
            texttemplate="%{text}",
            textfont={"size": 10 if len(steps) <= 35 else 6, "color": c.card},
            xgap=1.5 if len(steps) <= 60 else 0,
            ygap=3,
            zmin=-0.5,
            zmax=4.5,
            colorscale=scale,
            showscale=False,
            hovertemplate="<b>%{y}</b><br>%{x}<br>%{customdata}<extra></extra>",
        )
    )
    empty = [
        (j, i)
        for i, row in enumerate(levels)
        for j, level in enumerate(row)
        if LEVELS.get(level, (0, ""))[0] == 0
    ]
    moments = look.times(steps)
    figure.add_scatter(
        x=[moments[j] for j, _ in empty],
        y=[names[i] for _, i in empty],
        mode="text",
        text="·",
        hoverinfo="skip",
        textfont={"color": c.muted, "size": 13},
    )
    framed(figure, look, int(TOP_PX + ROW_PX * max(len(names), 3)), legend=False)
    figure.update_layout(hovermode="closest")
    time_axis(figure, look)
    figure.update_xaxes(showline=False, nticks=6, range=_edges(moments))
    figure.update_yaxes(
        autorange="reversed",
        showgrid=False,
        type="category",
        nticks=len(names) + 1,
        ticks="",
        ticklabelstandoff=4,
        tickfont={"color": c.ink, "size": 12.5},
        tickvals=names,
        ticktext=[shortened(name, 22) for name in names],
    )
    return figure


def _edges(moments: list[Any]) -> list[Any] | None:
    """From the left edge of the first cell to the right edge of the last."""
    if len(moments) < 2:
        return None
    half = (moments[1] - moments[0]) / 2
    return [moments[0] - half, moments[-1] + half]


def _level(look: Look, level: str) -> str:
    return look.say(f"level.{level}") if level in LEVELS else tag_free(level)


def _padded(values: list[Any], length: int, with_: Any) -> list[Any]:
    return [*values[:length], *([with_] * (length - len(values)))]
