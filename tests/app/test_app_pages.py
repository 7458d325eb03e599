"""Every page in both languages: with a server, with an empty one, and with none."""

import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from streamlit.testing.v1 import AppTest

from app import figures, reader
from app.sentences import SENTENCES
from app.text import plain, say
from tests.app.conftest import SILENT, transport_of
from tests.app.fake_server import World

PAGES = ("overview", "service", "drift", "alerts", "ingestion", "setup")
LANGUAGES = ("en", "zh")
Open = Callable[..., AppTest]


def shown(app: AppTest) -> str:
    """Return all text on the page."""
    return "\n".join(
        str(getattr(one, "value", ""))
        for one in [*app.title, *app.markdown, *app.warning, *app.error]
    )


def healthy(app: AppTest) -> bool:
    """Return whether the page was drawn without an exception or error card."""
    return not app.exception and not app.error


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_page_asks_its_question_and_draws(
    page: str, language: str, world: World, open_page: Open
) -> None:
    app = open_page(page, lang=language)
    assert healthy(app), app.error
    assert app.title[0].value == say(language, f"{page}.title")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_no_model_yet_shows_how_to_send_data(
    page: str, language: str, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "transport", transport_of(World(empty=True)))
    app = open_page(page, lang=language)
    assert healthy(app)
    assert say(language, "setup.waiting") in shown(app)
    assert any("/v1/events" in block.value for block in app.code)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_silent_server_is_a_banner_without_a_stack_trace(
    page: str, language: str, open_page: Open
) -> None:
    app = open_page(page, lang=language)
    assert healthy(app)
    assert say(language, "down.title") in shown(app)
    assert say(language, "down.never") in shown(app)


def test_server_that_falls_silent_leaves_the_last_good_data_with_its_time(
    world: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("overview")
    before = [tile.value for tile in app.metric]
    monkeypatch.setattr(reader, "transport", SILENT)
    reader._cached.clear()
    app.run()
    assert healthy(app)
    assert [tile.value for tile in app.metric] == before
    assert SENTENCES["down.title"][0] in shown(app)
    assert "The data below is from" in shown(app)


def test_page_comes_back_when_the_server_does(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_page("overview")
    assert not app.metric
    monkeypatch.setattr(reader, "transport", transport_of(World(datetime.now(UTC))))
    reader.forget_failure()
    app.run()
    assert len(app.metric) == 6
    assert SENTENCES["down.title"][0] not in shown(app)


def test_overview_puts_every_number_beside_its_limit(
    world: World, open_page: Open
) -> None:
    tiles = {
        tile.label.split("] ")[1]: (tile.value, tile.proto.delta_description)
        for tile in open_page("overview").metric
    }
    assert tiles["p95 latency"] == ("35 ms", "limit 60 ms")
    assert tiles["Request errors"] == ("0.67%", "limit 2%")
    assert tiles["Misclassified"] == ("24.8%", "limit 24%")
    assert tiles["Drifted features"] == ("3 / 12", "limit 0.20")
    # leads to the accounts
    (fresh,) = [
        label for label in tiles if label.startswith("[Data freshness](ingestion?")
    ]
    assert tiles[fresh][0] == "4 s"


def test_verdict_names_the_model_and_the_findings(
    world: World, open_page: Open
) -> None:
    text = shown(open_page("overview"))
    assert (
        f"**{plain('flight-delay · Misclassification rate is over its limit (24.8%, limit 24%); dep_delay, carrier and temp drifted.')}**"
        in text
    )


def test_overview_shows_label_coverage_delay_and_sampling_bias(
    world: World, open_page: Open
) -> None:
    text = shown(open_page("overview"))
    assert "label coverage 97%, label delay 3 h (median), 18 h (95%)" in text
    assert (
        "Labelled predictions differ from the rest (PSI 0.31): the error holds" in text
    )


@pytest.mark.parametrize(
    "behind", [timedelta(0), timedelta(minutes=61), timedelta(days=3)]
)
def test_overview_says_while_history_is_being_evaluated(
    behind: timedelta, world: World, open_page: Open
) -> None:
    world.evaluated = behind
    is_shown = "Evaluating stored history, now at" in shown(open_page("overview"))
    assert is_shown == (behind > timedelta(hours=2))


def test_overview_shows_likely_causes_and_none_of_a_plain_change(
    world: World, open_page: Open
) -> None:
    text = shown(open_page("overview"))
    assert (
        plain(
            f"Likely cause: missing values in temp since {figures.zoned(world.now - timedelta(hours=57))}. Fix the data source before retraining."
        )
        in text
    )
    assert (
        plain(
            "Likely cause: pressure_*hPa*_$x$, humid and 2 more features have a common source; they changed together."
        )
        in text
    )
    # two on top, one on the card of its alert
    assert text.count(":material/lightbulb:") == 3
    assert not re.search("Likely cause:[^.]*dep_delay", text)


def test_change_of_the_detector_is_an_alert_in_words_and_figures(
    world: World, open_page: Open
) -> None:
    text = shown(open_page("alerts"))
    assert (
        f"**{plain('humid: mean higher than expected; pressure_*hPa*_$x$ changed too')}**"
        in text
    )
    assert f"**{plain('mean +0.62 sd (95% CI 0.50–0.74)')}** · since" in text
    assert (
        r"**pressure\_\*hPa\*\_\$x\$**: mean -0.31 sd (95% CI -0.42 to -0.20)" in text
    )
    assert "(22 h ago)" in text


def test_detector_card_says_what_is_open_and_until_when_its_list_is_revised(
    world: World, open_page: Open
) -> None:
    app = open_page("drift", feature="temp")
    text = shown(app)
    assert healthy(app)
    assert "Open changes: 1" in text
    assert (
        f"**{plain('humid: mean higher than expected; pressure_*hPa*_$x$ changed too')}**"
        in text
    )
    assert "The list of columns can change until" in text
    assert "Signals still learning: quality." in text
    assert "precip drifts inside the reference already" in text
    assert "2026-10-26 looks like a Sunday" in text
    assert (
        "Minimum detectable change of temp within 24 h (50% chance): "
        "mean ±0.21 sd, spread ±0.34 sd, missing values +1.2 points." in text
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_detector_that_learns_says_until_when(
    language: str, world: World, open_page: Open
) -> None:
    text = shown(open_page("drift", model="young_*model*", lang=language))
    sentence = say(language, "detector.until", done=1, days=14, at="@")
    assert all(part.strip() in text for part in sentence.split("@"))
    assert say(language, "detector.accept") not in text


def test_detector_that_is_off_says_so(world: World, open_page: Open) -> None:
    world.detecting = False
    text = shown(open_page("drift"))
    assert "The detector of this model is off." in text
    assert SENTENCES["status.not_checked"][0] in text
    assert "Open changes" not in text


def test_accepting_a_change_reaches_the_server_in_the_name_of_the_viewer(
    world: World, open_page: Open
) -> None:
    app = open_page("drift")
    app.text_input(key="your_name").set_value("Mei").run()
    app.button(key="accept").click().run()
    assert healthy(app)
    assert [row["by"] for row in world.accepted] == ["Mei"]
    assert any("Set as new normal by Mei." in toast.value for toast in app.toast)
    assert "Open changes" not in shown(app)
    assert "by Mei." in shown(app)


def test_accepting_with_a_key_that_may_only_read_is_a_sentence(
    world: World, open_page: Open
) -> None:
    world.admin = False
    app = open_page("drift")
    app.button(key="accept").click().run()
    assert healthy(app)
    assert world.accepted == []
    assert any("the scope admin is needed" in toast.value for toast in app.toast)


def test_too_little_data_says_how_much_is_needed(world: World, open_page: Open) -> None:
    app = open_page("overview", model="young_*model*")
    assert healthy(app)
    assert "37 of 200 rows" in [tile.delta for tile in app.metric]
    assert "No open alerts for young" in shown(app)


def test_unknown_model_in_the_url_falls_back_and_says_so(
    world: World, open_page: Open
) -> None:
    app = open_page("overview", model="<b>:material/home:")
    assert healthy(app)
    assert f"**{plain('<b>:material/home:')}**" in app.warning[0].value
    assert app.session_state["model"] == "flight-delay"


def test_deep_link_sets_every_filter(world: World, open_page: Open) -> None:
    app = open_page(
        "drift",
        model="flight-delay",
        version="v2",
        range="24h",
        lang="zh",
        feature="temp",
        live="false",
    )
    state = app.session_state
    assert (state["model"], state["version"], state["range"], state["lang"]) == (
        "flight-delay",
        "v2",
        "24h",
        "zh",
    )
    assert (state["feature"], state["live"]) == ("temp", False)


def test_unknown_filters_in_the_url_fall_back(world: World, open_page: Open) -> None:
    app = open_page(
        "drift", version="v9", range="5 minutes", lang="xx", feature="nothing"
    )
    assert healthy(app)
    assert app.session_state["version"] == "all"
    assert app.session_state["range"] == "7d"
    assert app.session_state["lang"] == "en"
    assert app.session_state["feature"] == "dep_delay"


def test_names_with_markup_are_shown_as_they_are(world: World, open_page: Open) -> None:
    app = open_page("drift", feature="rare:material/home:")
    titles = [m.value for m in app.markdown if "reference and current" in m.value]
    assert titles and ":material/home" not in titles[0]
    assert plain("rare:material/home:") in titles[0]


def test_drift_says_in_words_what_the_chart_shows(
    world: World, open_page: Open
) -> None:
    text = shown(open_page("drift", feature="temp"))
    assert "3 of 12 features drifted" in text
    assert "Missing values 1% → 13.1% of rows." in text


def test_acknowledging_reaches_the_server_and_the_card(
    world: World, open_page: Open
) -> None:
    app = open_page("alerts")
    app.text_input(key="your_name").set_value("Mei").run()
    app.button(key="ack_list_a1").click().run()
    assert healthy(app)
    assert (
        next(a for a in world.alert_list if a["id"] == "a1")["acknowledged_by"] == "Mei"
    )
    assert not any(button.key == "ack_list_a1" for button in app.button)
    assert "acknowledged by Mei" in shown(app)


def test_ending_a_silence_reaches_the_server(world: World, open_page: Open) -> None:
    app = open_page("overview")
    app.button(key="unsil_overview_a3").click().run()
    assert healthy(app)
    assert (
        next(a for a in world.alert_list if a["id"] == "a3")["silenced_until"] is None
    )


def test_action_on_a_vanished_alert_is_a_message(world: World, open_page: Open) -> None:
    app = open_page("alerts")
    world.alert_list = [a for a in world.alert_list if a["id"] != "a1"]
    app.button(key="ack_list_a1").click().run()
    assert healthy(app)
    assert any("a1" in toast.value for toast in app.toast)


def test_state_filter_is_kept_in_the_url(world: World, open_page: Open) -> None:
    app = open_page("alerts", state="resolved")
    assert app.session_state["state"] == "resolved"
    assert "resolved" in shown(app) and "Acknowledge" not in [
        button.label for button in app.button
    ]


def test_fault_in_a_page_shows_a_number_and_logs_the_reason(
    world: World,
    open_page: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> dict[str, object]:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(reader, "drift", broken)
    app = open_page("drift")
    assert not app.exception
    assert "secret" not in shown(app)
    number = app.error[0].value.split("**")[1]
    assert number in caplog.text and "secret detail" in caplog.text


def test_ingestion_shows_whether_all_rows_are_accounted_for(
    world: World, open_page: Open
) -> None:
    app = open_page("ingestion")
    assert healthy(app), app.error
    sentence = "All 1,204,400 received rows are accounted for; 2 rows are pending, the oldest for 2 s; the newest event is 4 s old."
    assert plain(sentence) in shown(app)
    assert [tile.value for tile in app.metric] == [
        "1,204,400",
        "1,204,329",
        "41",
        "28",
        "2",
        "4 s",
    ]
    assert "7 stored rows not checked for duplicates: older than 24 h" in shown(app)
    accounts, reasons, mistyped, sample = (frame.value for frame in app.dataframe)
    # what waits comes first
    assert list(accounts["model"]) == ["flight-delay", "(no model)", "young_*model*"]
    assert all(cell.startswith("✓") for cell in accounts["unaccounted"])
    assert list(reasons["rows"]) == [25]
    assert mistyped.to_dict("list") | {"model": None, "newest_hour": None} == {
        "values": [1234, 2],
        "column": ["dep_delay", "pin"],
        "expected": ["number"] * 2,
        "actual": ["text", "boolean"],
        "example": ['"<b>n/a</b>"', "not shown"],
        "model": None,
        "newest_hour": None,
    }
    assert list(sample["row"]) == ["<script>alert(1)</script>"]
    assert "script" not in shown(app)  # a cell of a table, never markdown


def test_ingestion_with_unaccounted_rows_is_critical(
    world: World, open_page: Open
) -> None:
    world.counts = {
        "received": 100,
        "stored": 90,
        "duplicate": 1,
        "refused": 2,
        "pending": 0,
        "unchecked": 0,
    }
    text = shown(open_page("ingestion"))
    assert "7 of 100 received rows are unaccounted for: not stored" in text
    assert SENTENCES["status.breach"][0] in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_ingestion_with_a_reading_key_says_who_sees_refused_records(
    language: str, world: World, open_page: Open
) -> None:
    world.admin = False
    app = open_page("ingestion", lang=language)
    assert healthy(app) and not app.warning
    assert say(language, "ingestion.sample_key") in shown(app)
    assert len(app.metric) == 6


def test_ingestion_shows_rows_that_made_no_model(world: World, open_page: Open) -> None:
    world.empty, world.counts = (
        True,
        {"received": 3, "stored": 0, "duplicate": 0, "refused": 3, "pending": 0},
    )
    app = open_page("ingestion")
    assert healthy(app)
    assert app.title[0].value == SENTENCES["ingestion.title"][0]
    assert [tile.value for tile in app.metric][3] == "3"


def test_a_thousand_models_are_searched(world: World, open_page: Open) -> None:
    account = world.accounting()["models"][0]
    world.accounts = [
        account | {"model": f"model-{i}", "received": 4 if i == 700 else 3}
        for i in range(1000)
    ]
    app = open_page("ingestion")
    first = app.dataframe[0].value.iloc[0]
    # what does not add up comes first
    assert (first["model"], first["unaccounted"]) == ("model-700", "✗ 1 rows")
    assert len(app.dataframe[0].value) == 200
    assert "200 of 1,000 rows shown" in shown(app)
    app.text_input(key="accounts_search").set_value("MODEL-99").run()
    assert sorted(app.dataframe[0].value["model"]) == sorted(
        ["model-99", *(f"model-99{i}" for i in range(10))]
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_self_test_shows_what_is_detected_and_the_delay(
    language: str, world: World, open_page: Open
) -> None:
    app = open_page("drift", lang=language)
    (fold,) = app.expander
    assert (
        fold.label.split("@")[0]
        and say(language, "selftest.title", at="@", found=2, of=3).split("@")[1].strip()
        in fold.label
    )
    (table,) = (
        one.value
        for one in app.dataframe
        if say(language, "selftest.after") in one.value.columns
    )
    assert table[say(language, "selftest.after")].tolist()[0] == say(
        language, "selftest.not_found"
    )
    assert table[say(language, "selftest.change")].tolist()[2] == say(
        language, "injected.half_the_traffic"
    )
    young = open_page("drift", lang=language, model="young_*model*")
    assert not young.expander


def test_replay_of_a_limit_shows_the_alerts_it_would_have_opened(
    world: World, open_page: Open
) -> None:
    app = open_page("drift")
    app.number_input(key="replay_limit").set_value(0.25)
    app.button(key="FormSubmitter:replay-Replay").click().run()
    text = shown(app)
    assert healthy(app)
    assert "**PSI > 0.25** would have opened **2 alerts** on 1 of 16 columns" in text
    (rule,) = tomllib.loads(app.code[-1].value)["rules"]
    assert rule == {
        "name": "psi-limit",
        "model": "flight-delay",
        "statistic": "psi",
        "limit": 0.25,
        "window": "1d",
    }
    app.number_input(key="replay_limit").set_value(1.5)
    app.button(key="FormSubmitter:replay-Replay").click().run()
    assert "would have opened no alert on any of 16 columns" in shown(app)
    app.selectbox(key="replay_columns").set_value("carrier")
    app.button(key="FormSubmitter:replay-Replay").click().run()
    assert not app.exception
    assert plain("does not go with carrier") in shown(app)
