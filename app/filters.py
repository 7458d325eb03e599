"""The viewer's choice: model, version, time range, Auto-refresh and language, in the URL.

The URL is input from outside: a value that is not an option falls back to the default.
A choice made on the page is written back to the URL, and a URL that changed since (a
link, the back button) wins over the choice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import figures, reader, text

ALL = "all"
DEFAULT_RANGE = "7d"
MAX_BUTTONS = 4  # more versions go into a selectbox


@dataclass(frozen=True)
class Choice:
    """The viewer's choice.

    `version` is "" for all; `unknown` is a model name in the URL that does not exist.
    """

    model: str
    version: str
    span: str
    live: bool
    unknown: str | None = None


def choose(value: str | None, options: Sequence[str], default: str) -> str:
    """Return the value if it is one of the options, else the default."""
    return value if value is not None and value in options else default


def language() -> str:
    """Return the viewer's language: as clicked, else of the URL, else of the browser."""
    chosen = st.session_state.get("lang") or st.query_params.get("lang")
    if chosen in text.LANGUAGES:
        return str(chosen)
    return _browsers_language()


def _browsers_language() -> str:
    locale = str(st.context.locale or "").lower()
    return "zh" if locale.startswith("zh") else "en"


def _browsers_zone() -> str | None:
    return st.context.timezone


text.follow(language)
figures.follow(_browsers_zone)


def adopt(name: str, options: Sequence[str], default: str) -> bool:
    """Put the URL's value into the widget of this name when the URL is newer.

    Return True when it was.
    """
    value, state = st.query_params.get(name), st.session_state
    is_newer = value is not None and value != state.get(f"url_{name}")
    if is_newer:
        state[name] = choose(value, options, default)
    elif state.get(name) not in options:
        state[name] = default
    state[f"url_{name}"] = value
    return is_newer


def publish(name: str, default: str | None) -> None:
    """Write the widget's value to the URL; a default is left out."""
    value = st.session_state.get(name)
    if value is None or value == default:
        st.query_params.pop(name, None)
        st.session_state[f"url_{name}"] = None
        return
    if st.query_params.get(name) != value:
        st.query_params[name] = value
    st.session_state[f"url_{name}"] = value


def bar(models: Sequence[dict[str, Any]]) -> Choice:
    """Draw the row of filters and return the choice; `models` may be empty."""
    versions = {str(model["model"]): model["versions"] for model in models}
    names = list(versions)
    asked = st.query_params.get("model")
    is_unknown = bool(names) and asked is not None and asked not in names
    row = st.container(
        key="filters", horizontal=True, vertical_alignment="center", gap="small"
    )
    with row:
        model = _model(names)
        version = _version(versions.get(model, []))
        span = _range() if names else DEFAULT_RANGE
        st.space("stretch")
        live = st.toggle(
            text.t("filter.live"),
            value=True,
            key="live",
            help=text.t("filter.live_help"),
            bind="query-params",
            persist_state="session",
        )
        _language()
    return Choice(model, version, span, live, asked if is_unknown else None)


def _settle(name: str, options: Sequence[str], default: str) -> None:
    """Replace a remembered choice that is no longer an option."""
    if name in st.session_state and st.session_state[name] not in options:
        st.session_state[name] = default


def _model(names: list[str]) -> str:
    if not names:
        return ""
    _settle("model", names, names[0])
    label, icon = text.t("filter.model"), ":material/deployed_code:"
    chosen = st.selectbox(label, names, key="model", icon=icon, width=170, **_BOUND)
    return str(chosen)


def _version(versions: Sequence[object]) -> str:
    """Return the chosen version, "" for all. One version is no choice: nothing is drawn."""
    names = [name for name in map(str, versions) if name]
    if len(names) < 2:
        st.session_state.pop("version", None)
        return ""
    options = [ALL, *(name for name in names if name != ALL)]
    _settle("version", options, ALL)
    label = text.t("filter.version")
    # the URL holds the label of an option as it is shown, so it can be neither
    # translated nor escaped: names that could be read as markup go into a selectbox,
    # which shows plain text
    is_plain = all(_PLAIN.fullmatch(name) for name in names)
    if is_plain and len(names) <= MAX_BUTTONS:
        chosen = st.segmented_control(
            label, options, default=ALL, key="version", required=True, **_BOUND
        )
    else:
        chosen = st.selectbox(label, options, key="version", width=150, **_BOUND)
    return "" if chosen in (ALL, None) else str(chosen)


def _range() -> str:
    options, label = list(reader.RANGES), text.t("filter.range")
    _settle("range", options, DEFAULT_RANGE)
    chosen = st.segmented_control(
        label, options, default=DEFAULT_RANGE, key="range", required=True, **_BOUND
    )
    return str(chosen)


def _language() -> None:
    """Draw the choice of language; the browser's own is left out of the URL.

    The widget is not bound to the URL, because its labels are not its values.
    """
    adopt("lang", text.LANGUAGES, language())
    names = {"en": "EN", "zh": "中文"}
    st.segmented_control(
        text.t("filter.language"),
        list(names),
        key="lang",
        format_func=names.__getitem__,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    publish("lang", _browsers_language())


_PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.+-]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9]))*")
_BOUND: dict[str, Any] = {
    "label_visibility": "collapsed",
    "bind": "query-params",
    "persist_state": "session",
}
