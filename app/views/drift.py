"""What changed in the incoming data?

Which feature, since when, which of its values, and does it matter.
"""

from functools import partial
from typing import Any
from zlib import crc32

import pandas as pd
import streamlit as st

from app import charts, figures, filters, reader, session
from app.components import cards, detector_card, drift_text, replay_card
from app.text import known, listing, raw, statistic, t

Json = dict[str, Any]
MARKS = {
    "ok": "✓",
    "warn": "○",
    "breach": "•",
    "severe": "▲",
    "insufficient": "…",
    "no_data": "–",
    "learning": "…",
}
SHOWN_ROWS = 15


def page(choice: filters.Choice) -> None:
    """Everything below the title; read first, then drawn."""
    seen = reader.drift(choice.model, choice.version, choice.span)
    columns, watched = seen["columns"], reader.detector(choice.model, choice.span)
    with cards.body():
        if not columns:
            st.markdown(f"{cards.badge('learning')} &nbsp; {t('drift.no_columns')}")
            detector_card.card(choice.model, watched)
            return
        st.markdown(drift_text.verdict(seen, len(watched["open"])))
        detector_card.card(choice.model, watched)
        left, right = st.columns([1.15, 1], gap="small")
        with left:
            heat_card(seen)
            picked = table_card(seen)
        with right:
            one = next(column for column in columns if column["column"] == picked)
            detail = reader.column(choice.model, picked, choice.version)
            compare_card(seen, one, detail)
            words_card(
                choice, seen, one, detail, detector_card.detectable(watched, picked)
            )
        replay_card.limit(choice.model, [column["column"] for column in columns])


def heat_card(seen: Json) -> None:
    """Every feature over time, most harmful first, with a legend in words."""
    name = statistic(seen["statistic"])
    caption = t(
        "drift.heat_cap",
        statistic=name,
        window=figures.duration(seen["window_s"]),
        step=figures.duration(seen["step_s"]),
    )
    with cards.card("heat", t("drift.heat"), caption):
        st.html(drift_text.legend(cards.look(), seen["warn"], seen["limit"]))
        harmful = [
            one["column"]
            for one in seen["columns"]
            if one["status"] in ("breach", "severe")
        ]
        figure = charts.heatmap(
            seen["columns"][:SHOWN_ROWS], seen["steps"], name, cards.look()
        )
        if len(seen["columns"]) > SHOWN_ROWS:
            st.markdown(
                f":small[:gray[{t('drift.heat_more', n=SHOWN_ROWS, of=seen['of'], listed=len(seen['columns']))}]]"
            )
        cards.plot(
            figure, "heat", raw("alt.heat", names=listing(harmful[:4]) or figures.DASH)
        )


def table_card(seen: Json) -> str:
    """All features ranked; gives the name of the one that is picked, which is also in the URL."""
    names = [one["column"] for one in seen["columns"]]
    if filters.adopt("feature", names, names[0]):
        st.session_state["features_asked"] = (
            st.session_state.get("features_asked", 0) + 1
        )
    window = figures.duration(seen["window_s"])
    score = raw("col.score", statistic=statistic(seen["statistic"]), window=window)
    heaviest = max([one["importance"] or 0.0 for one in seen["columns"]] + [0.01])
    config: dict[str, Any] = {
        "feature": st.column_config.TextColumn(raw("col.feature"), pinned=True),
        "status": raw("col.status"),
        "value": st.column_config.NumberColumn(score, format="%.2f"),
        "importance": st.column_config.ProgressColumn(
            raw("col.importance"), min_value=0, max_value=heaviest, format="percent"
        ),
        "trend": st.column_config.AreaChartColumn(raw("col.trend"), y_min=0, y_max=1.2),
    }
    table = ranked(seen["columns"])
    if not any(one["importance"] is not None for one in seen["columns"]):
        table, config = (
            table.drop(columns="importance"),
            {k: v for k, v in config.items() if k != "importance"},
        )
    with cards.card("features", t("drift.table"), t("drift.table_cap")):
        event = st.dataframe(
            table,
            hide_index=True,
            key=table_key(names),
            on_select="rerun",
            selection_mode="single-row-required",
            selection_default={
                "selection": {"rows": [names.index(st.session_state["feature"])]}
            },
            height=38 + 35 * min(len(names), 7),
            column_config=config,
            placeholder=figures.DASH,
            alt=raw("alt.table"),
        )
    rows = event.selection.rows
    if rows and rows[0] < len(names):
        st.session_state["feature"] = names[rows[0]]
    filters.publish("feature", names[0])
    return str(st.session_state["feature"])


def table_key(names: list[str]) -> str:
    """A selection is remembered by row number: another ranking, or a feature asked for by the URL, is another table."""
    order = crc32("\n".join(names).encode())
    return f"features_{order:08x}_{st.session_state.get('features_asked', 0)}"


def ranked(columns: list[Json]) -> pd.DataFrame:
    """The table of features: status as mark and word, the course without gaps."""
    return pd.DataFrame(
        {
            "feature": [one["column"] for one in columns],
            "status": [
                f"{MARKS.get(s, '?')} {known(f'level.{s}', s)}"
                for s in (one["status"] for one in columns)
            ],
            "value": [one["value"] for one in columns],
            "importance": [
                None if one["importance"] is None else round(one["importance"], 2)
                for one in columns
            ],
            "trend": [_judged(one) for one in columns],
        }
    )


def _judged(one: Json) -> list[float]:
    """The course of a feature: only steps with enough events to judge, capped so that one spike does not flatten it."""
    steps = zip(one["values"], one["levels"], strict=False)
    return [
        min(value, 1.2)
        for value, level in steps
        if value is not None and level not in ("insufficient", "no_data")
    ]


def compare_card(seen: Json, one: Json, detail: Json) -> None:
    """The distribution of the picked feature, reference against now."""
    name = statistic(seen["statistic"])
    caption = t(
        "drift.compare_cap",
        statistic=name,
        value=figures.score(one["value"]),
        limit=figures.score(seen["limit"]),
    )
    with cards.card("compare", t("drift.compare", name=one["column"]), caption):
        if not detail["bins"]:
            st.markdown(f"{cards.badge(detail['status'])} &nbsp; {t('need.more')}")
            return
        figure = charts.comparison(detail["bins"], name, cards.look())
        cards.plot(figure, "compare", raw("alt.compare", name=one["column"]))


def words_card(
    choice: filters.Choice, seen: Json, one: Json, detail: Json, smallest: str | None
) -> None:
    """The same as sentences, the smallest change that would be found, and the numbers to take away."""
    with cards.card("words", t("drift.words")):
        for sentence in drift_text.sentences(seen, one, detail):
            st.markdown(sentence)
        if smallest:
            st.markdown(f":small[:gray[{smallest}]]")
        bins = pd.DataFrame(detail["bins"])
        st.download_button(
            t("drift.csv"),
            bins.to_csv(index=False),
            f"{choice.model}-{one['column']}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="csv",
            disabled=bins.empty,
        )


if chosen := session.chosen_model("drift.title"):
    cards.live(partial(page, chosen), "drift")
