"""The change detector as a card: status, open changes, change scores, Set as new normal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from app import charts, figures, finding_text, reader
from app.components import alert_card, cards, change_text, selftest_card
from app.text import column_name, joined, plain, raw, short_listing, t, translated

Json = dict[str, Any]
MAX_OPEN, MAX_COLUMNS, MAX_DAYS = 4, 3, 2
DAY = timedelta(days=1)
LEARNING_TIME = 14 * DAY  # a new normal is learned from at most these
# contrasts that have a smallest detectable size
SIZED = ("location", "scale", "category", "missing", "unseen")


def card(model: str, detector: Json) -> None:
    """Draw the card; `detector` is the server's response about this model's detector."""
    with cards.card("detector", t("detector.title"), t("detector.caption")):
        is_watching = any(lane["status"] != "learning" for lane in detector["lanes"])
        if not (detector["enabled"] and is_watching):
            st.markdown(status(detector))
            return
        words, trend = st.columns([1, 1.35], gap="medium")
        with words:
            _words(model, detector)
        with trend:
            _scores(detector)
        selftest_card.show(model)


def _words(model: str, detector: Json) -> None:
    """Draw status, open changes, the button that accepts them, and notes."""
    changes = detector["open"]
    st.markdown(status(detector))
    for change in changes[:MAX_OPEN]:
        _open_change(change)
    if len(changes) > MAX_OPEN:
        st.markdown(f":small[{t('moved.more', n=len(changes) - MAX_OPEN)}]")
    if changes:
        _accept_button(model, changes)
    lines = [cards.small_gray(line) for line in notes(detector)]
    if lines:
        st.markdown("  \n".join(lines))


def status(detector: Json) -> str:
    """Return the status of the detector as one sentence of markdown."""
    lanes, changes = detector["lanes"], detector["open"]
    if not detector["enabled"]:
        return f"{cards.badge('not_checked')} &nbsp; {t('detector.off_why')}"
    if not lanes:
        return f"{cards.badge('no_data')} &nbsp; {t('detector.no_events')}"
    if changes:
        number = t("detector.open_n", n=len(changes))
        return f"{cards.badge('breach', number)} &nbsp; {t('detector.open_why')}"
    inputs = next((lane for lane in lanes if lane["lane"] == "inputs"), lanes[0])
    if inputs["status"] == "learning":
        return _learning(inputs)
    highest = max(lanes, key=lambda lane: lane["evidence"] or 0.0)
    words = {
        "signal": _signal(highest["lane"]),
        "score": figures.percent(highest["evidence"] or 0.0),
    }
    if detector["status"] == "warn":
        return f"{cards.badge('warn')} &nbsp; {t('detector.warn', **words)}"
    return f"{cards.badge('ok')} &nbsp; {t('detector.quiet', **words)}"


def _learning(lane: Json) -> str:
    """Return the day of learning; when its time is over, that rows are too few."""
    start = figures.parse(lane["learned_from"])
    end = figures.parse(lane["watches_from"])
    now = datetime.now(UTC)
    if start is None or end is None or end <= now:
        return f"{cards.status_icon('insufficient')} {t('detector.too_thin')}"
    days = max(round((end - start) / DAY), 1)
    today = int((now - start) / DAY) + 1
    sentence = t(
        "detector.until",
        done=min(max(today, 1), days),
        days=days,
        at=figures.zoned(end),
    )
    return f"{cards.status_icon('learning')} {sentence}"


def notes(detector: Json) -> list[str]:
    """Return the notes below the open changes as markdown.

    Signals that still learn, columns whose reference drifts itself, thin traffic, days
    that looked like another weekday, and the last new normal.
    """
    lanes = detector["lanes"]
    lines = []
    learning = [_signal(lane["lane"]) for lane in lanes if lane["status"] == "learning"]
    if learning:
        signals = raw("comma").join(learning)
        lines.append(t("detector.signals_learning", signals=signals))
    trending = [column_name(name) for lane in lanes for name in lane["trending"]]
    if trending:
        key = "detector.trending" if len(trending) > 1 else "detector.trending_one"
        lines.append(t(key, columns=short_listing(trending)))
    width = max((lane["window_hours"] or 1 for lane in lanes), default=1)
    if width > 1:
        lines.append(t("detector.thin", hours=width))
    lines += _other_weekdays(lanes)
    if detector["accepted"]:
        last = detector["accepted"][-1]
        accepted = t(
            "detector.accepted",
            at=figures.zoned(last.get("at")),
            by=last.get("by"),
        )
        lines.append(accepted)
    return lines


def _other_weekdays(lanes: list[Json]) -> list[str]:
    """Return one sentence for each of the newest days that looked like another weekday."""
    days = {
        other["day"]: other["weekday"]
        for lane in lanes
        for other in lane["other_weekdays"]
    }
    lines = []
    for day, weekday in sorted(days.items())[-MAX_DAYS:]:
        name = translated(f"weekday.{weekday}", str(weekday))
        lines.append(t("detector.other_weekday", day=day, weekday=name))
    return lines


def _signal(name: str) -> str:
    return translated(f"lane.{name}", name)


def _open_change(change: Json) -> None:
    """Draw headline, start, the figures of each column, and how long the list is revised."""
    since = t("detector.since", at=figures.zoned(change.get("from")))
    lines = [f"**{plain(finding_text.headline(change))}**", f":small[{since}]"]
    lines += [f":small[{line}]" for line in change_text.lines(change, MAX_COLUMNS)]
    cause = change_text.cause_of(change)
    if cause:
        lines.append(f":small[{cause}]")
    revised = figures.parse(change.get("revised_until"))
    if revised is not None and revised > datetime.now(UTC):
        sentence = t("detector.revised", at=figures.zoned(revised))
        lines.append(cards.small_gray(sentence))
    st.markdown("  \n".join(lines))


def _accept_button(model: str, changes: list[Json]) -> None:
    """Draw the button behind a text about its effect."""
    with st.popover(t("detector.accept"), icon=":material/done_all:", key="accept_ask"):
        key = "detector.accept_one" if len(changes) == 1 else "detector.accept_many"
        since = figures.zoned(_learned_from(changes))
        st.markdown(t(key, n=len(changes), at=since))
        alert_card.name_field()
        st.button(
            t("detector.accept_yes"),
            key="accept",
            type="primary",
            on_click=_accept,
            args=(model,),
        )


def _learned_from(changes: list[Json]) -> datetime:
    """Return the start of the newest change, but at most two weeks ago."""
    earliest = datetime.now(UTC) - LEARNING_TIME
    starts = [figures.parse(change.get("from")) for change in changes]
    return max([earliest, *(start for start in starts if start is not None)])


def _accept(model: str) -> None:
    name = alert_card.signature()
    try:
        reader.accept(model, name)
    except reader.Refused as error:
        is_forbidden = error.values.get("status") in (401, 403)
        sentence = t("detector.key") if is_forbidden else error.sentence()
        cards.notice(sentence, ":material/lock:")
    except reader.ReadError as error:
        cards.notice(error.sentence(), ":material/error:")
    else:
        cards.notice(t("detector.accept_done", name=name), ":material/check_circle:")


def _scores(detector: Json) -> None:
    """Draw the change scores of the time range; one sentence when there are none."""
    rows = detector["evidence"]
    if not rows:
        st.markdown(f":gray[:material/do_not_disturb_on: {t('detector.no_evidence')}]")
        return
    figure = charts.scores(detector["lanes"], rows, detector["open"], cards.look())
    highest = max(row.get("value") or 0.0 for row in rows)
    alt = raw("alt.evidence", score=figures.percent(highest))
    cards.plot(figure, "evidence", alt)


def detectable(detector: Json, column: str) -> str | None:
    """Return the minimum detectable change of a column as markdown; None while learning."""
    smallest: dict[str, float] = {}
    for lane in detector["lanes"]:
        for row in lane["detectable"]:
            if row["column"] == column and row["size"] is not None:
                contrast, value = str(row["contrast"]), row["size"]
                smallest[contrast] = min(value, smallest.get(contrast, value))
    sizes = [
        raw(f"moved.{contrast}", size=_plus_minus(contrast, value))
        for contrast, value in smallest.items()
        if contrast in SIZED and not _is_impossible(contrast, value)
    ]
    sentences = []
    if sizes:
        sentence = t(
            "detector.detectable",
            name=column_name(column),
            sizes=raw("comma").join(sizes),
        )
        sentences.append(sentence)
    if _is_impossible("missing", smallest.get("missing", 0.0)):
        sentences.append(t("detector.undetectable"))
    return joined(sentences) or None


def _is_impossible(contrast: str, value: float) -> bool:
    """Return whether a share of rows would have to rise by more than all rows."""
    return contrast in ("missing", "unseen") and value >= 1


def _plus_minus(contrast: str, value: float) -> str:
    """Return a size as "±0.21 sd", or as "+5 points" where only a rise is detected."""
    if contrast in ("missing", "unseen"):
        return figures.points(value)
    return f"±{finding_text.size(contrast, value).lstrip('+')}"
