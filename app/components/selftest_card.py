"""The weekly self-test of the detector as a table behind one sentence."""

import re
from typing import Any

import pandas as pd
import streamlit as st

from app import figures, reader
from app.text import column_name, known, raw, t

Json = dict[str, Any]


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
