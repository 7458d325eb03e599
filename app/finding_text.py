"""Findings as sentences: one for each finding, and one for all findings behind a status."""

from typing import Any

from app import figures
from app.sentences import SENTENCES
from app.text import (
    DETECTED,
    column_name,
    is_distance,
    raw,
    sentence_case,
    short_listing,
    statistic,
)

Json = dict[str, Any]
BREACHES = ("breach", "severe")
# columns with sentences of their own
_DRIFTED = ("prediction", "reconstruction_error")
# columns that are the statistic itself: "p95 latency of latency_ms" adds nothing to
# "p95 latency"
_OWN_COLUMNS = frozenset(
    {"latency_ms", "status", "prediction", "residual", "wrong", "absolute_error"}
)
SHARES = frozenset({"missing", "unseen", "error rate", "wrong share"})
MAX_PARTS = 2  # of a summary; the rest are counted


def finding(result: Json) -> str:
    """Return a finding as plain text without figures and full stop: "temp drifted"."""
    sentence = _headline(result)
    if result.get("segment"):
        segment = str(result["segment"])
        return raw("finding.segment", segment=segment, finding=sentence)
    return sentence


def described(result: Json) -> str:
    """Return a finding with its figures: "temp drifted (PSI 0.29, limit 0.20)"."""
    sentence, numbers = finding(result), _numbers(result)
    if numbers:
        sentence = raw("finding.figures", finding=sentence, figures=numbers)
    if result.get("statistic") in DETECTED and result.get("from"):
        since = figures.zoned(result["from"])
        sentence = raw("finding.since", finding=sentence, since=since)
    return sentence


def summary(reasons: list[Json]) -> str:
    """Return all findings behind a status as one plain sentence.

    Drifted features stand together, in the place of the first of them:
    "temp and wind drifted; p95 latency is over its limit (70 ms, limit 60 ms)."
    """
    drifted = [reason for reason in reasons if _is_drifted_feature(reason)]
    names = list(dict.fromkeys(str(reason["column"]) for reason in drifted))
    parts: list[str] = []
    for reason in reasons:
        sentence = described(reason)
        if len(names) > 1 and reason in drifted:
            sentence = raw("finding.drifted_many", columns=short_listing(names))
        if sentence not in parts:
            parts.append(sentence)
    first = raw("semicolon").join(parts[:MAX_PARTS])
    if not _begins_with_a_name(reasons):
        first = sentence_case(first)
    more = len(parts) - MAX_PARTS
    if more > 0:
        return raw("overview.more", first=first, n=more)
    return raw("overview.one", first=first)


def headline(result: Json) -> str:
    """Return the finding with a capital letter, unless it begins with a name."""
    sentence = finding(result)
    return sentence if _begins_with_a_name([result]) else sentence_case(sentence)


def limit_phrase(result: Json) -> str:
    """Return "limit 60 ms" in the direction of the limit, or that none is set."""
    if result.get("limit") is None:
        return raw("limit.none")
    side = "below" if result.get("direction") == "below" else "above"
    return raw(f"limit.{side}", value=figures.limit_of(result))


def size(contrast: str, value: float | None) -> str:
    """Return how far a property changed: "+0.62 sd", "+12 points", "40%"."""
    if contrast == "missing":
        return figures.points(value)
    if contrast in SHARES or contrast == "traffic":
        return figures.percent(value)
    return figures.measured(value, "", "sd")


def interval(contrast: str, low: float | None, high: float | None) -> str:
    """Return the interval of a size, "95% CI 0.50–0.74"; "" when there is none."""
    if low is None or high is None or low == high:
        return ""
    if contrast == "missing":
        return figures.interval(f"{low * 100:+.1f}", f"{high * 100:+.1f}")
    if contrast in SHARES or contrast == "traffic":
        return figures.interval(figures.percent(low), figures.percent(high))
    return figures.interval(figures.deviations(low), figures.deviations(high))


def _headline(result: Json) -> str:
    name = str(result.get("statistic") or "")
    column, verdict = result.get("column"), str(result.get("verdict"))
    if name in DETECTED:
        if verdict in BREACHES:
            return _change(result)
        return raw("change.over", what=statistic(name))
    if name == "detector_evidence":
        return _detector_status(result)
    if verdict in BREACHES:
        return _breach(name, column, result)
    what = _subject(name, column)
    if verdict == "warn":
        if is_distance(name) and column:
            return raw("finding.watch_drift", column=column_name(column))
        return raw("finding.watch", what=what)
    if verdict == "insufficient":
        return _insufficient(what, result)
    if verdict in ("no_data", "learning"):
        return raw(f"finding.{verdict}", what=what)
    return raw("finding.ok", what=what)


def _breach(name: str, column: str | None, result: Json) -> str:
    if name == "labels_overdue":
        if not result.get("from"):
            return raw("finding.labels_overdue")
        return raw("finding.no_labels", since=figures.zoned(result["from"]))
    if column and is_distance(name):
        if column in _DRIFTED:
            return raw(f"finding.{column}_drifted")
        return raw("finding.drifted", column=column)
    if column and f"finding.{name}" in SENTENCES:
        return raw(f"finding.{name}", column=column)
    side = "below" if result.get("direction") == "below" else "above"
    return raw(f"finding.{side}", what=_subject(name, column))


def _insufficient(what: str, result: Json) -> str:
    n = result.get("n") or 0
    minimum = result.get("minimum") or 0
    if n >= minimum:
        # enough rows, but the model has not run for half of the window yet
        return raw("finding.too_new", what=what)
    rows = raw("need.rows", n=figures.count(n), minimum=figures.count(minimum))
    return raw("finding.insufficient", what=what, rows=rows)


def _numbers(result: Json) -> str:
    """Return the figures of a breach or warning; "" when it has none of its own."""
    name, value = str(result.get("statistic") or ""), result.get("value")
    if result.get("verdict") not in (*BREACHES, "warn"):
        return ""
    if name in DETECTED:
        return _size_of_change(result)
    if value is None or name in ("detector_evidence", "labels_overdue"):
        return ""
    words = {
        "value": figures.measured(value, name, result.get("unit")),
        "limit": limit_phrase(result),
    }
    if is_distance(name):
        return raw("finding.number", statistic=statistic(name), **words)
    return raw("finding.value", **words)


def _size_of_change(result: Json) -> str:
    changes = result.get("moved") or []
    if not changes:
        return ""
    first = changes[0]
    contrast, value = str(first.get("contrast")), first.get("size")
    if contrast == "traffic":
        if not value:
            return ""
        return raw("moved.traffic", size=size(contrast, value))
    expected = result.get("reference_value")
    if contrast in SHARES and expected is not None:
        phrase = raw("moved.expected", value=figures.percent(expected))
        return raw("comma").join([size(contrast, value), phrase])
    return size(contrast, value)


def _is_drifted_feature(result: Json) -> bool:
    column = result.get("column")
    if not column or column in _DRIFTED or result.get("segment"):
        return False
    name = str(result.get("statistic"))
    return is_distance(name) and result.get("verdict") in BREACHES


def _begins_with_a_name(reasons: list[Json]) -> bool:
    """Return whether the first finding begins with a name, which is written as it is."""
    if not reasons:
        return False
    first = reasons[0]
    names = (first.get("segment"), first.get("column"))
    return any(name and finding(first).startswith(str(name)) for name in names)


def _change(result: Json) -> str:
    """Return a change without figures: "temp: mean higher than expected; ..."."""
    changes, main = result.get("moved") or [], result.get("column")
    if not changes:
        if main:
            return raw("change.unknown", column=column_name(main))
        return raw("change.joint")
    if not main:
        return raw("change.joint")
    first = _first_change(main, changes[0])
    others = dict.fromkeys(change.get("column") for change in changes)
    names = [column for column in others if column != main]
    if not names:
        return first
    if len(names) == 1:
        return raw("change.and_other", first=first, name=column_name(names[0]))
    return raw("change.and_others", first=first, n=len(names))


def _first_change(main: str, change: Json) -> str:
    """Return the sentence of the property that changed most."""
    if main == "reconstruction_error":
        return raw("finding.reconstruction_error_drifted")
    contrast = str(change.get("contrast") or "").replace(" ", "_")
    value = change.get("size") or 0.0
    if contrast == "traffic" and value == 0:
        return raw("change.silence")
    unchanged = 1.0 if contrast == "traffic" else 0.0
    side = "up" if value > unchanged else "down"
    for key in (f"change.{contrast}_{side}", f"change.{contrast}"):
        if key in SENTENCES:
            return raw(key, column=column_name(change.get("column")))
    return raw("change.unknown", column=column_name(change.get("column")))


def _detector_status(result: Json) -> str:
    verdict, column = result.get("verdict"), result.get("column")
    if verdict == "learning":
        return raw("detector.learning")
    if verdict != "warn":
        return raw("detector.calm")
    score = result.get("value")
    if not column or score is None:
        return raw("detector.warns")
    return raw(
        "detector.warns_of",
        column=column_name(column),
        score=figures.percent(score),
    )


def _subject(name: str, column: str | None) -> str:
    """Return the title of a statistic with its column, unless that adds nothing."""
    word = statistic(name)
    if not column or column in _OWN_COLUMNS:
        return word
    return raw("finding.of", statistic=word, column=column)
