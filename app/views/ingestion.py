"""Is monitoring itself alive?

What came in, what became of it, what waits, and what was refused.
"""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import charts, figures, filters, reader, session
from app.components import cards, row_accounts
from app.text import known, plain, raw, t

Json = dict[str, Any]
SHOWN_ACCOUNTS, SHOWN_REASONS, SHOWN_RECORDS = 200, 50, 50
SHOWN_CHARACTERS = 500
ROW_PX, HEAD_PX = 35, 40


def page(choice: filters.Choice) -> None:
    """Everything below the title; read first, then drawn."""
    seen = reader.accounting(choice.span)
    with cards.body():
        verdict(seen)
        with st.container(key="tiles"):
            tiles(seen)
        left, right = st.columns([2.1, 1], gap="small")
        with left:
            hours_card(seen)
        with right:
            room_card(seen)
        models_card(seen["models"])
        reasons_card(seen["reasons"])
        mistyped_card(seen["mistyped"])
        sample_card()


def verdict(seen: Json) -> None:
    """The one sentence, and below it what is wrong."""
    status, place = row_accounts.status(seen), figures.zone(st.context.timezone)
    facts = [t("ingestion.scope")]
    if seen["last_load"]:
        age = figures.duration(figures.seconds_between(seen["last_load"], seen["now"]))
        facts.append(
            t("ingestion.loaded", age=age, at=figures.at(seen["last_load"], place))
        )
    with st.container(key=f"edge_{status}"), st.container(border=True, key="verdict"):
        lines = [
            f"{cards.badge(status)} &nbsp; **{plain(row_accounts.verdict(seen))}**",
            *row_accounts.troubles(seen),
        ]
        lines.append(f":small[:gray[{' &nbsp;·&nbsp; '.join(facts)}]]")
        st.markdown("  \n".join(lines))


def tiles(seen: Json) -> None:
    """Five accounts since the beginning, and the age of the newest event."""
    totals, last = seen["totals"], row_accounts.newest(seen["models"])
    whole, received = row_accounts.adds_up(totals), totals["received"] or 0
    wait = row_accounts.longest_wait(seen["models"])

    def share(n: int | None) -> str:
        return t(
            "tile.of_received",
            share=figures.percent((n or 0) / received if received else None),
        )

    def tile(key: str, name: str, status: str, delta: str) -> None:
        cards.tile(
            t(key),
            figures.count(totals[name]),
            status,
            delta=delta,
            tip=t(f"{key}_help"),
            height=cards.LOW_TILE_HEIGHT,
        )

    with st.grid(6, min_column_width=150, gap="small"):
        tile("tile.received", "received", "ok" if whole else "breach", t("tile.rows"))
        tile("tile.stored", "stored", "ok", share(totals["stored"]))
        tile("tile.duplicate", "duplicate", "ok", share(totals["duplicate"]))
        tile(
            "tile.refused",
            "refused",
            "warn" if totals["refused"] else "ok",
            share(totals["refused"]),
        )
        late = "warn" if wait > row_accounts.LATE_S else "ok"
        tile(
            "tile.waiting",
            "pending",
            late,
            t("tile.waits", wait=figures.duration(wait)) if wait else t("tile.rows"),
        )
        age = last["age_s"] if last else None
        cards.tile(
            t("tile.newest"),
            figures.duration(age),
            "no_data"
            if age is None
            else "warn"
            if age > row_accounts.STALE_S
            else "ok",
            delta=figures.at(last["last_event"], figures.zone(st.context.timezone))
            if last
            else None,
            tip=t("tile.newest_help", model=last["model"]) if last else None,
            height=cards.LOW_TILE_HEIGHT,
        )


def hours_card(seen: Json) -> None:
    """Rows by time of receipt, split by what became of them."""
    rows, step = seen["hours"], seen["step_s"]
    with cards.card(
        "hours",
        t("ingestion.hours"),
        t("ingestion.hours_cap", step=figures.duration(step)),
        height="stretch",
    ):
        if not rows:
            st.markdown(
                f":gray[:material/do_not_disturb_on: {t('ingestion.no_hours')}]"
            )
            return
        sums = {
            name: figures.count(sum(one.get(name) or 0 for one in rows))
            for name in charts.OUTCOMES
        }
        figure = charts.receipts(rows, step, (seen["from"], seen["to"]), cards.look())
        cards.plot(figure, "hours", raw("alt.receipts", **sums))


def room_card(seen: Json) -> None:
    """How full spool and quarantine are, what could not be checked, what is damaged."""
    spool, kept, n = seen["spool"], seen["quarantine"], seen["totals"]["unchecked"] or 0
    with cards.card("room", t("ingestion.room"), height="stretch"):
        used, most = (
            figures.size(spool["pending_bytes"]),
            figures.size(spool["capacity_bytes"]),
        )
        st.progress(
            row_accounts.fill(spool, "pending_bytes", "capacity_bytes"),
            t("ingestion.spool", used=used, most=most),
        )
        words = {
            "n": figures.count(kept["records"]),
            "used": figures.size(kept["bytes"]),
        }
        st.progress(
            row_accounts.fill(kept, "bytes", "most_bytes"),
            t("ingestion.quarantine", most=figures.size(kept["most_bytes"]), **words),
        )
        if damaged := row_accounts.damage_sentences(spool["damage"]):
            st.markdown(f":red[:material/error:] {damaged[0]}")
        else:
            st.markdown(f":green[:material/check_circle:] {t('ingestion.no_damage')}")
        if n:
            st.markdown(
                f":gray[:material/help:] {t('ingestion.unchecked', n=figures.count(n))}"
            )
        else:
            st.markdown(f":green[:material/check_circle:] {t('ingestion.all_checked')}")


def models_card(models: list[Json]) -> None:
    """One row for each model and kind, the most worrying first; a search when there are many."""
    with cards.card("accounts", t("ingestion.models"), t("ingestion.models_cap")):
        wanted = ""
        if len(models) > 20:
            label = raw("ingestion.search")
            wanted = st.text_input(
                label,
                key="accounts_search",
                placeholder=label,
                max_chars=200,
                label_visibility="collapsed",
                icon=":material/search:",
                width=320,
            ).strip()
        found = row_accounts.worst_first(models, wanted)
        if not found:
            st.markdown(
                f":gray[:material/inbox: {t('ingestion.no_match' if wanted else 'ingestion.no_hours')}]"
            )
            return
        numbers = ("received", "stored", "duplicate", "refused", "pending")
        config: dict[str, Any] = {
            name: st.column_config.NumberColumn(raw(f"col.{name}"), format="localized")
            for name in numbers
        }
        for name in ("kind", "adds_up", "newest", "age", "lag"):
            config[name] = st.column_config.TextColumn(raw(f"col.{name}"))
        config["model"] = st.column_config.TextColumn(raw("col.model"), pinned=True)
        st.dataframe(
            account_table(found[:SHOWN_ACCOUNTS]),
            hide_index=True,
            key="accounts",
            height=HEAD_PX + ROW_PX * min(len(found), 10),
            alt=raw("alt.accounts"),
            column_config=config,
            placeholder=figures.DASH,
        )
        if len(found) > SHOWN_ACCOUNTS:
            st.markdown(
                f":small[:gray[{t('ingestion.shown', n=SHOWN_ACCOUNTS, of=figures.count(len(found)))}]]"
            )


def account_table(models: list[Json]) -> pd.DataFrame:
    """The accounts as they are shown."""
    place = figures.zone(st.context.timezone)
    return pd.DataFrame(
        [
            {
                "model": one["model"] or raw("ingestion.nameless"),
                "kind": known(f"kind.{one['kind']}", str(one["kind"])),
                **{
                    name: one[name]
                    for name in (
                        "received",
                        "stored",
                        "duplicate",
                        "refused",
                        "pending",
                    )
                },
                "adds_up": raw("ingestion.yes")
                if row_accounts.adds_up(one)
                else raw("ingestion.no", n=row_accounts.missing(one)),
                "newest": figures.at(one["last_event"], place),
                "age": figures.duration(one["age_s"]),
                "lag": figures.duration(one["lag_s"]) if one["lag_s"] else figures.DASH,
            }
            for one in models
        ]
    )


def reasons_card(reasons: list[Json]) -> None:
    """Why rows were refused, the most frequent first."""
    with cards.card("reasons", t("ingestion.reasons"), t("ingestion.reasons_cap")):
        if not reasons:
            st.markdown(f":green[:material/check_circle:] {t('ingestion.no_reasons')}")
            return
        rows = [
            {
                "rows": one["rows"],
                "reason": one["reason"],
                "model": one["model"] or raw("ingestion.nameless"),
                "kind": known(f"kind.{one['kind']}", str(one["kind"])),
            }
            for one in reasons[:SHOWN_REASONS]
        ]
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            key="reasons",
            height=HEAD_PX + ROW_PX * min(len(rows), 8),
            alt=raw("alt.reasons"),
            column_config={
                "rows": st.column_config.NumberColumn(
                    raw("col.rows"), format="localized", width=80
                ),
                "reason": st.column_config.TextColumn(raw("col.reason"), width="large"),
                "model": raw("col.model"),
                "kind": raw("col.kind"),
            },
        )


def mistyped_card(found: list[Json]) -> None:
    """Which columns got values of another type, the most frequent first."""
    with cards.card("mistyped", t("ingestion.mistyped"), t("ingestion.mistyped_cap")):
        if not found:
            st.markdown(f":green[:material/check_circle:] {t('ingestion.no_mistyped')}")
            return
        place = figures.zone(st.context.timezone)
        rows = [
            {
                "values": one["rows"],
                "column": one["column"] or raw("ingestion.several"),
                "expected": known(f"type.{one['expected']}", str(one["expected"])),
                "came": known(f"type.{one['came']}", str(one["came"])),
                "one": one["sample"] or raw("ingestion.hidden"),
                "model": one["model"],
                "newest_hour": figures.at(one["last_hour"], place),
            }
            for one in found[:SHOWN_REASONS]
        ]
        config: dict[str, Any] = {
            name: st.column_config.TextColumn(raw(f"col.{name}"))
            for name in rows[0]
            if name != "values"
        }
        config["values"] = st.column_config.NumberColumn(
            raw("col.values"), format="localized", width=80
        )
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            key="mistyped",
            height=HEAD_PX + ROW_PX * min(len(rows), 8),
            alt=raw("alt.mistyped"),
            column_config=config,
        )


def sample_card() -> None:
    """The newest records of the quarantine as plain text; a sentence when this dashboard's key may not see them."""
    with cards.card("sample", t("ingestion.sample"), t("ingestion.sample_cap")):
        try:
            records = reader.quarantine(SHOWN_RECORDS)
        except reader.Refused as error:
            denied = error.values.get("status") == 403
            st.markdown(
                f":gray[:material/lock:] {t('ingestion.sample_key') if denied else error.sentence()}"
            )
            return
        if not records:
            st.markdown(
                f":green[:material/check_circle:] {t('ingestion.sample_empty')}"
            )
            return
        place = figures.zone(st.context.timezone)
        rows = [
            {
                "at": figures.at(one["noted_at"], place),
                "reason": one["reason"],
                "record": one["raw"][:SHOWN_CHARACTERS],
                "model": one["model"] or raw("ingestion.nameless"),
                "kind": known(f"kind.{one['kind']}", str(one["kind"])),
            }
            for one in records
        ]
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            key="quarantine",
            height=HEAD_PX + ROW_PX * min(len(rows), 8),
            alt=raw("alt.quarantine"),
            column_config={
                "at": st.column_config.TextColumn(raw("col.at"), width=110),
                "reason": st.column_config.TextColumn(
                    raw("col.reason"), width="medium"
                ),
                "record": st.column_config.TextColumn(raw("col.record"), width="large"),
                "model": raw("col.model"),
                "kind": raw("col.kind"),
            },
        )


def anything_came(span: str) -> bool:
    """Whether rows were received, though none made a model: then this page says why."""
    try:
        return bool(reader.accounting(span)["totals"]["received"])
    except reader.ReadError:
        return False


here = session.visit()
if here.problem is None and not here.models and anything_came(here.choice.span):
    cards.title("ingestion.title")
    cards.live(partial(page, here.choice), "ingestion")
elif chosen := session.chosen_model("ingestion.title"):
    cards.live(partial(page, chosen), "ingestion")
