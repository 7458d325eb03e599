"""Alerts over time: one bar from start to end of each alert."""

from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from app.charts.look import Look, framed, shortened, tag_free, time_axis

Alert = dict[str, Any]
ROW_PX, FRAME_PX = 42, 44
MIN_BAR_S = 60.0  # a shorter bar would not be seen
MAX_LABEL_LENGTH = 50  # as wide as a phone


def timeline(
    alerts: list[Alert], now: str, look: Look, start: str | None = None
) -> go.Figure:
    """Return one bar per alert: red when critical, orange when a warning.

    Hatched while open, pale while pending. `alerts` need "label", "since", "until"
    (None = open), "severity", "state" and "hover". The axis runs from `start` (default:
    the first alert) to `now`.
    """
    labels = [tag_free(alert["label"]) for alert in alerts]
    rows = list(dict.fromkeys(labels))
    end = look.times([now])[0] or datetime.now()
    figure = go.Figure()
    starts = [time or end for time in look.times([a["since"] for a in alerts])]
    ends = [time or end for time in look.times([a["until"] for a in alerts])]
    figure.add_bar(
        base=starts,
        x=[_length_ms(a, b) for a, b in zip(starts, ends, strict=True)],
        y=labels,
        orientation="h",
        marker=_marker(alerts, look),
        customdata=[tag_free(alert["hover"]) for alert in alerts],
        hovertemplate="<b>%{y}</b><br>%{customdata}<extra></extra>",
        width=0.3,
        offset=0.02,
    )
    framed(figure, look, FRAME_PX + ROW_PX * max(len(rows), 2), legend=False)
    figure.update_layout(hovermode="closest", barmode="overlay")
    time_axis(figure, look)
    _label_rows(figure, rows, look)
    figure.update_xaxes(showgrid=True, gridcolor=look.colours.grid)
    if start is not None:
        figure.update_xaxes(range=[look.times([start])[0], end])
    return figure


def _length_ms(start: datetime, end: datetime) -> float:
    return max((end - start).total_seconds(), MIN_BAR_S) * 1000


def _marker(alerts: list[Alert], look: Look) -> dict[str, Any]:
    c = look.colours
    colours = {"critical": c.red, "warning": c.orange}
    return {
        "color": [colours.get(alert["severity"], c.grey) for alert in alerts],
        "opacity": [0.5 if alert["state"] == "pending" else 1.0 for alert in alerts],
        "pattern": {
            "shape": ["/" if alert["until"] is None else "" for alert in alerts],
            "fgcolor": c.card,
            "size": 6,
        },
        "line": {"width": 0},
    }


def _label_rows(figure: go.Figure, rows: list[str], look: Look) -> None:
    """Write each label above its bar: beside it, a phone would have no room for bars."""
    figure.update_yaxes(
        autorange="reversed",
        type="category",
        categoryorder="array",
        categoryarray=rows,
        showticklabels=False,
        showgrid=False,
        ticks="",
    )
    for label in rows:
        figure.add_annotation(
            x=0,
            xref="paper",
            xanchor="left",
            y=label,
            yshift=15,
            showarrow=False,
            text=shortened(label, MAX_LABEL_LENGTH),
            font={"size": 12, "color": look.colours.ink},
        )
