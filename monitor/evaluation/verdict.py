"""One verdict on a model: the object that the page's sentence, the alert and the webhook body are all made from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from monitor.alert import Alert, AlertKey
from monitor.contracts import Group
from monitor.finding import DETECTOR_STATISTICS, RANK, Finding, Verdict, worst
from monitor.plugins import statistics

GROUPS: tuple[Group, ...] = ("service", "data", "quality")
SEVERITY = {"critical": 1, "warning": 0}


@dataclass(frozen=True)
class ModelVerdict:
    """How a model is doing: the worst verdict, since when, the findings that make it so, and each part's own verdict."""

    status: Verdict
    since: datetime | None
    reasons: tuple[Finding, ...]
    groups: Mapping[str, Verdict]


def decide(
    findings: Iterable[Finding], open_alerts: Mapping[AlertKey, Alert]
) -> ModelVerdict:
    """The verdict that the newest findings add up to.

    A model with some findings that are too small to judge is as good as its judged ones
    say; only when nothing could be judged is it `insufficient`, `learning` or `no_data`
    as a whole.
    """
    findings = list(findings)
    groups: dict[str, Verdict] = {
        group: _overall([f for f in findings if group_of(f.statistic) == group])
        for group in GROUPS
    }
    status = _overall(findings)
    reasons = (
        [f for f in findings if f.verdict in ("breach", "warn")]
        if status in ("breach", "warn")
        else []
    )
    reasons.sort(
        key=lambda f: (RANK[f.verdict], SEVERITY[f.severity], f.value or 0.0),
        reverse=True,
    )
    since = (
        min(
            (a.since for a in open_alerts.values() if a.state == "firing"), default=None
        )
        if status == "breach"
        else None
    )
    return ModelVerdict(status, since, tuple(reasons), groups)


def group_of(statistic: str) -> Group | None:
    """The part of a status that a statistic counts for; None if no plug-in has it any more."""
    if statistic in DETECTOR_STATISTICS:
        return DETECTOR_STATISTICS[statistic].group
    plugin = statistics().get(statistic)
    return plugin.GROUP if plugin else None


def _overall(findings: list[Finding]) -> Verdict:
    judged = [f.verdict for f in findings if f.verdict in ("breach", "warn", "ok")]
    return worst(judged) if judged else worst([f.verdict for f in findings])
