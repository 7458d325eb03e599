"""Entry point of the dashboard: navigation, filters and theme.

Run by `streamlit run app/main.py`.
"""

import os
import sys
from pathlib import Path
from typing import Any

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


def style() -> str:
    """Return the style sheet with the colours of the viewer's mode."""
    colours = cards.look().colours
    variables = {
        "page": colours.page,
        "card": colours.card,
        "accent": colours.orange,
        "critical": colours.red,
        "soft": colours.soft,
    }
    root = "".join(f"--dd-{name}:{colour};" for name, colour in variables.items())
    rules = (_HERE / "style.css").read_text(encoding="utf-8")
    return f"<style>:root{{{root}}}\n{rules}</style>"


def page_of(name: str, title: str, icon: str, is_default: bool = False) -> Any:
    """Return one page of the navigation; its address is the name of its file."""
    address = None if is_default else name
    return st.Page(
        f"views/{name}.py",
        title=title,
        icon=f":material/{icon}:",
        url_path=address,
        default=is_default,
    )


st.html(style())
models, problem = session.load_models()
n_open = sum(model["open_alerts"] or 0 for model in models)
alerts_title = raw("nav.alerts_n", n=n_open) if n_open else raw("nav.alerts")
# the folder is not called "pages": Streamlit would run a file of such a folder by
# itself on the first deep link
page = st.navigation(
    [
        page_of("overview", raw("nav.overview"), "monitor_heart", is_default=True),
        page_of("service", raw("nav.service"), "speed"),
        page_of("drift", raw("nav.drift"), "insights"),
        page_of("alerts", alerts_title, "notifications"),
        page_of("ingestion", raw("nav.ingestion"), "move_to_inbox"),
        page_of("setup", raw("nav.setup"), "cable"),
    ],
    position="top",
)
session.begin(filters.bar(models), models, problem)
page.run()
if os.environ.get("DRIFTDECK_PUBLIC"):
    st.caption(raw("public"))
