"""Findings as sentences: one for each finding, and one for all findings behind a status."""

from typing import Any

from app.sentences import SENTENCES
from app.text import (
    DETECTED,
    DISTANCES,
    column_name,
    listing,
    raw,
    sentence_case,
    statistic,
)

_DRIFTED = ("prediction", "reconstruction_error")  # with sentences of their own
# columns that are the statistic itself: "p95 latency of latency_ms" says nothing more
# than "p95 latency"
_OWN_COLUMNS = frozenset(
    {"latency_ms", "status", "prediction", "residual", "wrong", "absolute_error"}
)


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


def _what(name: str, column: str | None) -> str:
    word = statistic(name)
    return (
        word
        if not column or column in _OWN_COLUMNS
        else raw("finding.of", statistic=word, column=column)
    )
