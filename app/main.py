"""The list of pages, the navigation and the theme.

Run by `streamlit run app/main.py`.
"""

import sys
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
# Streamlit runs this file by path; its package is one folder up
if str(_HERE.parent) not in sys.path:
    sys.path.insert(0, str(_HERE.parent))

from app import filters, session  # noqa: E402
from app.components import cards  # noqa: E402
from app.text import raw  # noqa: E402

st.set_page_config(
    page_title="driftdeck", page_icon=str(_HERE / "icon.png"), layout="wide"
)
_COLOURS = cards.look().colours
st.html(
    f"<style>:root{{--dd-page:{_COLOURS.page};--dd-card:{_COLOURS.card};--dd-accent:{_COLOURS.orange};"
    f"--dd-soft:{_COLOURS.soft}}}\n{(_HERE / 'style.css').read_text(encoding='utf-8')}</style>"
)

known, problem = session.known_models()
n_open = sum(one["open_alerts"] or 0 for one in known)
page = st.navigation(
    [
        st.Page(
            "views/overview.py",
            title=raw("nav.overview"),
            icon=":material/monitor_heart:",
            default=True,
        ),
        st.Page(
            "views/service.py",
            title=raw("nav.service"),
            icon=":material/speed:",
            url_path="service",
        ),
        st.Page(
            "views/drift.py",
            title=raw("nav.drift"),
            icon=":material/insights:",
            url_path="drift",
        ),
        st.Page(
            "views/alerts.py",
            title=raw("nav.alerts_n", n=n_open) if n_open else raw("nav.alerts"),
            icon=":material/notifications:",
            url_path="alerts",
        ),
        st.Page(
            "views/ingestion.py",
            title=raw("nav.ingestion"),
            icon=":material/move_to_inbox:",
            url_path="ingestion",
        ),
        st.Page(
            "views/setup.py",
            title=raw("nav.setup"),
            icon=":material/cable:",
            url_path="setup",
        ),
    ],
    position="top",
)
# the folder is not called "pages": Streamlit would run a file of such a folder by
# itself on the first deep link
session.begin(filters.bar(known), known, problem)
page.run()
