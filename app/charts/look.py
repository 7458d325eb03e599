"""What all charts share: colours for light and dark, the viewer's language and clock, axes and legend."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from itertools import pairwise
from zoneinfo import ZoneInfo

import plotly.graph_objects as go

from app import figures, text

FONT = "Inter, 'Noto Sans TC', 'Noto Sans CJK TC', system-ui, 'Segoe UI', 'PingFang TC', sans-serif"


@dataclass(frozen=True)
class Palette:
    """Colours of one mode.

    Blue and orange carry meaning (Okabe-Ito); red and green are never told apart alone.
    """

    page: str
    card: str
    ink: str
    soft: str
    muted: str
    grid: str
    blue: str
    blue_fill: str
    orange: str
    grey: str
    grey_fill: str
    # no data or too little, stable, watch, drift, severe
    levels: tuple[str, str, str, str, str]


LIGHT = Palette(
    page="#F4F6F8",
    card="#FFFFFF",
    ink="#17202B",
    soft="#46525F",
    muted="#5B6877",
    grid="#E7EBF0",
    blue="#0072B2",
    blue_fill="rgba(0,114,178,.14)",
    orange="#D55E00",
    grey="#9AA5B1",
    grey_fill="rgba(120,132,145,.16)",
    levels=("#FFFFFF", "#EDF1F6", "#F9DFA8", "#EE9B3C", "#A83A0B"),
)
DARK = Palette(
    page="#0D1218",
    card="#171E27",
    ink="#E6EBF1",
    soft="#B5C0CC",
    muted="#93A1B1",
    grid="#242E3A",
    blue="#56B4E9",
    blue_fill="rgba(86,180,233,.17)",
    orange="#F28E4B",
    grey="#6B7888",
    grey_fill="rgba(150,165,180,.16)",
    levels=("#171E27", "#202A36", "#5A4A22", "#C27A1E", "#FFB98A"),
)


@dataclass(frozen=True)
class Look:
    """How this viewer sees charts."""

    colours: Palette = LIGHT
    language: str = "en"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def say(self, key: str, **values: object) -> str:
        """A sentence for a place in a chart where plotly would read tags: they are shown as they are."""
        return escape(text.say(self.language, key, **values), quote=False)

    def times(self, moments: Sequence[str | None]) -> list[datetime | None]:
        """The moments on the viewer's wall clock."""
        return [figures.local(one, self.zone) for one in moments]


def tag_free(name: object) -> str:
    """A name from outside as plotly text: shown as it is, never as markup."""
    return escape(str(name), quote=False)


def shortened(name: str, longest: int) -> str:
    """The name with at most so many characters."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def sparkline(values: Sequence[float | None], points: int = 60) -> list[float]:
    """At most `points` numbers for a tile: gaps dropped, long series averaged piece by piece."""
    known = [float(one) for one in values if one is not None]
    if len(known) <= points:
        return known
    edges = [round(i * len(known) / points) for i in range(points + 1)]
    return [sum(known[a:b]) / (b - a) for a, b in pairwise(edges)]


def framed(
    figure: go.Figure, look: Look, height: int, legend: bool = True
) -> go.Figure:
    """The figure with this project's axes, legend, hover label and colours; zoom survives a refresh."""
    c = look.colours
    small = {"color": c.muted, "size": 11.5}
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 10, "t": 26 if legend else 8, "b": 2},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": c.ink, "size": 12.5, "family": FONT},
        hovermode="x unified",
        hoverlabel={"bgcolor": c.card, "font": {"color": c.ink}, "bordercolor": c.grid},
        showlegend=legend,
        legend={
            "orientation": "h",
            "y": 1.0,
            "yanchor": "bottom",
            "x": 0,
            "xanchor": "left",
            "font": {"color": c.muted, "size": 12},
            "bgcolor": "rgba(0,0,0,0)",
            "traceorder": "normal",
        },
        bargap=0.12,
        uirevision="keep",
    )
    figure.update_xaxes(
        showgrid=False,
        zeroline=False,
        tickfont=small,
        linecolor=c.grid,
        showline=True,
        automargin=True,
        nticks=8,
    )
    figure.update_yaxes(
        gridcolor=c.grid, zeroline=False, tickfont=small, automargin=True, nticks=5
    )
    return figure


def time_axis(figure: go.Figure, look: Look) -> go.Figure:
    """Ticks as hours, days, months or years, in the viewer's way of writing dates."""
    day, month, hover = (
        ("%-m/%-d", "%Y/%-m", "%-m/%-d %H:%M")
        if look.language == "zh"
        else ("%b %-d", "%b %Y", "%b %-d %H:%M")
    )
    hour_ms, month_ms = 43_200_000, "M1"
    figure.update_xaxes(
        type="date",
        hoverformat=hover,
        tickformatstops=[
            {"dtickrange": [None, hour_ms], "value": "%H:%M"},
            {"dtickrange": [hour_ms + 1, month_ms], "value": day},
            {"dtickrange": [month_ms, None], "value": month},
        ],
    )
    return figure


def limit_line(figure: go.Figure, look: Look, limit: float | None, shown: str) -> None:
    """A dashed line at the limit with its value written on it; nothing when there is no limit."""
    if limit is None:
        return
    colour = look.colours.orange
    figure.add_hline(
        y=limit,
        line={"color": colour, "width": 1.3, "dash": "dash"},
        annotation={
            "text": look.say("chart.limit", value=shown),
            "font": {"size": 11, "color": colour},
        },
        annotation_position="top left",
    )
