"""Drift in sentences: the feature with the highest impact, its changes, its bins."""

from typing import Any

from app import charts, figures
from app.components import cards
from app.finding_text import limit_phrase
from app.text import joined, raw, statistic, t

Json = dict[str, Any]
# new or missing values below half a percent get no sentence
VISIBLE_SHARE = 0.005
VISIBLE_RISE = 4 * VISIBLE_SHARE  # of missing values
MAX_SENTENCES = 3
MAX_VALUES = 3
MIN_SPREAD_BINS = 6  # fewer bins do not show that a whole distribution shifted
MAIN_SHARE = 0.8  # of the drift, that the bins of a sentence make
LARGE_TIMES_LIMIT = 2.5  # from where the server calls a drift large
DRIFTED = ("breach", "severe")
NOT_FEATURES = ("prediction", "reconstruction_error")


def verdict(drift: Json, n_changes: int = 0) -> str:
    """Return how many features drifted and the first of them as markdown.

    `n_changes` changes of the detector are open.
    """
    features = [c for c in drift["columns"] if c["kind"] not in NOT_FEATURES]
    drifted = [column for column in features if column["status"] in DRIFTED]
    if not drifted:
        return _nothing_drifted(drift, features, n_changes)
    number = t("drift.some", n=len(drifted), of=len(features))
    sentences = [_highest_impact(drift, drifted[0])]
    for column in drifted:
        sentences += _new_or_missing(column)
    shown = joined(sentences[:MAX_SENTENCES])
    return f"{cards.badge('warn', number)} &nbsp; {shown}"


def _nothing_drifted(drift: Json, features: list[Json], n_changes: int) -> str:
    statuses = [column["status"] for column in features]
    if "ok" not in statuses and "warn" not in statuses:
        status = statuses[0] if statuses else "no_data"
        reason = t("need.more")
        if status in ("insufficient", "no_data", "learning"):
            return f"{cards.status_icon(status)} {t(f'overview.{status}')}"
        return f"{cards.badge(status)} &nbsp; {reason}"
    # a change score accumulates over hours in which no window may be over a limit
    if n_changes:
        number = cards.badge("breach", t("detector.open_n", n=n_changes))
        window = figures.duration(drift["window_s"])
        sentence = t("drift.none_over", of=len(features), window=window)
        return f"{number} &nbsp; {sentence}"
    status = "warn" if "warn" in statuses else "ok"
    return cards.badge(status, t("drift.none", of=len(features)))


def _highest_impact(drift: Json, column: Json) -> str:
    evidence = raw(
        "finding.number",
        statistic=statistic(drift["statistic"]),
        value=figures.score(column["value"]),
        limit=limit_phrase(drift),
    )
    if column["importance"] is not None:
        share = figures.percent(column["importance"], 0)
        evidence = raw("comma").join([evidence, raw("drift.importance", share=share)])
    name = column["column"]
    if column["mean_reference"] is None or column["mean"] is None:
        return t("drift.worst", name=name, evidence=evidence)
    return t(
        "drift.moved",
        name=name,
        before=figures.number(column["mean_reference"]),
        after=figures.number(column["mean"]),
        evidence=evidence,
    )


def _new_or_missing(column: Json) -> list[str]:
    sentences = []
    # of very many values some are always new
    expected = column["new_share_usual"] or 0
    if (column["new_share"] or 0) >= expected + VISIBLE_SHARE:
        share = figures.percent(column["new_share"])
        sentences.append(t("drift.new", name=column["column"], share=share))
    shares = _missing_shares(column)
    if shares:
        sentences.append(t("drift.missing_moved", name=column["column"], **shares))
    return sentences


def _missing_shares(column: Json) -> dict[str, str]:
    """Return the shares of missing values before and after; {} without a visible rise."""
    before = column["missing_reference"] or 0
    after = column["missing"] or 0
    if after < before + VISIBLE_RISE:
        return {}
    return {
        "before": figures.percent(before),
        "after": figures.percent(after),
    }


def sentences(drift: Json, column: Json, detail: Json) -> list[str]:
    """Return the chart of one feature as markdown sentences, the most useful first.

    `column` is its row of the drift matrix, `detail` its distribution.
    """
    if column["status"] == "insufficient" or column["value"] is None:
        return [_too_few(column, detail)]
    lines = [*_missing(column), *_new_values(detail), *_bins(column, detail)]
    lines.append(_value(drift, column))
    if column["detectable"] is not None:
        smallest = t("drift.detectable", value=figures.number(column["detectable"]))
        lines.append(cards.small_gray(smallest))
    return lines


def _too_few(column: Json, detail: Json) -> str:
    minimums = [row["minimum"] for row in detail["statistics"] if row.get("minimum")]
    badge = cards.badge(column["status"])
    if not minimums or (column["n"] or 0) >= minimums[0]:
        return badge
    rows = t(
        "need.rows",
        n=figures.count(column["n"]),
        minimum=figures.count(minimums[0]),
    )
    return f"{badge} &nbsp; {rows}"


def _value(drift: Json, column: Json) -> str:
    words = {
        "statistic": statistic(drift["statistic"]),
        "value": figures.score(column["value"]),
        "n": figures.count(column["n"]),
        "limit": limit_phrase(drift),
    }
    low, high = column["low"], column["high"]
    if low is None or high is None:
        return t("drift.plain", **words)
    bounds = figures.interval(figures.score(low), figures.score(high))
    return t("drift.interval", interval=bounds, **words)


def _missing(column: Json) -> list[str]:
    shares = _missing_shares(column)
    if not shares:
        return []
    badge = f":orange-badge[:material/help: {t('bin.missing')}]"
    return [f"{badge} {t('drift.missing_now', **shares)}"]


def _new_values(detail: Json) -> list[str]:
    badge = f":orange-badge[:material/new_releases: {t('bin.new')}]"
    lines = []
    for value in detail["new_values"][:MAX_VALUES]:
        if (value.get("share") or 0) >= VISIBLE_SHARE:
            sentence = t(
                "drift.new_value",
                value=value.get("value"),
                share=figures.percent(value.get("share")),
                at=figures.zoned(value.get("first_seen")),
            )
            lines.append(f"{badge} {sentence}")
    return lines


def _bins(column: Json, detail: Json) -> list[str]:
    """Return the bin that makes most of the drift, and whether many bins make it."""
    bins = [b for b in detail["bins"] if b.get("contribution") is not None]
    total = sum(b["contribution"] for b in bins)
    if not bins or total <= 0:
        return []
    bins.sort(key=lambda b: -b["contribution"])
    largest = bins[0]
    words = {
        "bin": charts.bin_name(largest["label"], cards.look()),
        "share": figures.percent(largest["contribution"] / total, 0),
        "before": figures.percent(largest.get("reference")),
        "after": figures.percent(largest.get("current")),
    }
    if column["status"] not in ("warn", *DRIFTED):
        return [t("drift.quiet", **words)]
    lines = [t("drift.bin", **words)]
    n = _main_bins([b["contribution"] for b in bins], total)
    if len(bins) >= MIN_SPREAD_BINS and n >= len(bins) / 2:
        lines.append(t("drift.spread", n=n, of=len(bins)))
    return [joined(lines)]


def _main_bins(parts: list[float], total: float) -> int:
    """Return how many of the largest parts make 80% of the total."""
    added = 0.0
    for n, part in enumerate(parts, 1):
        added += part
        if added >= MAIN_SHARE * total:
            return n
    return len(parts)


def legend(look: charts.Look, warn: float | None, limit: float | None) -> str:
    """Return the legend of the heat map as HTML.

    Only words, colours and numbers of this project are in it.
    """
    large = None if limit is None else LARGE_TIMES_LIMIT * limit
    bounds = {"warn": warn, "breach": limit, "severe": large}
    colours = (*look.colours.levels[1:], look.colours.levels[0])
    entries = []
    for level, colour in zip(charts.LEVEL_NAMES, colours, strict=True):
        is_empty = level == "insufficient"
        word = raw("level.few" if is_empty else f"level.{level}")
        bound = bounds.get(level)
        if isinstance(bound, int | float):
            word += f" &gt;{bound:g}"
        box = _BOX.format(colour=colour, ink=look.colours.card)
        if is_empty:
            box += f";border:1px solid {look.colours.grid}"
        mark = charts.LEVEL_MARKS.get(level, "")
        sample = f'<span style="{box}">{mark}</span>'
        entries.append(f'<span style="white-space:nowrap">{sample}{word}</span>')
    style = _ROW.format(ink=look.colours.muted)
    return f'<div style="{style}">{"".join(entries)}</div>'


_BOX = (
    "display:inline-block;width:1.7em;height:.95em;border-radius:3px;"
    "background:{colour};color:{ink};text-align:center;line-height:.95em;"
    "font-size:.8em;vertical-align:-.1em;margin-right:.4em"
)
_ROW = "display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.78rem;color:{ink}"
