"""Sentences: complete in both languages, same placeholders, none outside the table."""

import ast
import re
import string
from pathlib import Path

import pytest

from app import figures, finding_text, text
from app.components import cards, change_text, detector_card, drift_text
from app.sentences import SENTENCES
from app.sentences.alerts_and_setup import ALERTS_AND_SETUP
from app.sentences.changes import CHANGES
from app.sentences.history_tests import HISTORY_TESTS
from app.sentences.ingestion_page import INGESTION
from app.sentences.pages import PAGES
from app.sentences.words import WORDS

APP = Path(__file__).parents[2] / "app"
FILES = sorted(APP.rglob("*.py"))
SAYING = {"t", "raw", "say", "translated"}
SAME_IN_BOTH = {
    "chart.band",
    "drift.csv",
    "finding.segment",
    "moved.number",
    "overview.model",
    "stat.psi",
}
# what Streamlit shows to people, and the arguments that are shown
DISPLAY = {
    "badge",
    "button",
    "caption",
    "checkbox",
    "code",
    "download_button",
    "error",
    "expander",
    "header",
    "info",
    "markdown",
    "menu_button",
    "metric",
    "page_link",
    "popover",
    "segmented_control",
    "selectbox",
    "subheader",
    "success",
    "text",
    "text_input",
    "title",
    "toast",
    "toggle",
    "warning",
    "write",
    "card",
    "tile",
    "NumberColumn",
    "TextColumn",
    "ProgressColumn",
    "AreaChartColumn",
}
SHOWN_ARGUMENTS = {
    "label",
    "help",
    "placeholder",
    "body",
    "value",
    "delta",
    "note",
    "tip",
    "caption",
    "title",
    "alt",
}
# of all others, the first
SHOWN_POSITIONS = {"card": (1, 2), "tile": (0, 1), "page_link": ()}
NOT_A_SENTENCE = re.compile(r"p\d\d|[^A-Za-z]*")  # percentile names, marks


def places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", SENTENCES)
def test_sentence_exists_in_both_languages_with_the_same_places(key: str) -> None:
    english, chinese = SENTENCES[key]
    assert english.strip() and chinese.strip()
    assert places(english) == places(chinese)
    assert english != chinese or key in SAME_IN_BOTH
    assert key in SAME_IN_BOTH or re.search(r"[\u4e00-\u9fff；、。（：，]", chinese), (
        "not translated"
    )


def test_no_key_is_defined_twice() -> None:
    tables = (
        WORDS,
        PAGES,
        ALERTS_AND_SETUP,
        INGESTION,
        CHANGES,
        HISTORY_TESTS,
    )
    assert len(SENTENCES) == sum(len(table) for table in tables)
    for table in (
        "words",
        "pages",
        "alerts_and_setup",
        "ingestion_page",
        "changes",
        "history_tests",
    ):
        keys = re.findall(
            r'^    "([a-z_.0-9]+)": \(',
            (APP / "sentences" / f"{table}.py").read_text(),
            re.MULTILINE,
        )
        assert len(keys) == len(set(keys))


def test_every_key_that_code_says_is_in_the_table_and_every_key_is_said() -> None:
    exact: set[str] = set()
    patterns: list[str] = []
    for path in FILES:
        if path.parent.name == "sentences":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                exact.add(node.value)
            if isinstance(node, ast.JoinedStr):
                patterns.append(
                    "".join(
                        re.escape(p.value)
                        if isinstance(p, ast.Constant)
                        else r"[a-z_0-9]+"
                        for p in node.values
                    )
                )
            if (
                isinstance(node, ast.BinOp)
                and isinstance(node.left, ast.Constant)
                and isinstance(node.left.value, str)
            ):
                patterns.append(re.escape(node.left.value) + r"[a-z_0-9]+")
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") in SAYING
                and node.args
            ):
                first = (
                    node.args[1]
                    if getattr(node.func, "id", "") == "say"
                    else node.args[0]
                )
                if (
                    isinstance(first, ast.Constant)
                    and getattr(node.func, "id", "") != "translated"
                ):
                    assert first.value in SENTENCES, f"{path.name}: {first.value}"
    unsaid = [
        key
        for key in SENTENCES
        if key not in exact and not any(re.fullmatch(p, key) for p in patterns)
    ]
    assert not unsaid


def _literals(node: ast.expr) -> list[str]:
    """Return the letters a viewer would read in an argument, without markup and values."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.Constant)]
    if isinstance(node, ast.BinOp):
        return _literals(node.left) + _literals(node.right)
    if isinstance(node, ast.IfExp):
        return _literals(node.body) + _literals(node.orelse)
    return []


def _spoken(literal: str) -> str:
    """Return a literal without Streamlit's markup (icons, colours, entities)."""
    return re.sub(r":material/\w+:|:\w+(-badge)?\[|:small\[|&\w+;|\\.", "", literal)


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name != "sentences"], ids=lambda p: p.stem
)
def test_no_sentence_is_written_in_code(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", "")
        owner = getattr(
            getattr(node.func, "value", None),
            "id",
            getattr(getattr(node.func, "value", None), "attr", ""),
        )
        if name not in DISPLAY or (owner == "cards" and name not in SHOWN_POSITIONS):
            continue
        positions = SHOWN_POSITIONS.get(name, (0,))
        arguments = [arg for i, arg in enumerate(node.args) if i in positions]
        arguments += [k.value for k in node.keywords if k.arg in SHOWN_ARGUMENTS]
        for literal in (part for argument in arguments for part in _literals(argument)):
            assert NOT_A_SENTENCE.fullmatch(_spoken(literal)), (
                f"{path.name}:{node.lineno} shows {literal!r}"
            )


@pytest.mark.parametrize(
    ("name", "never"),
    [
        ("a_*b*_$x$", r"(?<!\\)[*_$]"),
        (":material/home: :red[x] :smile:", r":(?=[a-z])"),
        ("<img src=x> [a](http://b)", r"(?<!\\)[<\[]|://"),
        ("two\n\n# lines", r"\n|(?<!\\)#"),
        ("www.example.org me@example.org", r"www\.|@e"),
    ],
)
def test_names_cannot_act_as_markup(name: str, never: str) -> None:
    assert not re.search(never, text.plain(name))


def test_values_of_a_sentence_are_escaped_but_not_the_sentence() -> None:
    shown = text.t("drift.worst", name="*x*", evidence="PSI 0.54, limit 0.20")
    assert shown == r"Highest drift impact: **\*x\*** (PSI 0.54, limit 0.20)."


def test_clock_times_are_not_touched_by_escaping() -> None:
    assert text.plain("20 Nov 11:40") == "20 Nov 11:40"


PAST = "2020-03-17T06:00:00Z"
BREACH = {"statistic": "psi", "column": "temp", "verdict": "breach"}


@pytest.mark.parametrize(
    ("finding", "english", "chinese"),
    [
        (BREACH, "temp drifted", "temp 漂移"),
        (BREACH | {"column": "prediction"}, "predictions drifted", "預測分布漂移"),
        (
            BREACH | {"verdict": "warn"},
            "temp is near its drift limit",
            "temp 接近漂移門檻",
        ),
        (
            {"statistic": "latency_p95", "column": "latency_ms", "verdict": "breach"},
            "p95 latency is over its limit",
            "p95 延遲超過上限",
        ),
        (
            {"statistic": "volume", "verdict": "breach", "direction": "below"},
            "traffic is under its limit",
            "流量低於下限",
        ),
        (
            {"statistic": "missing_rate", "column": "age", "verdict": "breach"},
            "age: too many missing values",
            "age：缺值過多",
        ),
        (
            {"statistic": "made_up", "column": "age", "verdict": "breach"},
            "made up of age is over its limit",
            "age 的 made up 超過上限",
        ),
        (
            BREACH | {"verdict": "insufficient", "n": 37, "minimum": 200},
            "PSI of temp: insufficient data, 37 of 200 rows",
            "temp 的 PSI：資料不足，37／200 筆",
        ),
        (
            BREACH | {"verdict": "no_data"},
            "PSI of temp: no data",
            "temp 的 PSI：沒有資料",
        ),
    ],
)
def test_finding_is_a_sentence_in_both_languages(
    finding: dict, english: str, chinese: str, monkeypatch
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    assert finding_text.finding(finding) == english
    monkeypatch.setattr(text, "_viewer", [lambda: "zh"])
    assert finding_text.finding(finding) == chinese


def moved(column: str, contrast: str = "location", size: float = 0.6) -> dict:
    return {
        "column": column,
        "contrast": contrast,
        "size": size,
        "low": size - 0.1,
        "high": size + 0.1,
    }


def detected(statistic: str, column: str | None, *what: dict) -> dict:
    return {
        "statistic": statistic,
        "column": column,
        "verdict": "breach",
        "moved": list(what),
    }


@pytest.mark.parametrize(
    ("finding", "english", "chinese"),
    [
        (
            detected("inputs_change", "temp", moved("temp")),
            "temp: mean higher than expected",
            "temp：平均值高於預期",
        ),
        (
            detected(
                "inputs_change",
                "temp",
                moved("temp", size=-1),
                moved("b", "scale"),
                moved("b"),
                moved("c"),
            ),
            "temp: mean lower than expected; 2 more columns changed too",
            "temp：平均值低於預期；另有 2 個欄位同時變化",
        ),
        (
            detected(
                "inputs_change", "c", moved("c", "category", 0.4), moved("prediction")
            ),
            "c: one category more frequent than expected; prediction changed too",
            "c：有一個類別多於預期；預測值同時變化",
        ),
        (
            detected("inputs_change", "y", moved("y", "missing", 0.3)),
            "y: more missing values than expected",
            "y：缺值多於預期",
        ),
        (
            detected("inputs_change", None),
            "all features shifted slightly",
            "所有特徵都小幅偏移",
        ),
        (
            detected("inputs_change", "status", moved("status", "location")),
            "status: mean higher than expected",
            "status：平均值高於預期",
        ),
        (
            detected("unseen_values", "c", moved("c", "unseen", 0.05)),
            "c: values that are not in the reference",
            "c：出現參考資料沒有的值",
        ),
        (
            detected("latency_change", "latency_ms", moved("latency_ms")),
            "latency: mean higher than expected",
            "延遲：平均值高於預期",
        ),
        (
            detected("error_rise", "status", moved("status", "error rate", 0.1)),
            "request error rate higher than expected",
            "請求錯誤率高於預期",
        ),
        (
            detected("quality_change", "wrong", moved("wrong", "wrong share", 0.3)),
            "misclassification rate higher than expected",
            "誤分類率高於預期",
        ),
        (
            detected("traffic_change", "traffic", moved("traffic", "traffic", 0.4)),
            "less traffic than expected",
            "流量低於預期",
        ),
        (
            detected("traffic_change", "traffic", moved("traffic", "traffic", 0.0)),
            "no traffic",
            "沒有流量",
        ),
        (
            detected("inputs_change", "x", moved("x", "a contrast of tomorrow")),
            "x changed",
            "x 有變化",
        ),
        (
            {"statistic": "detector_evidence", "verdict": "warn", "column": "x"},
            "possible change: change score near the alert level",
            "可能有變化：變化分數接近警示線",
        ),
        (
            {
                "statistic": "detector_evidence",
                "verdict": "warn",
                "column": "x",
                "value": 0.62,
            },
            "possible change in x: change score 62%, alert at 100%",
            "x 可能有變化：變化分數 62%，達 100% 時發出警示",
        ),
        (
            detected("inputs_change", "temp", moved("temp"))
            | {"segment": "country=US"},
            "country=US · temp: mean higher than expected",
            "country=US · temp：平均值高於預期",
        ),
        (
            {"statistic": "labels_overdue", "verdict": "breach", "column": None},
            "labels overdue",
            "標籤逾期未到",
        ),
        (
            {"statistic": "labels_overdue", "verdict": "breach", "from": PAST},
            "no labels since 17 Mar 2020 06:00 (UTC); quality is unknown after that",
            "自 2020/3/17 06:00（UTC）起沒有標籤，之後的預測品質未知",
        ),
        (
            {"statistic": "detector_evidence", "verdict": "learning", "column": None},
            "detector: learning",
            "變化偵測器：學習中",
        ),
        (
            detected("inputs_change", "x", moved("x")) | {"verdict": "ok"},
            "change of inputs: ended",
            "輸入變化：已結束",
        ),
    ],
)
def test_change_is_a_sentence_in_both_languages(
    finding: dict, english: str, chinese: str, monkeypatch
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    assert finding_text.finding(finding) == english
    monkeypatch.setattr(text, "_viewer", [lambda: "zh"])
    assert finding_text.finding(finding) == chinese


def test_change_in_figures_has_its_interval_and_its_unit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    line = change_text.property_text
    assert line(moved("x")) == "mean +0.60 sd (95% CI 0.50–0.70)"
    assert line(moved("x", size=-0.6)) == "mean -0.60 sd (95% CI -0.70 to -0.50)"
    assert (
        line(moved("x", "missing", 0.3))
        == "missing values +30 points (95% CI 20.0–40.0)"
    )
    assert (
        line(moved("status", "error rate", 0.2))
        == "request error rate 20% (95% CI 10%–30%)"
    )
    sizes = {"size": 0.4, "low": 0.4, "high": 0.4}
    traffic = {"column": "traffic", "contrast": "traffic"} | sizes
    assert line(traffic) == "traffic 40% of expected"
    many = detected("inputs_change", "a_b", *(moved(f"{name}_b") for name in "abcdef"))
    lines = change_text.lines(many)
    assert lines[0] == r"**a\_b**: mean +0.60 sd (95% CI 0.50–0.70)"
    assert lines[4:] == ["and 2 more"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_likely_cause_names_columns_and_start_and_leaves_out_what_is_missing(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: language])
    whole = change_text.likely_cause("constant", ["temp"], PAST)
    bare = change_text.likely_cause("constant", ["temp"])
    assert (
        whole
        == {
            "en": ":material/lightbulb: Likely cause: temp stuck at one value since "
            "17 Mar 2020 06:00 (UTC). Fix the data source before retraining.",
            "zh": ":material/lightbulb: 可能原因：temp 自 2020/3/17 06:00（UTC）起固定為單一值。"
            "重新訓練前請先修復資料來源。",
        }[language]
    )
    assert bare is not None and "2020" not in bare and "since" not in bare
    assert change_text.likely_cause("change", ["temp"], PAST) is None
    for kind in CAUSES:
        for columns in ([], ["a"], list("abcde")):
            for segment in ("", "country: US (30% to 60%)"):
                sentence = change_text.likely_cause(kind, columns, None, segment)
                assert sentence and not EMPTY.search(sentence), sentence


CAUSES = [
    "missing",
    "constant",
    "zone",
    "unit",
    "renamed",
    "mix",
    "upstream",
    "relation",
    "segment",
    "season",
]
EMPTY = re.compile(r"None|—|  |\{|: *[.。：,，]")


def test_chinese_sentence_has_a_space_between_its_characters_and_latin_ones() -> None:
    shown = text.say("zh", "finding.of", statistic="PSI", column="temp")
    assert shown == "temp 的 PSI"
    assert text.say("zh", "finding.of", statistic="流量", column="溫度") == "溫度的流量"


def test_summary_gathers_drifted_features_and_counts_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    rate = {"statistic": "error_rate", "verdict": "breach"}
    late = {
        "statistic": "latency_p95",
        "verdict": "breach",
        "value": 70,
        "limit": 60,
        "unit": "ms",
    }
    drifted = [BREACH | {"column": name} for name in ("a", "b", "c", "d")]
    figure = BREACH | {"value": 0.29, "limit": 0.2}
    change = detected("inputs_change", "temp", moved("temp"))
    joint = detected("inputs_change", None) | {"from": PAST}
    fails = detected("error_rise", "status", moved("status", "error rate", 0.12))
    summary = finding_text.summary
    assert summary([figure]) == "temp drifted (PSI 0.29, limit 0.20)."
    assert summary(drifted[:2]) == "a and b drifted."
    assert summary([change]) == "temp: mean higher than expected (+0.60 sd)."
    assert (
        summary([joint])
        == "All features shifted slightly since 17 Mar 2020 06:00 (UTC)."
    )
    assert (
        summary([fails | {"reference_value": 0.02}])
        == "Request error rate higher than expected (12%, expected 2%)."
    )
    assert (
        summary([rate, *drifted])
        == "Request error rate is over its limit; a, b and 2 more features drifted."
    )
    assert summary([late, rate, *drifted]) == (
        "p95 latency is over its limit (70 ms, limit 60 ms); "
        "request error rate is over its limit; and 1 more."
    )


def test_breach_of_warning_rules_alone_is_shown_as_a_warning() -> None:
    warning = BREACH | {"severity": "warning"}
    critical = BREACH | {"severity": "critical"}
    assert cards.by_severity("breach", [warning, warning]) == "warn"
    assert cards.by_severity("breach", [warning, critical]) == "breach"
    assert cards.by_severity("breach", []) == "breach"
    assert cards.by_severity("ok", [warning]) == "ok"


def test_minimum_detectable_change_is_a_possible_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    rows = [
        {"column": "a", "contrast": "location", "size": 0.2},
        {"column": "a", "contrast": "missing", "size": 187.576},
        {"column": "b", "contrast": "missing", "size": 0.06},
    ]
    detector = {"lanes": [{"detectable": rows}]}
    assert detector_card.detectable(detector, "a") == (
        "Minimum detectable change of a within 24 h (50% chance): mean ±0.20 sd. "
        "No rise in missing values is detectable within 24 h."
    )
    assert detector_card.detectable(detector, "b") == (
        "Minimum detectable change of b within 24 h (50% chance): missing values +6 points."
    )
    assert detector_card.detectable(detector, "c") is None


def test_inputs_page_with_an_open_change_does_not_claim_that_nothing_drifted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    drift = {
        "columns": [{"kind": "numeric", "status": "ok", "column": "a"}],
        "window_s": 86_400,
    }
    assert "None of 1 features drifted" in drift_text.verdict(drift)
    shown = drift_text.verdict(drift, n_changes=2)
    assert "Open changes: 2" in shown
    assert "None of 1 features is over its limit in the newest 24 h" in shown
    assert "green" not in shown


@pytest.mark.parametrize(
    ("seconds", "english"),
    [
        (None, "—"),
        (0.8, "0.8 s"),
        (4, "4 s"),
        (89, "89 s"),
        (90, "1.5 min"),
        (3600, "1 h"),
        (86_400, "24 h"),
        (165_600, "46 h"),
        (300_000, "3 days"),
    ],
)
def test_duration(
    seconds: float | None, english: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    assert figures.duration(seconds) == english


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (figures.percent(0.0067), "0.67%"),
        (figures.percent(0.02), "2%"),
        (figures.percent(0.1316), "13.2%"),
        (figures.percent(0), "0%"),
        (figures.percent(None), "—"),
        (figures.compact(95_123), "95k"),
        (figures.compact(1_240_000), "1.2M"),
        (figures.compact(37), "37"),
        (figures.milliseconds(35.12), "35 ms"),
        (figures.milliseconds(3.14), "3.1 ms"),
        (figures.milliseconds(12_500), "12.5 s"),
        (figures.score(0.2), "0.20"),
        (figures.number(12.7), "12.7"),
        (figures.number(0.5412), "0.541"),
        (figures.number(1234.5), "1,234"),
        (figures.measured(0.05, "missing_rate", None), "5%"),
        (figures.measured(60, "latency_p95", "ms"), "60 ms"),
        (figures.measured(0.54, "psi", "nats"), "0.54"),
        (figures.measured(None, "psi", "nats"), "—"),
        (figures.points(0.06), "+6 points"),
        (figures.points(-0.004), "-0.4 points"),
        (figures.interval("0.36", "0.61"), "95% CI 0.36–0.61"),
        (figures.interval("-0.42", "-0.20"), "95% CI -0.42 to -0.20"),
    ],
)
def test_number(shown: str, expected: str) -> None:
    assert shown == expected


def test_limit_on_an_increase_is_shown_as_the_value_it_allows() -> None:
    finding = {
        "statistic": "wrong_share",
        "unit": "share",
        "limit": 0.05,
        "compare": "increase",
        "reference_value": 0.19,
    }
    assert figures.limit_of(finding) == "24%"
    assert figures.limit_of(finding | {"reference_value": None}) == "+5%"
    assert figures.limit_of(finding | {"compare": "value"}) == "5%"


def test_times_are_on_the_viewers_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    taipei = figures.zone("Asia/Taipei")
    assert figures.at("2020-11-20T17:40:00Z", taipei) == "21 Nov 2020 01:40"
    monkeypatch.setattr(text, "_viewer", [lambda: "zh"])
    assert figures.at("2020-11-20T17:40:00Z", taipei) == "2020/11/21 01:40"
    assert figures.at(None, taipei) == figures.at("not a time", taipei) == "—"
    assert str(figures.zone("Not/AZone")) == str(figures.zone(None)) == "UTC"


@pytest.mark.parametrize(
    ("name", "english", "chinese"),
    [
        ("Asia/Taipei", "17 Mar 2020 14:00 (UTC+8)", "2020/3/17 14:00（UTC+8）"),
        ("Asia/Kolkata", "17 Mar 2020 11:30 (UTC+5:30)", "2020/3/17 11:30（UTC+5:30）"),
        ("America/New_York", "17 Mar 2020 02:00 (UTC-4)", "2020/3/17 02:00（UTC-4）"),
        (None, "17 Mar 2020 06:00 (UTC)", "2020/3/17 06:00（UTC）"),
    ],
)
def test_time_in_a_sentence_has_its_zone(
    name: str | None, english: str, chinese: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_viewer", [lambda: name])
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    assert figures.zoned(PAST) == english
    monkeypatch.setattr(text, "_viewer", [lambda: "zh"])
    assert figures.zoned(PAST) == chinese
