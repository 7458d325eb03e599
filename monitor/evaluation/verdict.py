"""One verdict on a model: the object that the page's sentence, the alert and the webhook body are all made from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from monitor.alert import Alert, AlertKey
from monitor.finding import RANK, Finding, Verdict, worst

GROUPS = {
    "error_rate": "service",
    "latency_quantile": "service",
    "volume": "service",
    "psi": "data",
    "ks": "data",
    "jensen_shannon": "data",
    "hellinger": "data",
    "total_variation": "data",
    "l_infinity": "data",
    "chi_squared": "data",
    "g_test": "data",
    "cramers_v": "data",
    "wasserstein": "data",
    "neyman": "data",
    "energy_distance": "data",
    "mmd": "data",
    "quantile_shift": "data",
    "exceedance": "data",
    "out_of_range_share": "data",
    "constant_column": "data",
    "vanished_categories": "data",
    "missing_rate": "data",
    "type_error_rate": "data",
    "new_category_share": "data",
    "wrong_share": "quality",
    "mean_absolute_error": "quality",
    "detector_evidence": "data",
    "inputs_change": "data",
    "unseen_values": "data",
    "latency_change": "service",
    "error_rise": "service",
    "traffic_change": "service",
    "quality_change": "quality",
    "labels_overdue": "quality",
}
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
    groups = {
        group: _overall([f for f in findings if GROUPS.get(f.statistic) == group])
        for group in ("service", "data", "quality")
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


def _overall(findings: list[Finding]) -> Verdict:
    judged = [f.verdict for f in findings if f.verdict in ("breach", "warn", "ok")]
    return worst(judged) if judged else worst([f.verdict for f in findings])
