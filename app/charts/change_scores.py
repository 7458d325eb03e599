"""The detector's evidence of each lane over time, as a share of what pages."""

from datetime import datetime, timedelta
from typing import Any

import plotly.graph_objects as go

from app import figures
from app.charts.look import Look, framed, tag_free, time_axis

Json = dict[str, Any]
LANES = ("inputs", "segments", "quality", "latency", "errors", "traffic", "unseen")
DASHES = {
    "inputs": "solid",
    "quality": "solid",
    "latency": "dash",
    "errors": "dot",
    "traffic": "dashdot",
    "unseen": "longdash",
    "segments": "longdashdot",
}
LEAST, MOST = 0.01, 10.0  # of a page: below is nothing, above says no more
POINTS = 400


def evidence(
    lanes: list[Json],
    rows: list[Json],
    opened: list[Json],
    look: Look,
    height: int = 270,
) -> go.Figure:
    """One line for each lane that has any evidence, on a logarithmic axis; the level that pages; open changes that began in it shaded."""
    figure = go.Figure()
    known = sorted(
        lanes,
        key=lambda one: (
            LANES.index(one["lane"]) if one["lane"] in LANES else len(LANES)
        ),
    )
    for lane in known:
        points = _course(
            [one for one in rows if one.get("lane") == lane["lane"]],
            lane["window_hours"] or 1,
        )
        if lane["lane"] == "inputs" or any(value >= LEAST for _, value in points):
            _line(figure, look, str(lane["lane"]), points)
    framed(figure, look, height)
    figure.update_layout(margin_t=44, legend_font_size=11)
    moments = [at for one in rows if (at := figures.local(one.get("t"), look.zone))]
    for one in opened if moments else []:
        begun = figures.local(one.get("from"), look.zone)
        # an older one would shade the whole range
        if begun is not None and min(moments) <= begun < max(moments):
            figure.add_vrect(
                begun,
                max(moments),
                fillcolor=look.colours.orange,
                opacity=0.06,
                line_width=0,
                layer="below",
            )
    figure.add_hline(
        y=1, line={"color": look.colours.orange, "width": 1.3, "dash": "dash"}
    )
    # of its own: on a logarithmic axis it is placed by the exponent, the line by the
    # value
    figure.add_annotation(
        text=look.say("detector.page_level"),
        x=0,
        xref="paper",
        xanchor="left",
        y=0,
        yanchor="bottom",
        showarrow=False,
        font={"size": 11, "color": look.colours.orange},
    )
    time_axis(figure, look)
    figure.update_yaxes(
        type="log",
        range=[-2.05, 1.1],
        tickvals=[0.01, 0.1, 1, 10],
        ticktext=["≤1%", "10%", "100%", "≥1000%"],
    )
    return figure


def _line(
    figure: go.Figure, look: Look, lane: str, points: list[tuple[datetime, float]]
) -> None:
    c = look.colours
    colours = {"inputs": c.blue, "quality": c.ink}
    key = f"lane.{lane}"
    figure.add_scatter(
        x=[at.astimezone(look.zone).replace(tzinfo=None) for at, _ in points],
        y=[min(max(value, LEAST), MOST) for _, value in points],
        customdata=[figures.percent(value) for _, value in points],
        name=look.say(key) if lane in LANES else tag_free(lane),
        mode="lines" if len(points) > 1 else "markers",
        line={
            "color": colours.get(lane, c.grey),
            "width": 2 if lane == "inputs" else 1.3,
            "dash": DASHES.get(lane),
            "shape": "hv",
        },
        hovertemplate="%{customdata}",
    )


def _course(rows: list[Json], width: int) -> list[tuple[datetime, float]]:
    """The evidence by time; where the server has none it is nothing, and of many points each group's highest is left."""
    known = [
        (at, float(one.get("value") or 0.0))
        for one in rows
        if (at := figures.parse(one.get("t")))
    ]
    step = timedelta(hours=width)
    points: list[tuple[datetime, float]] = []
    for at, value in sorted(known):
        if points and at - points[-1][0] > step:
            points.append((points[-1][0] + step, 0.0))
        points.append((at, value))
    group = -(-len(points) // POINTS)
    return (
        [
            max(points[i : i + group], key=lambda one: one[1])
            for i in range(0, len(points), group)
        ]
        if group > 1
        else points
    )
