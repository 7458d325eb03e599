"""Changes that the detector found, in figures, and their likely causes."""

from typing import Any

from app import figures
from app.finding_text import interval, size
from app.sentences import SENTENCES
from app.text import column_name, plain, raw, short_listing, t

Json = dict[str, Any]
MAX_COLUMNS = 4
MAX_PROPERTIES = 2  # of one column


def property_text(change: Json) -> str:
    """Return one changed property as plain text: "mean +0.62 sd (95% CI 0.50–0.74)"."""
    contrast = str(change.get("contrast"))
    shown = size(contrast, change.get("size"))
    sentence = raw(f"moved.{contrast.replace(' ', '_')}", size=shown)
    bounds = interval(contrast, change.get("low"), change.get("high"))
    if not bounds:
        return sentence
    return raw("finding.figures", finding=sentence, figures=bounds)


def by_column(result: Json) -> dict[str, list[Json]]:
    """Return the changed properties of each column, in the order given."""
    columns: dict[str, list[Json]] = {}
    for change in result.get("moved") or []:
        columns.setdefault(str(change.get("column")), []).append(change)
    return columns


def lines(result: Json, limit: int = MAX_COLUMNS) -> list[str]:
    """Return one line of markdown for each changed column, then how many more there are."""
    columns = by_column(result)
    shown = []
    for name, changes in list(columns.items())[:limit]:
        properties = [property_text(change) for change in changes[:MAX_PROPERTIES]]
        line = plain(raw("comma").join(properties))
        shown.append(f"**{plain(column_name(name))}**: {line}")
    if len(columns) > limit:
        shown.append(t("moved.more", n=len(columns) - limit))
    return shown


def likely_cause(
    kind: object,
    columns: list[str],
    since: str | None = None,
    segment: object = "",
) -> str | None:
    """Return the likely cause as markdown; None when the change has none.

    `columns` are those it is about, `segment` the one it is about, if any.
    """
    key = f"cause.{kind}"
    if key not in SENTENCES:
        return None
    if segment and f"{key}_of" in SENTENCES:
        key = f"{key}_of"
    names = short_listing([column_name(name) for name in columns])
    words = {
        "columns": names or raw("cause.all_columns"),
        "since": raw("cause.since", at=figures.zoned(since)) if since else "",
        "segment": segment,
    }
    return f":material/lightbulb: {plain(raw(key, **words))}"


def cause_of(result: Json) -> str | None:
    """Return the likely cause of a finding of the detector as markdown, if any."""
    columns = list(by_column(result))
    if not columns and result.get("column"):
        columns = [str(result["column"])]
    since, segment = result.get("from"), result.get("behind")
    return likely_cause(result.get("cause"), columns, since, segment)


def facts(alert: Json, now: str | None) -> str:
    """Return size with interval, expected value, start and age as markdown.

    Start and age are those of the change, which is older than its alert.
    """
    result = alert["finding"] or {}
    changes = result.get("moved") or []
    value = figures.measured(alert["value"], alert["statistic"], alert["unit"])
    if changes:
        value = property_text(changes[0])
    parts = [f"**{plain(value)}**"]
    if result.get("reference_value") is not None:
        expected = figures.measured(
            result["reference_value"], alert["statistic"], alert["unit"]
        )
        parts.append(t("moved.expected", value=expected))
    key = "moved.facts_done" if alert["resolved_at"] else "moved.facts"
    start = result.get("from") or alert["since"]
    age_s = figures.seconds_between(start, alert["resolved_at"] or now)
    parts.append(t(key, at=figures.zoned(start), age=figures.duration(age_s)))
    return " · ".join(parts)
