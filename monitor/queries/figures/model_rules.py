"""Rules of one model: the limits that figures and charts show."""

import math
from collections.abc import Iterator

from monitor.config.config import Config
from monitor.config.rule import RuleConfig
from monitor.statistics.service import error_rate, latency_quantile

ERROR_RATE = error_rate.NAME
LATENCY = latency_quantile.NAME


def rules_of(config: Config, model: str) -> Iterator[RuleConfig]:
    """Yield the rules that apply to all rows of a model."""
    for rule in config.all_rules:
        if rule.model in ("*", model) and not rule.segment:
            yield rule


def rule_for(config: Config, model: str, statistic: str) -> RuleConfig:
    """Return the configured rule on a statistic.

    Without one it is a rule with an infinite limit, which is never a breach.
    """
    for rule in rules_of(config, model):
        if rule.statistic == statistic:
            return rule
    name = statistic.replace("_", "-")
    return RuleConfig(name=name, statistic=statistic, limit=math.inf)


def service_limits(config: Config, model: str) -> dict[str, float | None]:
    """Return the limits on p95 latency (ms) and request error rate; None without one."""
    limits: dict[str, float | None] = {"latency_p95": None, "error_rate": None}
    for rule in rules_of(config, model):
        if rule.statistic == ERROR_RATE:
            limits["error_rate"] = rule.limit
        if rule.statistic == LATENCY and rule.quantile == 0.95:
            limits["latency_p95"] = rule.limit
    return limits
