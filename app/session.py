"""What every page begins with: the models, the viewer's choice, and what to show when there is nothing to choose."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import reader
from app.components import cards, setup_guide
from app.filters import Choice
from app.text import t

_KEY = "_visit"


@dataclass(frozen=True)
class Visit:
    """This viewer's choice and the models it was made from; `problem` when the models could not be read."""

    choice: Choice
    models: list[dict[str, Any]]
    problem: reader.ReadError | None


def known_models() -> tuple[list[dict[str, Any]], reader.ReadError | None]:
    """The models and None, or no models and the reason."""
    try:
        return reader.models()["models"], None
    except reader.ReadError as error:
        return [], error


def begin(
    choice: Choice, models: list[dict[str, Any]], problem: reader.ReadError | None
) -> None:
    """Remember the choice for the page that is about to run."""
    st.session_state[_KEY] = Visit(choice, models, problem)


def visit() -> Visit:
    """The choice made above the page."""
    found: Visit = st.session_state[_KEY]
    return found


def chosen_model(question: str) -> Choice | None:
    """Asks the page's question and gives the choice; None, after saying why, when there is no model to show."""
    here = visit()
    nothing_yet = here.problem is None and not here.models
    cards.title("setup.title" if nothing_yet else question)
    if here.problem is not None:
        wait_for_server(here.problem)
        return None
    if not here.models:
        setup_guide.show(here.models)
        return None
    if here.choice.unknown is not None:
        st.warning(
            t(
                "filter.unknown_model",
                name=here.choice.unknown,
                shown=here.choice.model,
            ),
            icon=":material/search_off:",
        )
    return here.choice


def wait_for_server(problem: reader.ReadError) -> None:
    """The banner, and a look every few seconds whether the server is back; then the whole page is run again."""

    @st.fragment(run_every=cards.RETRY_S)
    def look_again() -> None:
        _, still = known_models()
        if still is None:
            st.rerun()
        cards.unreachable(still or problem)

    look_again()
