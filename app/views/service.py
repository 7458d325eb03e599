"""Is it up and fast? Latency, errors and traffic over time, and per version."""

from functools import partial
from statistics import median
from typing import Any

import pandas as pd
import streamlit as st

from app import charts, figures, filters, reader, session
from app.components import cards
from app.text import raw, t

ENOUGH = 200  # answers per bucket; below that a single failure looks like a percent
STEPS = {"1h": 3600, "6h": 21_600, "1d": 86_400}


def page(choice: filters.Choice) -> None:
    """Everything below the title; read first, then drawn."""
    seen = reader.service(choice.model, choice.version, choice.span)
    wide = wider_step(seen)
    thick = (
        reader.service(choice.model, choice.version, choice.span, wide)
        if wide
        else seen
    )
    before = reader.overview(choice.model, choice.version, choice.span)
    with cards.body():
        if not seen["totals"]["n"]:
            cards.nothing_in_range(before["freshness"]["last_event"], before["now"])
            return
        verdict(seen, before)
        latency_card(seen)
        left, right = st.columns(2, gap="small")
        with left:
            errors_card(thick)
        with right:
            traffic_card(seen)
        versions_card(seen["versions"])


def verdict(seen: dict[str, Any], overview: dict[str, Any]) -> None:
    """The numbers of the whole range in one sentence, with the status of the service."""
    totals, limits = seen["totals"], seen["limits"]
    sentence = t(
        "service.verdict",
        n=figures.count(totals["n"]),
        p95=figures.milliseconds(totals["p95"]),
        rate=figures.percent(totals["error_rate"]),
        latency_limit=_limit(
            figures.milliseconds(limits["latency_p95"]), limits["latency_p95"]
        ),
        error_limit=_limit(figures.percent(limits["error_rate"]), limits["error_rate"]),
    )
    st.markdown(
        f"{cards.badge(overview['groups'].get('service') or 'no_data')} &nbsp; {sentence}"
    )


def _limit(shown: str, limit: float | None) -> str:
    return raw("tile.no_limit") if limit is None else raw("tile.limit", value=shown)


def wider_step(seen: dict[str, Any]) -> str:
    """The narrowest bucket that holds enough answers for a rate, or the widest; "" for the server's own choice."""
    rows = [one["n"] for one in seen["rows"] if one["n"]]
    typical, step_s = (median(rows) if rows else 0), seen["step_s"]
    if typical >= ENOUGH or not typical:
        return ""
    wider = [name for name, seconds in STEPS.items() if seconds > step_s]
    enough = [name for name in wider if typical * STEPS[name] / step_s >= ENOUGH]
    return (enough or wider[-1:] or [""])[0]


def latency_card(seen: dict[str, Any]) -> None:
    """Percentiles over time against the limit on p95."""
    limit = seen["limits"]["latency_p95"]
    alt = raw(
        "alt.latency",
        p95=figures.milliseconds(seen["totals"]["p95"]),
        limit=figures.milliseconds(limit),
    )
    with cards.card("latency", t("service.latency"), t("service.latency_cap")):
        cards.plot(
            charts.latency(seen["rows"], cards.look(), limit, height=270),
            "latency",
            alt,
        )


def errors_card(seen: dict[str, Any]) -> None:
    """The share of failed answers per bucket, with its interval."""
    limit = seen["limits"]["error_rate"]
    alt = raw(
        "alt.errors",
        rate=figures.percent(seen["totals"]["error_rate"]),
        limit=figures.percent(limit),
    )
    with cards.card(
        "errors", t("service.errors"), t("service.errors_ci"), height="stretch"
    ):
        cards.plot(
            charts.errors(
                seen["rows"], cards.look(), limit, height=230, intervals=True
            ),
            "errors",
            alt,
        )


def traffic_card(seen: dict[str, Any]) -> None:
    """Answers per bucket against the week before."""
    caption = t("service.traffic_cap", step=figures.duration(seen["step_s"]))
    with cards.card("traffic", t("service.traffic"), caption, height="stretch"):
        alt = raw("alt.traffic", n=figures.count(seen["totals"]["n"]))
        cards.plot(
            charts.traffic(
                seen["rows"], seen["previous_week"], cards.look(), height=230
            ),
            "traffic",
            alt,
        )


def versions_card(versions: list[dict[str, Any]]) -> None:
    """One row per version that answered in the range."""
    place = figures.zone(st.context.timezone)
    table = pd.DataFrame(
        [
            {
                "version": one.get("version") or raw("service.no_version"),
                "n": one.get("n"),
                "p50": one.get("p50"),
                "p95": one.get("p95"),
                "p99": one.get("p99"),
                "rate": figures.percent(one.get("error_rate")),
                "interval": f"{figures.percent(one.get('error_low'))} – {figures.percent(one.get('error_high'))}",
                "first": figures.at(one.get("first_event"), place),
                "last": figures.at(one.get("last_event"), place),
            }
            for one in versions
        ]
    )
    if table.empty:
        return
    milliseconds = "%.0f ms"
    with cards.card("versions", t("service.versions"), t("service.versions_cap")):
        st.dataframe(
            table,
            hide_index=True,
            key="versions",
            alt=raw("alt.versions"),
            column_config={
                "version": st.column_config.TextColumn(raw("col.version"), pinned=True),
                "n": st.column_config.NumberColumn(
                    raw("col.answers"), format="localized"
                ),
                "p50": st.column_config.NumberColumn("p50", format=milliseconds),
                "p95": st.column_config.NumberColumn("p95", format=milliseconds),
                "p99": st.column_config.NumberColumn("p99", format=milliseconds),
                "rate": raw("col.error_rate"),
                "interval": raw("col.interval"),
                "first": raw("col.first"),
                "last": raw("col.last"),
            },
        )


if chosen := session.chosen_model("service.title"):
    cards.live(partial(page, chosen), "service")
