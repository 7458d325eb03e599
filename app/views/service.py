"""Is it up and fast? Latency, request errors and traffic, over time and per version."""

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import pandas as pd
import streamlit as st

from app import charts, figures, filters, reader, session
from app.components import cards
from app.text import raw, t

Json = dict[str, Any]
MIN_REQUESTS = 200  # per bucket; below that a single failure looks like a percent
STEPS = {"1h": 3600, "6h": 21_600, "1d": 86_400}


def page(choice: filters.Choice) -> None:
    """Read everything, then draw it below the title."""
    args = (choice.model, choice.version, choice.span)
    service = reader.service(*args)
    step = wider_step(service)
    for_rates = reader.service(*args, step) if step else service
    overview = reader.overview(*args)
    findings = reader.findings(choice.model)
    with cards.body():
        if not service["totals"]["n"]:
            last_event = overview["freshness"]["last_event"]
            cards.nothing_in_range(last_event, overview["now"])
            return
        verdict(service, overview, findings)
        latency_card(service)
        left, right = st.columns(2, gap="small")
        with left:
            errors_card(for_rates)
        with right:
            traffic_card(service)
        versions_card(service["versions"])


def verdict(service: Json, overview: Json, findings: list[Json]) -> None:
    """Draw the figures of the time range in one sentence, with the status."""
    status = overview["groups"].get("service") or "no_data"
    checks = [f for f in findings if is_of_service(str(f.get("statistic")))]
    badge = cards.badge(cards.by_severity(status, checks))
    st.markdown(f"{badge} &nbsp; {sentence(service)}")


def is_of_service(statistic: str) -> bool:
    """Return whether a statistic is one of requests: latency, errors or traffic."""
    others = ("error_rate", "error_rise", "traffic_change", "volume")
    return statistic.startswith("latency") or statistic in others


def sentence(service: Json) -> str:
    """Return requests, p95 latency and error rate with their limits as markdown."""
    totals = service["totals"]
    limits = service["limits"]
    parts = []
    if totals["p95"] is not None:
        p95 = figures.milliseconds(totals["p95"])
        limit = _limit(limits["latency_p95"], figures.milliseconds)
        parts.append(t("service.p95", p95=p95, limit=limit))
    if totals["error_rate"] is not None:
        rate = figures.percent(totals["error_rate"])
        limit = _limit(limits["error_rate"], figures.percent)
        parts.append(t("service.rate", rate=rate, limit=limit))
    requests = raw("service.requests", n=figures.count(totals["n"]))
    # the parts are markdown already
    return raw("service.verdict", requests=requests, parts=raw("comma").join(parts))


def _limit(limit: float | None, show: Callable[[float | None], str]) -> str:
    if limit is None:
        return raw("limit.unchecked")
    return cards.limit_text(limit, show)


def wider_step(service: Json) -> str:
    """Return the narrowest step with enough requests for a rate, or the widest.

    "" is the server's own choice.
    """
    counts = [row["n"] for row in service["rows"] if row["n"]]
    typical = median(counts) if counts else 0
    if typical >= MIN_REQUESTS or not typical:
        return ""
    step_s = service["step_s"]
    wider = [name for name, seconds in STEPS.items() if seconds > step_s]
    enough = [name for name in wider if typical * STEPS[name] / step_s >= MIN_REQUESTS]
    return (enough or wider[-1:] or [""])[0]


def latency_card(service: Json) -> None:
    """Draw percentiles over time against the limit on p95."""
    limit = service["limits"]["latency_p95"]
    with cards.card("latency", t("service.latency"), t("service.latency_cap")):
        figure = charts.latency(service["rows"], cards.look(), limit, height=270)
        cards.plot(figure, "latency", cards.latency_alt(service))


def errors_card(service: Json) -> None:
    """Draw the request error rate per bucket, with its interval."""
    box = cards.card(
        "errors",
        t("service.errors"),
        t("service.errors_ci"),
        height="stretch",
    )
    with box:
        figure = charts.errors(
            service["rows"],
            cards.look(),
            service["limits"]["error_rate"],
            height=230,
            intervals=True,
        )
        cards.plot(figure, "errors", cards.errors_alt(service))


def traffic_card(service: Json) -> None:
    """Draw requests per bucket against the week before."""
    box = cards.card(
        "traffic",
        t("service.traffic"),
        t("service.traffic_cap", step=figures.duration(service["step_s"])),
        height="stretch",
    )
    with box:
        figure = charts.traffic(
            service["rows"],
            service["previous_week"],
            cards.look(),
            height=230,
        )
        alt = raw("alt.traffic", n=figures.count(service["totals"]["n"]))
        cards.plot(figure, "traffic", alt)


def versions_card(versions: list[Json]) -> None:
    """Draw one row per version with requests in the time range."""
    if not versions:
        return
    config: dict[str, Any] = {
        "version": st.column_config.TextColumn(raw("col.version"), pinned=True),
        "n": st.column_config.NumberColumn(raw("col.requests"), format="localized"),
    }
    for name in ("p50", "p95", "p99"):
        config[name] = st.column_config.NumberColumn(name, format="%.0f ms")
    for name in ("error_rate", "interval", "first", "last"):
        config[name] = raw(f"col.{name}")
    with cards.card("versions", t("service.versions"), t("service.versions_cap")):
        st.dataframe(
            pd.DataFrame([_version_row(version) for version in versions]),
            hide_index=True,
            key="versions",
            alt=raw("alt.versions"),
            column_config=config,
        )


def _version_row(version: Json) -> Json:
    low = version.get("error_low")
    high = version.get("error_high")
    interval = f"{figures.percent(low)}–{figures.percent(high)}"
    return {
        "version": version.get("version") or raw("service.no_version"),
        "n": version.get("n"),
        "p50": version.get("p50"),
        "p95": version.get("p95"),
        "p99": version.get("p99"),
        "error_rate": figures.percent(version.get("error_rate")),
        "interval": figures.DASH if low is None or high is None else interval,
        "first": figures.at(version.get("first_event")),
        "last": figures.at(version.get("last_event")),
    }


if chosen := session.chosen_model("service.title"):
    cards.live(partial(page, chosen), "service")
