"""Received rows over time, by outcome: stored, duplicate, refused."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts.look import Look, framed, time_axis

OUTCOMES = ("stored", "duplicate", "refused")
BAR_SHARE_MS = 880  # of a second: a gap of 12 % between bars
MIN_AXIS = 4  # few rows are whole rows; an axis of half a row reads as an error


def receipts(
    rows: list[dict[str, Any]],
    step_s: float,
    span: tuple[str | None, str | None],
    look: Look,
) -> go.Figure:
    """Return rows by time received: stored above; duplicate and refused below.

    Below, a few rows are seen beside millions. `rows` need "hour" and the three
    outcomes; those of one hour (events, labels) are added up.
    """
    sums = _sums(rows)
    times = look.times(list(sums))
    markers = _markers(look)
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.62, 0.38],
        vertical_spacing=0.08,
    )
    for name in OUTCOMES:
        figure.add_bar(
            x=times,
            y=[counts[name] for counts in sums.values()],
            name=look.say(f"chart.{name}"),
            marker={**markers[name], "line": {"width": 0}},
            # in ms: a lone bar would otherwise be as wide as the picture
            width=step_s * BAR_SHARE_MS,
            offset=0,
            hovertemplate="%{y:,}",
            row=1 if name == "stored" else 2,
            col=1,
        )
    framed(figure, look, 300)
    figure.update_layout(barmode="stack")
    time_axis(figure, look)
    ends = look.times(span)
    if None not in ends:
        figure.update_xaxes(range=ends)
    figure.update_yaxes(rangemode="tozero", tickformat="~s")
    figure.update_yaxes(nticks=3, row=2, col=1)
    lower = [counts["duplicate"] + counts["refused"] for counts in sums.values()]
    if max(lower, default=0) < MIN_AXIS:
        figure.update_yaxes(range=[0, MIN_AXIS], dtick=2, row=2, col=1)
    return figure


def _sums(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return the rows of each outcome by hour."""
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = sums.setdefault(str(row["hour"]), dict.fromkeys(OUTCOMES, 0))
        for name in OUTCOMES:
            counts[name] += row.get(name) or 0
    return sums


def _markers(look: Look) -> dict[str, dict[str, Any]]:
    c = look.colours
    hatched = {"shape": "/", "bgcolor": c.orange, "fgcolor": c.card, "size": 5}
    return {
        "stored": {"color": c.blue},
        "duplicate": {"color": c.grey},
        "refused": {"color": c.orange, "pattern": hatched},
    }
