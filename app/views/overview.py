"""Is the model OK right now?

One verdict, six numbers, latency, errors, and what is open.
"""

from functools import partial
from typing import Any

import streamlit as st

from app import charts, figures, filters, reader, session
from app.components import alert_card, cards, change_text, overview_tiles
from app.finding_text import summary
from app.text import DISTANCES, listing, plain, raw, t

STALE_S = 600
BEHIND_S = 7200  # evaluation goes by hours, the last one by minutes
SHOWN_ALERTS = 4
SHOWN_CAUSES = 2


def page(choice: filters.Choice) -> None:
    """Everything below the title; read first, then drawn."""
    seen = reader.overview(choice.model, choice.version, choice.span)
    service = reader.service(choice.model, choice.version, choice.span)
    found = reader.findings(choice.model)
    open_alerts = reader.alerts(choice.model, "open")
    with cards.body():
        verdict(seen, found)
        with st.container(key="tiles_old" if is_stale(seen["freshness"]) else "tiles"):
            overview_tiles.row(seen, service, found)
        left, right = st.columns([2.1, 1], gap="small")
        with left:
            latency_and_errors(seen, service)
        with right:
            inbox_card(open_alerts)


def verdict(seen: dict[str, Any], found: list[dict[str, Any]]) -> None:
    """The one sentence, since when, what is healthy, and where to look."""
    status, place = seen["status"], figures.zone(st.context.timezone)
    sentence = (
        raw(f"overview.{status}")
        if status in ("ok", "insufficient", "no_data", "learning")
        else ""
    )
    if not sentence:
        sentence = (
            summary(seen["reasons"]) if seen["reasons"] else raw("overview.unexplained")
        )
    with (
        st.container(key=f"edge_{status}"),
        st.container(
            border=True, key="verdict", horizontal=True, vertical_alignment="center"
        ),
    ):
        facts = (
            [overview_tiles.shortage(found, None)] if status == "insufficient" else []
        )
        line = " &nbsp;·&nbsp; ".join(facts + circumstances(seen, place))
        told = [
            said
            for one in seen["causes"]
            if (
                said := change_text.likely(
                    one.get("kind"), one.get("columns"), one.get("behind")
                )
            )
        ]
        st.markdown(
            f"{cards.badge(status)} &nbsp; **{plain(sentence)}**"
            + "".join(f"  \n{said}" for said in told[:SHOWN_CAUSES])
            + (f"  \n:small[:gray[{line}]]" if line else ""),
            width="stretch",
        )
        if status in ("warn", "breach"):
            st.page_link(
                where_to_look(seen["reasons"]),
                label=t("overview.why"),
                icon=":material/arrow_forward:",
                icon_position="right",
            )


def circumstances(seen: dict[str, Any], place: Any) -> list[str]:
    """The short facts under the verdict, as markdown."""
    facts = []
    if is_behind(seen):
        facts.append(
            t("overview.behind", at=figures.at(seen["evaluated_until"], place))
        )
    if seen["since"] and seen["status"] != "ok":
        age = figures.duration(figures.seconds_between(seen["since"], seen["now"]))
        facts.append(t("overview.since", at=figures.at(seen["since"], place), age=age))
    healthy = [
        raw(f"group.{name}")
        for name in ("service", "data", "quality", "ingestion")
        if seen["groups"].get(name) == "ok"
    ]
    if healthy:
        facts.append(t("overview.healthy", groups=listing(healthy)))
    facts += labels(seen["prediction_error"], place)
    fresh = seen["freshness"]
    if is_stale(fresh):
        facts.append(
            t(
                "overview.stale",
                age=figures.duration(fresh["age_s"]),
                at=figures.at(fresh["last_event"], place),
            )
        )
    return facts


def labels(part: dict[str, Any], place: Any) -> list[str]:
    """How far labels have come, how many and how late, and whether they are no fair sample."""
    facts = []
    if part["labels_until"]:
        facts.append(t("overview.labels", at=figures.at(part["labels_until"], place)))
    if part["coverage"] is not None and part["delay_p50_s"] is not None:
        share, after = (
            figures.percent(part["coverage"], 0),
            figures.duration(part["delay_p50_s"]),
        )
        facts.append(
            t(
                "overview.labels_come",
                share=share,
                half=after,
                most=figures.duration(part["delay_p95_s"]),
            )
        )
    bias = part["label_bias"]
    if bias and bias["biased"]:
        facts.append(t("overview.labels_biased", psi=figures.score(bias["value"])))
    return facts


def is_behind(seen: dict[str, Any]) -> bool:
    """Whether stored history is still being evaluated: the verdict is that of some time ago."""
    return (
        figures.seconds_between(seen["evaluated_until"], seen["now"]) or 0.0
    ) > BEHIND_S


def is_stale(fresh: dict[str, Any]) -> bool:
    """Whether the numbers describe the past: nothing has come for a while, and that is not as it should be."""
    return (
        fresh["age_s"] is not None
        and fresh["age_s"] > STALE_S
        and fresh["status"] != "ok"
    )


def where_to_look(reasons: list[dict[str, Any]]) -> str:
    """The page that explains the most severe finding."""
    first = reasons[0] if reasons else {}
    if first.get("statistic") in DISTANCES | {
        "inputs_change",
        "unseen_values",
        "detector_evidence",
    } or (first.get("column") and "missing" in str(first.get("statistic"))):
        return "views/drift.py"
    named = str(first.get("statistic"))
    if named in ("freshness", "lag", "labels_overdue"):
        return "views/ingestion.py"
    service = named.startswith("latency") or named in (
        "error_rate",
        "error_rise",
        "traffic_change",
    )
    return "views/service.py" if service else "views/alerts.py"


def latency_and_errors(seen: dict[str, Any], service: dict[str, Any]) -> None:
    """The two charts of the service; one sentence instead when there is nothing to draw."""
    look, limits, totals = cards.look(), service["limits"], service["totals"]
    with cards.card("latency", t("service.latency"), t("service.latency_cap")):
        if not totals["n"]:
            cards.nothing_in_range(seen["freshness"]["last_event"], seen["now"])
            return
        shown = (
            figures.milliseconds(totals["p95"]),
            figures.milliseconds(limits["latency_p95"]),
        )
        figure = charts.latency(
            service["rows"], look, limits["latency_p95"], height=180
        )
        cards.plot(figure, "latency", raw("alt.latency", p95=shown[0], limit=shown[1]))
    with cards.card("errors", t("service.errors"), t("service.errors_cap")):
        shown = (
            figures.percent(totals["error_rate"]),
            figures.percent(limits["error_rate"]),
        )
        figure = charts.errors(service["rows"], look, limits["error_rate"], height=140)
        cards.plot(figure, "errors", raw("alt.errors", rate=shown[0], limit=shown[1]))


def inbox_card(answer: dict[str, Any]) -> None:
    """The open alerts with what can be done about each."""
    alerts = sorted(answer["alerts"], key=alert_card.most_severe_first)
    firing = sum(one["state"] == "firing" for one in alerts)
    with cards.card(
        "inbox", t("alerts.open_n", n=firing), t("alerts.open_cap"), height="stretch"
    ):
        if not alerts:
            st.markdown(f":green[:material/check_circle:] {t('alerts.none_open')}")
        for alert in alerts[:SHOWN_ALERTS]:
            alert_card.show(alert, answer.get("now"), "overview")
        if len(alerts) > SHOWN_ALERTS:
            st.page_link(
                "views/alerts.py",
                label=t("alerts.all_of", n=len(alerts)),
                icon=":material/arrow_forward:",
            )


if chosen := session.chosen_model("overview.title"):
    cards.live(partial(page, chosen), "overview")
