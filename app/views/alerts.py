"""What needs me?

Every episode over time, and the alerts with what was done about them.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import charts, figures, filters, reader, session
from app.components import alert_card, cards, change_text
from app.text import DETECTED, known, raw, statistic, t

STATES = ("open", "pending", "firing", "resolved", "all")
SHOWN = 12
SHOWN_EPISODES = 60


def page(choice: filters.Choice) -> None:
    """Everything below the title; read first, then drawn."""
    answer = reader.alerts(choice.model, "all", 200)
    now, alerts = answer.get("now") or datetime.now(UTC).isoformat(), answer["alerts"]
    with cards.body():
        verdict([one for one in alerts if one["state"] == "firing"])
        timeline_card(alerts, now, choice.span)
        list_card(alerts, now)


def verdict(firing: list[dict[str, Any]]) -> None:
    """How many are open, and how many of them nobody has in hand."""
    critical = sum(one["severity"] == "critical" for one in firing)
    unowned = sum(one["acknowledged_by"] is None for one in firing)
    if not firing:
        st.markdown(f"{cards.badge('ok')} &nbsp; {t('alerts.quiet')}")
        return
    status = "breach" if critical else "warn"
    st.markdown(
        f"{cards.badge(status)} &nbsp; {t('alerts.summary', n=len(firing), critical=critical, unowned=unowned)}"
    )


def timeline_card(alerts: list[dict[str, Any]], now: str, span: str) -> None:
    """One bar per episode that touches the time range."""
    moment = figures.parse(now) or datetime.now(UTC)
    start = moment - timedelta(hours=reader.RANGES[span])
    seen = [
        one for one in alerts if (figures.parse(one["resolved_at"]) or moment) >= start
    ]
    if not seen:
        return
    seen.sort(key=lambda one: str(one["since"]))
    with cards.card("timeline", t("alerts.timeline"), t("alerts.timeline_cap")):
        figure = charts.timeline(
            [episode(one, now) for one in seen[-SHOWN_EPISODES:]],
            now,
            cards.look(),
            start.isoformat(),
        )
        cards.plot(figure, "timeline", raw("alt.timeline", n=len(seen)))


def episode(alert: dict[str, Any], now: str) -> dict[str, Any]:
    """An alert as a bar of the timeline."""
    length = figures.duration(
        figures.seconds_between(alert["since"], alert["resolved_at"] or now)
    )
    said = {
        "statistic": statistic(alert["statistic"]),
        "value": alert_card.value_of(alert, "peak"),
    }
    limited = alert["statistic"] not in DETECTED
    number = (
        raw("finding.number", **said, limit=_limit(alert))
        if limited
        else raw("moved.number", **said)
    )
    return {
        "label": " ".join(
            part for part in (alert_card.headline(alert), alert["version"]) if part
        ),
        "since": alert["since"],
        "until": alert["resolved_at"],
        "severity": alert["severity"],
        "state": alert["state"],
        "hover": f"{number} · {length} · {known('state.' + alert['state'], alert['state'])}",
    }


def list_card(alerts: list[dict[str, Any]], now: str) -> None:
    """The alerts in one state, most severe first, each with its history in an expander."""
    with cards.card("list", t("alerts.list"), t("alerts.open_cap")):
        with st.container(
            horizontal=True,
            vertical_alignment="center",
            gap="small",
            key="alert_filters",
        ):
            state = pick_state()
            st.space("stretch")
            alert_card.name_field()
        wanted = [
            one
            for one in alerts
            if state == "all" or one["state"] == state or is_open(one, state)
        ]
        if not wanted:
            st.markdown(f":gray[:material/inbox: {t('alerts.none')}]")
        n = st.session_state.get("alerts_shown", SHOWN)
        for alert in sorted(wanted, key=alert_card.most_severe_first)[:n]:
            alert_card.show(alert, now, "list", history)
        if len(wanted) > n:
            st.button(
                t("alerts.more", n=n, of=len(wanted)),
                key="more_alerts",
                on_click=show_more,
            )


def show_more() -> None:
    """Lengthen the list by one more screen."""
    st.session_state["alerts_shown"] = (
        st.session_state.get("alerts_shown", SHOWN) + SHOWN
    )


def is_open(alert: dict[str, Any], state: str) -> bool:
    """Whether an alert belongs to the filter "open": not yet resolved."""
    return state == "open" and alert["state"] != "resolved"


def pick_state() -> str:
    """The state to list, kept in the URL."""
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


def history(alert: dict[str, Any]) -> None:
    """When it changed state, by whom, and who was told."""
    place = figures.zone(st.context.timezone)
    with st.expander(
        t("alerts.history"),
        icon=":material/history:",
        type="compact",
        key=f"hist_{alert['id']}",
    ):
        line = t(
            "alerts.times",
            since=figures.at(alert["since"], place),
            peak=alert_card.value_of(alert, "peak"),
        )
        if alert["resolved_at"]:
            line += " · " + t(
                "alerts.resolved_at", at=figures.at(alert["resolved_at"], place)
            )
        st.markdown(f":small[{line}]")
        if what := change_text.lines(alert["finding"] or {}, SHOWN):
            st.markdown("  \n".join(f":small[{one}]" for one in what))
        happened, told = st.columns(2, gap="small")
        with happened:
            _table(
                t("alerts.transitions"),
                _transitions(alert, place),
                t("alerts.no_transitions"),
            )
        with told:
            _table(
                t("alerts.deliveries"),
                _deliveries(alert, place),
                t("alerts.no_deliveries"),
            )


def _table(title: str, rows: list[dict[str, str]], empty: str) -> None:
    st.markdown(f"**{title}**")
    if rows:
        st.dataframe(
            pd.DataFrame(rows), hide_index=True, height=min(38 + 35 * len(rows), 220)
        )
    else:
        st.markdown(f":small[:gray[{empty}]]")


def _transitions(alert: dict[str, Any], place: Any) -> list[dict[str, str]]:
    def word(state: object) -> str:
        return known(f"state.{state}", str(state or figures.DASH))

    return [
        {
            raw("col.at"): figures.at(one.get("at"), place),
            raw("col.from"): word(one.get("from")),
            raw("col.to"): word(one.get("to")),
            raw("col.value"): figures.measured(
                one.get("value"), alert["statistic"], alert["unit"]
            ),
            raw("col.by"): str(one.get("by") or figures.DASH),
        }
        for one in alert["transitions"]
    ]


def _deliveries(alert: dict[str, Any], place: Any) -> list[dict[str, str]]:
    return [
        {
            raw("col.channel"): str(one.get("channel") or ""),
            raw("col.status"): known(
                f"delivery.{one.get('status')}", str(one.get("status") or "")
            ),
            raw("col.tries"): figures.count(one.get("tries")),
            raw("col.at"): figures.at(one.get("at"), place),
            raw("col.detail"): str(one.get("detail") or ""),
        }
        for one in alert["deliveries"]
    ]


def _limit(alert: dict[str, Any]) -> str:
    return figures.limit_of(
        (alert["finding"] or {}) | {k: alert[k] for k in ("limit", "statistic", "unit")}
    )


if chosen := session.chosen_model("alerts.title"):
    cards.live(partial(page, chosen), "alerts")
