"""One status for a model, from all its findings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from monitor.alert import Alert, AlertKey
from monitor.contracts import Group
from monitor.finding import DETECTOR_STATISTICS, RANK, Finding, Verdict, worst
from monitor.plugins import statistics

DECIDED = ("breach", "warn", "ok")
GROUPS: tuple[Group, ...] = ("service", "data", "quality")
SEVERITY = {"critical": 1, "warning": 0}


@dataclass(frozen=True)
class ModelVerdict:
    """The status of a model: worst verdict, its start, its findings, and each group's verdict."""

    status: Verdict
    since: datetime | None
    reasons: tuple[Finding, ...]
    groups: Mapping[str, Verdict]


def decide(
    findings: Iterable[Finding], open_alerts: Mapping[AlertKey, Alert]
) -> ModelVerdict:
    """The status that the newest findings add up to.

    Findings with insufficient data count only when no finding could be decided: then
    the model as a whole is `insufficient`, `learning` or `no_data`.
    """
    findings = list(findings)
    groups: dict[str, Verdict] = {
        group: _overall([f for f in findings if group_of(f.statistic) == group])
        for group in GROUPS
    }
    status = _overall(findings)
    reasons = [f for f in findings if f.verdict in ("breach", "warn")]
    reasons.sort(
        key=lambda f: (RANK[f.verdict], SEVERITY[f.severity], f.value or 0.0),
        reverse=True,
    )
    since = None
    if status == "breach":
        starts = [a.since for a in open_alerts.values() if a.state == "firing"]
        since = min(starts, default=None)
    return ModelVerdict(status, since, tuple(reasons), groups)


def group_of(statistic: str) -> Group | None:
    """The part of a status that a statistic counts for; None if no plug-in has it any more."""
    if statistic in DETECTOR_STATISTICS:
        return DETECTOR_STATISTICS[statistic].group
    plugin = statistics().get(statistic)
    return plugin.GROUP if plugin else None


def _overall(findings: list[Finding]) -> Verdict:
    """The worst verdict of the decided findings; of all when none could be decided."""
    verdicts = [f.verdict for f in findings]
    decided = [verdict for verdict in verdicts if verdict in DECIDED]
    return worst(decided or verdicts)
