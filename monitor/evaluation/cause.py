"""What is behind the changes that are open, in plain words: causes instead of a list of columns. Pure.

The rules are simple on purpose, tried in this order for each change that the detector
found:

- `missing`: a column's share of missing values rose by at least 5 points. A fault of
  the data.
- `constant`: a column that moved by at least 0.3 holds one value only. A fault of the
  data: a sensor, join or default is stuck.
- `zone`: the usual course of the day comes some hours early or late. A fault of the
  data: a clock of another time zone.
- `unit`: level and spread of one column both moved by more than 2 reference sd. A fault
  of the data: another unit or scale.
- `renamed`: values never seen before came in one column with about the share that a
  category of it lost, with onsets
  within six hours. A fault of the data: a category has another name.
- `relation`: nothing but the reconstruction error moved: features go together in
  another way. Where a feature moved too,
  the error follows from it and says nothing.
- `mix`: all columns moved a little together, or at least half of those watched did,
  none by more than half an sd.
- `mix` by a segment, `segment`, `season`: what the profiles of segments and of a year
  ago say, see `monitor/evaluation/attribution.py`. They
  are asked once a day of the change is there, and take the place of `relation`, `mix`, `upstream` and `change` only.
- `upstream`: at least three columns changed at the same time. They are likely to have
  one source.
- `change`: none of these, and then no more is said.
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
MISSING_BURST = 0.05  # of the rows
UNIT_SD = 2.0
# sd or share that a column of one value must have moved: rare values are away for a
# while without a fault
STUCK = 0.3
SMALL_SD = 0.5  # of a mix shift
MOST = 0.5  # of the columns
TOGETHER = 3  # columns
SAME_TIME = timedelta(hours=6)
RENAMED_WITHIN = 0.25  # of the size that the lost category should have
FULL_SHARE = 0.5  # of rows: counts like a shift of one sd
SHARES = frozenset({"missing", "unseen", "error rate", "wrong share"})
FAULTS = frozenset({"missing", "constant", "zone", "unit", "renamed"})


@dataclass(frozen=True)
class Cause:
    """One cause: its kind, the columns it is about, since when, and how much it matters (change x importance, summed)."""

    kind: str
    columns: tuple[str, ...]
    since: datetime
    weight: float
    behind: str = ""  # the segment it is about

    @property
    def text(self) -> str:
        """The cause as one English sentence without a full stop."""
        columns = listed(self.columns, MAX_COLUMNS)
        if self.kind not in CAUSES:
            return f"{columns} changed"
        segment = f": {self.behind}" if self.behind else ""
        return f"{columns or 'All columns'}: {CAUSES[self.kind]}{segment}"


def cause_of(
    finding: Finding, watched: int, constant: Collection[str] = (), displaced: int = 0
) -> str:
    """The kind of cause of one change, by itself, in a model of so many watched columns, of which some hold one value only.

    `displaced`: by how many hours the course of the day came late or early.
    """
    moved = _of_features(finding.moved)
    if finding.moved and not moved:
        return "relation"
    if any(m.contrast == "missing" and m.size >= MISSING_BURST for m in moved):
        return "missing"
    if any(
        m.column in constant and abs(m.size) >= STUCK
        for m in moved
        if m.contrast not in SHARES
    ):
        return "constant"
    if displaced:
        return "zone"
    if any(_is_unit(moved, column) for column in {m.column for m in moved}):
        return "unit"
    if finding.statistic != "inputs_change":
        return "change"
    columns = {m.column for m in moved}
    wide = not finding.column or len(columns) >= max(TOGETHER, MOST * watched)
    if wide and all(abs(m.size) <= SMALL_SD for m in moved):
        return "mix"
    return "upstream" if len(columns) >= TOGETHER else "change"


def _of_features(moved: Sequence[Moved]) -> list[Moved]:
    return [m for m in moved if m.column != RECONSTRUCTION_ERROR]


def _is_unit(moved: Sequence[Moved], column: str) -> bool:
    sizes = {m.contrast: abs(m.size) for m in moved if m.column == column}
    return min(sizes.get("location", 0.0), sizes.get("scale", 0.0)) > UNIT_SD


def causes(
    findings: Iterable[Finding], importance: Callable[[str], float | None]
) -> list[Cause]:
    """The causes behind what is in breach, what matters most first; faults of the data before all others of their weight.

    A rule's finding on a column that a change of the detector names has that change's
    cause; missing values are a cause of their own, and what has no column is none.
    Importance that nobody configured counts as 1.
    """
    open_now = [f for f in findings if f.verdict == "breach" and not f.segment]
    found = [
        _cause(f, importance)
        for f in _renamed(open_now)
        if f.statistic in CHANGES and f.cause
    ]
    told = {column for cause in found for column in cause.columns}
    for f in sorted(open_now, key=lambda f: f.column == RECONSTRUCTION_ERROR):
        if f.statistic in CHANGES or not f.column or f.column in told:
            continue
        if f.column == RECONSTRUCTION_ERROR and told - {"prediction"}:
            continue  # it follows from what changed in the features
        told.add(f.column)
        kind = "relation"
        if f.column != RECONSTRUCTION_ERROR:
            plugin = statistics().get(f.statistic)
            kind = plugin.CAUSE if plugin else "change"
        strength = min(1.0, abs(f.value or 0.0))
        found.append(
            Cause(
                kind,
                (f.column,),
                f.window_start,
                strength * _weight(importance, f.column),
            )
        )
    found = _one_fault(found)
    found.sort(key=lambda c: (c.weight, c.kind in FAULTS), reverse=True)
    return found


def _one_fault(found: Sequence[Cause]) -> list[Cause]:
    """The causes, with all columns that miss values as one of them: they are asked for at the same place."""
    missing = [c for c in found if c.kind == "missing"]
    if len(missing) < 2:
        return list(found)
    columns = tuple(dict.fromkeys(column for c in missing for column in c.columns))
    together = Cause(
        "missing",
        columns,
        min(c.since for c in missing),
        sum(c.weight for c in missing),
    )
    return [together, *(c for c in found if c.kind != "missing")]


def _cause(finding: Finding, importance: Callable[[str], float | None]) -> Cause:
    moved = _of_features(finding.moved) or finding.moved
    columns = tuple(dict.fromkeys(m.column for m in moved)) or (
        (finding.column,) if finding.column else ()
    )
    weight = sum(
        _strength([m for m in moved if m.column == c]) * _weight(importance, c)
        for c in columns
    )
    return Cause(
        finding.cause,
        columns,
        finding.window_start,
        weight or min(1.0, abs(finding.value or 0.0)),
        finding.behind,
    )


def _strength(moved: Sequence[Moved]) -> float:
    """How far a column moved, 1 being a whole sd, half of the rows, or all of the traffic."""
    sizes = [
        abs(m.size - 1)
        if m.contrast == "traffic"
        else abs(m.size) / FULL_SHARE
        if m.contrast in SHARES
        else abs(m.size)
        for m in moved
    ]
    return min(1.0, max(sizes, default=0.0))


def _weight(importance: Callable[[str], float | None], column: str) -> float:
    given = importance(column)
    return 1.0 if given is None else given


def _renamed(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, where a category was renamed as one change instead of two.

    A category of share p that vanishes moves its contrast by -sqrt(p / (1 - p)) sd; p
    is the share of the new values.
    """
    found = list(findings)
    for new in [f for f in findings if f.statistic == "unseen_values" and f.moved]:
        share = new.moved[0].size
        gone = -sqrt(share / (1 - share)) if 0 < share < 1 else 0.0
        for old in [f for f in found if f.statistic == "inputs_change"]:
            same_time = abs(old.window_start - new.window_start) <= SAME_TIME
            lost = [
                m
                for m in old.moved
                if m.column == new.column and m.contrast == "category" and m.size < 0
            ]
            if same_time and any(
                abs(m.size - gone) <= RENAMED_WITHIN * -gone for m in lost
            ):
                found[found.index(new)] = replace(
                    new,
                    cause="renamed",
                    window_start=min(old.window_start, new.window_start),
                )
                rest = tuple(m for m in old.moved if m.column != new.column)
                at = found.index(old)
                found[at : at + 1] = [replace(old, moved=rest)] if rest else []
                break
    return found
