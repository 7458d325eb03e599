"""Findings: one rule on one column and window, with value, interval, limit and verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Verdict = Literal["ok", "warn", "breach", "insufficient", "no_data", "learning"]
Severity = Literal["critical", "warning"]

RANK: dict[Verdict, int] = {
    "breach": 5,
    "warn": 4,
    "no_data": 3,
    "insufficient": 2,
    "learning": 1,
    "ok": 0,
}


@dataclass(frozen=True)
class Measurement:
    """The value of a statistic for two profiles, with its interval.

    `value` is corrected for sample size where the statistic has a bias; `raw` is the
    plain formula. `low` and `high` bound the true value with 95 % confidence. None
    means that it cannot be computed, never that it is fine.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_reference: int = 0
    raw: float | None = None
    reference_value: float | None = None


@dataclass(frozen=True)
class Moved:
    """A changed property of a column: its size with the 95 % interval.

    In reference sd for location, scale, skewness, kurtosis and category; a share of
    rows for missing values and rates; rows / expected rows for traffic.
    """

    column: str
    contrast: str
    size: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """The result of one rule on one column over one window."""

    model: str
    rule: str
    statistic: str
    column: str | None
    verdict: Verdict
    value: float | None
    low: float | None
    high: float | None
    unit: str
    limit: float | None
    warn: float | None
    compare: Literal["value", "increase"]
    direction: Literal["above", "below"]
    reference_value: float | None
    n: int
    n_reference: int
    minimum: int
    window_start: datetime
    window_end: datetime
    severity: Severity = "warning"
    version: str = ""
    segment: str = ""
    # of the detector: the streams that changed, the strongest first
    moved: tuple[Moved, ...] = ()
    cause: str = ""
    # the segment that the cause is about, with its shares before and after
    behind: str = ""
    # the true value that is a breach half of the time with as many rows
    detectable: float | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """The identity of the check: model, version, segment, rule, column."""
        return (self.model, self.version, self.segment, self.rule, self.column or "")


@dataclass(frozen=True)
class DetectorStatistic:
    """A statistic of the detector: its name for people, and its group of the status."""

    title: str
    group: Literal["data", "service", "quality"]


# of its lanes: a change that it found
CHANGES = {
    "inputs_change": DetectorStatistic("change of the inputs", "data"),
    "unseen_values": DetectorStatistic("new categories", "data"),
    "latency_change": DetectorStatistic("change of the latency", "service"),
    "error_rise": DetectorStatistic("rise of the request error rate", "service"),
    "traffic_change": DetectorStatistic("change of the traffic", "service"),
    "quality_change": DetectorStatistic("change of the prediction quality", "quality"),
}
DETECTOR_STATISTICS = {
    **CHANGES,
    "detector_evidence": DetectorStatistic("change score", "data"),
    "labels_overdue": DetectorStatistic(
        "age of the newest prediction with a label", "quality"
    ),
}


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The most serious of several verdicts; no_data when there are none."""
    return max(verdicts, key=RANK.__getitem__, default="no_data")
