"""Sentences: complete in both languages, the same places in both, and none outside the table."""

import ast
import re
import string
from pathlib import Path

import pytest

from app import figures, finding_text, text
from app.components import change_text, drift_text
from app.sentences import SENTENCES
from app.sentences.changes import CHANGES
from app.sentences.history_tests import TRIALS
from app.sentences.ingestion_page import ACCOUNTS
from app.sentences.pages import PAGES
from app.sentences.words import WORDS

APP = Path(__file__).parents[2] / "app"
FILES = sorted(APP.rglob("*.py"))
SAYING = {"t", "raw", "say", "known"}
SAME_IN_BOTH = {"cause.behind", "chart.band", "drift.csv", "stat.psi", "moved.number"}
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
    assert key in SAME_IN_BOTH or re.search(r"[\u4e00-\u9fff；、。（]", chinese), (
        "not translated"
    )


def test_no_key_is_defined_twice() -> None:
    assert len(SENTENCES) == len(WORDS) + len(PAGES) + len(ACCOUNTS) + len(
        CHANGES
    ) + len(TRIALS)
    for table in ("words", "pages", "ingestion_page", "changes", "history_tests"):
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
                    and getattr(node.func, "id", "") != "known"
                ):
                    assert first.value in SENTENCES, f"{path.name}: {first.value}"
    unsaid = [
        key
        for key in SENTENCES
        if key not in exact and not any(re.fullmatch(p, key) for p in patterns)
    ]
    assert not unsaid


def _literals(node: ast.expr) -> list[str]:
    """The letters a viewer would read in an argument; markup, calls and filled-in values aside."""
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
    """A literal without Streamlit's markup (icons, colours, entities)."""
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
        arguments = [one for i, one in enumerate(node.args) if i in positions]
        arguments += [k.value for k in node.keywords if k.arg in SHOWN_ARGUMENTS]
        for literal in (one for argument in arguments for one in _literals(argument)):
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
    assert text.t(
        "drift.worst", name="*x*", statistic="PSI", value="0.54", limit="0.20"
    ) == (r"Most harm comes from **\*x\***: PSI 0.54, limit 0.20.")


def test_clock_times_are_not_touched_by_escaping() -> None:
    assert text.plain("20 Nov 11:40") == "20 Nov 11:40"


BREACH = {"statistic": "psi", "column": "temp", "verdict": "breach"}


@pytest.mark.parametrize(
    ("finding", "english", "chinese"),
    [
        (BREACH, "temp drifted", "temp 漂移"),
        (BREACH | {"column": "prediction"}, "the predictions drifted", "預測分布漂移"),
        (BREACH | {"verdict": "warn"}, "temp is moving", "temp 開始變動"),
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
            "age 缺值過多",
        ),
        (
            {"statistic": "made_up", "column": "age", "verdict": "breach"},
            "made up of age is over its limit",
            "age 的made up超過上限",
        ),
        (
            BREACH | {"verdict": "insufficient", "n": 37, "minimum": 200},
            "PSI of temp cannot be judged: needs 200 events, has 37",
            "無法判斷temp 的PSI：需要 200 筆，目前 37 筆",
        ),
        (
            BREACH | {"verdict": "no_data"},
            "no data for PSI of temp",
            "temp 的PSI沒有資料",
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
            "temp is higher than usual",
            "temp 比平常高",
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
            "temp is lower than usual; 2 more columns changed with it",
            "temp 比平常低；另有 2 個欄位同時變化",
        ),
        (
            detected(
                "inputs_change", "c", moved("c", "category", 0.4), moved("prediction")
            ),
            "c: a category is more frequent than usual; the prediction changed with it",
            "c 有類別比平常多；預測值 同時變化",
        ),
        (
            detected("inputs_change", "y", moved("y", "missing", 0.3)),
            "y is missing more often than usual",
            "y 比平常更常缺值",
        ),
        (
            detected("inputs_change", None),
            "all columns moved a little together",
            "所有欄位一起有小幅變動",
        ),
        (
            detected("inputs_change", "status", moved("status", "location")),
            "status is higher than usual",
            "status 比平常高",
        ),
        (
            detected("unseen_values", "c", moved("c", "unseen", 0.05)),
            "c has values never seen before",
            "c 出現未曾見過的值",
        ),
        (
            detected("latency_change", "latency_ms", moved("latency_ms")),
            "the latency is higher than usual",
            "延遲 比平常高",
        ),
        (
            detected("error_rise", "status", moved("status", "error rate", 0.1)),
            "more requests fail than usual",
            "失敗的請求比平常多",
        ),
        (
            detected("quality_change", "wrong", moved("wrong", "wrong share", 0.3)),
            "more predictions are wrong than usual",
            "錯誤的預測比平常多",
        ),
        (
            detected("traffic_change", "traffic", moved("traffic", "traffic", 0.4)),
            "fewer events come than usual",
            "事件比平常少",
        ),
        (
            detected("traffic_change", "traffic", moved("traffic", "traffic", 0.0)),
            "no events come any more",
            "已經沒有事件進來",
        ),
        (
            detected("inputs_change", "x", moved("x", "a contrast of tomorrow")),
            "x changed",
            "x 有變化",
        ),
        (
            {"statistic": "detector_evidence", "verdict": "warn", "column": "x"},
            "x begins to move",
            "x 開始變動",
        ),
        (
            {"statistic": "detector_evidence", "verdict": "learning", "column": None},
            "the detector still learns what is usual",
            "偵測器仍在學習平常的樣子",
        ),
        (
            detected("inputs_change", "x", moved("x")) | {"verdict": "ok"},
            "change of the inputs is over",
            "輸入資料的變化已結束",
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
    assert change_text.moved(moved("x")) == "level +0.60 sd (95 % +0.50 to +0.70)"
    assert (
        change_text.moved(moved("x", "missing", 0.3))
        == "missing share +30% (95 % +20% to +40%)"
    )
    assert (
        change_text.moved(moved("status", "error rate", 0.2))
        == "failed 20% (95 % 10% to 30%)"
    )
    assert change_text.moved(
        {
            "column": "traffic",
            "contrast": "traffic",
            "size": 0.4,
            "low": 0.4,
            "high": 0.4,
        }
    ) == ("0.4× of the usual rows")
    many = detected("inputs_change", "a_b", *(moved(f"{name}_b") for name in "abcdef"))
    said = change_text.lines(many)
    assert said[0] == r"**a\_b**: level +0.60 sd (95 % +0.50 to +0.70)"
    assert said[4:] == ["and 2 more"]


def test_summary_gathers_drifted_features_and_counts_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    rate = {"statistic": "error_rate", "verdict": "breach"}
    late = {"statistic": "latency_p95", "verdict": "breach"}
    drifted = [BREACH | {"column": name} for name in ("a", "b", "c", "d")]
    assert finding_text.summary(drifted[:2]) == "a and b drifted."
    assert (
        finding_text.summary([detected("inputs_change", "temp", moved("temp"))])
        == "temp is higher than usual."
    )
    assert (
        finding_text.summary([detected("inputs_change", None)])
        == "All columns moved a little together."
    )
    assert (
        finding_text.summary([rate, *drifted])
        == "Error rate is over its limit; a, b and 2 more features drifted."
    )
    assert (
        finding_text.summary([late, rate, *drifted])
        == "p95 latency is over its limit; error rate is over its limit; and 1 more."
    )


def test_the_drift_page_does_not_say_that_nothing_drifted_while_the_detector_has_a_change_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    seen = {
        "columns": [{"kind": "numeric", "status": "ok", "column": "a"}],
        "window_s": 86_400,
    }
    assert "None of 1 features drifted" in drift_text.verdict(seen)
    said = drift_text.verdict(seen, found=2)
    assert "Open changes: 2" in said
    assert "None of 1 features is over its limit in the newest 24 h" in said
    assert "green" not in said


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
    ],
)
def test_number(shown: str, expected: str) -> None:
    assert shown == expected


def test_limit_on_an_increase_is_shown_as_the_value_it_allows() -> None:
    found = {
        "statistic": "wrong_share",
        "unit": "share",
        "limit": 0.05,
        "compare": "increase",
        "reference_value": 0.19,
    }
    assert figures.limit_of(found) == "24%"
    assert figures.limit_of(found | {"reference_value": None}) == "+5%"
    assert figures.limit_of(found | {"compare": "value"}) == "5%"


def test_times_are_on_the_viewers_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_viewer", [lambda: "en"])
    taipei = figures.zone("Asia/Taipei")
    assert figures.at("2020-11-20T17:40:00Z", taipei) == "21 Nov 2020 01:40"
    monkeypatch.setattr(text, "_viewer", [lambda: "zh"])
    assert figures.at("2020-11-20T17:40:00Z", taipei) == "2020/11/21 01:40"
    assert figures.at(None, taipei) == figures.at("not a time", taipei) == "—"
    assert str(figures.zone("Not/AZone")) == str(figures.zone(None)) == "UTC"
