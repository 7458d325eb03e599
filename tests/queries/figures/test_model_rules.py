"""Rules of one model and the limits of its service figures."""

import math

from monitor.config.config import Config
from monitor.config.rule import RuleConfig
from monitor.queries.figures.model_rules import rule_for, service_limits

RULES = (
    RuleConfig(name="one", statistic="psi", limit=0.3, model="m", segment="a=b"),
    RuleConfig(name="two", statistic="psi", limit=0.4, model="other"),
    RuleConfig(name="three", statistic="psi", limit=0.5, model="m"),
    RuleConfig(name="slow", statistic="latency_quantile", limit=100.0, quantile=0.95),
    RuleConfig(name="slowest", statistic="latency_quantile", limit=9.0, quantile=0.99),
    RuleConfig(name="errors", statistic="error_rate", limit=0.02),
)
CONFIG = Config(default_rules=False, rules=RULES)


def test_rule_is_the_first_of_the_model_on_all_rows() -> None:
    assert rule_for(CONFIG, "m", "psi").name == "three"
    assert rule_for(CONFIG, "other", "psi").name == "two"


def test_without_a_rule_nothing_is_a_breach() -> None:
    rule = rule_for(CONFIG, "m", "total_variation")
    assert (rule.name, rule.limit) == ("total-variation", math.inf)


def test_service_limits_are_of_p95_and_the_error_rate() -> None:
    assert service_limits(CONFIG, "m") == {"latency_p95": 100.0, "error_rate": 0.02}
    assert service_limits(Config(default_rules=False), "m") == {
        "latency_p95": None,
        "error_rate": None,
    }
