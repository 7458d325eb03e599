"""What was found in rows beside reference rows, column by column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.finding import Finding, Verdict, worst
from monitor.profile import Profile


@dataclass(frozen=True, eq=False, repr=False)
class Compared:
    """One column: what the rules find in it, and whether it changed at all.

    `p_value` is the chance of counts as far apart when both sides are rows of one
    distribution (G-test over bins or categories, missing and unusable values among
    them); None when a side has none. `changed` says that it is small enough to stand
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
        """As a notebook shows it."""
        return f"<{self.column}: {self.status}{', changed' if self.changed else ''}>"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: counts by bin on the reference's bins, findings with their sentence."""
        sides = {"reference": self.reference.inner(), "current": self.current.inner()}
        return {
            "column": self.column,
            "kind": self.kind,
            "status": self.status,
            "changed": self.changed,
            "p_value": self.p_value,
            "findings": [
                {
                    "rule": f.rule,
                    "statistic": f.statistic,
                    "verdict": f.verdict,
                    "value": f.value,
                    "low": f.low,
                    "high": f.high,
                    "reference_value": f.reference_value,
                    "limit": f.limit,
                    "detectable": f.detectable,
                    "text": f.text,
                }
                for f in self.findings
            ],
            "bins": sides["reference"].layout.labels(),
            **{
                name: {
                    "rows": p.rows,
                    "missing": p.missing,
                    "invalid": p.invalid,
                    "mean": p.mean,
                    "counts": p.counts.tolist(),
                }
                for name, p in sides.items()
            },
        }


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """All columns, those with the worst verdict and the largest drift first. `left_out`: columns, and why; `added`:
    columns that the reference has not; `unreadable`: lines of the files that could not
    be read, each with its reason."""

    reference_rows: int
    current_rows: int
    columns: tuple[Compared, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def status(self) -> Verdict:
        """The worst verdict of any column."""
        return overall([c.status for c in self.columns])

    @property
    def text(self) -> str:
        """What was found, as one English sentence."""
        by = {
            v: [c.column for c in self.columns if c.status == v]
            for v in ("breach", "warn")
        }
        small = [c.column for c in self.columns if c.changed and c.status not in by]
        said = [
            f"{len(found)} of {len(self.columns)} columns {one if len(found) == 1 else many}: {_few(found)}"
            for found, one, many in (
                (by["breach"], "breaks a limit", "break a limit"),
                (by["warn"], "is near a limit", "are near a limit"),
                (small, "changed by less than a limit", "changed by less than a limit"),
            )
            if found
        ]
        if not said:
            judged = any(c.status == "ok" for c in self.columns)
            return (
                "No column changed"
                if judged
                else "No column could be judged: there are too few rows"
            )
        return "; ".join(said)

    def __repr__(self) -> str:
        """As a notebook shows it."""
        return (
            f"<{self.current_rows:,} rows beside {self.reference_rows:,}: {self.text}>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "status": self.status,
            "text": self.text,
            "reference_rows": self.reference_rows,
            "current_rows": self.current_rows,
            "columns": [c.to_dict() for c in self.columns],
            "left_out": dict(self.left_out),
            "added": list(self.added),
            "unreadable": list(self.unreadable),
        }


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """The most serious verdict among those that could be judged; without any, why not."""
    judged = [v for v in verdicts if v in ("breach", "warn", "ok")]
    return worst(judged or verdicts)


def _few(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
