"""Drift in words: which feature did most harm, what moved in it, and what that means."""

from typing import Any

import streamlit as st

from app import charts, figures
from app.components import cards
from app.text import raw, statistic, t

Json = dict[str, Any]
# new or missing values below half a percent are not worth a sentence
VISIBLE_SHARE = 0.005


def verdict(seen: Json, found: int = 0) -> str:
    """How many features drifted, and the worst of them, as markdown; `found` changes of the detector are open."""
    features = [
        one
        for one in seen["columns"]
        if one["kind"] not in ("prediction", "reconstruction_error")
    ]
    drifted = [one for one in features if one["status"] in ("breach", "severe")]
    if not drifted:
        watched = [one for one in features if one["status"] == "warn"]
        judged = any(one["status"] == "ok" for one in features)
        status = (
            "warn"
            if watched
            else "ok"
            if judged
            else features[0]["status"]
            if features
            else "no_data"
        )
        if not (judged or watched):
            reason = (
                t(f"overview.{status}")
                if status in ("insufficient", "no_data", "learning")
                else t("need.more")
            )
            return f"{cards.badge(status)} &nbsp; {reason}"
        # its evidence is gathered over hours, in which no window may be over a limit
        if found:
            open_now = cards.badge("breach", t("detector.open_n", n=found))
            return f"{open_now} &nbsp; {t('drift.none_over', of=len(features), window=figures.duration(seen['window_s']))}"
        return cards.badge(status, t("drift.none", of=len(features)))
    head = f":orange-badge[:material/warning: {t('drift.some', n=len(drifted), of=len(features))}]"
    sentences = [_moved(seen, drifted[0])] + [
        s for one in drifted[:4] for s in _broken(one)
    ]
    return f"{head} &nbsp; " + " ".join(sentences[:3])


def _moved(seen: Json, one: Json) -> str:
    if one["mean"] is not None and one["mean_reference"] is not None:
        return t(
            "drift.moved",
            name=one["column"],
            before=figures.number(one["mean_reference"]),
            after=figures.number(one["mean"]),
        )
    return t(
        "drift.worst",
        name=one["column"],
        statistic=statistic(seen["statistic"]),
        value=figures.score(one["value"]),
        limit=figures.score(seen["limit"]),
    )


def _broken(one: Json) -> list[str]:
    said = []
    usual = one["new_share_usual"] or 0  # of very many values some are always new
    if (one["new_share"] or 0) >= usual + VISIBLE_SHARE:
        said.append(
            t("drift.new", name=one["column"], share=figures.percent(one["new_share"]))
        )
    now, before = one["missing"] or 0, one["missing_reference"] or 0
    if now >= before + VISIBLE_SHARE * 4:
        said.append(
            t(
                "drift.missing_moved",
                name=one["column"],
                after=figures.percent(now),
                before=figures.percent(before),
            )
        )
    return said


def sentences(seen: Json, one: Json, detail: Json) -> list[str]:
    """What the chart of one feature shows, as markdown sentences, the most useful first."""
    said = [*_missing(one), *_new_values(detail), *_bins(one, detail)]
    name, limit = statistic(seen["statistic"]), figures.score(seen["limit"])
    if one["status"] == "insufficient" or one["value"] is None:
        minimum = next(
            (s.get("minimum") for s in detail["statistics"] if s.get("minimum")), None
        )
        need = {"minimum": figures.count(minimum), "n": figures.count(one["n"])}
        return [
            f"{cards.badge(one['status'])} &nbsp; {t('need.events', **need) if minimum else t('need.more')}"
        ]
    low, high, value = (figures.score(one[key]) for key in ("low", "high", "value"))
    said.append(
        t(
            "drift.interval",
            statistic=name,
            value=value,
            low=low,
            high=high,
            n=figures.count(one["n"]),
            limit=limit,
        )
        if one["low"] is not None
        else t(
            "drift.plain",
            statistic=name,
            value=value,
            n=figures.count(one["n"]),
            limit=limit,
        )
    )
    if one["detectable"] is not None:
        said.append(
            f":small[:gray[{t('drift.detectable', value=figures.number(one['detectable']))}]]"
        )
    return said


def _missing(one: Json) -> list[str]:
    now, before = one["missing"] or 0, one["missing_reference"] or 0
    if now < before + VISIBLE_SHARE * 4:
        return []
    sentence = t(
        "drift.missing_now", after=figures.percent(now), before=figures.percent(before)
    )
    return [f":orange-badge[:material/help: {t('bin.missing')}] {sentence}"]


def _new_values(detail: Json) -> list[str]:
    place = figures.zone(st.context.timezone)
    return [
        f":orange-badge[:material/new_releases: {t('bin.new')}] "
        + t(
            "drift.new_value",
            value=new.get("value"),
            share=figures.percent(new.get("share")),
            at=figures.at(new.get("first_seen"), place),
        )
        for new in detail["new_values"][:3]
        if (new.get("share") or 0) >= VISIBLE_SHARE
    ]


def _bins(one: Json, detail: Json) -> list[str]:
    bins = [b for b in detail["bins"] if b.get("contribution") is not None]
    total = sum(b["contribution"] for b in bins)
    if not bins or total <= 0:
        return []
    bins.sort(key=lambda b: -b["contribution"])
    top = bins[0]
    words = {
        "bin": charts.bin_name(top["label"], cards.look()),
        "share": figures.percent(top["contribution"] / total, 0),
        "before": figures.percent(top.get("reference")),
        "after": figures.percent(top.get("current")),
    }
    if one["status"] not in ("warn", "breach", "severe"):
        return [t("drift.quiet", **words)]
    carrying = next(
        i
        for i in range(1, len(bins) + 1)
        if sum(b["contribution"] for b in bins[:i]) >= 0.8 * total
    )
    spread = (
        [t("drift.spread", n=carrying, of=len(bins))]
        if len(bins) >= 6 and carrying >= len(bins) / 2
        else []
    )
    return [" ".join([t("drift.bin", **words), *spread])]


def legend(look: charts.Look, warn: float | None, limit: float | None) -> str:
    """The legend of the heat map as HTML; only our own words, colours and numbers are in it."""
    notes = {"warn": warn, "breach": limit, "severe": 0.5}
    marks = {"breach": "•", "severe": "▲"}
    parts = []
    for level, colour in zip(
        charts.LEVEL_NAMES,
        (*look.colours.levels[1:], look.colours.levels[0]),
        strict=True,
    ):
        note = notes.get(level)
        word = raw("level.few" if level == "insufficient" else f"level.{level}") + (
            f" &gt;{note:g}" if isinstance(note, int | float) else ""
        )
        box = (
            f"display:inline-block;width:1.7em;height:.95em;border-radius:3px;background:{colour};color:{look.colours.card};"
            "text-align:center;line-height:.95em;font-size:.8em;vertical-align:-.1em;margin-right:.4em"
        )
        box += (
            f";border:1px solid {look.colours.grid}" if level == "insufficient" else ""
        )
        parts.append(
            f'<span style="white-space:nowrap"><span style="{box}">{marks.get(level, "")}</span>{word}</span>'
        )
    style = f"display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.78rem;color:{look.colours.muted}"
    return f'<div style="{style}">{"".join(parts)}</div>'
