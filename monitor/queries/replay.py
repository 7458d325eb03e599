"""Replay: the alerts that rules would have fired over the stored history.

The findings and alerts are the same as those of the scheduler; nothing is stored.
"""

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

HOUR = timedelta(hours=1)
STEPS = tuple(timedelta(hours=hours) for hours in (1, 2, 6, 12, 24, 168))
# evaluations x columns: about a minute of the slowest statistic
MAX_FINDINGS = 50_000
# in the response; all are counted
MAX_LISTED_ALERTS = 500
MAX_STORED_ALERTS = 10_000
# name of a rule that is only replayed, in the response
REPLAYED_RULE = "trial"
EVALUATED = ("ok", "warn", "breach")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class RuleReplay:
    """Result of one rule: its fired alerts, and the numbers of its evaluations.

    `evaluations` are those with enough data, `firing` those with a firing alert;
    `firing_by_column` counts the latter for each column.
    """

    rule: RuleConfig
    alerts: dict[str, Alert] = field(default_factory=dict)
    evaluations: int = 0
    firing: int = 0
    firing_by_column: dict[str, int] = field(default_factory=dict)


def rule_of_parameters(parameters: dict[str, Any]) -> RuleConfig:
    """Return the rule that the parameters describe.

    Raises InvalidRequest, naming the first parameter that is wrong.
    """
    options = {name: value for name, value in parameters.items() if value is not None}
    try:
        return RuleConfig(name=REPLAYED_RULE, **options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "rule"
        reason = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"`{name or 'rule'}`: {reason}") from None


def replay_rules(
    scheduler: Scheduler,
    name: str,
    rules: Sequence[RuleConfig] | None,
    start: datetime | None,
    end: datetime,
    step: timedelta | None,
) -> dict[str, Any]:
    """Return the alerts of some rules, their length, and the share of time firing.

    `rules` None means the configured ones; `start` None is the first event; `step` None
    is the shortest of an hour to a week that needs at most MAX_FINDINGS findings.
    Raises InvalidRequest when the time range has no events or the step is too short.
    """
    store = scheduler.store
    model = store.model(name)
    rules = [
        rule
        for rule in (scheduler.config.all_rules if rules is None else rules)
        if rule.model in ("*", name)
    ]
    bounds = [at for at in (start, store.first_event(name)) if at is not None]
    begin = max(bounds, default=end)
    if begin >= end:
        raise InvalidRequest(
            f"there are no events of {name!r} in this time range; "
            "give an earlier `from` or a later `to`"
        )
    layouts, names = store.layouts(name), column_names(model)
    columns = [len(columns_of(rule, layouts, names)) for rule in rules]
    width = _choose_step(end - begin, max(1, sum(columns)), step)
    times = _evaluation_times(begin, end, width)
    replays = replay_at(scheduler, model, rules, times)
    return {
        "model": name,
        "from": begin,
        "to": end,
        "step_s": width.total_seconds(),
        "moments": len(times),
        "rules": [
            _rule_row(replay, count, width, len(times))
            for replay, count in zip(replays, columns, strict=True)
        ],
        "stored": _stored_alerts(scheduler, name, begin, end),
    }


def replay_at(
    scheduler: Scheduler,
    model: Model,
    rules: Sequence[RuleConfig],
    times: Sequence[datetime],
) -> list[RuleReplay]:
    """Evaluate the rules at each time in order, on the rows that are stored now."""
    replays = {rule.name: RuleReplay(rule) for rule in rules}
    holds = {rule.name: Hold(rule.hold, rule.clear) for rule in rules}
    open_alerts: dict[AlertKey, Alert] = {}
    for i in range(0, len(times), MAX_TIMES_SAVED_TOGETHER):
        chunk = times[i : i + MAX_TIMES_SAVED_TOGETHER]
        findings_by_time = scheduler.evaluator.findings(model, chunk, rules)
        for at, findings in zip(chunk, findings_by_time, strict=True):
            changed, _ = advance(open_alerts, findings, at, holds)
            for alert in changed:
                open_alerts[alert.key] = alert
                if alert.fired_at is not None:
                    replays[alert.finding.rule].alerts[alert.id] = alert
                if alert.state == "resolved":
                    del open_alerts[alert.key]
            _count_evaluation(replays, findings, open_alerts)
    return list(replays.values())


def _count_evaluation(
    replays: dict[str, RuleReplay],
    findings: Sequence[Finding],
    open_alerts: dict[AlertKey, Alert],
) -> None:
    """Add one evaluation to the counts of every rule."""
    for rule in {f.rule for f in findings if f.verdict in EVALUATED}:
        replays[rule].evaluations += 1
    firing = [
        alert.finding for alert in open_alerts.values() if alert.state == "firing"
    ]
    for rule in {finding.rule for finding in firing}:
        replays[rule].firing += 1
    for finding in firing:
        counts = replays[finding.rule].firing_by_column
        column = finding.column or ""
        counts[column] = counts.get(column, 0) + 1


def _rule_row(
    replay: RuleReplay, columns: int, step: timedelta, times: int
) -> dict[str, Any]:
    rule = replay.rule
    alerts = sorted(
        replay.alerts.values(),
        key=lambda alert: (alert.fired_at or alert.since, alert.finding.column or ""),
    )
    return {
        "rule": rule.name,
        "statistic": rule.statistic,
        "limit": rule.limit,
        "columns": columns,
        "judged": replay.evaluations,
        "alerts": len(alerts),
        "share_firing": replay.firing / times if replay.evaluations else None,
        "by_column": _column_rows(replay, step),
        "episodes": [
            {
                "column": alert.finding.column,
                "fired_at": alert.fired_at,
                "resolved_at": alert.resolved_at,
                "peak": alert.peak,
                "count": alert.count,
            }
            for alert in alerts[:MAX_LISTED_ALERTS]
        ],
    }


def _column_rows(replay: RuleReplay, step: timedelta) -> list[dict[str, Any]]:
    """Return the alerts and firing hours of each column, the longest firing first."""
    columns = [alert.finding.column or "" for alert in replay.alerts.values()]
    rows = [
        {
            "column": column,
            "alerts": columns.count(column),
            "hours": evaluations * step / HOUR,
        }
        for column, evaluations in replay.firing_by_column.items()
    ]
    return sorted(rows, key=lambda row: -row["hours"])


def _stored_alerts(
    scheduler: Scheduler, model: str, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """Return the number of alerts that really fired, by rule.

    They are those of the configured rules and of the detector.
    """
    counts: dict[str, int] = {}
    alerts = scheduler.store.alerts.listing(
        frozenset({model}), "all", MAX_STORED_ALERTS
    )
    for alert in alerts:
        if alert.fired_at is not None and start <= alert.fired_at <= end:
            counts[alert.finding.rule] = counts.get(alert.finding.rule, 0) + 1
    return [{"rule": rule, "alerts": count} for rule, count in sorted(counts.items())]


def _choose_step(
    length: timedelta, columns: int, requested: timedelta | None
) -> timedelta:
    if requested is None:
        for step in STEPS:
            if length / step * columns <= MAX_FINDINGS:
                return step
        return STEPS[-1]
    if requested < STEPS[0]:
        raise InvalidRequest(
            "`step` is too short; profiles are stored by the hour, so at least 1h"
        )
    findings = length / requested * columns
    if findings > MAX_FINDINGS:
        raise InvalidRequest(
            f"`step` gives {findings:,.0f} findings, more than {MAX_FINDINGS:,}; "
            "ask for a longer step, a shorter time range or fewer columns"
        )
    return requested


def _evaluation_times(
    start: datetime, end: datetime, step: timedelta
) -> list[datetime]:
    """Return the whole steps of the clock after `start`, up to `end`."""
    first = start - (start - EPOCH) % step + step
    count = (end - first) // step + 1
    return [first + i * step for i in range(max(0, count))]
