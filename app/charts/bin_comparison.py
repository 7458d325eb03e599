"""Distribution of one feature in reference and current data, bin by bin."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app import text
from app.charts.look import Look, framed, shortened, tag_free

Bin = dict[str, Any]
BIN_WORDS = ("other", "new", "missing", "invalid")
MAX_LABELS = 12  # of more bins every second one has its label
N_SPECIAL = 3  # other, new and missing stand last and always have their label
MAX_LABEL_LENGTH = 22
MARKED_SHARE = 0.2  # of the drift, from which a bin is marked
MIN_MARKED = 0.02


def comparison(
    bins: list[Bin], statistic: str, look: Look, height: int = 380
) -> go.Figure:
    """Return the share of each bin in reference and current data.

    The lower panel has the part of the statistic that each bin makes.
    """
    labels = [tag_free(bin_name(row["label"], look)) for row in bins]
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.66, 0.34],
        vertical_spacing=0.09,
    )
    _add_shares(figure, bins, labels, look)
    _add_parts(figure, bins, statistic, look)
    framed(figure, look, height)
    figure.update_layout(barmode="group", bargap=0.22, bargroupgap=0.04)
    places = list(range(len(bins)))
    figure.update_xaxes(tickvals=places, ticktext=_spaced(labels), nticks=None)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", row=1, col=1)
    return figure


def _add_shares(
    figure: go.Figure, bins: list[Bin], labels: list[str], look: Look
) -> None:
    c = look.colours
    outlined = {"color": c.grey_fill, "line": {"color": c.grey, "width": 1.4}}
    markers = {"reference": outlined, "current": {"color": c.blue}}
    for side, marker in markers.items():
        figure.add_bar(
            x=list(range(len(bins))),
            y=[row.get(side) for row in bins],
            name=look.say(f"drift.{side}_name"),
            marker=marker,
            customdata=labels,
            hovertemplate="%{y:.1%}",
            row=1,
            col=1,
        )


def _add_parts(figure: go.Figure, bins: list[Bin], statistic: str, look: Look) -> None:
    """Add the lower panel; bins that make most of the drift are marked."""
    c = look.colours
    parts = [row.get("contribution") or 0 for row in bins]
    total = sum(parts)
    threshold = max(total * MARKED_SHARE, MIN_MARKED)
    is_marked = [total > 0 and part >= threshold for part in parts]
    shares = [
        f"{part / total:.0%}" if marked else ""
        for part, marked in zip(parts, is_marked, strict=True)
    ]
    figure.add_bar(
        x=list(range(len(bins))),
        y=parts,
        name=look.say("drift.part_axis", statistic=statistic),
        showlegend=False,
        marker={"color": [c.orange if marked else c.grey for marked in is_marked]},
        text=shares,
        textposition="outside",
        textangle=0,
        cliponaxis=False,
        textfont={"size": 11, "color": c.orange},
        hovertemplate="%{y:.3f}",
        row=2,
        col=1,
    )
    highest = max([*parts, 0.01])
    figure.update_yaxes(nticks=3, range=[0, highest * 1.3], row=2, col=1)


def _spaced(labels: list[str]) -> list[str]:
    """Return the labels of the axis; of many bins every second, and always the last."""
    first_special = len(labels) - N_SPECIAL
    is_crowded = len(labels) > MAX_LABELS
    return [
        ""
        if is_crowded and i % 2 and i < first_special
        else shortened(label, MAX_LABEL_LENGTH)
        for i, label in enumerate(labels)
    ]


def bin_name(label: object, look: Look) -> str:
    """Return the bin's name as plain text; the special bins are translated."""
    return text.say(look.language, f"bin.{label}") if label in BIN_WORDS else str(label)
