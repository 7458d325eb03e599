"""One statistic on one column and window, held against its limit: the object that every sentence is made from."""

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
    """What a statistic says of two profiles.

    `value` is corrected for sample size where the statistic has a bias; `raw` is the
    plain formula. `low` and `high` bound the true value with 95 % confidence. None
    means that it cannot be computed, never that all is well.
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
    """One thing that changed: which column, in what respect, and how far, with its 95 % interval.

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
    """One rule on one column over one window: the measured value, its interval, its limit and the verdict."""

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
        """What makes two findings the same question: model, version, segment, rule, column."""
        return (self.model, self.version, self.segment, self.rule, self.column or "")

    @property
    def text(self) -> str:
        """The finding as one English sentence."""
        what = (
            f"{self.column}: {TITLES.get(self.statistic, self.statistic)}"
            if self.column
            else self.title
        )
        if self.statistic == "detector_evidence":
            return self._standing
        if self.verdict == "no_data":
            return f"{what} cannot be measured: no rows between {_time(self.window_start)} and {_time(self.window_end)}"
        if self.verdict == "learning":
            return f"{what} has no reference to compare with yet"
        if self.verdict == "insufficient":
            if self.n >= self.minimum:
                return f"{what} cannot be judged yet: the model has not run for half of the window"
            return f"{what} needs {self.minimum} rows to judge, has {self.n}"
        if self.statistic in DETECTED:
            return self._detected
        value = show(self.value, self.unit)
        interval = (
            f" (95 % {show(self.low, self.unit)} to {show(self.high, self.unit)})"
            if self.low is not None
            else ""
        )
        limit = "" if self.limit is None else f", limit {show(self.limit, self.unit)}"
        if self.verdict == "ok" and self.detectable is not None:
            limit += " above the reference" if self.compare == "increase" else ""
            limit += f"; with these rows a breach shows from {show(self.detectable, self.unit)} on"
        elif self.compare == "increase":
            limit += " above the reference"
        if self.compare == "increase":
            base = (
                f", reference {show(self.reference_value, self.unit)}"
                if self.reference_value is not None
                else ""
            )
            return f"{what} is {value}{interval}{base}{limit}"
        return f"{what} is {value}{interval}{limit}"

    @property
    def _standing(self) -> str:
        """How far the detector is, as one sentence."""
        if self.verdict == "learning" and self.minimum:
            return f"The detector has too few rows to know what is usual: it needs {self.minimum} hours or days that have some"
        if self.verdict == "learning":
            return f"The detector learns what is usual until {_time(self.window_end)}"
        close = f"{show(self.value, 'share')} of the evidence that would page"
        if self.verdict == "warn":
            return f"The detector warns{f': {self.column} is moving' if self.column else ''}; there is {close}"
        return f"The detector finds no change; there is {close}"

    @property
    def _detected(self) -> str:
        """What the detector found, as one sentence."""
        since = f"since {_time(self.window_start)}"
        if not self.moved:
            return f"All columns moved a little together, by {show(self.value, self.unit)} {since}{self._likely}"
        first = self.moved[0]
        others = [
            c for c in dict.fromkeys(m.column for m in self.moved) if c != first.column
        ]
        more = f"; with it {', '.join(others[:8])}" if others else ""
        more += f" and {len(others) - 8} more" if len(others) > 8 else ""
        return f"{_sentence(first, self.reference_value)} {since}{more}{self._likely}"

    @property
    def _likely(self) -> str:
        """The likely cause, when there is one to tell."""
        if self.cause not in CAUSES:
            return ""
        return f"; {CAUSES[self.cause]}{f': {self.behind}' if self.behind else ''}"

    @property
    def title(self) -> str:
        """The statistic's name for people."""
        title = TITLES.get(self.statistic, self.statistic)
        return title[0].upper() + title[1:]


TITLES = {
    "psi": "drift (PSI)",
    "ks": "drift (KS)",
    "jensen_shannon": "drift (Jensen-Shannon)",
    "hellinger": "drift (Hellinger)",
    "total_variation": "drift (total variation)",
    "l_infinity": "drift (L-infinity)",
    "chi_squared": "drift (chi-squared)",
    "g_test": "drift (G-test)",
    "cramers_v": "drift (Cramér's V)",
    "wasserstein": "drift (Wasserstein)",
    "neyman": "drift (location)",
    "energy_distance": "drift (energy distance)",
    "mmd": "drift (maximum mean discrepancy)",
    "quantile_shift": "shift of the quantile",
    "exceedance": "share above the reference's quantile",
    "out_of_range_share": "share outside the reference's range",
    "constant_column": "share of the most frequent value",
    "vanished_categories": "share of the reference whose categories vanished",
    "missing_rate": "missing-value rate",
    "type_error_rate": "share of unusable values",
    "new_category_share": "share of values never seen before",
    "error_rate": "service error rate",
    "wrong_share": "share of wrong predictions",
    "mean_absolute_error": "mean absolute error",
    "volume": "number of predictions",
    "latency_quantile": "latency",
    "labels_overdue": "age of the newest prediction with a label",
    "detector_evidence": "evidence of a change",
    "inputs_change": "change of the inputs",
    "unseen_values": "values never seen before",
    "latency_change": "change of the latency",
    "error_rise": "rise of the error rate",
    "traffic_change": "change of the traffic",
    "quality_change": "change of the prediction quality",
}
DETECTED = frozenset(
    {
        "inputs_change",
        "unseen_values",
        "latency_change",
        "error_rise",
        "traffic_change",
        "quality_change",
    }
)
# what is said of a cause that is more than a change; monitor/evaluation/cause.py has
# the rules
CAUSES = {
    "missing": "values are missing, which looks like a fault of the data: repair its source before retraining",
    "constant": "only one value comes any more, which looks like a fault of the data: repair its source before retraining",
    "zone": "the usual course of the day comes some hours early or late, which looks like a clock of another time zone: check the source before retraining",
    "unit": "level and spread jumped together, which looks like another unit or scale: check the source before retraining",
    "renamed": "a category seems to have another name: check the source before retraining",
    "mix": "the mix of the traffic seems to have changed",
    "relation": "the features no longer move together as in the reference, though none of them changed alone",
    "segment": "it changed in one segment alone",
    "season": "a year ago it was like that, too, which looks like the season",
    "upstream": "several columns changed at the same time and are likely to have one source",
}
_CONTRASTS = {
    "location": "its level moved by {size}",
    "scale": "its spread moved by {size}",
    "skewness": "its skewness moved by {size}",
    "kurtosis": "its tails moved by {size}",
    "category": "its categories moved by {size}",
    "missing": "{size} of its values are missing beyond the usual",
    "unseen": "{size} of its values were never seen in the reference",
    "error rate": "{size} of the requests fail, usually {usual}",
    "wrong share": "{size} of the predictions are wrong, usually {usual}",
    "traffic": "there are {size} times the usual rows",
}


def _sentence(moved: Moved, usual: float | None) -> str:
    shares = ("missing", "unseen", "error rate", "wrong share")
    size = (
        show(moved.size, "share")
        if moved.contrast in shares
        else f"{moved.size:+.2f} sd"
    )
    if moved.contrast == "traffic":
        if moved.size == 0:
            return "No rows have come at all"
        size = f"{moved.size:.2g}"
    said = _CONTRASTS[moved.contrast].format(size=size, usual=show(usual, "share"))
    # by what it is, as a feature may be called `status`
    own = ("error rate", "wrong share", "traffic")
    return (
        said[0].upper() + said[1:]
        if moved.contrast in own
        else f"{moved.column}: {said}"
    )


def show(value: float | None, unit: str) -> str:
    """A number with its unit, short: 12.3 %, 35 ms, 0.41."""
    if value is None:
        return "unknown"
    if unit == "share":
        return f"{value:.1%}".replace("%", " %")
    if unit == "s":
        return (
            f"{value / 3600:.3g} h"
            if value < 3 * 86_400
            else f"{value / 86_400:.3g} days"
        )
    number = f"{value:.0f}" if unit == "rows" else f"{value:.3g}"
    return number if unit in ("nats", "", "distance") else f"{number} {unit}"


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The most serious of several verdicts; no_data when there are none."""
    return max(verdicts, key=RANK.__getitem__, default="no_data")


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
