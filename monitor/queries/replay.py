"""What rules would have done over the stored history: the same findings and alerts, and nothing of it is stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from monitor.alert import Alert, AlertKey, Hold, advance
from monitor.config.rule import RuleConfig
from monitor.errors import InvalidRequest
from monitor.evaluation.evaluator import column_names
from monitor.evaluation.rules import columns_of
from monitor.finding import Finding
from monitor.server.model_evaluation import MAX_TIMES_SAVED_TOGETHER
from monitor.server.scheduler import Scheduler
from monitor.store.model import Model

STEPS = tuple(timedelta(hours=h) for h in (1, 2, 6, 12, 24, 168))
MAX_FINDINGS = 50_000  # moments x columns: about a minute of the slowest statistic
MAX_LISTED = 500  # alerts in the answer; all are counted
TRIAL = "trial"


@dataclass
class Episodes:
    """What one rule came to: its alerts that fired, how many moments it was judged at, and at how many it was firing."""

    rule: RuleConfig
    alerts: dict[str, Alert] = field(default_factory=dict)
    judged: int = 0
    firing: int = 0
    by_column: dict[str, int] = field(default_factory=dict)


def trial(given: dict[str, Any]) -> RuleConfig:
    """The rule that parameters describe.

    Raises InvalidRequest, naming the first that is wrong.
    """
    try:
        return RuleConfig(
            name=TRIAL, **{k: v for k, v in given.items() if v is not None}
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][:1]) or "rule"
        raise InvalidRequest(
            f"`{name}`: {first['msg'].removeprefix('Value error, ')}"
        ) from None


def replay(
    scheduler: Scheduler,
    name: str,
    rules: Sequence[RuleConfig] | None,
    start: datetime | None,
    end: datetime,
    step: timedelta | None,
) -> dict[str, Any]:
    """Alerts, their length and the share of time in alarm of some rules, the configured ones when None, beside the stored.

    Without `start` from the first event on; without `step` the finest of an hour to a
    week that needs no more than MAX_FINDINGS findings. Raises InvalidRequest when a
    given step does.
    """
    model, store = scheduler.store.model(name), scheduler.store
    first = store.first_event(name)
    chosen = [
        r
        for r in (scheduler.config.all_rules if rules is None else rules)
        if r.model in ("*", name)
    ]
    begin = max(filter(None, (start, first)), default=end)
    if begin >= end:
        raise InvalidRequest(
            f"there are no events of {name!r} in this span; give an earlier `from` or a later `to`"
        )
    columns = [
        len(columns_of(rule, store.layouts(name), column_names(model)))
        for rule in chosen
    ]
    width = _step(begin, end, max(1, sum(columns)), step)
    moments = _moments(begin, end, width)
    found = play(scheduler, model, chosen, moments)
    return {
        "model": name,
        "from": begin,
        "to": end,
        "step_s": width.total_seconds(),
        "moments": len(moments),
        "rules": [
            _told(e, n, width, len(moments))
            for e, n in zip(found, columns, strict=True)
        ],
        "stored": _stored(scheduler, name, begin, end),
    }


def play(
    scheduler: Scheduler,
    model: Model,
    rules: Sequence[RuleConfig],
    moments: Sequence[datetime],
) -> list[Episodes]:
    """The rules at each of the moments in order, as the loop would have judged them then with the rows of today."""
    episodes = {rule.name: Episodes(rule) for rule in rules}
    holds = {rule.name: Hold(rule.hold, rule.clear) for rule in rules}
    opened: dict[AlertKey, Alert] = {}
    for i in range(0, len(moments), MAX_TIMES_SAVED_TOGETHER):
        some = moments[i : i + MAX_TIMES_SAVED_TOGETHER]
        for at, findings in zip(
            some, scheduler.evaluator.findings(model, some, rules), strict=True
        ):
            for alert in advance(opened, findings, at, holds)[0]:
                opened[alert.key] = alert
                if alert.fired_at is not None:
                    episodes[alert.finding.rule].alerts[alert.id] = alert
                if alert.state == "resolved":
                    del opened[alert.key]
            _count(episodes, findings, opened)
    return list(episodes.values())


def _count(
    episodes: dict[str, Episodes],
    findings: Sequence[Finding],
    opened: dict[AlertKey, Alert],
) -> None:
    for rule in {f.rule for f in findings if f.verdict in ("ok", "warn", "breach")}:
        episodes[rule].judged += 1
    firing = [a.finding for a in opened.values() if a.state == "firing"]
    for rule in {f.rule for f in firing}:
        episodes[rule].firing += 1
    for finding in firing:
        by = episodes[finding.rule].by_column
        by[finding.column or ""] = by.get(finding.column or "", 0) + 1


def _told(
    found: Episodes, columns: int, step: timedelta, moments: int
) -> dict[str, Any]:
    alerts = sorted(
        found.alerts.values(),
        key=lambda a: (a.fired_at or a.since, a.finding.column or ""),
    )
    rule = found.rule
    return {
        "rule": rule.name,
        "statistic": rule.statistic,
        "limit": rule.limit,
        "columns": columns,
        "judged": found.judged,
        "alerts": len(alerts),
        "share_firing": found.firing / moments if found.judged else None,
        "by_column": [
            {
                "column": c,
                "alerts": sum((a.finding.column or "") == c for a in alerts),
                "hours": n * step / timedelta(hours=1),
            }
            for c, n in sorted(found.by_column.items(), key=lambda item: -item[1])
        ],
        "episodes": [
            {
                "column": a.finding.column,
                "fired_at": a.fired_at,
                "resolved_at": a.resolved_at,
                "peak": a.peak,
                "count": a.count,
            }
            for a in alerts[:MAX_LISTED]
        ],
    }


def _stored(
    scheduler: Scheduler, name: str, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """How many alerts were really opened in the span, by rule: of the configured rules and of the detector."""
    counts: dict[str, int] = {}
    for alert in scheduler.store.alerts.listing(frozenset({name}), "all", 10_000):
        if alert.fired_at is not None and start <= alert.fired_at <= end:
            counts[alert.finding.rule] = counts.get(alert.finding.rule, 0) + 1
    return [{"rule": rule, "alerts": n} for rule, n in sorted(counts.items())]


def _step(
    start: datetime, end: datetime, columns: int, given: timedelta | None
) -> timedelta:
    if given is None:
        return next(
            (s for s in STEPS if (end - start) / s * columns <= MAX_FINDINGS), STEPS[-1]
        )
    if given < STEPS[0]:
        raise InvalidRequest(
            "`step` is too short; profiles are kept by the hour, so at least 1h"
        )
    if (end - start) / given * columns > MAX_FINDINGS:
        raise InvalidRequest(
            f"`step` gives {(end - start) / given * columns:,.0f} findings, more than {MAX_FINDINGS:,}; "
            "ask for a longer step, a shorter span or fewer columns"
        )
    return given


def _moments(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """Whole steps of the clock after `start`, up to `end`."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first = start - (start - epoch) % step + step
    return [first + i * step for i in range(max(0, (end - first) // step + 1))]
