"""Filters and the URL: options are kept, any other value falls back."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from app import filters
from tests.app.fake_server import World


@pytest.mark.parametrize(
    ("value", "expected"),
    [("b", "b"), ("c", "a"), ("", "a"), (None, "a"), ("B", "a"), ("b ", "a")],
)
def test_choose_accepts_options_only(value: str | None, expected: str) -> None:
    assert filters.choose(value, ["a", "b"], "a") == expected


def test_feature_in_a_newer_url_wins_over_the_one_picked_before(
    world: World, open_page: Callable[..., AppTest]
) -> None:
    app = open_page("drift", feature="temp")
    app.query_params["feature"] = "carrier"
    app.run()
    assert app.session_state["feature"] == "carrier"


@pytest.mark.parametrize(
    ("name", "is_plain"),
    [
        ("v1.2+b3", True),
        ("2026_11_a", True),
        ("_v1_", False),
        (":red[v]", False),
        ("*v*", False),
        ("", False),
        ("a__b", False),
    ],
)
def test_versions_that_could_be_markup_are_not_offered_as_buttons(
    name: str, is_plain: bool
) -> None:
    assert bool(filters._PLAIN.fullmatch(name)) is is_plain


def test_choice_survives_a_change_of_page(
    world: World, open_page: Callable[..., AppTest]
) -> None:
    app = open_page("overview", range="30d", lang="zh")
    app.switch_page("views/service.py").run()
    assert app.session_state["range"] == "30d" and app.session_state["lang"] == "zh"


def test_version_of_another_model_falls_back(
    world: World, open_page: Callable[..., AppTest]
) -> None:
    app = open_page("overview", version="v2")
    app.selectbox(key="model").set_value("young_*model*").run()
    assert not app.exception and not app.error
    assert "version" not in app.query_params
    app.selectbox(key="model").set_value("flight-delay").run()
    assert not app.exception and app.session_state["version"] in ("all", "v2")
