"""What needs me? Alerts over time, and the list of alerts with their history."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import charts, figures, filters, reader, session, text
from app.components import alert_card, cards, change_text
from app.text import DETECTED, raw, statistic, t, translated

Json = dict[str, Any]
STATES = ("open", "pending", "firing", "resolved", "all")
MAX_LISTED = 12  # on one screen
MAX_BARS = 60
MAX_READ = 200
MAX_OTHERS = 1000  # alerts of other models; more are not counted by severity
_SHOWN = "alerts_shown"


def page(choice: filters.Choice) -> None:
    """Read everything, then draw it below the title."""
    response = reader.alerts(choice.model, "all", MAX_READ)
    alerts = response["alerts"]
    now = response.get("now") or datetime.now(UTC).isoformat()
    firing = [alert for alert in alerts if alert["state"] == "firing"]
    others = None if firing else other_models(choice.model)
    with cards.body():
        verdict(choice.model, firing, others)
        timeline_card(alerts, now, choice.span)
        list_card(alerts, now)


def other_models(model: str) -> tuple[int, int] | None:
    """Return open and critical alerts of all other models; None when unknown."""
    models = session.visit().models
    names = {str(row["model"]) for row in models}
    if names <= {model}:
        return None
    alerts = reader.alerts(None, "firing", MAX_OTHERS)["alerts"]
    if len(alerts) >= MAX_OTHERS:
        return None
    others = [alert for alert in alerts if alert["model"] != model]
    critical = sum(alert["severity"] == "critical" for alert in others)
    return len(others), critical


def verdict(model: str, firing: list[Json], others: tuple[int, int] | None) -> None:
    """Draw how many alerts are open, critical, and not acknowledged."""
    critical = sum(alert["severity"] == "critical" for alert in firing)
    unowned = sum(alert["acknowledged_by"] is None for alert in firing)
    if firing:
        counts = {"n": len(firing), "critical": critical, "unowned": unowned}
        badge = cards.badge("breach" if critical else "warn")
        st.markdown(f"{badge} &nbsp; {t('alerts.summary', model=model, **counts)}")
        return
    sentences = [t("alerts.none_open", model=model)]
    if others is not None:
        n, critical = others
        key = "alerts.others" if n else "alerts.others_none"
        sentences.append(t(key, n=n, critical=critical))
    badge = cards.badge(session.status_of(model))
    st.markdown(f"{badge} &nbsp; {text.joined(sentences)}")


def timeline_card(alerts: list[Json], now: str, span: str) -> None:
    """Draw one bar for each alert that touches the time range."""
    end = figures.parse(now) or datetime.now(UTC)
    start = end - timedelta(hours=reader.RANGES[span])
    recent = [
        alert
        for alert in alerts
        if (figures.parse(alert["resolved_at"]) or end) >= start
    ]
    if not recent:
        return
    recent.sort(key=lambda alert: str(alert["since"]))
    bars = [bar(alert, now) for alert in recent[-MAX_BARS:]]
    with cards.card("timeline", t("alerts.timeline"), t("alerts.timeline_cap")):
        figure = charts.timeline(bars, now, cards.look(), start.isoformat())
        cards.plot(figure, "timeline", raw("alt.timeline", n=len(recent)))


def bar(alert: Json, now: str) -> Json:
    """Return an alert as a bar of the timeline."""
    until = alert["resolved_at"] or now
    words = {
        "statistic": statistic(alert["statistic"]),
        "value": alert_card.value_of(alert, "peak"),
    }
    if alert["statistic"] in DETECTED:
        number = raw("moved.number", **words)
    else:
        limit = alert_card.limit_of(alert)
        number = raw("finding.number", **words, limit=limit)
    length = figures.duration(figures.seconds_between(alert["since"], until))
    state = translated(f"state.{alert['state']}", alert["state"])
    label = alert_card.headline(alert)
    if alert["version"]:
        label = f"{label} · {alert['version']}"
    return {
        "label": label,
        "since": alert["since"],
        "until": alert["resolved_at"],
        "severity": alert["severity"],
        "state": alert["state"],
        "hover": f"{number} · {length} · {state}",
    }


def list_card(alerts: list[Json], now: str) -> None:
    """Draw the alerts in one state, most severe first, each with its history."""
    with cards.card("list", t("alerts.list"), t("alerts.open_cap")):
        row = st.container(
            horizontal=True,
            vertical_alignment="center",
            gap="small",
            key="alert_filters",
        )
        with row:
            state = pick_state()
            st.space("stretch")
            alert_card.name_field()
        selected = [alert for alert in alerts if is_in(alert, state)]
        if not selected:
            st.markdown(f":gray[:material/inbox: {t('alerts.none')}]")
        n = st.session_state.get(_SHOWN, MAX_LISTED)
        for alert in sorted(selected, key=alert_card.most_severe_first)[:n]:
            alert_card.show(alert, now, "list", history)
        if len(selected) > n:
            more = t("alerts.more", n=n, of=len(selected))
            st.button(more, key="more_alerts", on_click=show_more)


def show_more() -> None:
    """Lengthen the list by one more screen."""
    n = st.session_state.get(_SHOWN, MAX_LISTED)
    st.session_state[_SHOWN] = n + MAX_LISTED


def is_in(alert: Json, state: str) -> bool:
    """Return whether the filter shows an alert; "open" is every one not resolved."""
    if state == "open":
        return bool(alert["state"] != "resolved")
    return state in ("all", alert["state"])


def pick_state() -> str:
    """Draw the filter, which is kept in the URL; return the state to list."""
    filters.adopt("state", STATES, "open")
    st.segmented_control(
        raw("alerts.filter"),
        list(STATES),
        key="state",
        required=True,
        label_visibility="collapsed",
        persist_state="session",
        format_func=lambda state: raw(f"state.{state}"),
    )
    filters.publish("state", "open")
    return str(st.session_state["state"])


def history(alert: Json) -> None:
    """Draw state changes, their authors, and deliveries in an expander."""
    label = t("alerts.history")
    icon = ":material/history:"
    key = f"hist_{alert['id']}"
    with st.expander(label, icon=icon, type="compact", key=key):
        finding = alert["finding"] or {}
        changes = change_text.lines(finding, MAX_LISTED)
        lines = [_times(alert), *changes]
        st.markdown("  \n".join(f":small[{line}]" for line in lines))
        left, right = st.columns(2, gap="small")
        with left:
            _table(
                t("alerts.transitions"),
                [_transition(alert, row) for row in alert["transitions"]],
                t("alerts.no_transitions"),
            )
        with right:
            _table(
                t("alerts.deliveries"),
                [_delivery(row) for row in alert["deliveries"]],
                t("alerts.no_deliveries"),
            )


def _times(alert: Json) -> str:
    """Return start, peak, evaluations and end of an alert as markdown."""
    words = {
        "since": figures.zoned(alert["since"]),
        "peak": alert_card.value_of(alert, "peak"),
        "count": figures.count(alert["count"]),
    }
    line = t("alerts.times", **words)
    if alert["resolved_at"]:
        resolved = t("alerts.resolved_at", at=figures.zoned(alert["resolved_at"]))
        line = f"{line} · {resolved}"
    return line


def _table(title: str, rows: list[dict[str, str]], empty: str) -> None:
    st.markdown(f"**{title}**")
    if not rows:
        st.markdown(cards.small_gray(empty))
        return
    height = min(38 + 35 * len(rows), 220)
    st.dataframe(pd.DataFrame(rows), hide_index=True, height=height)


def _transition(alert: Json, row: Json) -> dict[str, str]:
    statistic, unit = alert["statistic"], alert["unit"]
    value = figures.measured(row.get("value"), statistic, unit)
    return {
        raw("col.at"): figures.at(row.get("at")),
        raw("col.from"): _state(row.get("from")),
        raw("col.to"): _state(row.get("to")),
        raw("col.value"): value,
        raw("col.by"): str(row.get("by") or figures.DASH),
    }


def _state(state: object) -> str:
    return translated(f"state.{state}", str(state or figures.DASH))


def _delivery(row: Json) -> dict[str, str]:
    status = str(row.get("status") or "")
    return {
        raw("col.channel"): str(row.get("channel") or ""),
        raw("col.status"): translated(f"delivery.{status}", status),
        raw("col.attempts"): figures.count(row.get("tries")),
        raw("col.at"): figures.at(row.get("at")),
        raw("col.detail"): str(row.get("detail") or ""),
    }


if chosen := session.chosen_model("alerts.title"):
    cards.live(partial(page, chosen), "alerts")
