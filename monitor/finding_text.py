"""Findings as English sentences."""

from collections.abc import Sequence
from datetime import datetime

from monitor.finding import CHANGES, DETECTOR_STATISTICS, Finding, Moved
from monitor.plugins import statistics

MAX_OTHER_COLUMNS = 8  # of a change, named in its sentence
# likely causes that are more than "it changed"; monitor/evaluation/cause.py has the
# rules
CAUSES = {
    "missing": "missing values; fix the data source before retraining",
    "constant": "it is stuck at one value; fix the data source before retraining",
    "zone": "the daily pattern is some hours early or late; check the time zone of the source before retraining",
    "unit": "unit change, mean and spread jumped together; check the source before retraining",
    "renamed": "a category was renamed; check the source before retraining",
    "mix": "the traffic mix changed",
    "relation": "the correlations of the features differ from the reference, no single feature drifted",
    "segment": "only one segment changed",
    "season": "season, it was the same a year ago",
    "upstream": "several columns changed at the same time, which suggests one common source",
}
# what moved; {size} with its sign and unit, {expected} the detector's expectation
_CONTRASTS = {
    "location": "mean {size}",
    "scale": "spread {size}",
    "skewness": "skew {size}",
    "kurtosis": "extreme values {size}",
    "category": "category shares {size}",
    "missing": "missing values {size}",
    "unseen": "new categories in {size} of rows",
    "error rate": "Request error rate {size}",
    "wrong share": "Misclassification rate {size}",
    "traffic": "Traffic at {size} of the expected",
}
_SHARES = ("unseen", "error rate", "wrong share")
# of the model, not of a column; by contrast, as a feature may be called `status`
_OF_MODEL = ("error rate", "wrong share", "traffic")


def text_of(finding: Finding) -> str:
    """The finding as one sentence, without a full stop."""
    if finding.statistic == "detector_evidence":
        return _standing(finding)
    shortage = _shortage(finding)
    if shortage is not None:
        return shortage
    if finding.statistic in CHANGES:
        return _change(finding)
    if finding.statistic == "labels_overdue":
        age, limit = show(finding.value, "s"), show(finding.limit, "s")
        since = _time(finding.window_start)
        return f"No labels since {since} ({age}), expected within {limit}"
    return f"{_subject(finding)} {_measured(finding)}{_limit(finding)}"


def title_of(statistic: str) -> str:
    """The name of a statistic for people; its key in words when no plug-in has it."""
    if statistic in DETECTOR_STATISTICS:
        return DETECTOR_STATISTICS[statistic].title
    plugin = statistics().get(statistic)
    return plugin.TITLE if plugin else statistic.replace("_", " ")


def show(value: float | None, unit: str) -> str:
    """A number with its unit, short: 12.3%, 35 ms, 0.41."""
    if value is None:
        return "unknown"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "s":
        return _duration(value)
    number = f"{value:.0f}" if unit == "rows" else f"{value:.3g}"
    return number if unit in ("nats", "", "distance") else f"{number} {unit}"


def listed(names: Sequence[str], most: int) -> str:
    """Names with commas, `most` of them, and the number of the others: "a, b and 3 more"."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _subject(finding: Finding) -> str:
    """The statistic, and its column where there is one."""
    title = title_of(finding.statistic)
    if finding.column:
        return f"{finding.column}: {title}"
    return title[0].upper() + title[1:]


def _shortage(finding: Finding) -> str | None:
    """The sentence of a finding that could not be decided; None for the others."""
    subject = _subject(finding)
    if finding.verdict == "no_data":
        start, end = _time(finding.window_start), _time(finding.window_end)
        return f"{subject}: no rows between {start} and {end}"
    if finding.verdict == "learning":
        return f"{subject}: no reference to compare with yet"
    if finding.verdict != "insufficient":
        return None
    if finding.n >= finding.minimum:
        return f"{subject}: insufficient data, the model has run for less than half of the window"
    return f"{subject}: insufficient data, {finding.n} of {finding.minimum} rows"


def _measured(finding: Finding) -> str:
    value = show(finding.value, finding.unit)
    if finding.low is not None:
        low, high = show(finding.low, finding.unit), show(finding.high, finding.unit)
        value += f" (95% CI {low} to {high})"
    if finding.compare == "increase" and finding.reference_value is not None:
        value += f", reference {show(finding.reference_value, finding.unit)}"
    return value


def _limit(finding: Finding) -> str:
    limit = ""
    if finding.limit is not None:
        limit = f", limit {show(finding.limit, finding.unit)}"
    if finding.compare == "increase":
        limit += " above the reference"
    if finding.verdict == "ok" and finding.detectable is not None:
        detectable = show(finding.detectable, finding.unit)
        limit += f"; with these rows a breach shows from {detectable} on"
    return limit


def _standing(finding: Finding) -> str:
    """The detector's own state."""
    if finding.verdict == "learning" and finding.minimum:
        return f"Detector: insufficient data, it needs {finding.minimum} hours or days with traffic"
    if finding.verdict == "learning":
        return f"Detector: learning, its alerts start {_time(finding.window_end)}"
    score = f"change score {show(finding.value, 'share')}, alert at 100%"
    if finding.verdict != "warn":
        return f"No change detected: {score}"
    column = f" in {finding.column}" if finding.column else ""
    return f"Possible change{column}: {score}"


def _change(finding: Finding) -> str:
    """A change that the detector found."""
    since = f"since {_time(finding.window_start)}"
    if not finding.moved:
        size = show(finding.value, finding.unit)
        return f"Many columns shifted slightly together, by {size} {since}{_cause(finding)}"
    first = finding.moved[0]
    sentence = _moved_sentence(first, finding.reference_value, since)
    columns = dict.fromkeys(moved.column for moved in finding.moved)
    others = [column for column in columns if column != first.column]
    if others:
        sentence += f"; also {listed(others, MAX_OTHER_COLUMNS)}"
    return sentence + _cause(finding)


def _cause(finding: Finding) -> str:
    if finding.cause not in CAUSES:
        return ""
    segment = f": {finding.behind}" if finding.behind else ""
    return f". Likely cause: {CAUSES[finding.cause]}{segment}"


def _moved_sentence(moved: Moved, expected: float | None, since: str) -> str:
    if moved.contrast == "traffic":
        if moved.size == 0:
            return f"No traffic {since}"
        size = f"{moved.size:.0%}"
    elif moved.contrast == "missing":
        size = f"{100 * moved.size:+.1f} points"
    elif moved.contrast in _SHARES:
        size = show(moved.size, "share")
    else:
        size = f"{moved.size:+.2f} sd"
    sentence = f"{_CONTRASTS[moved.contrast].format(size=size)} {since}"
    if moved.contrast in ("error rate", "wrong share") and expected is not None:
        sentence += f", expected {show(expected, 'share')}"
    if moved.contrast in _OF_MODEL:
        return sentence
    return f"{moved.column}: {sentence}"


def _duration(seconds: float) -> str:
    if seconds < 3 * 86_400:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 86_400:.3g} days"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
