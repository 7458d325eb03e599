"""Look of all charts: colours for light and dark, language and clock, axes, legend."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from itertools import pairwise
from unicodedata import east_asian_width
from zoneinfo import ZoneInfo

import plotly.graph_objects as go

from app import figures, text

FONT = (
    "Inter, 'Noto Sans TC', 'Noto Sans CJK TC', system-ui, 'Segoe UI', "
    "'PingFang TC', sans-serif"
)


@dataclass(frozen=True)
class Palette:
    """Colours of one mode.

    Blue and orange carry meaning (Okabe-Ito); no reading rests on red and green alone.
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
    red: str
    grey: str
    grey_fill: str
    # no or insufficient data, no drift, near limit, drift, large drift
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
    red="#C62828",
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
    red="#FF6B6B",
    grey="#6B7888",
    grey_fill="rgba(150,165,180,.16)",
    levels=("#171E27", "#202A36", "#5A4A22", "#C27A1E", "#FFB98A"),
)


@dataclass(frozen=True)
class Look:
    """How this viewer sees charts: colours, language and clock."""

    colours: Palette = LIGHT
    language: str = "en"
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def say(self, key: str, **values: object) -> str:
        """Return a sentence for a chart; plotly shows its tags as they are."""
        return escape(text.say(self.language, key, **values), quote=False)

    def times(self, moments: Sequence[str | None]) -> list[datetime | None]:
        """Return the times on the viewer's wall clock."""
        return [figures.local(moment, self.zone) for moment in moments]


def tag_free(name: object) -> str:
    """Return a name from outside as plotly text: shown as it is, never as markup."""
    return escape(str(name), quote=False)


def shortened(name: str, longest: int) -> str:
    """Return the name with at most so many characters; a Chinese one counts as two."""
    widths = [2 if east_asian_width(letter) in "WF" else 1 for letter in name]
    if sum(widths) <= longest:
        return name
    shown, width = "", 1  # of the dots
    for letter, own in zip(name, widths, strict=True):
        width += own
        if width > longest:
            break
        shown += letter
    return f"{shown}…"


def sparkline(values: Sequence[float | None], points: int = 60) -> list[float]:
    """Return at most `points` numbers: gaps dropped, long series averaged in pieces."""
    numbers = [float(value) for value in values if value is not None]
    if len(numbers) <= points:
        return numbers
    edges = [round(i * len(numbers) / points) for i in range(points + 1)]
    return [sum(numbers[a:b]) / (b - a) for a, b in pairwise(edges)]


def framed(
    figure: go.Figure, look: Look, height: int, legend: bool = True
) -> go.Figure:
    """Return the figure with the axes, legend, hover label and colours of all charts.

    Zoom survives a refresh.
    """
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
    """Set ticks of hours, days, months or years, with dates as the viewer writes them."""
    day, month, hover = "%-d %b", "%b %Y", "%-d %b %H:%M"
    if look.language == "zh":
        day, month, hover = "%-m/%-d", "%Y/%-m", "%-m/%-d %H:%M"
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
    """Draw a dashed line with its value at the limit; nothing when there is no limit."""
    if limit is None:
        return
    colour = look.colours.orange
    figure.add_hline(
        y=limit,
        line={"color": colour, "width": 1.3, "dash": "dash"},
        annotation={
            "text": look.say("limit.above", value=shown),
            "font": {"size": 11, "color": colour},
        },
        annotation_position="top left",
    )
