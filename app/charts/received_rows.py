"""What came in over time, and what of it was not stored."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.charts.look import Look, framed, time_axis

OUTCOMES = ("stored", "duplicate", "refused")


def receipts(
    rows: list[dict[str, Any]],
    step_s: float,
    span: tuple[str | None, str | None],
    look: Look,
) -> go.Figure:
    """Rows by time of receipt: stored above; duplicate and refused below, where a few are not lost beside millions.

    `rows` need "hour" and the three outcomes; several of one hour (events, labels) are
    added up.
    """
    c = look.colours
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        at = sums.setdefault(str(row["hour"]), dict.fromkeys(OUTCOMES, 0))
        for name in OUTCOMES:
            at[name] += row.get(name) or 0
    moments = look.times(list(sums))
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.62, 0.38],
        vertical_spacing=0.08,
    )
    marks: dict[str, dict[str, Any]] = {
        "stored": {"color": c.blue},
        "duplicate": {"color": c.grey},
        "refused": {
            "color": c.orange,
            "pattern": {
                "shape": "/",
                "bgcolor": c.orange,
                "fgcolor": c.card,
                "size": 5,
            },
        },
    }
    for name in OUTCOMES:
        figure.add_bar(
            x=moments,
            y=[counts[name] for counts in sums.values()],
            name=look.say(f"chart.{name}"),
            marker={**marks[name], "line": {"width": 0}},
            # in ms: a lone bar would otherwise be as wide as the picture
            width=step_s * 880,
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
    highest = max(
        (counts["duplicate"] + counts["refused"] for counts in sums.values()), default=0
    )
    if highest < 4:  # few rows are whole rows; an axis of half a row reads as a mistake
        figure.update_yaxes(range=[0, 4], dtick=2, row=2, col=1)
    return figure
