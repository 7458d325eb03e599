"""The six numbers of the overview, each with its status, limit and trend."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import figures
from app.components import cards
from app.finding_text import limit_phrase
from app.text import raw, t

Json = dict[str, Any]
Show = Callable[[float | None], str]
ACCOUNTS = ("received", "stored", "duplicate", "refused", "pending")
LATENCY = ("latency_p95", "latency_quantile")
TRAFFIC = ("volume", "traffic_change", "detector_evidence")
MAX_BARS = 30


def row(overview: Json, service: Json, findings: list[Json]) -> None:
    """Draw the row of six tiles; two to a line on a phone."""
    buckets = service["rows"]
    latencies = [bucket.get("p95") for bucket in buckets]
    error_rates = [bucket.get("error_rate") for bucket in buckets]
    with st.grid(6, min_column_width=150, gap="small"):
        _predictions(overview["predictions"], buckets, findings)
        with_limit(
            t("tile.latency"),
            overview["latency_p95"],
            _of(findings, LATENCY),
            figures.milliseconds,
            latencies,
        )
        with_limit(
            t("tile.errors"),
            overview["error_rate"],
            _of(findings, ("error_rate",)),
            figures.percent,
            error_rates,
        )
        _prediction_error(overview["prediction_error"], findings)
        _drifted(overview["drifted"], findings)
        _freshness(overview["freshness"], service)


def shortage(findings: list[Json]) -> str:
    """Return how many rows the findings lack: "37 of 200 rows".

    A plain "insufficient data" when none of them lacks rows.
    """
    short = [f for f in findings if f.get("verdict") == "insufficient"]
    if not short:
        return t("need.more")
    thinnest = min(short, key=lambda finding: finding.get("n") or 0)
    n = thinnest.get("n") or 0
    minimum = thinnest.get("minimum") or 0
    if n >= minimum:
        return t("need.more")
    return t("need.rows", n=figures.count(n), minimum=figures.count(minimum))


def _of(findings: list[Json], statistics: tuple[str, ...]) -> list[Json]:
    return [finding for finding in findings if finding.get("statistic") in statistics]


def _predictions(part: Json, buckets: list[Json], findings: list[Json]) -> None:
    n, before = part["n"], part["previous_week"]
    delta = None
    if n is not None and before:
        change = n / before - 1
        delta = f"{change:+.1%}" if abs(change) < 10 else f"{n / before:.0f}×"
    cards.tile(
        t("tile.predictions"),
        figures.compact(n),
        _traffic_status(findings) if n else "no_data",
        delta=delta,
        note=t("tile.vs_week") if delta else "",
        trend=[bucket.get("n") or 0 for bucket in buckets],
        kind="area",
        tip=figures.count(n),
    )


def _traffic_status(findings: list[Json]) -> str:
    """Return the status of the checks on traffic, not_checked when there is none."""
    checks = _of(findings, TRAFFIC)
    own = [f for f in checks if f.get("statistic") != "detector_evidence"]
    verdicts = {str(finding.get("verdict")) for finding in own}
    for verdict in ("breach", "warn"):
        if verdict in verdicts:
            return cards.by_severity(verdict, own)
    # the detector watches traffic, too
    is_watched = any(finding.get("verdict") in ("ok", "warn") for finding in checks)
    return "ok" if is_watched else "not_checked"


def with_limit(
    label: str,
    part: Json,
    findings: list[Json],
    show: Show,
    trend: list[float | None],
) -> None:
    """Draw the tile of a figure of the service; without a limit it is not checked."""
    value = part["value"]
    status = cards.by_severity(part["status"], findings)
    delta = cards.signed(value, part["previous_week"], show)
    note = cards.limit_text(part["limit"], show)
    if status == "insufficient":
        delta = shortage(findings)
        note = ""
    if status == "ok" and part["limit"] is None:
        status = "not_checked"
    tip = _checked(findings)
    cards.tile(label, show(value), status, delta=delta, note=note, trend=trend, tip=tip)


def _checked(findings: list[Json]) -> str | None:
    """Return the value that was checked with its window: the tile shows another range."""
    for finding in findings:
        start = finding.get("from")
        end = finding.get("to")
        is_checked = start and end and finding.get("n")
        if not is_checked or finding.get("value") is None:
            continue
        statistic = str(finding.get("statistic"))
        value = figures.measured(finding["value"], statistic, finding.get("unit"))
        return t(
            "tile.checked_help",
            value=value,
            window=figures.duration(figures.seconds_between(start, end)),
            n=figures.count(finding["n"]),
            limit=limit_phrase(finding),
        )
    return None


def _prediction_error(part: Json, findings: list[Json]) -> None:
    statistic = part["statistic"] or "prediction_error"
    is_known = statistic in ("wrong_share", "mean_absolute_error")
    label = t(f"tile.{statistic}" if is_known else "tile.prediction_error")
    show: Show = figures.percent if statistic == "wrong_share" else figures.number
    own = _of(findings, (statistic,))
    value, reference, limit = part["value"], part["reference"], part["limit"]
    status = cards.by_severity(part["status"], own)
    delta, note = cards.signed(value, reference, show), ""
    if value is None or status == "insufficient":
        delta = t("need.labels") if not part["n"] else shortage(own)
    else:
        allowed = None if limit is None else limit + (reference or 0.0)
        note = cards.limit_text(allowed, show)
    if status == "ok" and limit is None:
        status = "not_checked"
    cards.tile(
        label,
        show(value),
        status,
        delta=delta,
        note=note,
        trend=[point.get("value") for point in part["series"]],
        tip=_quality_tip(part, show, own),
    )


def _quality_tip(part: Json, show: Show, findings: list[Json]) -> str | None:
    """Return sample size, interval and limit, and the value that was checked."""
    needed = ("value", "low", "high", "limit", "reference")
    lines = []
    if None not in [part[name] for name in needed]:
        line = raw(
            "tile.increase_help",
            n=figures.count(part["n"]),
            interval=figures.interval(show(part["low"]), show(part["high"])),
            reference=show(part["reference"]),
            limit=show(part["limit"]),
        )
        lines.append(line)
    checked = _checked(findings)
    if checked:
        lines.append(checked)
    return "  \n".join(lines) or None


def _drifted(part: Json, findings: list[Json]) -> None:
    n, of = part["n"], part["of"]
    own = _of(findings, ("psi",))
    status = cards.by_severity(part["status"], own)
    delta, tip = None, None
    note = cards.limit_text(part["limit"], figures.score)
    if n and part["importance"]:
        tip = t("tile.weight", share=figures.percent(part["importance"], 0))
    if status == "insufficient":
        delta, note = shortage(own), ""
    if status == "learning":
        delta, note = t("need.reference"), ""
    cards.tile(
        t("tile.drifted"),
        f"{figures.count(n)} / {figures.count(of)}" if of else figures.DASH,
        status,
        delta=delta,
        note=note,
        trend=[point.get("n") or 0 for point in part["series"]],
        kind="area",
        tip=tip,
    )


def _freshness(part: Json, service: Json) -> None:
    unaccounted, is_ok = part["lost"], part["status"] == "ok"
    counts = {name: figures.count(part[name]) for name in ACCOUNTS}
    tips = [t("tile.fresh_help", **counts)]
    if part["lag_s"] is not None:
        tips.append(t("tile.lag_help", lag=figures.duration(part["lag_s"])))
    tips.append(t("tile.arrivals", step=figures.duration(service["step_s"])))
    delta, note = None, ""
    if unaccounted is not None:
        n = figures.count(unaccounted)
        delta = n if is_ok else None
        note = t("tile.unaccounted") if is_ok else t("tile.unaccounted_n", n=n)
    buckets = service["rows"][-MAX_BARS:]
    cards.tile(
        cards.linked(t("tile.freshness"), "ingestion"),
        figures.duration(part["age_s"]),
        part["status"],
        delta=delta,
        note=note,
        trend=[bucket.get("n") or 0 for bucket in buckets],
        kind="bar",
        tip="  \n".join(tips),
    )
