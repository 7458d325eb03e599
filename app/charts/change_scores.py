"""Change score of each signal over time, against the alert level."""

from datetime import datetime, timedelta
from typing import Any

import plotly.graph_objects as go

from app import figures
from app.charts.look import Look, framed, tag_free, time_axis

Json = dict[str, Any]
Points = list[tuple[datetime, float]]
SIGNALS = ("inputs", "segments", "quality", "latency", "errors", "traffic", "unseen")
DASHES = {
    "inputs": "solid",
    "quality": "solid",
    "latency": "dash",
    "errors": "dot",
    "traffic": "dashdot",
    "unseen": "longdash",
    "segments": "longdashdot",
}
MIN_SCORE, MAX_SCORE = 0.01, 10.0  # of the alert level; drawn at the edge beyond them
MAX_POINTS = 400


def scores(
    lanes: list[Json],
    rows: list[Json],
    changes: list[Json],
    look: Look,
    height: int = 270,
) -> go.Figure:
    """Return one line per signal that has any score, on a logarithmic axis.

    The alert level is a dashed line; open changes that began in the range are shaded.
    """
    figure = go.Figure()
    for lane in sorted(lanes, key=_place):
        name = str(lane["lane"])
        own = [row for row in rows if row.get("lane") == name]
        points = _line_points(own, lane["window_hours"] or 1)
        has_score = any(score >= MIN_SCORE for _, score in points)
        if name == "inputs" or has_score:
            _add_line(figure, look, name, points)
    framed(figure, look, height)
    figure.update_layout(margin_t=44, legend_font_size=11)
    _shade(figure, rows, changes, look)
    _add_alert_level(figure, look)
    time_axis(figure, look)
    figure.update_yaxes(
        type="log",
        range=[-2.05, 1.1],
        tickvals=[0.01, 0.1, 1, 10],
        ticktext=["≤1%", "10%", "100%", "≥1000%"],
    )
    return figure


def _place(lane: Json) -> int:
    name = lane["lane"]
    return SIGNALS.index(name) if name in SIGNALS else len(SIGNALS)


def _shade(
    figure: go.Figure, rows: list[Json], changes: list[Json], look: Look
) -> None:
    """Shade open changes from their start; an older one would shade the whole range."""
    times = [time for time in look.times([row.get("t") for row in rows]) if time]
    if not times:
        return
    first, last = min(times), max(times)
    for start in look.times([change.get("from") for change in changes]):
        if start is not None and first <= start < last:
            figure.add_vrect(
                start,
                last,
                fillcolor=look.colours.orange,
                opacity=0.06,
                line_width=0,
                layer="below",
            )


def _add_alert_level(figure: go.Figure, look: Look) -> None:
    colour = look.colours.orange
    figure.add_hline(y=1, line={"color": colour, "width": 1.3, "dash": "dash"})
    # a text of its own: on a logarithmic axis it is placed by the exponent, the line
    # by the value
    figure.add_annotation(
        text=look.say("detector.alert_level"),
        x=0,
        xref="paper",
        xanchor="left",
        y=0,
        yanchor="bottom",
        showarrow=False,
        font={"size": 11, "color": colour},
    )


def _add_line(figure: go.Figure, look: Look, signal: str, points: Points) -> None:
    c = look.colours
    colours = {"inputs": c.blue, "quality": c.ink}
    times = [time.astimezone(look.zone).replace(tzinfo=None) for time, _ in points]
    figure.add_scatter(
        x=times,
        y=[min(max(score, MIN_SCORE), MAX_SCORE) for _, score in points],
        customdata=[figures.percent(score) for _, score in points],
        name=look.say(f"lane.{signal}") if signal in SIGNALS else tag_free(signal),
        mode="lines" if len(points) > 1 else "markers",
        line={
            "color": colours.get(signal, c.grey),
            "width": 2 if signal == "inputs" else 1.3,
            "dash": DASHES.get(signal),
            "shape": "hv",
        },
        hovertemplate="%{customdata}",
    )


def _line_points(rows: list[Json], width_h: int) -> Points:
    """Return the scores by time, each `width_h` hours long.

    Where the server has no row the score is 0. Of many points the highest of each group
    is left.
    """
    timed = [
        (time, float(row.get("value") or 0.0))
        for row in rows
        if (time := figures.parse(row.get("t")))
    ]
    step = timedelta(hours=width_h)
    points: Points = []
    for time, score in sorted(timed):
        if points and time - points[-1][0] > step:
            points.append((points[-1][0] + step, 0.0))
        points.append((time, score))
    size = -(-len(points) // MAX_POINTS)
    if size <= 1:
        return points
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [max(group, key=lambda point: point[1]) for group in groups]
