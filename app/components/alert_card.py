"""One alert as a card: finding, severity, owner, and the two actions on it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import streamlit as st

from app import figures, finding_text, reader
from app.components import cards, change_text
from app.text import DETECTED, is_distance, plain, raw, statistic, t, translated

Alert = dict[str, Any]
SILENCE_HOURS = (1, 8, 24, 168)
MAX_NAME_LENGTH = 80
_NAME = "your_name"
_STATE_ICON = {
    "pending": ":material/hourglass_top:",
    "resolved": ":material/check_circle:",
}


def signature() -> str:
    """Return the name under which this viewer acts."""
    typed = str(st.session_state.get(_NAME) or "").strip()[:MAX_NAME_LENGTH]
    account = getattr(st.user, "name", "") or getattr(st.user, "email", "")
    return typed or str(account or "") or raw("alerts.someone")


def name_field() -> None:
    """Draw the field for the viewer's name, which is remembered for this session."""
    label = raw("alerts.you")
    st.text_input(
        label,
        key=_NAME,
        placeholder=label,
        max_chars=MAX_NAME_LENGTH,
        width=260,
        label_visibility="collapsed",
        icon=":material/person:",
        persist_state="session",
    )


def finding_of(alert: Alert) -> dict[str, Any]:
    """Return the finding of an alert; the alert's own fields where it lacks them."""
    fields = ("statistic", "column", "limit", "unit", "segment")
    own = {name: alert[name] for name in fields}
    return own | (alert["finding"] or {}) | {"verdict": "breach"}


def headline(alert: Alert) -> str:
    """Return the finding as plain text: "temp drifted"."""
    return finding_text.headline(finding_of(alert))


def limit_of(alert: Alert) -> str:
    """Return "limit 60 ms", or that none is set."""
    own = {name: alert[name] for name in ("limit", "statistic", "unit")}
    return finding_text.limit_phrase((alert["finding"] or {}) | own)


def most_severe_first(alert: Alert) -> tuple[int, bool, bool, float]:
    """Return the sort key: firing, pending, resolved.

    Of open alerts critical ones first, then those that are not acknowledged, then the
    oldest; of resolved ones the newest.
    """
    start = figures.parse(alert["since"])
    age = start.timestamp() if start else 0.0
    if alert["state"] == "resolved":
        return 2, False, False, -age
    return (
        int(alert["state"] == "pending"),
        alert["severity"] != "critical",
        alert["acknowledged_by"] is not None,
        age,
    )


def value_of(alert: Alert, name: str = "value") -> str:
    """Return a number of the alert in its unit."""
    return figures.measured(alert[name], alert["statistic"], alert["unit"])


def silenced_for(alert: Alert, now: str | None) -> float:
    """Return the seconds of silence left; 0 when it is not silenced."""
    moment = now or datetime.now(UTC).isoformat()
    return max(figures.seconds_between(moment, alert["silenced_until"]) or 0.0, 0.0)


def show(
    alert: Alert,
    now: str | None,
    place: str,
    more: Callable[[Alert], None] | None = None,
) -> None:
    """Draw the card of one alert, with `more` below it.

    `place` names the list it is in and separates widget keys.
    """
    # in the long list the buttons stand beside the text, in the narrow column of the
    # overview below it
    is_wide = more is not None
    with st.container(border=True, key=f"al_{place}_{alert['id']}", gap="xsmall"):
        row = st.container(
            horizontal=is_wide, gap="xsmall", vertical_alignment="center"
        )
        with row:
            st.markdown("  \n".join(_lines(alert, now)), width="stretch")
            width: Literal["content", "stretch"] = "content" if is_wide else "stretch"
            _state_and_actions(alert, now, place, width)
        if more is not None:
            more(alert)


def _lines(alert: Alert, now: str | None) -> list[str]:
    """Return severity and finding, figures, and the likely cause as markdown lines."""
    icon, colour = cards.SEVERITY.get(
        alert["severity"], (":material/notifications:", "gray")
    )
    word = translated(f"severity.{alert['severity']}", plain(alert["severity"]))
    lines = [f":{colour}[{icon} {word}] &nbsp;**{plain(headline(alert))}**"]
    facts = change_text.facts if alert["statistic"] in DETECTED else _facts
    line = facts(alert, now)
    if alert["version"]:
        line += f" · {plain(alert['version'])}"
    lines.append(f":small[{line}]")
    cause = change_text.cause_of(alert["finding"] or {})
    if cause:
        lines.append(f":small[{cause}]")
    return lines


def _facts(alert: Alert, now: str | None) -> str:
    """Return the measured value beside its limit, start and age as markdown."""
    name = ""
    if is_distance(alert["statistic"]):
        name = f"{plain(statistic(alert['statistic']))} "
    key = "alerts.facts_done" if alert["resolved_at"] else "alerts.facts"
    age_s = figures.seconds_between(alert["since"], alert["resolved_at"] or now)
    facts = t(
        key,
        limit=limit_of(alert),
        at=figures.zoned(alert["since"]),
        age=figures.duration(age_s),
    )
    return f"{name}**{plain(value_of(alert))}** · {facts}"


def _state_and_actions(
    alert: Alert, now: str | None, place: str, width: Literal["content", "stretch"]
) -> None:
    left_s = silenced_for(alert, now)
    row = st.container(
        horizontal=True, gap="xsmall", vertical_alignment="center", width=width
    )
    with row:
        _badges(alert, left_s)
        if alert["state"] != "resolved":
            _actions(alert, left_s, f"{place}_{alert['id']}")


def _badges(alert: Alert, left_s: float) -> None:
    """Draw state, owner and silence; a firing alert needs no badge for its state."""
    if alert["state"] != "firing":
        st.badge(
            translated(f"state.{alert['state']}", plain(alert["state"])),
            icon=_STATE_ICON.get(alert["state"]),
            color="gray",
        )
    if alert["acknowledged_by"]:
        st.badge(
            t("alerts.acked_by", name=alert["acknowledged_by"]),
            icon=":material/how_to_reg:",
            color="gray",
        )
    if left_s:
        st.badge(
            t("alerts.silenced_left", left=figures.duration(left_s)),
            icon=":material/notifications_paused:",
            color="gray",
        )


def _actions(alert: Alert, left_s: float, key: str) -> None:
    if not alert["acknowledged_by"]:
        st.button(
            t("alerts.acknowledge"),
            key=f"ack_{key}",
            on_click=_acknowledge,
            args=(alert["id"],),
        )
    if left_s:
        st.button(
            t("alerts.unsilence"),
            key=f"unsil_{key}",
            on_click=_silence,
            args=(alert["id"], 0),
        )
        return
    st.menu_button(
        t("alerts.silence"),
        list(SILENCE_HOURS),
        key=f"sil_{key}",
        icon=":material/notifications_paused:",
        format_func=_hours,
        on_click=_silence_picked,
        args=(alert["id"], f"sil_{key}"),
    )


def _hours(hours: int) -> str:
    return t("alerts.hours", n=hours) if hours < 48 else t("alerts.days", n=hours // 24)


def _acknowledge(alert_id: object) -> None:
    name = signature()
    _act(lambda: reader.acknowledge(alert_id, name), t("alerts.done_ack", name=name))


def _silence(alert_id: object, hours: int) -> None:
    """Silence the alert for so many hours; 0 ends a silence."""
    done = t("alerts.done_unsilence")
    if hours:
        done = t("alerts.done_silence", left=_hours(hours))
    _act(lambda: reader.silence(alert_id, hours, signature()), done)


def _silence_picked(alert_id: object, key: str) -> None:
    hours = st.session_state.get(key)
    if hours is not None:
        _silence(alert_id, int(hours))


def _act(action: Callable[[], None], done: str) -> None:
    """Do it and show `done`; an error of the server is a message, not a broken page."""
    try:
        action()
    except reader.ReadError as error:
        cards.notice(t("alerts.failed", detail=error), ":material/error:")
    else:
        cards.notice(done, ":material/check_circle:")
