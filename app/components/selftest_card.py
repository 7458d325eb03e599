"""The weekly self-test of the detector as a table behind one sentence."""

import re
from typing import Any

import pandas as pd
import streamlit as st

from app import figures, reader
from app.components import cards
from app.text import column_name, raw, t, translated

Json = dict[str, Any]


def show(model: str) -> None:
    """Draw the newest self-test; one sentence in grey before the first."""
    try:
        selftest = reader.selftest(model)
    except reader.NotFound:
        st.markdown(cards.small_gray(t("selftest.none")))
        return
    tests = selftest["tests"]
    words = {
        "found": sum(bool(test.get("found")) for test in tests),
        "of": len(tests),
        "at": figures.zoned(selftest["at"]),
    }
    with st.expander(t("selftest.title", **words), icon=":material/science:"):
        st.markdown(t("selftest.what"))
        st.dataframe(
            table(tests),
            hide_index=True,
            width="stretch",
            alt=raw("selftest.alt"),
        )
        st.markdown(cards.small_gray(_control(selftest["quiet"])))


def _control(lanes: list[Json]) -> str:
    """Return the result of the control run as markdown."""
    alerts = sum(lane.get("pages") or 0 for lane in lanes)
    if alerts:
        return t("selftest.control_alerts", n=alerts)
    highest = max((lane.get("evidence") or 0.0 for lane in lanes), default=0.0)
    return t("selftest.control", score=figures.percent(highest))


def table(tests: list[Json]) -> pd.DataFrame:
    """Return the injected changes with their columns and detection delays."""
    return pd.DataFrame(
        {
            raw("selftest.change"): [
                _change(str(test.get("change"))) for test in tests
            ],
            raw("selftest.column"): [_place(test) for test in tests],
            raw("selftest.after"): [_delay(test) for test in tests],
        }
    )


def _delay(test: Json) -> str:
    if not test.get("found"):
        return raw("selftest.not_found")
    return figures.duration((test.get("hours") or 0) * figures.HOUR_S)


def _change(name: str) -> str:
    """Return an injected change, e.g. "mean +0.1 sd", in the viewer's language."""
    slug = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")
    return translated(f"injected.{slug}", name)


def _place(test: Json) -> str:
    """Return the column; the signal for a column that every model has."""
    column, lane = str(test.get("column")), str(test.get("lane"))
    if column == "status":
        return translated(f"lane.{lane}", lane)
    return column_name(column)
