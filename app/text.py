"""Every sentence on screen, in English and Traditional Chinese: how it is said.

`say` gives plain text (charts, tables, files). `t` gives markdown in the viewer's
language, in which every filled-in value is escaped: names of models and features come
from outside and must never act as markup. The sentences themselves are the table in
sentences.py.
"""

import re
from collections.abc import Callable
from typing import Any

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


def finding(found: dict[str, Any]) -> str:
    """What a finding says, as plain text without a full stop: "temp drifted", "p95 latency is over its limit"."""
    name, column, verdict = (
        str(found.get("statistic") or ""),
        found.get("column"),
        found.get("verdict"),
    )
    distance = name in DISTANCES and column
    if name in DETECTED:
        return (
            _change(found)
            if verdict in ("breach", "severe")
            else raw("change.over", what=statistic(name))
        )
    if name == "detector_evidence":
        return _standing(str(verdict), column)
    if verdict in ("breach", "severe"):
        if name == "labels_overdue":
            return raw("finding.labels_overdue")
        if distance:
            return (
                raw(f"finding.{column}_drifted")
                if column in _DRIFTED
                else raw("finding.drifted", column=column)
            )
        if column and f"finding.{name}" in SENTENCES:
            return raw(f"finding.{name}", column=column)
        return raw(
            "finding.below" if found.get("direction") == "below" else "finding.above",
            what=_what(name, column),
        )
    if verdict == "warn":
        return (
            raw("finding.watch_drift", column=column)
            if distance
            else raw("finding.watch", what=_what(name, column))
        )
    if verdict == "insufficient":
        needs = {"minimum": found.get("minimum") or "?", "n": found.get("n") or 0}
        return raw("finding.insufficient", what=_what(name, column), **needs)
    key = f"finding.{verdict}" if verdict in ("no_data", "learning") else "finding.ok"
    return raw(key, what=_what(name, column))


def summary(reasons: list[dict[str, Any]], most: int = 2) -> str:
    """All findings behind a status as one plain sentence, drifted features together: "temp and wind drifted; …"."""
    names: list[str] = []
    place = -1
    parts: list[str] = []
    for one in reasons:
        if _is_drifted_feature(one):
            if not names:
                # the place of the drifted features, where the first of them stood
                parts.append("")
                place = len(parts) - 1
            if one["column"] not in names:
                names.append(str(one["column"]))
            continue
        sentence = finding(one)
        if sentence not in parts:
            parts.append(sentence)
    if names:
        shown = (
            names
            if len(names) <= 3
            else [*names[:2], raw("finding.n_columns", n=len(names) - 2)]
        )
        parts[place] = raw("finding.drifted_many", columns=listing(shown))
    first = raw("semicolon").join(parts[:most])
    named = (names and place == 0) or _begins_with_a_name(reasons)
    first = first if named else sentence_case(first)
    left = len(parts) - most
    return (
        raw("overview.more", first=first, n=left)
        if left > 0
        else raw("overview.one", first=first)
    )


def _begins_with_a_name(reasons: list[dict[str, Any]]) -> bool:
    """Whether the first finding is a change that begins with the name of a column, which is written as it is."""
    first = reasons[0] if reasons else {}
    return first.get("statistic") in DETECTED and finding(first).startswith(
        str(first.get("column"))
    )


def _is_drifted_feature(one: dict[str, Any]) -> bool:
    drifted = one.get("statistic") in DISTANCES and one.get("verdict") in (
        "breach",
        "severe",
    )
    return drifted and one.get("column") not in (None, "", *_DRIFTED)


def sentence_case(sentence: str) -> str:
    """The sentence with a capital first letter, unless it begins with a name like p95."""
    return sentence if sentence[1:2].isdigit() else sentence[:1].upper() + sentence[1:]


def _change(found: dict[str, Any]) -> str:
    """What the detector found, without figures: "temp is higher than usual; wind changed with it"."""
    moved = found.get("moved") or []
    lead, shown = found.get("column"), column_name(found.get("column"))
    if not moved:
        return raw("change.unknown", column=shown) if lead else raw("change.joint")
    contrast, size = (
        str(moved[0].get("contrast") or "").replace(" ", "_"),
        moved[0].get("size") or 0.0,
    )
    side = "up" if size > (1.0 if contrast == "traffic" else 0.0) else "down"
    key = (
        "change.silence"
        if contrast == "traffic" and size == 0
        else f"change.{contrast}_{side}"
    )
    key = next(
        (k for k in (key, f"change.{contrast}") if k in SENTENCES), "change.unknown"
    )
    if lead == "reconstruction_error":
        key = "finding.reconstruction_error_drifted"
    first = (
        raw(key, column=column_name(moved[0].get("column")))
        if lead
        else raw("change.joint")
    )
    others = [
        one for one in dict.fromkeys(m.get("column") for m in moved) if one != lead
    ]
    if not lead or not others:
        return first
    if len(others) == 1:
        return raw("change.and_other", first=first, name=column_name(others[0]))
    return raw("change.and_others", first=first, n=len(others))


def _standing(verdict: str, column: str | None) -> str:
    """How far the detector is."""
    if verdict == "warn":
        return (
            raw("detector.warns_of", column=column_name(column))
            if column
            else raw("detector.warns")
        )
    return raw("detector.learning" if verdict == "learning" else "detector.calm")


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
_DRIFTED = ("prediction", "reconstruction_error")  # with sentences of their own
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
# columns that are the statistic itself: "p95 latency of latency_ms" says nothing more
# than "p95 latency"
_OWN_COLUMNS = frozenset(
    {"latency_ms", "status", "prediction", "residual", "wrong", "absolute_error"}
)


def _what(name: str, column: str | None) -> str:
    word = statistic(name)
    return (
        word
        if not column or column in _OWN_COLUMNS
        else raw("finding.of", statistic=word, column=column)
    )
