"""Findings made of a rule and a profile."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from monitor.config.rule import RuleConfig
from monitor.evaluation.rules import Window, evaluate
from monitor.finding import Finding, Verdict
from monitor.layout import INTEGER
from monitor.profile import Profile

T0 = datetime(2026, 11, 22, tzinfo=UTC)


WINDOW = Window(T0 - timedelta(days=1), T0)


def rule(statistic: str, limit: float, **changes: Any) -> RuleConfig:
    return RuleConfig(name="r", statistic=statistic, limit=limit, **changes)


def status(good: int, bad: int) -> Profile:
    counts = np.zeros(INTEGER.size, dtype=np.int64)
    counts[200], counts[503] = good, bad
    return Profile(INTEGER, counts, good + bad)


def finding(v: Verdict, value: float | None = 0.5, **changes: Any) -> Finding:
    found = evaluate(
        rule("error_rate", 0.02), "m", None, None, status(900, 100), WINDOW
    )
    return Finding(**{**found.__dict__, "verdict": v, "value": value, **changes})
