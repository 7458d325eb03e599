"""What changed in the incoming data? Feature, time, values, and drift impact."""

from functools import partial
from typing import Any
from zlib import crc32

import pandas as pd
import streamlit as st

from app import charts, figures, filters, reader, session
from app.components import cards, detector_card, drift_text, replay_card
from app.finding_text import limit_phrase
from app.text import listing, raw, statistic, t, translated

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
MAX_ROWS = 15  # of the heat map
MAX_NAMES = 4  # in the heat map's text for screen readers
MAX_TREND = 1.2  # higher values would flatten all others
_ASKED = "features_asked"


def page(choice: filters.Choice) -> None:
    """Read everything, then draw it below the title."""
    drift = reader.drift(choice.model, choice.version, choice.span)
    detector = reader.detector(choice.model, choice.span)
    columns = drift["columns"]
    with cards.body():
        if not columns:
            st.markdown(f"{cards.badge('learning')} &nbsp; {t('drift.no_columns')}")
            detector_card.card(choice.model, detector)
            return
        st.markdown(drift_text.verdict(drift, len(detector["open"])))
        detector_card.card(choice.model, detector)
        left, right = st.columns([1.15, 1], gap="small")
        with left:
            heat_card(drift)
            name = table_card(drift)
        with right:
            column = next(row for row in columns if row["column"] == name)
            detail = reader.column(choice.model, name, choice.version)
            smallest = detector_card.detectable(detector, name)
            compare_card(drift, column, detail)
            words_card(choice, drift, column, detail, smallest)
        replay_card.show(choice.model, [row["column"] for row in columns])


def heat_card(drift: Json) -> None:
    """Draw every feature over time, highest impact first, with a legend in words."""
    columns, look = drift["columns"], cards.look()
    name = statistic(drift["statistic"])
    words = {
        "statistic": name,
        "window": figures.duration(drift["window_s"]),
        "step": figures.duration(drift["step_s"]),
    }
    with cards.card("heat", t("drift.heat"), t("drift.heat_cap", **words)):
        st.html(drift_text.legend(look, drift["warn"], drift["limit"]))
        figure = charts.heatmap(columns[:MAX_ROWS], drift["steps"], name, look)
        if len(columns) > MAX_ROWS:
            numbers = {"of": drift["of"] or len(columns), "listed": len(columns)}
            more = t("drift.heat_more", n=MAX_ROWS, **numbers)
            st.markdown(cards.small_gray(more))
        cards.plot(figure, "heat", _heat_alt(columns))


def _heat_alt(columns: list[Json]) -> str:
    drifted = [row["column"] for row in columns if row["status"] in drift_text.DRIFTED]
    if not drifted:
        return raw("alt.heat_none")
    return raw("alt.heat", names=listing(drifted[:MAX_NAMES]))


def table_card(drift: Json) -> str:
    """Draw all features ranked; return the selected one, which is also in the URL."""
    columns, state = drift["columns"], st.session_state
    names = [column["column"] for column in columns]
    if filters.adopt("feature", names, names[0]):
        state[_ASKED] = state.get(_ASKED, 0) + 1
    table, config = ranked(columns), _table_config(drift)
    if not any(column["importance"] is not None for column in columns):
        table = table.drop(columns="importance")
        config.pop("importance")
    with cards.card("features", t("drift.table"), t("drift.table_cap")):
        row = names.index(state["feature"])
        event = st.dataframe(
            table,
            hide_index=True,
            key=table_key(names),
            on_select="rerun",
            selection_mode="single-row-required",
            selection_default={"selection": {"rows": [row]}},
            height=38 + 35 * min(len(names), 7),
            column_config=config,
            placeholder=figures.DASH,
            alt=raw("alt.table"),
        )
    rows = event.selection.rows
    if rows and rows[0] < len(names):
        state["feature"] = names[rows[0]]
    filters.publish("feature", names[0])
    return str(state["feature"])


def _table_config(drift: Json) -> dict[str, Any]:
    score = raw(
        "col.score",
        statistic=statistic(drift["statistic"]),
        window=figures.duration(drift["window_s"]),
    )
    weights = [column["importance"] or 0.0 for column in drift["columns"]]
    kinds = st.column_config
    return {
        "feature": kinds.TextColumn(raw("col.feature"), pinned=True),
        "status": raw("col.status"),
        "value": kinds.NumberColumn(score, format="%.2f"),
        "importance": kinds.ProgressColumn(
            raw("col.importance"),
            min_value=0,
            max_value=max([*weights, 0.01]),
            format="percent",
        ),
        "trend": kinds.AreaChartColumn(raw("col.trend"), y_min=0, y_max=MAX_TREND),
    }


def table_key(names: list[str]) -> str:
    """Return the widget key of the table.

    A selection is remembered by row number: another ranking, or a feature asked for by
    the URL, is another table.
    """
    order = crc32("\n".join(names).encode())
    return f"features_{order:08x}_{st.session_state.get(_ASKED, 0)}"


def ranked(columns: list[Json]) -> pd.DataFrame:
    """Return the table of features: status as mark and word, the trend without gaps."""
    return pd.DataFrame([_row(column) for column in columns])


def _row(column: Json) -> Json:
    status, importance = column["status"], column["importance"]
    return {
        "feature": column["column"],
        "status": f"{MARKS.get(status, '?')} {translated(f'level.{status}', status)}",
        "value": column["value"],
        "importance": None if importance is None else round(importance, 2),
        "trend": _trend(column),
    }


def _trend(column: Json) -> list[float]:
    """Return the values of the steps with enough rows, capped against single spikes."""
    steps = zip(column["values"], column["levels"], strict=False)
    return [
        min(value, MAX_TREND)
        for value, level in steps
        if value is not None and level not in ("insufficient", "no_data")
    ]


def compare_card(drift: Json, column: Json, detail: Json) -> None:
    """Draw the distribution of the selected feature, reference against current."""
    name, lower = statistic(drift["statistic"]), t("drift.compare_cap")
    caption = lower
    if column["value"] is not None:
        value = figures.score(column["value"])
        limit = limit_phrase(drift)
        number = t("finding.number", statistic=name, value=value, limit=limit)
        caption = f"{number} · {lower}"
    with cards.card("compare", t("drift.compare", name=column["column"]), caption):
        if not detail["bins"]:
            st.markdown(cards.badge(detail["status"]))
            return
        figure = charts.comparison(detail["bins"], name, cards.look())
        cards.plot(figure, "compare", raw("alt.compare", name=column["column"]))


def words_card(
    choice: filters.Choice,
    drift: Json,
    column: Json,
    detail: Json,
    smallest: str | None,
) -> None:
    """Draw the same as sentences, with the bins as CSV to download.

    `smallest` is the minimum detectable change as markdown.
    """
    with cards.card("words", t("drift.words")):
        for sentence in drift_text.sentences(drift, column, detail):
            st.markdown(sentence)
        if smallest:
            st.markdown(cards.small_gray(smallest))
        bins = pd.DataFrame(detail["bins"])
        st.download_button(
            t("drift.csv"),
            bins.to_csv(index=False),
            f"{choice.model}-{column['column']}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="csv",
            disabled=bins.empty,
        )


if chosen := session.chosen_model("drift.title"):
    cards.live(partial(page, chosen), "drift")
