"""Sentences in the viewer's language, as plain text or as markdown.

`say` returns plain text for charts, tables and files. `t` returns markdown in which
every filled-in value is escaped: names of models and features are data from outside and
must never act as markup. The sentences themselves are in app/sentences.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

from app.sentences import SENTENCES

LANGUAGES = ("en", "zh")
_viewer: list[Callable[[], str]] = [lambda: "en"]
_statistics: dict[str, Mapping[str, Any]] = {}  # of the server, by name
_MARKUP = re.compile(r"([\\`*_\[\]<>$~#|&])")
# icons (:material/x:), emoji (:x:), colours (:red[x]) and bare links are read after
# backslashes are gone, so an invisible word joiner stands where they would begin
_DIRECTIVE = re.compile(r":(?=[A-Za-z/]|\w+:)|(?<=www)(?=\.)|@", re.IGNORECASE)
_JOINER = "\u2060"
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
# all of printable ASCII but the star, which is markup
_LATIN = re.compile(r"[!-)+-~±×]")


def follow(language: Callable[[], str]) -> None:
    """Read the viewer's language, "en" or "zh", from this function from now on."""
    _viewer[0] = language


def language() -> str:
    """Return the viewer's language, "en" or "zh"."""
    return _viewer[0]()


def plain(value: object) -> str:
    """Return markdown that shows exactly these characters, on one line."""
    flat = " ".join(str(value).split())
    safe = _DIRECTIVE.sub(lambda match: match[0] + _JOINER, flat)
    return _MARKUP.sub(r"\\\1", safe)


def say(speech: str, key: str, **values: object) -> str:
    """Return the sentence as plain text in a language, values filled in as they are."""
    template = SENTENCES[key][LANGUAGES.index(speech)]
    if speech != "zh":
        return template.format(**values)
    return _filled_chinese(template, values)


def _filled_chinese(template: str, values: dict[str, object]) -> str:
    """Fill in the values, with a space between a Chinese character and a Latin one."""
    sentence = ""
    for literal, name, _, _ in Formatter().parse(template):
        sentence += _joint(sentence, literal) + literal
        if name is not None:
            value = str(values[name])
            sentence += _joint(sentence, value) + value
    return sentence


def _joint(before: str, after: str) -> str:
    """Return the space that belongs between two pieces of a Chinese sentence, or ""."""
    last, first = before[-1:], after[:1]
    mixed = _CHINESE.match(last) and _LATIN.match(first)
    mixed = mixed or (_LATIN.match(last) and _CHINESE.match(first))
    return " " if mixed else ""


def t(key: str, **values: object) -> str:
    """Return the sentence as markdown in the viewer's language, values escaped."""
    escaped = {name: plain(value) for name, value in values.items()}
    return say(language(), key, **escaped)


def raw(key: str, **values: object) -> str:
    """Return the sentence as plain text in the viewer's language."""
    return say(language(), key, **values)


def translated(key: str, otherwise: str) -> str:
    """Return the sentence in the viewer's language; `otherwise` for an unknown key.

    A newer server may use words that this dashboard does not have.
    """
    return raw(key) if key in SENTENCES else otherwise


def listing(words: list[str]) -> str:
    """Return "a", "a and b" or "a, b and c" in the viewer's language."""
    if len(words) < 2:
        return "".join(words)
    return raw("list.last", first=raw("comma").join(words[:-1]), last=words[-1])


def joined(sentences: list[str]) -> str:
    """Return the sentences one after the other; Chinese ones need no space."""
    return ("" if language() == "zh" else " ").join(sentences)


def short_listing(columns: list[str]) -> str:
    """Return the names of at most three columns; of more, two and how many follow."""
    names = columns
    if len(columns) > 3:
        names = [*columns[:2], raw("finding.n_columns", n=len(columns) - 2)]
    return listing(names)


def use_statistics(rows: Sequence[Mapping[str, Any]]) -> None:
    """Use the server's list of statistics from now on; each row has what is known of one."""
    _statistics.clear()
    _statistics.update({str(row.get("statistic")): row for row in rows})


def statistic(name: str) -> str:
    """Return the title of a statistic in the viewer's language.

    The server's own title, in English, for a plug-in that has no words here.
    """
    title = _statistics.get(name, {}).get("title") or name.replace("_", " ")
    return translated(f"stat.{name}", str(title))


def is_distance(name: str) -> bool:
    """Return whether a statistic is a distance of two distributions."""
    return bool(_statistics.get(name, {}).get("distance"))


def unit_of(name: str) -> str | None:
    """Return the unit of a statistic; None for one that the server does not list."""
    return _statistics.get(name, {}).get("unit")


def group_of(name: str) -> str | None:
    """Return the part of the status, data, service or quality, that a statistic is of."""
    return _statistics.get(name, {}).get("group")


def rule_statistics() -> list[str]:
    """Return the statistics of features and predictions that a rule can name."""
    return [
        name
        for name, row in _statistics.items()
        if not row.get("detector") and not row.get("columns")
    ]


def sentence_case(sentence: str) -> str:
    """Return the sentence with a capital first letter, but for names like p95."""
    return sentence if sentence[1:2].isdigit() else sentence[:1].upper() + sentence[1:]


def column_name(column: str | None) -> str:
    """Return a column's own name, or a word for a column that every model has."""
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
