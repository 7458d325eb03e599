"""The detector on the drift page: how far it is, its evidence, what it has open, and the button that accepts it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from app import charts, figures, reader
from app.components import alert_card, cards, change_text, selftest_card
from app.finding_text import finding
from app.text import column_name, known, listing, plain, raw, sentence_case, t

Json = dict[str, Any]
SHOWN_OPEN, SHOWN_COLUMNS, SHOWN_DAYS = 4, 3, 2


def card(model: str, seen: Json) -> None:
    """Everything about the detector of one model, `seen` being what the server says of it."""
    with cards.card("detector", t("detector.title"), t("detector.caption")):
        watching = any(lane["status"] != "learning" for lane in seen["lanes"])
        if not (seen["enabled"] and watching):
            st.markdown(status(seen))
            return
        words, course = st.columns([1, 1.35], gap="medium")
        with words:
            st.markdown(status(seen))
            for one in seen["open"][:SHOWN_OPEN]:
                _open(one)
            if len(seen["open"]) > SHOWN_OPEN:
                st.markdown(
                    f":small[{t('moved.more', n=len(seen['open']) - SHOWN_OPEN)}]"
                )
            if seen["open"]:
                _accept(model)
            if said := notes(seen):
                st.markdown("  \n".join(f":small[:gray[{line}]]" for line in said))
        with course:
            _course(seen)
        selftest_card.selftest(model)


def status(seen: Json) -> str:
    """How far it is, as one sentence of markdown."""
    if not seen["enabled"]:
        return f"{cards.badge('no_data', t('detector.off'))} &nbsp; {t('detector.off_why')}"
    if not seen["lanes"]:
        return f"{cards.badge('no_data')} &nbsp; {t('detector.no_events')}"
    inputs = next(
        (lane for lane in seen["lanes"] if lane["lane"] == "inputs"), seen["lanes"][0]
    )
    if seen["open"]:
        return f"{cards.badge('breach', t('detector.open_n', n=len(seen['open'])))} &nbsp; {t('detector.open_why')}"
    if inputs["status"] == "learning":
        return f"{cards.badge('learning')} &nbsp; {_learning(inputs)}"
    share = figures.percent(
        max((lane["evidence"] or 0.0 for lane in seen["lanes"]), default=0.0)
    )
    if seen["status"] == "warn":
        return f"{cards.badge('warn')} &nbsp; {t('detector.warn', share=share)}"
    return f"{cards.badge('ok', t('detector.watching'))} &nbsp; {t('detector.quiet', share=share)}"


def _learning(lane: Json) -> str:
    """Until when a lane learns and what it needs; when its time is over, that rows are too few."""
    begun, until = (
        figures.parse(lane["learned_from"]),
        figures.parse(lane["watches_from"]),
    )
    if begun is None or until is None or until <= datetime.now(UTC):
        return t("detector.too_thin")
    place = figures.zone(st.context.timezone)
    return t(
        "detector.until",
        at=figures.at(until, place),
        days=round((until - begun) / timedelta(days=1)),
    )


def notes(seen: Json) -> list[str]:
    """Lanes that still learn, columns whose reference drifts itself, thin traffic, days that went like another weekday, and
    what was accepted last, as markdown."""
    said = []
    learning = [lane["lane"] for lane in seen["lanes"] if lane["status"] == "learning"]
    if learning:
        said.append(
            t(
                "detector.lanes_learning",
                lanes=raw("comma").join(_lane(name) for name in learning),
            )
        )
    trending = [
        column_name(name) for lane in seen["lanes"] for name in lane["trending"]
    ]
    if trending:
        shown = (
            trending
            if len(trending) <= 3
            else [*trending[:2], raw("finding.n_columns", n=len(trending) - 2)]
        )
        said.append(t("detector.trending", columns=listing(shown)))
    width = max((lane["window_hours"] or 1 for lane in seen["lanes"]), default=1)
    if width > 1:
        said.append(t("detector.thin", hours=width))
    days = {
        other["day"]: other["weekday"]
        for lane in seen["lanes"]
        for other in lane["other_weekdays"]
    }
    for day, weekday in sorted(days.items())[-SHOWN_DAYS:]:
        said.append(
            t(
                "detector.other_weekday",
                day=day,
                weekday=known(f"weekday.{weekday}", str(weekday)),
            )
        )
    if seen["accepted"]:
        last, place = seen["accepted"][-1], figures.zone(st.context.timezone)
        said.append(
            t(
                "detector.accepted",
                at=figures.at(last.get("at"), place),
                by=last.get("by"),
            )
        )
    return said


def _lane(name: str) -> str:
    return known(f"lane.{name}", name)


def _open(one: Json) -> None:
    """One open change: headline, since when, each column with its figures, and how long the list is revised."""
    place = figures.zone(st.context.timezone)
    lines = [
        f"**{plain(sentence_case(finding(one)) if not one.get('column') else finding(one))}**"
    ]
    lines += [f":small[{t('detector.since', at=figures.at(one.get('from'), place))}]"]
    lines += [f":small[{line}]" for line in change_text.lines(one, SHOWN_COLUMNS)]
    if cause := change_text.likely(one.get("cause"), behind=one.get("behind")):
        lines.append(f":small[{cause}]")
    revised = figures.parse(one.get("revised_until"))
    if revised is not None and revised > datetime.now(UTC):
        lines.append(
            f":small[:gray[{t('detector.revised', at=figures.at(revised, place))}]]"
        )
    st.markdown("  \n".join(lines))


def _accept(model: str) -> None:
    """The button, behind a question that says what it does."""
    with st.popover(t("detector.accept"), icon=":material/done_all:", key="accept_ask"):
        st.markdown(t("detector.accept_what"))
        alert_card.name_field()
        st.button(
            t("detector.accept_yes"),
            key="accept",
            type="primary",
            on_click=_accepted,
            args=(model,),
        )


def _accepted(model: str) -> None:
    name = alert_card.signature()
    try:
        reader.accept(model, name)
    except reader.Refused as error:
        forbidden = error.values.get("status") in (401, 403)
        cards.notice(
            t("detector.key") if forbidden else error.sentence(), ":material/lock:"
        )
    except reader.ReadError as error:
        cards.notice(error.sentence(), ":material/error:")
    else:
        cards.notice(t("detector.accept_done", name=name), ":material/check_circle:")


def _course(seen: Json) -> None:
    """The evidence over the range; one sentence when there is none."""
    if not seen["evidence"]:
        st.markdown(f":gray[:material/do_not_disturb_on: {t('detector.no_evidence')}]")
        return
    figure = charts.evidence(
        seen["lanes"], seen["evidence"], seen["open"], cards.look()
    )
    highest = max(one.get("value") or 0.0 for one in seen["evidence"])
    cards.plot(figure, "evidence", raw("alt.evidence", share=figures.percent(highest)))


def detectable(seen: Json, column: str) -> str | None:
    """The smallest changes of a column that would be found within a day, as markdown; None while it learns."""
    found: dict[str, float] = {}
    for lane in seen["lanes"]:
        for one in lane["detectable"]:
            if one["column"] == column and one["size"] is not None:
                contrast = str(one["contrast"])
                found[contrast] = min(one["size"], found.get(contrast, one["size"]))
    sizes = [
        raw(
            f"moved.{contrast.replace(' ', '_')}",
            size=change_text.size(contrast, size).lstrip("+"),
        )
        for contrast, size in found.items()
        if contrast in ("location", "scale", "category", "missing", "unseen")
    ]
    if not sizes:
        return None
    return t(
        "detector.detectable", name=column_name(column), sizes=raw("comma").join(sizes)
    )
