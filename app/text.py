"""Every sentence on screen, in English and Traditional Chinese: how it is said.

`say` gives plain text (charts, tables, files). `t` gives markdown in the viewer's
language, in which every filled-in value is escaped: names of models and features come
from outside and must never act as markup. The sentences themselves are the table in
sentences.py.
"""

import re
from collections.abc import Callable

from app.sentences import SENTENCES

LANGUAGES = ("en", "zh")
_viewer: list[Callable[[], str]] = [lambda: "en"]
_MARKUP = re.compile(r"([\\`*_\[\]<>$~#|&])")
# icons (:material/x:), emoji (:x:), colours (:red[x]) and bare links are found after
# backslashes are gone, so an invisible word joiner stands where they would begin
_DIRECTIVE = re.compile(r":(?=[A-Za-z/]|\w+:)|(?<=www)(?=\.)|@", re.IGNORECASE)
_JOINER = "\u2060"


def follow(language: Callable[[], str]) -> None:
    """From now on `t` speaks what this function returns ("en" or "zh") for the viewer of the moment."""
    _viewer[0] = language


def language() -> str:
    """The viewer's language, "en" or "zh"."""
    return _viewer[0]()


def plain(value: object) -> str:
    """The value as markdown that shows exactly its characters, on one line: no emphasis, icon, formula or link."""
    flat = " ".join(str(value).split())
    return _MARKUP.sub(r"\\\1", _DIRECTIVE.sub(lambda found: found[0] + _JOINER, flat))


def say(speech: str, key: str, **values: object) -> str:
    """The sentence as plain text in this language, values filled in as they are."""
    return SENTENCES[key][LANGUAGES.index(speech)].format(**values)


def t(key: str, **values: object) -> str:
    """The sentence as markdown in the viewer's language, values escaped."""
    return say(
        language(), key, **{name: plain(value) for name, value in values.items()}
    )


def raw(key: str, **values: object) -> str:
    """The sentence as plain text in the viewer's language: for tables, files, alternative texts."""
    return say(language(), key, **values)


def known(key: str, otherwise: str) -> str:
    """The sentence in the viewer's language, or `otherwise` when the server used a word we do not know."""
    return raw(key) if key in SENTENCES else otherwise


def listing(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c" in the viewer's language."""
    if len(words) < 2:
        return "".join(words)
    return raw("comma").join(words[:-1]) + raw("and") + words[-1]


def statistic(name: str) -> str:
    """The name of a statistic for people."""
    return known(f"stat.{name}", name.replace("_", " "))


def sentence_case(sentence: str) -> str:
    """The sentence with a capital first letter, unless it begins with a name like p95."""
    return sentence if sentence[1:2].isdigit() else sentence[:1].upper() + sentence[1:]


def column_name(column: str | None) -> str:
    """The name of a column for people: its own, or a word for those that every model has."""
    return raw(_WORDS[column]) if column in _WORDS else str(column or "")


_WORDS = {
    "latency_ms": "change.latency",
    "prediction": "change.prediction",
    "absolute_error": "change.error",
    "reconstruction_error": "change.together",
}


DETECTED = frozenset(
    {
        "inputs_change",
        "unseen_values",
        "latency_change",
        "error_rise",
        "traffic_change",
        "quality_change",
    }
)
DISTANCES = frozenset(
    {
        "psi",
        "ks",
        "jensen_shannon",
        "hellinger",
        "total_variation",
        "l_infinity",
        "chi_squared",
        "g_test",
        "cramers_v",
        "wasserstein",
        "neyman",
        "energy_distance",
        "mmd",
    }
)
