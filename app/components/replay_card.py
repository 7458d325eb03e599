"""The form that replays a rule over the stored history, and its result."""

import json
from typing import Any

import streamlit as st

from app import charts, figures, reader
from app.components import cards
from app.text import column_name, raw, rule_statistics, statistic, t

Json = dict[str, Any]
DEFAULT_STATISTIC = "psi"
DEFAULT_LIMIT = 0.2  # of the default statistic
WINDOWS = {"1h": 1, "6h": 6, "1d": 24, "7d": 168}
DEFAULT_WINDOW = "1d"
MAX_ALERTS = 12
_RESULT = "replay_result"


def show(model: str, columns: list[str]) -> None:
    """Draw the form and the last result; the rule is neither stored nor switched on."""
    box = cards.card("replay", t("replay.title"), t("replay.caption"))
    with box, st.form("replay", border=False):
        rule = _fields(columns)
        label, icon = t("replay.go"), ":material/history:"
        if st.form_submit_button(label, icon=icon, type="primary"):
            with st.spinner(raw("replay.running")):
                _replay(model, rule)
    last = st.session_state.get(_RESULT)
    if last is not None and last[0] == model:
        _result(*last)


def _fields(columns: list[str]) -> dict[str, str]:
    """Draw the fields of the form; return the rule they describe."""
    first, second, third, fourth = st.columns(
        [1.4, 1, 1, 1.4], vertical_alignment="bottom"
    )
    names = rule_statistics() or [DEFAULT_STATISTIC]
    name = first.selectbox(
        raw("replay.statistic"),
        sorted(names, key=lambda name: name != DEFAULT_STATISTIC),
        format_func=lambda name: statistic(str(name)),
        key="replay_statistic",
    )
    limit = second.number_input(
        raw("replay.limit"),
        min_value=0.0,
        value=DEFAULT_LIMIT,
        step=0.01,
        format="%.3f",
        key="replay_limit",
    )
    window = third.selectbox(
        raw("replay.window"),
        list(WINDOWS),
        index=list(WINDOWS).index(DEFAULT_WINDOW),
        key="replay_window",
        format_func=lambda name: figures.duration(WINDOWS[name] * figures.HOUR_S),
    )
    column = fourth.selectbox(
        raw("replay.columns"),
        ["", *columns],
        key="replay_columns",
        format_func=_feature,
    )
    rule = {"statistic": str(name), "limit": f"{limit:g}", "window": str(window)}
    return rule | {"columns": str(column)} if column else rule


def _feature(column: object) -> str:
    return column_name(str(column)) if column else raw("replay.all")


def _replay(model: str, rule: dict[str, str]) -> None:
    try:
        response = reader.replay(model, rule)
    except reader.ReadError as error:
        st.session_state.pop(_RESULT, None)
        cards.notice(error.sentence(), ":material/error:")
        st.markdown(f":red[:material/error: {error.sentence()}]")
    else:
        st.session_state[_RESULT] = (model, rule, response)


def _result(model: str, rule: dict[str, str], response: Json) -> None:
    """Draw the outcome in one sentence, each alert as a bar, and the rule as TOML."""
    outcome = next(iter(response["rules"]), None)
    if outcome is None:
        return
    with st.container(border=True, key="card_replay_result"):
        st.markdown(_sentence(rule, response, outcome))
        if outcome["alerts"]:
            _timeline(response, outcome)
        st.markdown(f":small[{t('replay.switch_on')}]")
        st.code(_section(model, rule), language="toml")


def _sentence(rule: dict[str, str], response: Json, outcome: Json) -> str:
    words = {
        "statistic": statistic(rule["statistic"]),
        "limit": rule["limit"],
        "alerts": outcome["alerts"],
        "columns": sum(bool(column["alerts"]) for column in outcome["by_column"]),
        "of": outcome["columns"],
        "share": figures.percent(outcome["share_firing"] or 0.0),
        "from_": figures.at(response["from"]),
        "to": figures.zoned(response["to"]),
    }
    if outcome["share_firing"] is None:
        return t("replay.never", **words)
    return t("replay.found" if outcome["alerts"] else "replay.nothing", **words)


def _timeline(response: Json, outcome: Json) -> None:
    figure = charts.timeline(
        _bars(outcome), response["to"], cards.look(), response["from"]
    )
    cards.plot(figure, "replay", raw("replay.alt"))
    if len(outcome["episodes"]) > MAX_ALERTS:
        more = t("replay.more", n=outcome["alerts"] - MAX_ALERTS)
        st.markdown(cards.small_gray(more))


def _bars(outcome: Json) -> list[Json]:
    """Return the first alerts as bars of a timeline, each with its peak."""
    return [
        {
            "label": _feature(alert["column"]),
            "since": alert["fired_at"],
            "until": alert["resolved_at"],
            "severity": "warning",
            "state": "firing" if alert["resolved_at"] is None else "resolved",
            "hover": raw("replay.peak", value=figures.score(alert["peak"])),
        }
        for alert in outcome["episodes"][:MAX_ALERTS]
    ]


def _section(model: str, rule: dict[str, str]) -> str:
    """Return the rule as a section of driftdeck.toml, for this model alone.

    A JSON text is one of TOML, too.
    """
    names = {
        "name": f"{rule['statistic'].replace('_', '-')}-limit",
        "model": model,
        "statistic": rule["statistic"],
    }
    lines = ["[[rules]]"]
    for key, value in names.items():
        lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    lines += [f"limit = {rule['limit']}", f'window = "{rule["window"]}"']
    if "columns" in rule:
        columns = json.dumps([rule["columns"]], ensure_ascii=False)
        lines.append(f"columns = {columns}")
    return "\n".join(lines)
