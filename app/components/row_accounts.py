"""Reconciliation of received rows: unaccounted, pending, freshness, damage."""

from typing import Any

from app import figures
from app.text import raw, t

Json = dict[str, Any]
LATE_S = 60.0  # rows are usually pending for a second; a minute is a loader that lags
STALE_S = 600.0
FULL_SHARE = 0.9  # of the quarantine or the spool, from where it is reported
MAX_PLACES = 3  # of damage
MAX_DETAIL_LENGTH = 300


def adds_up(counts: Json) -> bool:
    """Return whether received = stored + duplicate + refused + pending."""
    return unaccounted(counts) == 0


def unaccounted(counts: Json) -> int:
    """Return received - stored - duplicate - refused - pending; it may be negative."""
    names = ("stored", "duplicate", "refused", "pending")
    accounted = sum(counts[name] or 0 for name in names)
    return int(counts["received"] or 0) - accounted


def fill(part: Json, used: str, capacity: str) -> float:
    """Return how full something is, 0 to 1."""
    return min((part[used] or 0) / part[capacity], 1.0) if part[capacity] else 0.0


def spool_fill(accounting: Json) -> float:
    """Return how full the spool is, 0 to 1."""
    return fill(accounting["spool"], "pending_bytes", "capacity_bytes")


def quarantine_fill(accounting: Json) -> float:
    """Return how full the quarantine is, 0 to 1."""
    return fill(accounting["quarantine"], "bytes", "most_bytes")


def longest_wait(models: list[Json]) -> float:
    """Return the seconds since the oldest pending row was accepted; 0 without any."""
    return max((account["lag_s"] or 0.0 for account in models), default=0.0)


def newest(models: list[Json]) -> Json | None:
    """Return the account with the newest event; None when no event is stored."""
    with_events = [account for account in models if account["age_s"] is not None]
    return min(with_events, key=lambda account: float(account["age_s"]), default=None)


def status(accounting: Json) -> str:
    """Return the status of monitoring itself.

    `breach` when rows are unaccounted for, damaged or not loaded; `warn` when that is
    near.
    """
    totals = accounting["totals"]
    if not totals["received"]:
        return "no_data"
    is_damaged = bool(lasting(accounting["spool"]["damage"]))
    if not adds_up(totals) or accounting["problem"] or is_damaged:
        return "breach"
    is_full = max(spool_fill(accounting), quarantine_fill(accounting)) >= FULL_SHARE
    is_late = longest_wait(accounting["models"]) > LATE_S
    last = newest(accounting["models"])
    is_stale = last is not None and last["age_s"] > STALE_S
    return "warn" if is_full or is_late or is_stale else "ok"


def verdict(accounting: Json) -> str:
    """Return one plain sentence: unaccounted rows, pending rows, age of the newest event."""
    totals, models = accounting["totals"], accounting["models"]
    if not totals["received"]:
        return raw("ingestion.nothing")
    parts = [_reconciled(totals)]
    if totals["pending"]:
        pending = raw(
            "ingestion.pending",
            n=figures.count(totals["pending"]),
            wait=figures.duration(longest_wait(models)),
        )
        parts.append(pending)
    else:
        parts.append(raw("ingestion.none_pending"))
    last = newest(models)
    if last is not None:
        parts.append(raw("ingestion.newest", age=figures.duration(last["age_s"])))
    return raw("semicolon").join(parts) + raw("ingestion.stop")


def _reconciled(totals: Json) -> str:
    difference, received = unaccounted(totals), figures.count(totals["received"])
    if difference == 0:
        return raw("ingestion.adds_up", n=received)
    key = "ingestion.missing" if difference > 0 else "ingestion.too_many"
    return raw(key, n=figures.count(abs(difference)), of=received)


def problems(accounting: Json) -> list[str]:
    """Return present and near problems as markdown sentences; empty when there are none."""
    lines = []
    spool, quarantine = accounting["spool"], accounting["quarantine"]
    if accounting["problem"]:
        detail = str(accounting["problem"])[:MAX_DETAIL_LENGTH]
        lines.append(t("ingestion.problem", detail=detail))
    lines += damage_sentences(spool["damage"])
    share = spool_fill(accounting)
    if share >= FULL_SHARE:
        line = t(
            "ingestion.spool_full",
            share=figures.percent(share, 0),
            used=figures.size(spool["pending_bytes"]),
            capacity=figures.size(spool["capacity_bytes"]),
        )
        lines.append(line)
    share = quarantine_fill(accounting)
    if share >= FULL_SHARE:
        line = t(
            "ingestion.quarantine_full",
            share=figures.percent(share, 0),
            used=figures.size(quarantine["bytes"]),
            capacity=figures.size(quarantine["most_bytes"]),
        )
        lines.append(line)
    return lines


def worst_first(models: list[Json], search: str = "") -> list[Json]:
    """Return the accounts whose model's name contains `search`.

    Unaccounted rows stand first, then the longest pending, then the most refused.
    """
    accounts = [
        account
        for account in models
        if search.casefold() in str(account["model"]).casefold()
    ]
    accounts.sort(key=lambda account: (str(account["model"]), str(account["kind"])))
    accounts.sort(key=_severity)
    return accounts


def _severity(account: Json) -> tuple[bool, float, float]:
    return adds_up(account), -(account["lag_s"] or 0.0), -refused_share(account)


def refused_share(account: Json) -> float:
    """Return the share of refused rows among those received."""
    received = account["received"]
    return float((account["refused"] or 0) / received) if received else 0.0


def lasting(damage: list[Json]) -> list[Json]:
    """Return the damage to accepted rows.

    An unfinished write at the end of a spool file was never accepted.
    """
    return [place for place in damage if not place.get("at_tail")]


def damage_sentences(damage: list[Json]) -> list[str]:
    """Return the places where the spool is damaged as markdown sentences."""
    places = lasting(damage)
    lines = [_damage_sentence(place) for place in places[:MAX_PLACES]]
    if len(places) > MAX_PLACES:
        lines.append(t("ingestion.more_damage", n=len(places) - MAX_PLACES))
    return lines


def _damage_sentence(place: Json) -> str:
    number = place.get("segment")
    file = f"{number:08d}.spool" if isinstance(number, int) else str(number)
    words = {"file": file, "offset": place.get("offset")}
    return t("ingestion.damage", size=figures.size(place.get("bytes")), **words)
