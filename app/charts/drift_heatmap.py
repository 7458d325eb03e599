"""Drift of each feature over time, as a heat map."""

from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from app.charts.look import Look, framed, shortened, tag_free, time_axis

Column = dict[str, Any]
# level -> row of the colour scale
LEVELS = {
    "no_data": 0,
    "insufficient": 0,
    "learning": 0,
    "ok": 1,
    "warn": 2,
    "breach": 3,
    "severe": 4,
}
# marks in the cell, so that reading never rests on hue alone
LEVEL_MARKS = {"breach": "•", "severe": "▲"}
# levels with a place in the legend
LEVEL_NAMES = ("ok", "warn", "breach", "severe", "insufficient")
ROW_PX, TOP_PX = 24.0, 60
MAX_NAME_LENGTH = 22
MAX_WIDE_STEPS = 35  # with large marks
MAX_SPACED_STEPS = 60  # with gaps between cells


def heatmap(
    columns: list[Column], steps: list[str], statistic: str, look: Look
) -> go.Figure:
    """Return one row per column and one cell per step, coloured and marked by level."""
    c = look.colours
    names = [tag_free(column["column"]) for column in columns]
    levels = [_padded(column["levels"], len(steps), "no_data") for column in columns]
    values = [_padded(column["values"], len(steps), None) for column in columns]
    times = look.times(steps)
    figure = go.Figure(
        go.Heatmap(
            z=[[LEVELS.get(level, 0) for level in row] for row in levels],
            x=times,
            y=names,
            text=[[LEVEL_MARKS.get(level, "") for level in row] for row in levels],
            customdata=[
                _hover_texts(row, marks, statistic, look)
                for row, marks in zip(values, levels, strict=True)
            ],
            texttemplate="%{text}",
            textfont={
                "size": 10 if len(steps) <= MAX_WIDE_STEPS else 6,
                "color": c.card,
            },
            xgap=1.5 if len(steps) <= MAX_SPACED_STEPS else 0,
            ygap=3,
            zmin=-0.5,
            zmax=4.5,
            colorscale=_colour_scale(look),
            showscale=False,
            hovertemplate="<b>%{y}</b><br>%{x}<br>%{customdata}<extra></extra>",
        )
    )
    _mark_empty_cells(figure, levels, names, times, look)
    framed(figure, look, int(TOP_PX + ROW_PX * max(len(names), 3)), legend=False)
    figure.update_layout(hovermode="closest")
    time_axis(figure, look)
    figure.update_xaxes(showline=False, nticks=6, range=_edges(times))
    figure.update_yaxes(
        autorange="reversed",
        showgrid=False,
        type="category",
        nticks=len(names) + 1,
        ticks="",
        ticklabelstandoff=4,
        tickfont={"color": c.ink, "size": 12.5},
        tickvals=names,
        ticktext=[shortened(name, MAX_NAME_LENGTH) for name in names],
    )
    return figure


def _hover_texts(
    values: list[float | None], levels: list[str], statistic: str, look: Look
) -> list[str]:
    texts = []
    for value, level in zip(values, levels, strict=True):
        word = look.say(f"level.{level}") if level in LEVELS else tag_free(level)
        number = "" if value is None else f"{statistic} {value:.3f} · "
        texts.append(f"{number}{word}")
    return texts


def _colour_scale(look: Look) -> list[list[Any]]:
    """Return five flat colours, each from its lower to its upper edge."""
    scale: list[list[Any]] = []
    for i, colour in enumerate(look.colours.levels):
        scale += [[i / 5, colour], [(i + 1) / 5, colour]]
    return scale


def _mark_empty_cells(
    figure: go.Figure,
    levels: list[list[str]],
    names: list[str],
    times: list[datetime | None],
    look: Look,
) -> None:
    """Draw a dot in each cell that has no or insufficient data."""
    cells = [
        (times[j], names[i])
        for i, row in enumerate(levels)
        for j, level in enumerate(row)
        if LEVELS.get(level, 0) == 0
    ]
    figure.add_scatter(
        x=[time for time, _ in cells],
        y=[name for _, name in cells],
        mode="text",
        text="·",
        hoverinfo="skip",
        textfont={"color": look.colours.muted, "size": 13},
    )


def _edges(times: list[Any]) -> list[Any] | None:
    """Return the left edge of the first cell and the right edge of the last."""
    if len(times) < 2:
        return None
    half = (times[1] - times[0]) / 2
    return [times[0] - half, times[-1] + half]


def _padded(values: list[Any], length: int, filler: Any) -> list[Any]:
    return [*values[:length], *([filler] * (length - len(values)))]
