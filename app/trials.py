"""What is tried on the drift page: the weekly self-test of the detector, and a limit over the stored history."""

import json
import re
from typing import Any

import pandas as pd
import streamlit as st

from app import cards, charts, figures, reader
from app.text import column_name, known, raw, statistic, t

Json = dict[str, Any]
STATISTICS = (
    "psi",
    "ks",
    "jensen_shannon",
    "hellinger",
    "wasserstein",
    "missing_rate",
    "new_category_share",
)
USUAL_LIMIT = 0.2  # of PSI, which stands first
WINDOWS = {"1h": 1, "6h": 6, "1d": 24, "7d": 168}
SHOWN_EPISODES = 12
_RESULT = "trial_result"


def selftest(model: str) -> None:
    """What the newest self-test found, behind one sentence; one in grey before the first."""
    try:
        seen = reader.selftest(model)
    except reader.NotFound:
        st.markdown(f":small[:gray[{t('selftest.none')}]]")
        return
    found = sum(bool(one.get("found")) for one in seen["tests"])
    at = figures.at(seen["at"], figures.zone(st.context.timezone))
    with st.expander(
        t("selftest.title", found=found, of=len(seen["tests"]), at=at),
        icon=":material/science:",
    ):
        st.markdown(t("selftest.what"))
        st.dataframe(
            tested(seen["tests"]),
            hide_index=True,
            width="stretch",
            alt=raw("selftest.alt"),
        )
        pages = sum(one.get("pages") or 0 for one in seen["quiet"])
        top = max((one.get("evidence") or 0.0 for one in seen["quiet"]), default=0.0)
        key = "selftest.quiet_pages" if pages else "selftest.quiet"
        st.markdown(f":small[:gray[{t(key, n=pages, share=figures.percent(top))}]]")


def tested(tests: list[Json]) -> pd.DataFrame:
    """The table of the changes that were put in: where, and after how many hours they would have paged."""
    return pd.DataFrame(
        {
            raw("selftest.change"): [_change(str(one.get("change"))) for one in tests],
            raw("selftest.column"): [_place(one) for one in tests],
            raw("selftest.after"): [
                figures.duration((one.get("hours") or 0) * 3600)
                if one.get("found")
                else raw("selftest.not_found")
                for one in tests
            ],
        }
    )


def _change(told: str) -> str:
    """ "mean +0.1 sd" in the viewer's language."""
    return known(f"injected.{re.sub('[^a-z0-9]+', '_', told.lower()).strip('_')}", told)


def _place(one: Json) -> str:
    """The column, or for what every model has the lane that watches it."""
    column, lane = str(one.get("column")), str(one.get("lane"))
    return known(f"lane.{lane}", lane) if column == "status" else column_name(column)


def limit(model: str, names: list[str]) -> None:
    """A form for a limit, and what it would have done; nothing of it is stored or switched on."""
    with (
        cards.card("trial", t("trial.title"), t("trial.caption")),
        st.form("trial", border=False),
    ):
        first, second, third, fourth = st.columns(
            [1.4, 1, 1, 1.4], vertical_alignment="bottom"
        )
        chosen = first.selectbox(
            raw("trial.statistic"),
            STATISTICS,
            format_func=lambda one: statistic(str(one)),
            key="trial_statistic",
        )
        above = second.number_input(
            raw("trial.limit"),
            min_value=0.0,
            value=USUAL_LIMIT,
            step=0.01,
            format="%.3f",
            key="trial_limit",
        )
        window = third.selectbox(
            raw("trial.window"),
            list(WINDOWS),
            index=2,
            key="trial_window",
            format_func=lambda one: figures.duration(WINDOWS[str(one)] * 3600),
        )
        scope = fourth.selectbox(
            raw("trial.columns"),
            ["", *names],
            key="trial_columns",
            format_func=lambda one: column_name(str(one)) if one else raw("trial.all"),
        )
        if st.form_submit_button(
            t("trial.go"), icon=":material/history:", type="primary"
        ):
            asked = {
                "statistic": str(chosen),
                "limit": f"{above:g}",
                "window": str(window),
            }
            with st.spinner(raw("trial.running")):
                _try(model, asked | ({"columns": str(scope)} if scope else {}))
    kept = st.session_state.get(_RESULT)
    if kept is not None and kept[0] == model:
        _result(*kept)


def _try(model: str, asked: dict[str, str]) -> None:
    try:
        st.session_state[_RESULT] = (model, asked, reader.replay(model, asked))
    except reader.ReadError as error:
        st.session_state.pop(_RESULT, None)
        cards.notice(error.sentence(), ":material/error:")
        st.markdown(f":red[:material/error: {error.sentence()}]")


def _result(model: str, asked: dict[str, str], seen: Json) -> None:
    """The outcome in one sentence, each alert as a bar, and how to switch the limit on."""
    rule = next(iter(seen["rules"]), None)
    if rule is None:
        return
    place = figures.zone(st.context.timezone)
    with st.container(border=True, key="card_trial_result"):
        facts = {
            "statistic": statistic(asked["statistic"]),
            "limit": asked["limit"],
            "alerts": rule["alerts"],
            "columns": sum(bool(one["alerts"]) for one in rule["by_column"]),
            "of": rule["columns"],
            "share": figures.percent(rule["share_firing"] or 0.0),
            "from_": figures.at(seen["from"], place),
            "to": figures.at(seen["to"], place),
        }
        key = (
            "trial.never"
            if rule["share_firing"] is None
            else "trial.found"
            if rule["alerts"]
            else "trial.nothing"
        )
        st.markdown(t(key, **facts))
        if rule["alerts"]:
            cards.plot(
                charts.timeline(_bars(rule), seen["to"], cards.look(), seen["from"]),
                "trial",
                raw("trial.alt"),
            )
            if len(rule["episodes"]) > SHOWN_EPISODES:
                st.markdown(
                    f":small[:gray[{t('trial.more', n=rule['alerts'] - SHOWN_EPISODES)}]]"
                )
        st.markdown(f":small[{t('trial.switch_on')}]")
        st.code(_section(model, asked), language="toml")


def _bars(rule: Json) -> list[Json]:
    """The longest-standing columns first; each episode with its peak."""
    return [
        {
            "label": column_name(str(one["column"]))
            if one["column"]
            else raw("trial.all"),
            "since": one["fired_at"],
            "until": one["resolved_at"],
            "severity": "critical",
            "state": "firing" if one["resolved_at"] is None else "resolved",
            "hover": raw("trial.peak", value=figures.score(one["peak"])),
        }
        for one in rule["episodes"][:SHOWN_EPISODES]
    ]


def _section(model: str, asked: dict[str, str]) -> str:
    """The rule as it stands in driftdeck.toml, for this model alone.

    A JSON text is one of TOML, too.
    """
    told = {
        "name": f"{asked['statistic'].replace('_', '-')}-limit",
        "model": model,
        "statistic": asked["statistic"],
    }
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in told.items()
    ]
    lines += [f"limit = {asked['limit']}", f'window = "{asked["window"]}"']
    if "columns" in asked:
        lines.append(f"columns = {json.dumps([asked['columns']], ensure_ascii=False)}")
    return "\n".join(["[[rules]]", *lines])
