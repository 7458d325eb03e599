"""Building blocks of all pages: live panel, card, chart, tile, status badge."""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

import plotly.graph_objects as go
import streamlit as st

from app import charts, figures, reader
from app.text import language, plain, raw, t, translated

Json = dict[str, Any]
REFRESH_S, RETRY_S = 15, 4
TILE_HEIGHT, LOW_TILE_HEIGHT = 186, 122  # with a trend below the number, and without
Colour = Literal["red", "orange", "green", "gray", "blue"]
# critical red, warning orange, OK green, all others grey
STATUS: dict[str, tuple[str, Colour]] = {
    "ok": (":material/check_circle:", "green"),
    "warn": (":material/warning:", "orange"),
    "breach": (":material/error:", "red"),
    "severe": (":material/error:", "red"),
    "insufficient": (":material/hourglass_top:", "gray"),
    "no_data": (":material/do_not_disturb_on:", "gray"),
    "learning": (":material/school:", "gray"),
    "not_checked": (":material/remove_circle_outline:", "gray"),
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
    """Return how this viewer sees charts: colour mode, language and clock."""
    is_dark = (st.context.theme.type or "light") == "dark"
    palette = charts.DARK if is_dark else charts.LIGHT
    return charts.Look(palette, language(), figures.viewer_zone())


def live(draw: Callable[[], None], key: str) -> None:
    """Draw now, and every 15 s while Auto-refresh is on; an error is shown in the panel.

    One per page: timed fragments must not be nested.
    """
    every = REFRESH_S if st.session_state.get("live", True) else None

    @st.fragment(run_every=every, key=key)
    def panel() -> None:
        _show_notice()
        _guarded(draw)

    panel()


def notice(sentence: str, icon: str) -> None:
    """Show this when the page is drawn next.

    A callback that shows it itself would replace the top of the page.
    """
    st.session_state[_NOTICE] = (sentence, icon)


def _show_notice() -> None:
    pending = st.session_state.pop(_NOTICE, None)
    if pending is not None:
        sentence, icon = pending
        st.toast(sentence, icon=icon)


def _guarded(draw: Callable[[], None]) -> None:
    """Draw; the log gets the reason of an unexpected error, the viewer its number."""
    try:
        draw()
    except reader.Unreachable as error:
        unreachable(error)
    except reader.ReadError as error:
        st.warning(error.sentence(), icon=":material/search_off:")
    except Exception:
        number = secrets.token_hex(3)
        _log.exception("page could not be drawn, shown to the viewer as %s", number)
        st.error(t("error.panel", id=number), icon=":material/report:")


def unreachable(error: reader.ReadError) -> None:
    """Draw the banner of an unreachable server, with the time of the last good data."""
    last = reader.link().last_good
    if last is None:
        sentence = t("down.never")
    else:
        age = figures.duration((datetime.now(UTC) - last).total_seconds())
        sentence = t("down.last", age=age, at=figures.zoned(last))
    box = st.container(
        border=True, key="down", horizontal=True, vertical_alignment="center"
    )
    with box:
        head = f":red-badge[:material/cloud_off: {t('down.title')}]"
        st.markdown(
            f"{head} &nbsp; {sentence}  \n:small[:gray[{error.sentence()}]]",
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
    """Hold the content of a page that was read before.

    When the server is silent since, a banner stands above it and all of it is grey.
    """
    error = reader.link().error
    if error:
        unreachable(error)
    with st.container(key="body_old" if error else "body", gap="small"):
        yield


def card(key: str, title: str, caption: str = "", **layout: Any) -> Any:
    """Return a bordered box with title and grey caption on one line, both markdown.

    Use as `with card(...)`.
    """
    box = st.container(border=True, key=f"card_{key}", **layout)
    head = f"**{title}**"
    if caption:
        head += f" &ensp;{small_gray(caption)}"
    box.markdown(head)
    return box


def small_gray(line: str) -> str:
    """Return markdown of a small grey line."""
    return f":small[:gray[{line}]]"


def plot(figure: go.Figure, key: str, alt: str) -> None:
    """Draw the chart over the whole width, with a text for screen readers."""
    st.plotly_chart(
        figure, key=key, theme=None, config=PLOT_CONFIG, alt=alt, width="stretch"
    )


def limit_text(limit: float | None, show: Callable[[float | None], str]) -> str:
    """Return "limit 60 ms", or that none is set, as plain text."""
    if limit is None:
        return raw("limit.none")
    return raw("limit.above", value=show(limit))


def latency_alt(service: Json) -> str:
    """Return the text of the latency chart for screen readers."""
    limit = limit_text(service["limits"]["latency_p95"], figures.milliseconds)
    p95 = figures.milliseconds(service["totals"]["p95"])
    return raw("alt.latency", p95=p95, limit=limit)


def errors_alt(service: Json) -> str:
    """Return the text of the chart of request errors for screen readers."""
    limit = limit_text(service["limits"]["error_rate"], figures.percent)
    rate = figures.percent(service["totals"]["error_rate"])
    return raw("alt.errors", rate=rate, limit=limit)


def status_of(status: str | None) -> tuple[str, Colour, str]:
    """Return icon, colour and word of a status; an unknown one as it is, in grey."""
    icon, colour = STATUS.get(status or "", (":material/help:", "gray"))
    return icon, colour, translated(f"status.{status}", plain(status or "?"))


def badge(status: str | None, word: str | None = None) -> str:
    """Return markdown of a status: icon, colour, word."""
    icon, colour, name = status_of(status)
    return f":{colour}-badge[{icon} {word or name}]"


def status_icon(status: str | None) -> str:
    """Return markdown of the icon of a status, for sentences that name the status."""
    icon, colour, _ = status_of(status)
    return f":{colour}[{icon}]"


def by_severity(status: str, findings: Iterable[Json]) -> str:
    """Return the status to show: a breach of `warning` rules alone is a warning."""
    if status not in ("breach", "severe"):
        return status
    breaches = [f for f in findings if f.get("verdict") in ("breach", "severe")]
    severities = {breach.get("severity") for breach in breaches}
    return "warn" if severities == {"warning"} else status


def tile(
    label: str,
    value: str,
    status: str | None,
    *,
    delta: str | None = None,
    note: str = "",
    trend: Sequence[float | None] = (),
    kind: Literal["line", "bar", "area"] = "line",
    tip: str | None = None,
    height: int = TILE_HEIGHT,
) -> None:
    """Draw a number with its status, its trend, and its limit or what is missing."""
    icon, colour, word = status_of(status)
    points = charts.sparkline(trend)
    has_sign = delta is not None and delta[:1] in ("+", "-")
    st.metric(
        f":{colour}[{icon}] {label}",
        value,
        delta=delta or word,
        delta_color=colour if colour in ("red", "orange") else "gray",
        delta_arrow="auto" if has_sign else "off",
        delta_description=note or None,
        chart_data=points if len(points) > 1 else None,
        chart_type=kind,
        border=True,
        height=height,
        help=f"{word}  \n{tip}" if tip else word,
    )


def linked(label: str, page: str) -> str:
    """Return a label that leads to another page, with the viewer's choice."""
    return f"[{label}]({page}?{urlencode(st.query_params.to_dict())})"


def signed(
    value: float | None, before: float | None, show: Callable[[float], str]
) -> str | None:
    """Return the change as "+2 ms" or "-0.3%".

    None when a number is missing or the change is too small to show.
    """
    if value is None or before is None:
        return None
    change = value - before
    shown = show(abs(change))
    if shown == show(0.0):
        return None
    return ("+" if change > 0 else "-") + shown


def nothing_in_range(last_event: str | None, now: str | None) -> None:
    """Draw the sentence that stands where a chart would be empty."""
    st.markdown(f":gray[:material/do_not_disturb_on: {t('empty.range')}]")
    age = figures.seconds_between(last_event, now)
    if age is not None:
        words = {"age": figures.duration(age), "at": figures.zoned(last_event)}
        st.markdown(f":small[{t('empty.range_hint', **words)}]")


def title(key: str) -> None:
    """Draw the question that a page answers."""
    st.title(raw(key), anchor=False)
