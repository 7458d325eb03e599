"""Model, version, time range, Live and language: what the viewer chose, kept in the URL.

The URL is input from outside: a value that is not on the list falls back to the
default. A choice made on the page is written back to the URL, and a URL that changed
since (a link, the back button) wins over the choice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import reader, text

ALL = "all"
DEFAULT_RANGE = "7d"
FEW_VERSIONS = 4


@dataclass(frozen=True)
class Choice:
    """What to show.

    `version` is "" for all; `unknown` is the model name the URL asked for in vain.
    """

    model: str
    version: str
    span: str
    live: bool
    unknown: str | None = None


def choose(wanted: str | None, options: Sequence[str], default: str) -> str:
    """The wanted value if it is one of the options, else the default."""
    return wanted if wanted is not None and wanted in options else default


def language() -> str:
    """The viewer's language: what was clicked, else the URL, else the browser's."""
    chosen = st.session_state.get("lang") or st.query_params.get("lang")
    if chosen in text.LANGUAGES:
        return str(chosen)
    return _browsers_language()


def _browsers_language() -> str:
    return "zh" if str(st.context.locale or "").lower().startswith("zh") else "en"


text.follow(language)


def adopt(name: str, options: Sequence[str], default: str) -> bool:
    """Put the URL's value into the widget called `name` when the URL is newer than the widget; True when it was."""
    given, state = st.query_params.get(name), st.session_state
    newer = given is not None and given != state.get(f"url_{name}")
    if newer:
        state[name] = choose(given, options, default)
    elif state.get(name) not in options:
        state[name] = default
    state[f"url_{name}"] = given
    return newer


def publish(name: str, default: str | None) -> None:
    """Write the widget's value to the URL; a default is left out."""
    value = st.session_state.get(name)
    if value is None or value == default:
        st.query_params.pop(name, None)
        st.session_state[f"url_{name}"] = None
    elif st.query_params.get(name) != value:
        st.query_params[name] = value
    if value is not None and value != default:
        st.session_state[f"url_{name}"] = value


def bar(models: Sequence[dict[str, Any]]) -> Choice:
    """Draw the row of filters and return what was chosen. `models` may be empty."""
    names = [str(one["model"]) for one in models]
    asked = st.query_params.get("model")
    unknown = asked if names and asked is not None and asked not in names else None
    with st.container(
        key="filters", horizontal=True, vertical_alignment="center", gap="small"
    ):
        model = _model(names)
        version = _version(
            next((one["versions"] for one in models if one["model"] == model), [])
        )
        span = _range() if names else DEFAULT_RANGE
        st.space("stretch")
        label, tip = text.t("filter.live"), text.t("filter.live_help")
        live = st.toggle(
            label,
            value=True,
            key="live",
            help=tip,
            bind="query-params",
            persist_state="session",
        )
        _language()
    return Choice(model, version, span, live, unknown)


def _settle(name: str, options: Sequence[str], default: str) -> None:
    """Make sure that a remembered choice is still on the list."""
    if name in st.session_state and st.session_state[name] not in options:
        st.session_state[name] = default


def _model(names: list[str]) -> str:
    if not names:
        return ""
    _settle("model", names, names[0])
    icon = ":material/deployed_code:"
    return str(
        st.selectbox(
            text.t("filter.model"), names, key="model", icon=icon, width=170, **_BOUND
        )
    )


def _version(versions: Sequence[object]) -> str:
    """The chosen version, "" for all. One version is no choice, so nothing is drawn."""
    names = [str(one) for one in versions if str(one)]
    options = [ALL, *(one for one in names if one != ALL)]
    if len(names) < 2:
        st.session_state.pop("version", None)
        return ""
    _settle("version", options, ALL)
    label = text.t("filter.version")
    # the URL holds the label of an option as it is shown, so it can be neither
    # translated nor escaped: names that could be read as markup go into a selectbox,
    # which shows plain text
    if len(names) <= FEW_VERSIONS and all(_PLAIN.fullmatch(one) for one in names):
        chosen = st.segmented_control(
            label, options, default=ALL, key="version", required=True, **_BOUND
        )
    else:
        chosen = st.selectbox(label, options, key="version", width=150, **_BOUND)
    return "" if chosen in (ALL, None) else str(chosen)


def _range() -> str:
    options, label = list(reader.RANGES), text.t("filter.range")
    _settle("range", options, DEFAULT_RANGE)
    return str(
        st.segmented_control(
            label, options, default=DEFAULT_RANGE, key="range", required=True, **_BOUND
        )
    )


def _language() -> None:
    """Not bound, because its labels are not its values; the browser's language is left out of the URL."""
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
