"""The start of every page: models, the viewer's choice, and pages without a model."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import reader, text
from app.components import cards, setup_guide
from app.filters import Choice
from app.text import t

_KEY = "_visit"


@dataclass(frozen=True)
class Visit:
    """The viewer's choice and the models it was made from.

    `problem` is the reason when the models could not be read.
    """

    choice: Choice
    models: list[dict[str, Any]]
    problem: reader.ReadError | None


def load_models() -> tuple[list[dict[str, Any]], reader.ReadError | None]:
    """Return the models and None, or no models and the reason."""
    try:
        text.use_statistics(reader.statistics())
        return reader.models()["models"], None
    except reader.ReadError as error:
        return [], error


def begin(
    choice: Choice, models: list[dict[str, Any]], problem: reader.ReadError | None
) -> None:
    """Remember the choice for the page that is about to run."""
    st.session_state[_KEY] = Visit(choice, models, problem)


def visit() -> Visit:
    """Return the choice made above the page."""
    current: Visit = st.session_state[_KEY]
    return current


def status_of(model: str) -> str:
    """Return the status of a model in the list of models."""
    statuses = {row["model"]: str(row["status"]) for row in visit().models}
    return statuses.get(model, "no_data")


def chosen_model(question: str) -> Choice | None:
    """Draw the page's question and return the choice.

    Without a model, draw the reason and return None.
    """
    here = visit()
    is_empty = here.problem is None and not here.models
    cards.title("setup.title" if is_empty else question)
    if here.problem is not None:
        wait_for_server(here.problem)
        return None
    if is_empty:
        setup_guide.show(here.models)
        return None
    if here.choice.unknown is not None:
        words = {"name": here.choice.unknown, "shown": here.choice.model}
        sentence = t("filter.unknown_model", **words)
        st.warning(sentence, icon=":material/search_off:")
    return here.choice


def wait_for_server(problem: reader.ReadError) -> None:
    """Draw the banner, retry every few seconds, and run the page again on success."""

    @st.fragment(run_every=cards.RETRY_S)
    def retry() -> None:
        _, newest_problem = load_models()
        if newest_problem is None:
            st.rerun()
        cards.unreachable(newest_problem or problem)

    retry()
