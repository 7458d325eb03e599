"""One alert as a card: what, how bad, who has it, and the two things to do about it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import streamlit as st

from app import figures, reader
from app.components import cards, change_text
from app.finding_text import finding
from app.text import DETECTED, DISTANCES, known, plain, raw, sentence_case, statistic, t

Alert = dict[str, Any]
SILENCE_HOURS = (1, 8, 24, 168)
_NAME = "your_name"


def signature() -> str:
    """The name under which this viewer acts."""
    user = str(getattr(st.user, "name", "") or getattr(st.user, "email", "") or "")
    return (
        str(st.session_state.get(_NAME) or "").strip()[:80]
        or user
        or raw("alerts.someone")
    )


def name_field() -> None:
    """Where the viewer says who they are; kept for this session."""
    label = raw("alerts.you")
    st.text_input(
        label,
        key=_NAME,
        placeholder=label,
        max_chars=80,
        width=260,
        label_visibility="collapsed",
        icon=":material/person:",
        persist_state="session",
    )


def headline(alert: Alert) -> str:
    """What the alert says, as plain text: "temp drifted"."""
    found = {
        "statistic": alert["statistic"],
        "column": alert["column"],
        "direction": "above",
    } | (alert["finding"] or {})
    said = finding(found | {"verdict": "breach"})
    return (
        said
        if alert["column"] and said.startswith(str(alert["column"]))
        else sentence_case(said)
    )


def most_severe_first(alert: Alert) -> tuple[int, bool, bool, float]:
    """Sort key: firing, pending, resolved. Of open ones critical first, then what nobody has in hand, then the oldest;
    of resolved ones the newest.
    """
    began = figures.parse(alert["since"])
    age = began.timestamp() if began else 0.0
    if alert["state"] == "resolved":
        return 2, False, False, -age
    return (
        int(alert["state"] == "pending"),
        alert["severity"] != "critical",
        alert["acknowledged_by"] is not None,
        age,
    )


def value_of(alert: Alert, name: str = "value") -> str:
    """A number of the alert in its unit."""
    return figures.measured(alert[name], alert["statistic"], alert["unit"])


def silenced_for(alert: Alert, now: str | None) -> float:
    """Seconds of silence left; 0 when it is not silenced."""
    moment = now or datetime.now(UTC).isoformat()
    return max(figures.seconds_between(moment, alert["silenced_until"]) or 0.0, 0.0)


def show(
    alert: Alert,
    now: str | None,
    place: str,
    more: Callable[[Alert], None] | None = None,
) -> None:
    """The card of one alert, with `more` below it.

    `place` names the list it is in and keeps widget keys apart.
    """
    icon, colour = cards.SEVERITY.get(
        alert["severity"], (":material/notifications:", "gray")
    )
    word = known(f"severity.{alert['severity']}", plain(alert["severity"]))
    age = figures.duration(
        figures.seconds_between(alert["since"], alert["resolved_at"] or now)
    )
    detected = alert["statistic"] in DETECTED
    found = alert["finding"] or {}
    cause = change_text.likely(found.get("cause"), behind=found.get("behind"))
    name = (
        f"{plain(statistic(alert['statistic']))} "
        if alert["statistic"] in DISTANCES
        else ""
    )
    version = f" · {plain(alert['version'])}" if alert["version"] else ""
    with st.container(border=True, key=f"al_{place}_{alert['id']}", gap="xsmall"):
        # in the long list the buttons stand beside the text, in the narrow column of
        # the overview below it
        with st.container(
            horizontal=more is not None, gap="xsmall", vertical_alignment="center"
        ):
            st.markdown(
                f":{colour}[{icon} {word}] &nbsp;**{plain(headline(alert))}**  \n"
                f":small[{change_text.facts(alert, age) if detected else name + _facts(alert, age)}{version}]"
                + (f"  \n:small[{cause}]" if cause else ""),
                width="stretch",
            )
            _state_and_actions(
                alert, now, place, "content" if more is not None else "stretch"
            )
        if more is not None:
            more(alert)


def _facts(alert: Alert, age: str) -> str:
    """The measured value beside its limit, as markdown."""
    limit = figures.limit_of(
        (alert["finding"] or {}) | {k: alert[k] for k in ("limit", "statistic", "unit")}
    )
    key = "alerts.facts_done" if alert["resolved_at"] else "alerts.facts"
    return f"**{plain(value_of(alert))}** · {t(key, limit=limit, age=age, count=alert['count'])}"


def _state_and_actions(
    alert: Alert, now: str | None, place: str, width: Literal["content", "stretch"]
) -> None:
    left = silenced_for(alert, now)
    with st.container(
        horizontal=True, gap="xsmall", vertical_alignment="center", width=width
    ):
        if alert["state"] != "firing":
            st.badge(
                known(f"state.{alert['state']}", plain(alert["state"])),
                icon=_STATE_ICON.get(alert["state"]),
                color="gray",
            )
        if alert["acknowledged_by"]:
            st.badge(
                t("alerts.acked_by", name=alert["acknowledged_by"]),
                icon=":material/how_to_reg:",
                color="gray",
            )
        if left:
            st.badge(
                t("alerts.silenced_left", left=figures.duration(left)),
                icon=":material/notifications_paused:",
                color="gray",
            )
        if alert["state"] == "resolved":
            return
        key = f"{place}_{alert['id']}"
        if not alert["acknowledged_by"]:
            st.button(
                t("alerts.acknowledge"),
                key=f"ack_{key}",
                on_click=_acknowledge,
                args=(alert["id"],),
            )
        if left:
            st.button(
                t("alerts.unsilence"),
                key=f"unsil_{key}",
                on_click=_silence,
                args=(alert["id"], 0),
            )
        else:
            st.menu_button(
                t("alerts.silence"),
                list(SILENCE_HOURS),
                key=f"sil_{key}",
                icon=":material/notifications_paused:",
                format_func=_hours,
                on_click=_silence_picked,
                args=(alert["id"], f"sil_{key}"),
            )


_STATE_ICON = {
    "pending": ":material/hourglass_top:",
    "resolved": ":material/check_circle:",
}


def _hours(hours: int) -> str:
    return t("alerts.hours", n=hours) if hours < 48 else t("alerts.days", n=hours // 24)


def _acknowledge(alert_id: object) -> None:
    name = signature()
    _act(lambda: reader.acknowledge(alert_id, name), t("alerts.done_ack", name=name))


def _silence(alert_id: object, hours: int) -> None:
    done = (
        t("alerts.done_silence", left=_hours(hours))
        if hours
        else t("alerts.done_unsilence")
    )
    _act(lambda: reader.silence(alert_id, hours, signature()), done)


def _silence_picked(alert_id: object, key: str) -> None:
    picked = st.session_state.get(key)
    if picked is not None:
        _silence(alert_id, int(picked))


def _act(action: Callable[[], None], done: str) -> None:
    """Do it and say so; a server that says no or nothing is a message, not a broken page."""
    try:
        action()
    except reader.ReadError as error:
        cards.notice(t("alerts.failed", detail=error), ":material/error:")
    else:
        cards.notice(done, ":material/check_circle:")
