"""Result of a comparison of two tables, column by column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.finding import Finding, Verdict, worst
from monitor.finding_text import text_of
from monitor.profile import Profile

MAX_NAMES = 5  # in a sentence


@dataclass(frozen=True, eq=False, repr=False)
class Compared:
    """One column: the findings of the rules, and whether it changed at all.

    `p_value` is the chance of counts as far apart as these when both sides are rows of
    one distribution (G-test over bins or categories, missing and invalid values
    included); None when a side has no rows. `changed` is True when it is small enough
    among all columns (Holm), however small the change.
    """

    column: str
    kind: str
    status: Verdict
    findings: tuple[Finding, ...]
    p_value: float | None
    changed: bool
    reference: Profile
    current: Profile

    def __repr__(self) -> str:
        """Return the text that a notebook shows."""
        changed = ", changed" if self.changed else ""
        return f"<{self.column}: {self.status}{changed}>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: findings, and counts on the reference's bins."""
        reference, current = self.reference.inner(), self.current.inner()
        return {
            "column": self.column,
            "kind": self.kind,
            "status": self.status,
            "changed": self.changed,
            "p_value": self.p_value,
            "findings": [_finding_dict(finding) for finding in self.findings],
            "bins": reference.layout.labels(),
            "reference": _profile_dict(reference),
            "current": _profile_dict(current),
        }


def _finding_dict(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "statistic": finding.statistic,
        "verdict": finding.verdict,
        "value": finding.value,
        "low": finding.low,
        "high": finding.high,
        "reference_value": finding.reference_value,
        "limit": finding.limit,
        "detectable": finding.detectable,
        "text": text_of(finding),
    }


def _profile_dict(profile: Profile) -> dict[str, Any]:
    return {
        "rows": profile.rows,
        "missing": profile.missing,
        "invalid": profile.invalid,
        "mean": profile.mean,
        "counts": profile.counts.tolist(),
    }


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """All columns, those with the worst status and the largest drift first.

    `left_out` gives the reason for each column that is not compared, `added` the
    columns that the reference does not have, `unreadable` the lines of the files that
    could not be read, each with its reason.
    """

    reference_rows: int
    current_rows: int
    columns: tuple[Compared, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def status(self) -> Verdict:
        """The worst status of any column."""
        return worst_checked([column.status for column in self.columns])

    @property
    def text(self) -> str:
        """The result as one English sentence."""
        breach = [c.column for c in self.columns if c.status == "breach"]
        warn = [c.column for c in self.columns if c.status == "warn"]
        small = [
            c.column
            for c in self.columns
            if c.changed and c.status not in ("breach", "warn")
        ]
        parts = [
            self._part(breach, "is over its limit", "are over their limits"),
            self._part(warn, "is near its limit", "are near their limits"),
            self._part(
                small, "changed within its limits", "changed within their limits"
            ),
        ]
        parts = [part for part in parts if part]
        if parts:
            return "; ".join(parts)
        if any(column.status == "ok" for column in self.columns):
            return "No column changed"
        return "Insufficient data: no column could be checked"

    def _part(self, names: Sequence[str], singular: str, plural: str) -> str:
        """Return one part of the sentence; empty without names."""
        if not names:
            return ""
        verb = singular if len(names) == 1 else plural
        listed = _list_names(names)
        return f"{len(names)} of {len(self.columns)} columns {verb}: {listed}"

    def __repr__(self) -> str:
        """Return the text that a notebook shows."""
        rows = f"{self.current_rows:,} current, {self.reference_rows:,} reference rows"
        return f"<{rows}: {self.text}>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "status": self.status,
            "text": self.text,
            "reference_rows": self.reference_rows,
            "current_rows": self.current_rows,
            "columns": [column.to_dict() for column in self.columns],
            "left_out": dict(self.left_out),
            "added": list(self.added),
            "unreadable": list(self.unreadable),
        }


def worst_checked(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the most serious verdict of checks with enough data; else of all."""
    checked = [v for v in verdicts if v in ("breach", "warn", "ok")]
    return worst(checked or verdicts)


def _list_names(names: Sequence[str]) -> str:
    listed = ", ".join(names[:MAX_NAMES])
    others = len(names) - MAX_NAMES
    return f"{listed} and {others} more" if others > 0 else listed
