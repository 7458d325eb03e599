"""Is the model OK right now? Status, six numbers, latency, errors, open alerts."""

from functools import partial
from typing import Any

import streamlit as st

from app import charts, figures, filters, finding_text, reader, session
from app.components import alert_card, cards, change_text, overview_tiles
from app.text import DETECTED, group_of, listing, plain, raw, t

Json = dict[str, Any]
STALE_S = 600
BEHIND_S = 7200  # evaluation goes by hours, the last one by minutes
MAX_ALERTS = 4
MAX_CAUSES = 2
GROUPS = ("service", "data", "quality", "ingestion")
# findings that the page of received rows explains
ON_INGESTION = ("freshness", "lag", "labels_overdue")
# by the part of the status that a finding is of
EXPLAINED_BY = {"data": "views/drift.py", "service": "views/service.py"}


def page(choice: filters.Choice) -> None:
    """Read everything, then draw it below the title."""
    overview = reader.overview(choice.model, choice.version, choice.span)
    service = reader.service(choice.model, choice.version, choice.span)
    findings = reader.findings(choice.model)
    open_alerts = reader.alerts(choice.model, "open")
    is_old = is_stale(overview["freshness"])
    with cards.body():
        verdict(choice.model, overview, findings)
        with st.container(key="tiles_old" if is_old else "tiles"):
            overview_tiles.row(overview, service, findings)
        left, right = st.columns([2.1, 1], gap="small")
        with left:
            latency_and_errors(overview, service)
        with right:
            alerts_card(choice.model, open_alerts)


def verdict(model: str, overview: Json, findings: list[Json]) -> None:
    """Draw the status in one sentence, its causes and facts, and the page to open."""
    status = cards.by_severity(overview["status"], overview["reasons"])
    lines = [f"**{plain(sentence(model, overview, findings))}**"]
    if status in ("insufficient", "learning", "no_data"):
        lines[0] = f"{cards.status_icon(status)} {lines[0]}"
    else:
        lines[0] = f"{cards.badge(status)} &nbsp; {lines[0]}"
    lines += likely_causes(overview["causes"])
    facts = circumstances(overview)
    if status == "insufficient":
        facts.insert(0, overview_tiles.shortage(findings))
    if facts:
        lines.append(cards.small_gray(" &nbsp;·&nbsp; ".join(facts)))
    box = st.container(
        border=True, key="verdict", horizontal=True, vertical_alignment="center"
    )
    with st.container(key=f"edge_{status}"), box:
        st.markdown("  \n".join(lines), width="stretch")
        if status in ("warn", "breach"):
            st.page_link(
                explaining_page(overview["reasons"]),
                label=t("overview.why"),
                icon=":material/arrow_forward:",
                icon_position="right",
            )


def sentence(model: str, overview: Json, findings: list[Json]) -> str:
    """Return the status of the model as one plain sentence that names it."""
    status, reasons = overview["status"], overview["reasons"]
    if status == "ok":
        checks = [f for f in findings if f.get("statistic") not in DETECTED]
        n = sum(check.get("verdict") == "ok" for check in checks)
        return raw("overview.ok", model=model, n=n, skipped=len(checks) - n)
    if status in ("insufficient", "no_data", "learning"):
        text = raw(f"overview.{status}")
    elif reasons:
        text = finding_text.summary(reasons)
    else:
        text = raw("overview.unexplained")
    return raw("overview.model", model=model, sentence=text)


def likely_causes(causes: list[Json]) -> list[str]:
    """Return the likely causes with the most weight as markdown lines."""
    lines = []
    for cause in causes:
        line = change_text.likely_cause(
            cause.get("kind"),
            cause.get("columns") or [],
            cause.get("since"),
            cause.get("behind"),
        )
        if line:
            lines.append(line)
    return lines[:MAX_CAUSES]


def circumstances(overview: Json) -> list[str]:
    """Return the short facts under the status as markdown."""
    facts = []
    if is_behind(overview):
        facts.append(
            t("overview.behind", at=figures.zoned(overview["evaluated_until"]))
        )
    if overview["since"] and overview["status"] != "ok":
        seconds = figures.seconds_between(overview["since"], overview["now"])
        since = t(
            "overview.since",
            at=figures.zoned(overview["since"]),
            age=figures.duration(seconds),
        )
        facts.append(since)
    healthy = [name for name in GROUPS if overview["groups"].get(name) == "ok"]
    if healthy and overview["status"] != "ok":
        names = listing([raw(f"group.{name}") for name in healthy])
        facts.append(t("overview.healthy", groups=names))
    facts += labels(overview["prediction_error"])
    freshness = overview["freshness"]
    if is_stale(freshness):
        stale = t(
            "overview.stale",
            at=figures.zoned(freshness["last_event"]),
            age=figures.duration(freshness["age_s"]),
        )
        facts.append(stale)
    return facts


def labels(part: Json) -> list[str]:
    """Return label coverage, label delay and sampling bias as markdown."""
    facts = []
    if part["labels_until"]:
        until = figures.zoned(part["labels_until"])
        facts.append(t("overview.labels", at=until))
    needed = ("coverage", "delay_p50_s", "delay_p95_s")
    if None not in [part[name] for name in needed]:
        words = {
            "share": figures.percent(part["coverage"], 0),
            "half": figures.duration(part["delay_p50_s"]),
            "most": figures.duration(part["delay_p95_s"]),
        }
        facts.append(t("overview.coverage", **words))
    bias = part["label_bias"]
    if bias and bias["biased"]:
        psi = figures.score(bias["value"])
        facts.append(t("overview.labels_biased", psi=psi))
    return facts


def is_behind(overview: Json) -> bool:
    """Return whether stored history is still being evaluated."""
    seconds = figures.seconds_between(overview["evaluated_until"], overview["now"])
    return (seconds or 0.0) > BEHIND_S


def is_stale(freshness: Json) -> bool:
    """Return whether no event was received for a while, so that all figures are old."""
    age_s = freshness["age_s"]
    return age_s is not None and age_s > STALE_S and freshness["status"] != "ok"


def explaining_page(reasons: list[Json]) -> str:
    """Return the file of the page that explains the most severe finding."""
    first = reasons[0] if reasons else {}
    statistic = str(first.get("statistic"))
    if statistic in ON_INGESTION:
        return "views/ingestion.py"
    return EXPLAINED_BY.get(str(group_of(statistic)), "views/alerts.py")


def latency_and_errors(overview: Json, service: Json) -> None:
    """Draw the two charts of the service; one sentence when there is nothing to draw."""
    look, rows = cards.look(), service["rows"]
    limits, totals = service["limits"], service["totals"]
    with cards.card("latency", t("service.latency"), t("service.latency_cap")):
        if not totals["n"]:
            last_event = overview["freshness"]["last_event"]
            cards.nothing_in_range(last_event, overview["now"])
            return
        figure = charts.latency(rows, look, limits["latency_p95"], height=180)
        cards.plot(figure, "latency", cards.latency_alt(service))
    with cards.card("errors", t("service.errors"), t("service.errors_cap")):
        figure = charts.errors(rows, look, limits["error_rate"], height=140)
        cards.plot(figure, "errors", cards.errors_alt(service))


def alerts_card(model: str, response: Json) -> None:
    """Draw the open alerts with the actions on each."""
    alerts = sorted(response["alerts"], key=alert_card.most_severe_first)
    firing = sum(alert["state"] == "firing" for alert in alerts)
    title, caption = t("alerts.open_n", n=firing), t("alerts.open_cap")
    with cards.card("inbox", title, caption, height="stretch"):
        if not alerts:
            # an all-clear is green only when the checks behind it ran
            icon = cards.status_icon(session.status_of(model))
            st.markdown(f"{icon} {t('alerts.none_open', model=model)}")
        for alert in alerts[:MAX_ALERTS]:
            alert_card.show(alert, response.get("now"), "overview")
        if len(alerts) > MAX_ALERTS:
            st.page_link(
                "views/alerts.py",
                label=t("alerts.all_of", n=len(alerts)),
                icon=":material/arrow_forward:",
            )


if chosen := session.chosen_model("overview.title"):
    cards.live(partial(page, chosen), "overview")
