"""Likely causes of the open changes, in place of a list of columns.

The rules are simple on purpose. For each change that the detector found they are tried
in this order:

- `missing`: a column's share of missing values rose by at least 5 points. A data fault.
- `constant`: a column that moved by at least 0.3 holds a single value. A data fault: a
  sensor, join or default is stuck.
- `zone`: the daily pattern is some hours early or late. A data fault: a clock of another
  time zone.
- `unit`: mean and spread of a column both moved by more than 2 reference sd. A data
  fault: another unit or scale.
- `renamed`: new categories appeared in a column with about the share that one of its
  categories lost, within six hours. A data fault: a category has another name.
- `relation`: only the reconstruction error moved: the correlations of the features
  changed. Where a feature moved too, the error follows from it.
- `mix`: all columns moved slightly together, or at least half of the watched ones did,
  each by at most half an sd.
- `mix` of a segment, `segment`, `season`: the profiles of segments and of a year ago
  explain the change, see `monitor/evaluation/attribution.py`. They are compared once
  the change has lasted a day, and replace `relation`, `mix`, `upstream` and `change`.
- `upstream`: at least three columns changed at the same time, which suggests a common
  source.
- `change`: none of these.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import sqrt

from monitor.finding import CHANGES, Finding, Moved
from monitor.finding_text import CAUSES, listed
from monitor.plugins import statistics
from monitor.schema import RECONSTRUCTION_ERROR

MAX_COLUMNS = 5  # that a cause's sentence names
MIN_MISSING_SHARE = 0.05
MIN_UNIT_SD = 2.0
# sd or share that a constant column must have moved: rare values may be absent for a
# while without a fault
MIN_CONSTANT_MOVE = 0.3
MAX_MIX_SD = 0.5
MIN_MIX_COLUMNS_SHARE = 0.5
MIN_COMMON_COLUMNS = 3
SAME_TIME = timedelta(hours=6)
# of the size that the lost category should have
RENAMED_TOLERANCE = 0.25
FULL_SHARE = 0.5  # of rows: counts like a shift of one sd
SHARES = frozenset({"missing", "unseen", "error rate", "wrong share"})
FAULTS = frozenset({"missing", "constant", "zone", "unit", "renamed"})

Importance = Callable[[str], float | None]


@dataclass(frozen=True)
class Cause:
    """A cause: its kind, columns, start and weight; `behind` names its segment.

    The weight is size times importance, summed over the columns.
    """

    kind: str
    columns: tuple[str, ...]
    since: datetime
    weight: float
    behind: str = ""

    @property
    def text(self) -> str:
        """The cause as one sentence without a full stop."""
        columns = listed(self.columns, MAX_COLUMNS)
        if self.kind not in CAUSES:
            return f"{columns} changed"
        segment = f": {self.behind}" if self.behind else ""
        return f"{columns or 'All columns'}: {CAUSES[self.kind]}{segment}"


def cause_of(
    finding: Finding, watched: int, constant: Collection[str] = (), displaced: int = 0
) -> str:
    """The kind of cause of one change by itself.

    `watched`: the number of watched columns. `constant`: those that hold a single value.
    `displaced`: hours by which the daily pattern is late (or early, if negative).
    """
    moved = _of_features(finding.moved)
    if finding.moved and not moved:
        return "relation"
    fault = _fault_of(moved, constant, displaced)
    if fault is not None:
        return fault
    if finding.statistic != "inputs_change":
        return "change"
    columns = {m.column for m in moved}
    enough = max(MIN_COMMON_COLUMNS, MIN_MIX_COLUMNS_SHARE * watched)
    is_wide = not finding.column or len(columns) >= enough
    if is_wide and all(abs(m.size) <= MAX_MIX_SD for m in moved):
        return "mix"
    return "upstream" if len(columns) >= MIN_COMMON_COLUMNS else "change"


def _fault_of(
    moved: Sequence[Moved], constant: Collection[str], displaced: int
) -> str | None:
    """The kind of data fault of one change; None when it is none."""
    if any(m.contrast == "missing" and m.size >= MIN_MISSING_SHARE for m in moved):
        return "missing"
    distributions = [m for m in moved if m.contrast not in SHARES]
    if any(
        m.column in constant and abs(m.size) >= MIN_CONSTANT_MOVE for m in distributions
    ):
        return "constant"
    if displaced:
        return "zone"
    if any(_is_unit(moved, column) for column in {m.column for m in moved}):
        return "unit"
    return None


def _of_features(moved: Sequence[Moved]) -> list[Moved]:
    return [m for m in moved if m.column != RECONSTRUCTION_ERROR]


def _is_unit(moved: Sequence[Moved], column: str) -> bool:
    sizes = {m.contrast: abs(m.size) for m in moved if m.column == column}
    return min(sizes.get("location", 0.0), sizes.get("scale", 0.0)) > MIN_UNIT_SD


def causes(findings: Iterable[Finding], importance: Importance) -> list[Cause]:
    """The causes of all breaches, the heaviest first; of equal weight, data faults first.

    A rule's finding on a column that a change names has the cause of that change.
    Missing values are a cause of their own; a finding without a column has none. A
    column without importance counts as 1.
    """
    breaches = [f for f in findings if f.verdict == "breach" and not f.segment]
    likely = [
        _cause(finding, importance)
        for finding in _renamed(breaches)
        if finding.statistic in CHANGES and finding.cause
    ]
    explained = {column for cause in likely for column in cause.columns}
    # the error of reconstruction last, as it follows from changed features
    ordered = sorted(breaches, key=lambda f: f.column == RECONSTRUCTION_ERROR)
    for finding in ordered:
        column = finding.column
        if finding.statistic in CHANGES or not column or column in explained:
            continue
        if column == RECONSTRUCTION_ERROR and explained - {"prediction"}:
            continue
        explained.add(column)
        weight = min(1.0, abs(finding.value or 0.0)) * _weight(importance, column)
        kind = _kind_of_rule(finding)
        likely.append(Cause(kind, (column,), finding.window_start, weight))
    likely = _one_missing(likely)
    likely.sort(key=lambda cause: (cause.weight, cause.kind in FAULTS), reverse=True)
    return likely


def _kind_of_rule(finding: Finding) -> str:
    """The kind of cause that a rule's breach suggests by its statistic."""
    if finding.column == RECONSTRUCTION_ERROR:
        return "relation"
    plugin = statistics().get(finding.statistic)
    return plugin.CAUSE if plugin else "change"


def _one_missing(likely: Sequence[Cause]) -> list[Cause]:
    """The causes, with all columns that miss values as one: they are repaired together."""
    missing = [cause for cause in likely if cause.kind == "missing"]
    if len(missing) < 2:
        return list(likely)
    columns = tuple(dict.fromkeys(c for cause in missing for c in cause.columns))
    since = min(cause.since for cause in missing)
    together = Cause("missing", columns, since, sum(cause.weight for cause in missing))
    return [together, *(cause for cause in likely if cause.kind != "missing")]


def _cause(finding: Finding, importance: Importance) -> Cause:
    moved = _of_features(finding.moved) or finding.moved
    columns = tuple(dict.fromkeys(m.column for m in moved))
    if not columns and finding.column:
        columns = (finding.column,)
    weight = 0.0
    for column in columns:
        strength = _strength([m for m in moved if m.column == column])
        weight += strength * _weight(importance, column)
    weight = weight or min(1.0, abs(finding.value or 0.0))
    return Cause(finding.cause, columns, finding.window_start, weight, finding.behind)


def _strength(moved: Sequence[Moved]) -> float:
    """The size of a column's largest move: 1 for an sd, half of the rows, or all traffic."""
    return min(1.0, max((_size(m) for m in moved), default=0.0))


def _size(moved: Moved) -> float:
    if moved.contrast == "traffic":
        return abs(moved.size - 1)
    if moved.contrast in SHARES:
        return abs(moved.size) / FULL_SHARE
    return abs(moved.size)


def _weight(importance: Importance, column: str) -> float:
    weight = importance(column)
    return 1.0 if weight is None else weight


def _renamed(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, where a renamed category is one change instead of two."""
    merged = list(findings)
    for new in [f for f in findings if f.statistic == "unseen_values" and f.moved]:
        for old in [f for f in merged if f.statistic == "inputs_change"]:
            if _is_rename(new, old):
                since = min(old.window_start, new.window_start)
                renamed = replace(new, cause="renamed", window_start=since)
                merged[merged.index(new)] = renamed
                others = tuple(m for m in old.moved if m.column != new.column)
                place = merged.index(old)
                merged[place : place + 1] = (
                    [replace(old, moved=others)] if others else []
                )
                break
    return merged


def _is_rename(new: Finding, old: Finding) -> bool:
    """True if new categories have about the share that a category of the column lost.

    A category of share p that vanishes moves its contrast by -sqrt(p / (1 - p)) sd; p
    is the share of the new categories.
    """
    if abs(old.window_start - new.window_start) > SAME_TIME:
        return False
    share = new.moved[0].size
    vanished = -sqrt(share / (1 - share)) if 0 < share < 1 else 0.0
    return any(
        m.column == new.column
        and m.contrast == "category"
        and m.size < 0
        and abs(m.size - vanished) <= RENAMED_TOLERANCE * -vanished
        for m in old.moved
    )
