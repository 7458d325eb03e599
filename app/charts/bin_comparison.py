"""Distribution of one feature in reference and current data, bin by bin."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app import text
from app.charts.look import Look, framed, shortened, tag_free

BIN_WORDS = ("other", "new", "missing")


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
