"""The six numbers of the overview, each with its status, its limit and its course."""

from typing import Any

import streamlit as st

from app import figures
from app.components import cards
from app.text import raw, t

Json = dict[str, Any]


def row(seen: Json, service: Json, found: list[Json]) -> None:
    """The row of six tiles; two to a line on a phone."""
    rows = service["rows"]
    with st.grid(6, min_column_width=150, gap="small"):
        _predictions(seen["predictions"], rows)
        _service(
            seen["latency_p95"],
            "latency",
            [one.get("p95") for one in rows],
            figures.milliseconds,
            found,
        )
        _service(
            seen["error_rate"],
            "errors",
            [one.get("error_rate") for one in rows],
            figures.percent,
            found,
        )
        _prediction_error(seen["prediction_error"], found)
        _drifted(seen["drifted"], found)
        _freshness(seen["freshness"], service)


def shortage(found: list[Json], statistics: tuple[str, ...] | None) -> str:
    """What is missing for these statistics, or for any of them (None): "needs 200, has 37".

    A plain "not enough events yet" when no finding says how many.
    """
    short = [
        one
        for one in found
        if one.get("verdict") == "insufficient"
        and (statistics is None or one.get("statistic") in statistics)
    ]
    if not short:
        return t("need.more")
    worst = min(short, key=lambda one: one.get("n") or 0)
    return t(
        "need.short",
        minimum=figures.count(worst.get("minimum")),
        n=figures.count(worst.get("n") or 0),
    )


def _predictions(part: Json, rows: list[Json]) -> None:
    n, before = part["n"], part["previous_week"]
    delta = None
    if n is not None and before:
        change = n / before - 1
        delta = f"{change:+.1%}" if abs(change) < 10 else f"{n / before:.0f}×"
    cards.tile(
        t("tile.predictions"),
        figures.compact(n),
        "ok" if n else "no_data",
        delta=delta,
        note=t("tile.vs_week") if delta else "",
        course=[one.get("n") or 0 for one in rows],
        kind="area",
        tip=figures.count(n),
    )


def _service(
    part: Json, name: str, course: list[float | None], show: Any, found: list[Json]
) -> None:
    status, value = part["status"], part["value"]
    statistics = ("latency_p95",) if name == "latency" else ("error_rate",)
    delta = (
        shortage(found, statistics)
        if status == "insufficient"
        else cards.signed(value, part["previous_week"], show)
    )
    note = "" if status == "insufficient" else _limit(part["limit"], show)
    cards.tile(
        t(f"tile.{name}"), show(value), status, delta=delta, note=note, course=course
    )


def _limit(limit: float | None, show: Any) -> str:
    return t("tile.no_limit") if limit is None else t("tile.limit", value=show(limit))


def _prediction_error(part: Json, found: list[Json]) -> None:
    statistic = part["statistic"] or "prediction_error"
    label = t(
        f"tile.{statistic}"
        if statistic in ("wrong_share", "mean_absolute_error")
        else "tile.prediction_error"
    )

    def show(value: float | None) -> str:
        return (
            figures.percent(value)
            if statistic == "wrong_share"
            else figures.number(value)
        )

    value, reference, limit = part["value"], part["reference"], part["limit"]
    tip = None
    if value is not None and None not in (part["low"], part["high"], limit, reference):
        tip = raw(
            "tile.increase_help",
            n=figures.count(part["n"]),
            low=show(part["low"]),
            high=show(part["high"]),
            reference=show(reference),
            limit=show(limit),
        )
    delta, note = cards.signed(value, reference, show), ""
    if value is None or part["status"] == "insufficient":
        delta = t("need.labels") if not part["n"] else shortage(found, (statistic,))
    else:
        note = _limit(None if limit is None else limit + (reference or 0.0), show)
    course = [one.get("value") for one in part["series"]]
    cards.tile(
        label,
        show(value),
        part["status"],
        delta=delta,
        note=note,
        course=course,
        tip=tip,
    )


def _drifted(part: Json, found: list[Json]) -> None:
    n, of, status = part["n"], part["of"], part["status"]
    weight = (
        t("tile.weight", share=figures.percent(part["importance"], 0))
        if part["importance"]
        else None
    )
    delta, note = weight if n else None, _limit(part["limit"], figures.score)
    if status in ("insufficient", "learning"):
        delta, note = (
            (
                shortage(found, ("psi",))
                if status == "insufficient"
                else t("need.reference")
            ),
            "",
        )
    cards.tile(
        t("tile.drifted"),
        f"{figures.count(n)} / {figures.count(of)}" if of else figures.DASH,
        status,
        delta=delta,
        note=note,
        course=[one.get("n") or 0 for one in part["series"]],
        kind="area",
    )


def _freshness(part: Json, service: Json) -> None:
    lost, fresh = part["lost"], part["status"]
    tip = t(
        "tile.fresh_help",
        **{
            name: figures.count(part[name])
            for name in ("received", "stored", "duplicate", "refused", "pending")
        },
    )
    if part["lag_s"] is not None:
        tip += "  \n" + t("tile.lag_help", lag=figures.duration(part["lag_s"]))
    tip += "  \n" + t("tile.arrivals", step=figures.duration(service["step_s"]))
    cards.tile(
        cards.linked(t("tile.freshness"), "ingestion"),
        figures.duration(part["age_s"]),
        part["status"],
        delta=None if fresh != "ok" or lost is None else figures.count(lost),
        note=""
        if lost is None
        else t("tile.lost")
        if fresh == "ok"
        else t("tile.lost_n", n=figures.count(lost)),
        course=[one.get("n") or 0 for one in service["rows"][-30:]],
        kind="bar",
        tip=tip,
    )
