"""A change that the detector found, in figures: what moved, how far, since when."""

from typing import Any

import streamlit as st

from app import figures
from app.sentences import SENTENCES
from app.text import column_name, listing, plain, raw, sentence_case, t

Json = dict[str, Any]
SHARES = frozenset({"missing", "unseen", "error rate", "wrong share"})
SHOWN = 4


def size(contrast: str, value: float | None) -> str:
    """How far something moved, in its unit: "+0.62 sd", "12%", "0.4×"."""
    if contrast in SHARES:
        # beyond the usual; the others are shares
        sign = "+" if contrast == "missing" and (value or 0.0) > 0 else ""
        return sign + figures.percent(value)
    return figures.measured(value, "", "times" if contrast == "traffic" else "sd")


def moved(one: Json) -> str:
    """One thing that moved, with its interval, as plain text: "level +0.62 sd (95 % +0.50 to +0.74)"."""
    contrast = str(one.get("contrast"))
    said = raw(
        f"moved.{contrast.replace(' ', '_')}", size=size(contrast, one.get("size"))
    )
    low, high = one.get("low"), one.get("high")
    if low is None or high is None or low == high:
        return said
    shown = (size(contrast, bound).removesuffix(" sd") for bound in (low, high))
    return raw(
        "moved.interval", said=said, **dict(zip(("low", "high"), shown, strict=True))
    )


def by_column(found: Json) -> dict[str, list[Json]]:
    """What moved in each column, in the order given."""
    columns: dict[str, list[Json]] = {}
    for one in found.get("moved") or []:
        columns.setdefault(str(one.get("column")), []).append(one)
    return columns


def lines(found: Json, most: int = SHOWN) -> list[str]:
    """Each column that moved and how, as markdown, at most so many; then how many more there are."""
    columns = by_column(found)
    said = [
        f"**{plain(column_name(name))}**: {plain(raw('comma').join(moved(one) for one in those[:2]))}"
        for name, those in list(columns.items())[:most]
    ]
    return said + (
        [t("moved.more", n=len(columns) - most)] if len(columns) > most else []
    )


def likely(
    kind: object, columns: list[str] | None = None, behind: object = ""
) -> str | None:
    """The likely cause as markdown, with the columns and the segment it is about if they are given; None if there is none."""
    key = f"cause.{kind}"
    if key not in SENTENCES:
        return None
    said = raw("cause.behind", cause=raw(key), segment=behind) if behind else raw(key)
    if columns:
        names = [column_name(name) for name in columns]
        shown = (
            names
            if len(names) <= 3
            else [*names[:2], raw("finding.n_columns", n=len(names) - 2)]
        )
        said = raw("cause.of", columns=listing(shown), cause=said)
    return f":material/lightbulb: {plain(sentence_case(said) if not columns else said)}"


def facts(alert: Json, age: str) -> str:
    """The lead's size with its interval, since when, and for how long, as markdown."""
    found = alert["finding"] or {}
    place, first = figures.zone(st.context.timezone), (found.get("moved") or [None])[0]
    value = (
        moved(first)
        if first
        else figures.measured(alert["value"], alert["statistic"], alert["unit"])
    )
    parts = [f"**{plain(value)}**"]
    if found.get("reference_value") is not None:
        usual = figures.measured(
            found["reference_value"], alert["statistic"], alert["unit"]
        )
        parts.append(t("moved.usual", value=usual))
    key = "moved.facts_done" if alert["resolved_at"] else "moved.facts"
    parts.append(
        t(key, at=figures.at(found.get("from") or alert["since"], place), age=age)
    )
    return " · ".join(parts)
