"""Accounts of what came in, judged: do they add up, is anything waiting, how fresh is the newest event."""

from typing import Any

from app import figures
from app.text import raw, t

Json = dict[str, Any]
LATE_S = 60.0  # rows usually wait a second; a minute is a loader that does not keep up
STALE_S = 600.0
FULL = 0.9  # of the quarantine or the spool, from where it is worth a word


def adds_up(counts: Json) -> bool:
    """Whether received = stored + duplicate + refused + pending."""
    return missing(counts) == 0


def missing(counts: Json) -> int:
    """Rows received that are in no other account; negative when more is accounted for than came."""
    accounted = (
        counts[name] or 0 for name in ("stored", "duplicate", "refused", "pending")
    )
    return int(counts["received"] or 0) - sum(accounted)


def fill(part: Json, used: str, most: str) -> float:
    """How full something is, 0 to 1."""
    return min((part[used] or 0) / part[most], 1.0) if part[most] else 0.0


def longest_wait(models: list[Json]) -> float:
    """Seconds since the oldest waiting row was taken; 0 when none waits."""
    return max((one["lag_s"] or 0.0 for one in models), default=0.0)


def newest(models: list[Json]) -> Json | None:
    """The account with the newest event; None when no event is stored."""
    seen = [one for one in models if one["age_s"] is not None]
    return min(seen, key=lambda one: float(one["age_s"]), default=None)


def status(seen: Json) -> str:
    """The status of monitoring itself: breach when rows are missing, damaged or not loaded, warn when it will not last."""
    if not seen["totals"]["received"]:
        return "no_data"
    if (
        not adds_up(seen["totals"])
        or seen["problem"]
        or lasting(seen["spool"]["damage"])
    ):
        return "breach"
    full = max(
        fill(seen["spool"], "pending_bytes", "capacity_bytes"),
        fill(seen["quarantine"], "bytes", "most_bytes"),
    )
    late, last = longest_wait(seen["models"]) > LATE_S, newest(seen["models"])
    stale = last is not None and last["age_s"] > STALE_S
    return "warn" if full >= FULL or late or stale else "ok"


def verdict(seen: Json) -> str:
    """One plain sentence: do the accounts add up, is anything waiting, how fresh is the newest event."""
    totals = seen["totals"]
    if not totals["received"]:
        return raw("ingestion.nothing")
    lost = missing(totals)
    parts = [
        raw("ingestion.adds_up", n=figures.count(totals["received"]))
        if lost == 0
        else raw(
            "ingestion.missing",
            n=figures.count(abs(lost)),
            of=figures.count(totals["received"]),
        )
        if lost > 0
        else raw(
            "ingestion.too_many",
            n=figures.count(-lost),
            of=figures.count(totals["received"]),
        )
    ]
    if totals["pending"]:
        wait = figures.duration(longest_wait(seen["models"]))
        parts.append(
            raw("ingestion.waiting", n=figures.count(totals["pending"]), wait=wait)
        )
    else:
        parts.append(raw("ingestion.none_waiting"))
    last = newest(seen["models"])
    if last is not None:
        parts.append(raw("ingestion.newest", age=figures.duration(last["age_s"])))
    return raw("semicolon").join(parts) + raw("ingestion.stop")


def troubles(seen: Json) -> list[str]:
    """What is wrong or will be, as markdown sentences; empty when nothing is."""
    said = []
    if seen["problem"]:
        said.append(t("ingestion.problem", detail=str(seen["problem"])[:300]))
    said += damage_sentences(seen["spool"]["damage"])
    if fill(seen["spool"], "pending_bytes", "capacity_bytes") >= FULL:
        said.append(t("ingestion.spool_full"))
    if fill(seen["quarantine"], "bytes", "most_bytes") >= FULL:
        said.append(t("ingestion.quarantine_full"))
    return said


def worst_first(models: list[Json], wanted: str = "") -> list[Json]:
    """The accounts whose model contains `wanted`: what does not add up, waits longest or is refused most comes first."""
    found = [one for one in models if wanted.casefold() in str(one["model"]).casefold()]
    found.sort(key=lambda one: (str(one["model"]), str(one["kind"])))
    found.sort(
        key=lambda one: (adds_up(one), -(one["lag_s"] or 0.0), -refused_share(one))
    )
    return found


def refused_share(one: Json) -> float:
    """The share of refused rows among those received."""
    return float((one["refused"] or 0) / one["received"]) if one["received"] else 0.0


def lasting(damage: list[Json]) -> list[Json]:
    """Damage to what was acknowledged; an unfinished write at the end of a segment never was."""
    return [one for one in damage if not one.get("at_tail")]


def damage_sentences(damage: list[Json], most: int = 3) -> list[str]:
    """Where the spool is damaged, as markdown sentences."""
    found = lasting(damage)
    said = [
        t(
            "ingestion.damage",
            segment=one.get("segment"),
            offset=one.get("offset"),
            size=figures.size(one.get("bytes")),
        )
        for one in found[:most]
    ]
    return said + (
        [t("ingestion.more_damage", n=len(found) - most)] if len(found) > most else []
    )
