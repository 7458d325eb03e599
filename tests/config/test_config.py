"""driftdeck.toml: every mistake at once, each with its key and what is known."""

from datetime import timedelta
from pathlib import Path

import pytest

from monitor.config.config import Config
from monitor.config.config_file import read_config
from monitor.config.rule import DEFAULT_RULES
from monitor.config.section import duration
from monitor.errors import ConfigError


def mistakes(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "driftdeck.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_config(path)
    return error.value.mistakes


def test_no_file_means_the_defaults() -> None:
    assert read_config(None) == Config()
    assert Config().all_rules == DEFAULT_RULES


def test_all_mistakes_are_listed_with_their_keys(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        """
        colour = 1
        [limits]
        max_rows = 0
        [models.m]
        task = "guess"
        [models.m.reference]
        prediction = "p"
        [[rules]]
        name = "a"
        statistic = "psl"
        limit = 0.2
        [[rules]]
        name = "B!"
        statistic = "psi"
        window = "soon"
        [[channels]]
        name = "c"
        url = "ftp://x"
        """,
    )
    text = "\n".join(found)
    for words in (
        "colour is unknown; known: models, rules",
        "limits.max_rows = 0 is wrong",
        "models.m.task = \"guess\" is wrong; expected 'auto', 'binary'",
        "models.m.reference: give either `file`",
        "rules[0].statistic: 'psl' is unknown; known: ",
        "rules[1].name",
        "rules[1].limit is missing",
        "rules[1].window: 'soon' is not a duration; write it like 90s",
        "channels[0].url",
    ):
        assert words in text
    assert len(found) >= 9


def test_a_syntax_error_has_its_line(tmp_path: Path) -> None:
    (only,) = mistakes(tmp_path, "a = 1\nb = oops\n")
    assert "not TOML" in only
    assert "line 2" in only


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[channels]]\nname="c"\nurl="http://x/"', "no signing secret"),
        ('[[channels]]\nname="c"\nurl="http://x/"\nsecret="whsec_?"', "base64"),
        (
            '[[channels]]\nname="c"\nurl="http://x/"\nsecret_env="NOT_SET_ANYWHERE"',
            "NOT_SET_ANYWHERE is not set",
        ),
        ('[[rules]]\nname="a"\nstatistic="psi"\nlimit=1\n' * 2, "used twice"),
        ("[models.m.importance]\nage = -1", "0 or more"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert any(words in m for m in mistakes(tmp_path, text))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_config(tmp_path / "nope.toml")


def test_own_rules_replace_defaults_of_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "driftdeck.toml"
    path.write_text(
        '[[rules]]\nname = "drift"\nstatistic = "psi"\nlimit = 0.5\nwindow = "7d"\nhold = "2h"'
    )
    rules = {r.name: r for r in read_config(path).all_rules}
    assert rules["drift"].limit == 0.5
    assert rules["drift"].hold == timedelta(hours=2)
    assert len(rules) == len(DEFAULT_RULES)
    path.write_text("default_rules = false")
    assert read_config(path).all_rules == ()


def test_the_sample_configuration_is_valid() -> None:
    assert read_config(Path(__file__).parents[2] / "data" / "driftdeck.toml").models


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1.5h", 5400), (" 7 d ", 604800), ("2w", 1209600)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text).total_seconds() == seconds
