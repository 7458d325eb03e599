"""The parts pages are made of: a live panel, a card, a chart, a tile, a status badge."""

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

import plotly.graph_objects as go
import streamlit as st

from app import charts, figures, reader
from app.text import known, language, plain, raw, t

REFRESH_S, RETRY_S = 15, 4
TILE_HEIGHT, LOW_TILE_HEIGHT = 186, 122  # with a course below the number, and without
Colour = Literal["red", "orange", "green", "gray", "blue"]
STATUS: dict[str, tuple[str, Colour]] = {
    "ok": (":material/check_circle:", "green"),
    "warn": (":material/visibility:", "orange"),
    "breach": (":material/error:", "red"),
    "severe": (":material/error:", "red"),
    "insufficient": (":material/hourglass_top:", "gray"),
    "no_data": (":material/do_not_disturb_on:", "gray"),
    "learning": (":material/school:", "blue"),
}
SEVERITY: dict[str, tuple[str, Colour]] = {
    "critical": (":material/error:", "red"),
    "warning": (":material/warning:", "orange"),
}
PLOT_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": [
        "select2d",
        "lasso2d",
        "autoScale2d",
        "zoomIn2d",
        "zoomOut2d",
    ],
    "toImageButtonOptions": {"format": "png", "scale": 2},
    "displayModeBar": "hover",
    "responsive": True,
    "scrollZoom": False,
}
_NOTICE = "_notice"
_log = logging.getLogger("driftdeck.app")


def look() -> charts.Look:
    """How this viewer sees charts: their colour mode, language and clock."""
    dark = (st.context.theme.type or "light") == "dark"
    return charts.Look(
        charts.DARK if dark else charts.LIGHT,
        language(),
        figures.zone(st.context.timezone),
    )


def live(draw: Callable[[], None], key: str) -> None:
    """Draw now, and every 15 seconds while Live is on. What goes wrong is said in the panel, never as a stack trace.

    One per page: timed fragments must not be nested.
    """
    every = REFRESH_S if st.session_state.get("live", True) else None

    @st.fragment(run_every=every, key=key)
    def panel() -> None:
        _guarded(draw)

    panel()


def notice(sentence: str, icon: str) -> None:
    """Say this when the page is drawn next; what a callback shows itself would replace the top of the page."""
    st.session_state[_NOTICE] = (sentence, icon)


def _tell_notice() -> None:
    if told := st.session_state.pop(_NOTICE, None):
        st.toast(told[0], icon=told[1])


def _guarded(draw: Callable[[], None]) -> None:
    _tell_notice()
    try:
        draw()
    except reader.Unreachable as error:
        unreachable(error)
    except reader.ReadError as error:
        st.warning(error.sentence(), icon=":material/search_off:")
    # the edge of a page: the log gets the reason, the viewer its number
    except Exception:
        number = secrets.token_hex(3)
        _log.exception("page could not be drawn, shown to the viewer as %s", number)
        st.error(t("error.panel", id=number), icon=":material/report:")


def unreachable(error: reader.ReadError) -> None:
    """The banner for a server that cannot be reached, with the time of the last good data if there is any."""
    place, last = figures.zone(st.context.timezone), reader.link().last_good
    if last is None:
        then = t("down.never")
    else:
        age = figures.duration((datetime.now(UTC) - last).total_seconds())
        then = t("down.last", age=age, at=figures.at(last, place))
    with st.container(
        border=True, key="down", horizontal=True, vertical_alignment="center"
    ):
        st.markdown(
            f":red-badge[:material/cloud_off: {t('down.title')}] &nbsp; {then}  \n:small[:gray[{error.sentence()}]]",
            width="stretch",
        )
        st.button(
            t("down.retry"),
            icon=":material/refresh:",
            on_click=reader.forget_failure,
            key="retry",
        )


@contextmanager
def body() -> Iterator[None]:
    """The content of a page, read before: when the server has gone silent since, a banner above it, and all in grey."""
    error = reader.link().error
    if error:
        unreachable(error)
    with st.container(key="body_old" if error else "body", gap="small"):
        yield


def card(key: str, title: str, caption: str = "", **layout: Any) -> Any:
    """A bordered box with title and grey caption on one line; both are markdown.

    Use as `with card(...)`.
    """
    box = st.container(border=True, key=f"card_{key}", **layout)
    box.markdown(
        f"**{title}**" + (f" &ensp;:small[:gray[{caption}]]" if caption else "")
    )
    return box


def plot(figure: go.Figure, key: str, alt: str) -> None:
    """The chart over the whole width, with a text for who cannot see it."""
    st.plotly_chart(
        figure, key=key, theme=None, config=PLOT_CONFIG, alt=alt, width="stretch"
    )


def status_of(status: str | None) -> tuple[str, Colour, str]:
    """Icon, colour and word of a status; a word we do not know is shown as it is, in grey."""
    icon, colour = STATUS.get(status or "", (":material/help:", "gray"))
    return icon, colour, known(f"status.{status}", plain(status or "?"))


def badge(status: str | None, word: str | None = None) -> str:
    """Markdown of a status: icon, colour, word."""
    icon, colour, name = status_of(status)
    return f":{colour}-badge[{icon} {word or name}]"


def tile(
    label: str,
    value: str,
    status: str | None,
    *,
    delta: str | None = None,
    note: str = "",
    course: Sequence[float | None] = (),
    kind: Literal["line", "bar", "area"] = "line",
    tip: str | None = None,
    height: int = TILE_HEIGHT,
) -> None:
    """A number with its status (icon and colour), its limit or what is missing in `note`, and its course."""
    icon, colour, word = status_of(status)
    points = charts.sparkline(course)
    ink = colour if colour in ("red", "orange") else "gray"
    st.metric(
        f":{colour}[{icon}] {label}",
        value,
        delta=delta or word,
        delta_color=ink,
        delta_arrow="auto" if delta and delta[:1] in "+-" else "off",
        delta_description=note or None,
        chart_data=points if len(points) > 1 else None,
        chart_type=kind,
        border=True,
        height=height,
        help=f"{word}  \n{tip}" if tip else word,
    )


def linked(label: str, page: str) -> str:
    """A label that leads to another page, with the viewer's choice."""
    return f"[{label}]({page}?{urlencode(st.query_params.to_dict())})"


def signed(
    value: float | None, before: float | None, show: Callable[[float], str]
) -> str | None:
    """The change as "+2 ms" or "-0.3%"; None when either number is missing or nothing visible changed."""
    if value is None or before is None:
        return None
    change = value - before
    shown = show(abs(change))
    return None if shown == show(0.0) else ("+" if change > 0 else "-") + shown


def nothing_in_range(last_event: str | None, now: str | None) -> None:
    """What to say instead of an empty chart."""
    st.markdown(f":gray[:material/do_not_disturb_on: {t('empty.range')}]")
    age = figures.seconds_between(last_event, now)
    if age is not None:
        place = figures.zone(st.context.timezone)
        st.markdown(
            f":small[{t('empty.range_hint', age=figures.duration(age), at=figures.at(last_event, place))}]"
        )


def title(key: str) -> None:
    """The question a page answers."""
    st.title(raw(key), anchor=False)
