"""Alerts over time: when each episode began and ended."""

from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from app.charts.look import Look, framed, shortened, tag_free, time_axis

ROW_PX, FRAME_PX = 42, 44


def timeline(
    episodes: list[dict[str, Any]], now: str, look: Look, start: str | None = None
) -> go.Figure:
    """One bar per episode: orange when critical, grey when a warning, hatched while open, pale while pending.

    `episodes` need "label", "since", "until" (None = open), "severity", "state" and
    "hover". The axis runs from `start` (default: the first episode) to `now`.
    """
    c = look.colours
    rows = list(dict.fromkeys(one["label"] for one in episodes))
    end_of_time = look.times([now])[0] or datetime.now()
    starts = [look.times([one["since"]])[0] or end_of_time for one in episodes]
    ends = [look.times([one["until"]])[0] or end_of_time for one in episodes]
    is_open = [one["until"] is None for one in episodes]
    figure = go.Figure()
    figure.add_bar(
        base=starts,
        x=[
            max((end - start).total_seconds(), 60.0) * 1000
            for start, end in zip(starts, ends, strict=True)
        ],
        y=[tag_free(one["label"]) for one in episodes],
        orientation="h",
        marker={
            "color": [
                c.orange if one["severity"] == "critical" else c.blue
                for one in episodes
            ],
            "opacity": [0.5 if one["state"] == "pending" else 1.0 for one in episodes],
            "pattern": {
                "shape": ["/" if one else "" for one in is_open],
                "fgcolor": c.card,
                "size": 6,
            },
            "line": {"width": 0},
        },
        customdata=[tag_free(one["hover"]) for one in episodes],
        hovertemplate="<b>%{y}</b><br>%{customdata}<extra></extra>",
        width=0.3,
        offset=0.02,
    )
    framed(figure, look, FRAME_PX + ROW_PX * max(len(rows), 2), legend=False)
    figure.update_layout(hovermode="closest", barmode="overlay")
    time_axis(figure, look)
    names = [tag_free(row) for row in rows]
    figure.update_yaxes(
        autorange="reversed",
        type="category",
        categoryorder="array",
        categoryarray=names,
        showticklabels=False,
        showgrid=False,
        ticks="",
    )
    # written above its bar: beside it, a phone would have no room left for the bars
    for name in names:
        figure.add_annotation(
            x=0,
            xref="paper",
            xanchor="left",
            y=name,
            yshift=15,
            showarrow=False,
            text=shortened(name, 60),
            font={"size": 12, "color": c.ink},
        )
    figure.update_xaxes(showgrid=True, gridcolor=c.grid)
    if start is not None:
        figure.update_xaxes(range=[look.times([start])[0], end_of_time])
    return figure
