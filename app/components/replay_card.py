"""The form that runs a limit over the stored history, and its result."""

import json
from typing import Any

import streamlit as st

from app import charts, figures, reader
from app.components import cards
from app.text import column_name, raw, statistic, t

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
