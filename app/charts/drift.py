"""Drift: which feature, since when, and which of its values."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app import text
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
BIN_WORDS = ("other", "new", "missing")


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


def comparison(
    bins: list[dict[str, Any]], statistic: str, look: Look, height: int = 380
) -> go.Figure:
    """Share per bin in the reference and now, and below it what each bin adds to the statistic."""
    c = look.colours
    labels = [tag_free(bin_name(one["label"], look)) for one in bins]
    parts = [one.get("contribution") for one in bins]
    total = sum(part for part in parts if part)
    top = [
        part is not None and total > 0 and part >= max(total * 0.2, 0.02)
        for part in parts
    ]
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.66, 0.34],
        vertical_spacing=0.09,
    )
    shared = {
        "x": list(range(len(bins))),
        "customdata": labels,
        "hovertemplate": "%{y:.1%}",
    }
    before, now = look.say("drift.reference_name"), look.say("drift.current_name")
    style = {"color": c.grey_fill, "line": {"color": c.grey, "width": 1.4}}
    figure.add_bar(
        y=[one.get("reference") for one in bins],
        name=before,
        marker=style,
        row=1,
        col=1,
        **shared,
    )
    figure.add_bar(
        y=[one.get("current") for one in bins],
        name=now,
        marker={"color": c.blue},
        row=1,
        col=1,
        **shared,
    )
    axis = look.say("drift.part_axis", statistic=statistic)
    figure.add_bar(
        x=shared["x"],
        y=[part or 0 for part in parts],
        name=axis,
        showlegend=False,
        marker={"color": [c.orange if big else c.grey for big in top]},
        text=[
            f"{part / total:.0%}" if big and part else ""
            for part, big in zip(parts, top, strict=True)
        ],
        textposition="outside",
        textangle=0,
        cliponaxis=False,
        textfont={"size": 11, "color": c.orange},
        hovertemplate="%{y:.3f}",
        row=2,
        col=1,
    )
    framed(figure, look, height)
    figure.update_layout(barmode="group", bargap=0.22, bargroupgap=0.04)
    figure.update_xaxes(tickvals=shared["x"], ticktext=_spaced(labels), nticks=None)
    highest = max([part for part in parts if part] + [0.01])
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(nticks=3, range=[0, highest * 1.3], row=2, col=1)
    return figure


def _spaced(labels: list[str]) -> list[str]:
    """The labels of an axis; of many bins every second one, and always the last three, where the special bins are."""
    crowded, n = len(labels) > 12, len(labels)
    return [
        shortened(one, 22) if not crowded or i % 2 == 0 or i >= n - 3 else ""
        for i, one in enumerate(labels)
    ]


def bin_name(label: object, look: Look) -> str:
    """The bin's name for people, as plain text; the three special bins are translated."""
    return text.say(look.language, f"bin.{label}") if label in BIN_WORDS else str(label)


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
