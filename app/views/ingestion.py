"""Is monitoring itself alive? Received rows, their outcomes, pending and refused rows."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import charts, figures, filters, reader, session
from app.components import cards, row_accounts
from app.text import plain, raw, t, translated

Json = dict[str, Any]
COUNTS = ("received", "stored", "duplicate", "refused", "pending")
MAX_ACCOUNTS, MAX_REASONS, MAX_RECORDS = 200, 50, 50
MAX_CHARACTERS = 500  # of a quarantined row
MIN_SEARCHED = 20  # models; more get a search field
MAX_NAME_LENGTH = 200
ROW_PX, HEAD_PX = 35, 40


def page(choice: filters.Choice) -> None:
    """Read everything, then draw it below the title."""
    accounting = reader.accounting(choice.span)
    with cards.body():
        verdict(accounting)
        with st.container(key="tiles"):
            tiles(accounting)
        left, right = st.columns([2.1, 1], gap="small")
        with left:
            hours_card(accounting)
        with right:
            storage_card(accounting)
        models_card(accounting["models"])
        reasons_card(accounting["reasons"])
        mismatches_card(accounting["mistyped"])
        sample_card()


def verdict(accounting: Json) -> None:
    """Draw the status in one sentence, and its problems."""
    status = row_accounts.status(accounting)
    sentence = plain(row_accounts.verdict(accounting))
    facts = [t("ingestion.scope")]
    if accounting["last_load"]:
        age_s = figures.seconds_between(accounting["last_load"], accounting["now"])
        words = {
            "age": figures.duration(age_s),
            "at": figures.zoned(accounting["last_load"]),
        }
        facts.append(t("ingestion.loaded", **words))
    lines = [f"{cards.badge(status)} &nbsp; **{sentence}**"]
    lines += row_accounts.problems(accounting)
    lines.append(cards.small_gray(" &nbsp;·&nbsp; ".join(facts)))
    box = st.container(border=True, key="verdict")
    with st.container(key=f"edge_{status}"), box:
        st.markdown("  \n".join(lines))


def tiles(accounting: Json) -> None:
    """Draw five counts since the beginning, and the age of the newest event."""
    totals = accounting["totals"]
    wait = row_accounts.longest_wait(accounting["models"])
    oldest = t("tile.oldest", wait=figures.duration(wait)) if wait else t("tile.rows")
    is_whole = row_accounts.adds_up(totals)
    is_late = wait > row_accounts.LATE_S
    with st.grid(6, min_column_width=150, gap="small"):
        _count(totals, "received", "ok" if is_whole else "breach", t("tile.rows"))
        _count(totals, "stored", "ok", _share(totals, "stored"))
        _count(totals, "duplicate", "ok", _share(totals, "duplicate"))
        refused = "warn" if totals["refused"] else "ok"
        _count(totals, "refused", refused, _share(totals, "refused"))
        _count(totals, "pending", "warn" if is_late else "ok", oldest)
        _newest_event(row_accounts.newest(accounting["models"]))


def _count(totals: Json, name: str, status: str, delta: str) -> None:
    cards.tile(
        t(f"tile.{name}"),
        figures.count(totals[name]),
        status,
        delta=delta,
        tip=t(f"tile.{name}_help"),
        height=cards.LOW_TILE_HEIGHT,
    )


def _share(totals: Json, name: str) -> str:
    received = totals["received"] or 0
    if not received:
        return t("tile.rows")
    share = figures.percent((totals[name] or 0) / received)
    return t("tile.of_received", share=share)


def _newest_event(account: Json | None) -> None:
    label, height = t("tile.newest"), cards.LOW_TILE_HEIGHT
    if account is None:
        cards.tile(label, figures.DASH, "no_data", height=height)
        return
    is_stale = account["age_s"] > row_accounts.STALE_S
    cards.tile(
        label,
        figures.duration(account["age_s"]),
        "warn" if is_stale else "ok",
        delta=figures.at(account["last_event"]),
        tip=t("tile.newest_help", model=account["model"]),
        height=height,
    )


def hours_card(accounting: Json) -> None:
    """Draw rows by time received, split by outcome."""
    rows, step_s = accounting["hours"], accounting["step_s"]
    title = t("ingestion.hours")
    caption = t("ingestion.hours_cap", step=figures.duration(step_s))
    with cards.card("hours", title, caption, height="stretch"):
        if not rows:
            empty = t("ingestion.no_hours")
            st.markdown(f":gray[:material/do_not_disturb_on: {empty}]")
            return
        sums = {
            name: figures.count(sum(row.get(name) or 0 for row in rows))
            for name in charts.OUTCOMES
        }
        span = (accounting["from"], accounting["to"])
        figure = charts.receipts(rows, step_s, span, cards.look())
        cards.plot(figure, "hours", raw("alt.receipts", **sums))


def storage_card(accounting: Json) -> None:
    """Draw how full spool and quarantine are, damage, and rows that were not checked."""
    spool, quarantine = accounting["spool"], accounting["quarantine"]
    unchecked = accounting["totals"]["unchecked"] or 0
    with cards.card("storage", t("ingestion.storage"), height="stretch"):
        words = {
            "used": figures.size(spool["pending_bytes"]),
            "capacity": figures.size(spool["capacity_bytes"]),
        }
        label = t("ingestion.spool", **words)
        st.progress(row_accounts.spool_fill(accounting), label)
        words = {
            "n": figures.count(quarantine["records"]),
            "used": figures.size(quarantine["bytes"]),
            "capacity": figures.size(quarantine["most_bytes"]),
        }
        label = t("ingestion.quarantine", **words)
        st.progress(row_accounts.quarantine_fill(accounting), label)
        damage = row_accounts.damage_sentences(spool["damage"])
        if damage:
            st.markdown(f":red[:material/error:] {damage[0]}")
        else:
            _good(t("ingestion.no_damage"))
        if unchecked:
            line = t("ingestion.unchecked", n=figures.count(unchecked))
            st.markdown(f":gray[:material/help:] {line}")
        else:
            _good(t("ingestion.all_checked"))


def _good(line: str) -> None:
    st.markdown(f":green[:material/check_circle:] {line}")


def models_card(models: list[Json]) -> None:
    """Draw one row for each model and kind, problems first; a search for many."""
    with cards.card("accounts", t("ingestion.models"), t("ingestion.models_cap")):
        search = _search() if len(models) > MIN_SEARCHED else ""
        accounts = row_accounts.worst_first(models, search)
        if not accounts:
            key = "ingestion.no_match" if search else "ingestion.no_hours"
            st.markdown(f":gray[:material/inbox: {t(key)}]")
            return
        columns = st.column_config
        config: dict[str, Any] = {}
        for name in COUNTS:
            label = raw(f"col.{name}")
            config[name] = columns.NumberColumn(label, format="localized")
        for name in ("kind", "unaccounted", "newest", "age", "lag"):
            config[name] = columns.TextColumn(raw(f"col.{name}"))
        config["model"] = columns.TextColumn(raw("col.model"), pinned=True)
        table = account_table(accounts[:MAX_ACCOUNTS])
        _table(table, "accounts", raw("alt.accounts"), config, max_rows=10)
        if len(accounts) > MAX_ACCOUNTS:
            of = figures.count(len(accounts))
            shown = t("ingestion.shown", n=MAX_ACCOUNTS, of=of)
            st.markdown(cards.small_gray(shown))


def _search() -> str:
    label = raw("ingestion.search")
    typed = st.text_input(
        label,
        key="accounts_search",
        placeholder=label,
        max_chars=MAX_NAME_LENGTH,
        label_visibility="collapsed",
        icon=":material/search:",
        width=320,
    )
    return str(typed).strip()


def _table(
    table: pd.DataFrame, key: str, alt: str, config: Json, max_rows: int = 8
) -> None:
    st.dataframe(
        table,
        hide_index=True,
        key=key,
        height=HEAD_PX + ROW_PX * min(len(table), max_rows),
        alt=alt,
        column_config=config,
        placeholder=figures.DASH,
    )


def account_table(models: list[Json]) -> pd.DataFrame:
    """Return the accounts as a table."""
    return pd.DataFrame([_account_row(account) for account in models])


def _account_row(account: Json) -> Json:
    row = {"model": _model(account), "kind": _kind(account)}
    for name in COUNTS:
        row[name] = account[name]
    difference, lag_s = row_accounts.unaccounted(account), account["lag_s"]
    unaccounted = raw("ingestion.whole")
    if difference:
        unaccounted = raw("ingestion.unaccounted", n=difference)
    return row | {
        "unaccounted": unaccounted,
        "newest": figures.at(account["last_event"]),
        "age": figures.duration(account["age_s"]),
        "lag": figures.duration(lag_s) if lag_s else figures.DASH,
    }


def _model(row: Json) -> str:
    return str(row["model"]) or raw("ingestion.nameless")


def _kind(row: Json) -> str:
    return translated(f"kind.{row['kind']}", str(row["kind"]))


def reasons_card(reasons: list[Json]) -> None:
    """Draw the reasons for refused rows, the most frequent first."""
    with cards.card("reasons", t("ingestion.reasons"), t("ingestion.reasons_cap")):
        if not reasons:
            _good(t("ingestion.no_reasons"))
            return
        rows = [
            {
                "rows": reason["rows"],
                "reason": reason["reason"],
                "model": _model(reason),
                "kind": _kind(reason),
            }
            for reason in reasons[:MAX_REASONS]
        ]
        columns = st.column_config
        config = {
            "rows": columns.NumberColumn(raw("col.rows"), format="localized", width=80),
            "reason": columns.TextColumn(raw("col.reason"), width="large"),
            "model": raw("col.model"),
            "kind": raw("col.kind"),
        }
        _table(pd.DataFrame(rows), "reasons", raw("alt.reasons"), config)


def mismatches_card(mismatches: list[Json]) -> None:
    """Draw the columns with values of another type, the most frequent first."""
    title, caption = t("ingestion.mismatches"), t("ingestion.mismatches_cap")
    with cards.card("mistyped", title, caption):
        if not mismatches:
            _good(t("ingestion.no_mismatches"))
            return
        rows = [_mismatch_row(row) for row in mismatches[:MAX_REASONS]]
        columns = st.column_config
        label = raw("col.values")
        config: dict[str, Any] = {
            "values": columns.NumberColumn(label, format="localized", width=80)
        }
        for name in ("column", "expected", "actual", "example", "model", "newest_hour"):
            config[name] = columns.TextColumn(raw(f"col.{name}"))
        _table(pd.DataFrame(rows), "mistyped", raw("alt.mismatches"), config)


def _mismatch_row(row: Json) -> Json:
    return {
        "values": row["rows"],
        "column": row["column"] or raw("ingestion.several"),
        "expected": translated(f"type.{row['expected']}", str(row["expected"])),
        "actual": translated(f"type.{row['came']}", str(row["came"])),
        "example": row["sample"] or raw("ingestion.hidden"),
        "model": row["model"],
        "newest_hour": figures.at(row["last_hour"]),
    }


def sample_card() -> None:
    """Draw the newest quarantined rows as plain text.

    One sentence instead when this dashboard's key may not see them.
    """
    with cards.card("sample", t("ingestion.sample"), t("ingestion.sample_cap")):
        try:
            records = reader.quarantine(MAX_RECORDS)
        except reader.Refused as error:
            is_denied = error.values.get("status") == 403
            reason = t("ingestion.sample_key") if is_denied else error.sentence()
            st.markdown(f":gray[:material/lock:] {reason}")
            return
        if not records:
            _good(t("ingestion.sample_empty"))
            return
        columns = st.column_config
        config = {
            "at": columns.TextColumn(raw("col.at"), width=110),
            "reason": columns.TextColumn(raw("col.reason"), width="medium"),
            "row": columns.TextColumn(raw("col.row"), width="large"),
            "model": raw("col.model"),
            "kind": raw("col.kind"),
        }
        table = pd.DataFrame([_record_row(record) for record in records])
        _table(table, "quarantine", raw("alt.quarantine"), config)


def _record_row(record: Json) -> Json:
    return {
        "at": figures.at(record["noted_at"]),
        "reason": record["reason"],
        "row": record["raw"][:MAX_CHARACTERS],
        "model": _model(record),
        "kind": _kind(record),
    }


def has_received(span: str) -> bool:
    """Return whether rows were received, though none made a model."""
    try:
        return bool(reader.accounting(span)["totals"]["received"])
    except reader.ReadError:
        return False


here = session.visit()
is_empty = here.problem is None and not here.models
if is_empty and has_received(here.choice.span):
    cards.title("ingestion.title")
    cards.live(partial(page, here.choice), "ingestion")
elif chosen := session.chosen_model("ingestion.title"):
    cards.live(partial(page, chosen), "ingestion")
