"""One measured figure: samples of a quantity, its baseline and its goal."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

HALF_WAY = 2.0  # within this factor of the goal


@dataclass(frozen=True)
class Figure:
    """`ours`, and `theirs` taken in turns with it; the ratio is ours / theirs, pair by pair.

    A goal bounds the median of `of` from above ("most") or from below ("least").
    """

    name: str
    unit: str
    ours: Sequence[float]
    against: str = ""
    theirs: Sequence[float] = ()
    goal: float | None = None
    of: Literal["value", "ratio"] = "value"
    bound: Literal["most", "least"] = "most"
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours divided by theirs for each pair; empty without a baseline."""
        return [a / b for a, b in zip(self.ours, self.theirs, strict=False) if b]

    @property
    def state(self) -> str:
        """ "met", "half way" (within a factor of two), "not met", or "" without a goal."""
        measured = self.ratios if self.of == "ratio" else self.ours
        if self.goal is None or not measured:
            return ""
        share = (
            median(measured) / self.goal
            if self.bound == "most"
            else self.goal / median(measured)
        )
        return "met" if share <= 1 else "half way" if share <= HALF_WAY else "not met"

    def to_dict(self) -> dict[str, Any]:
        """The figure as plain data, samples included."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": list(self.ours),
            "median": median(self.ours),
            "against": self.against,
            "theirs": list(self.theirs),
            "ratios": self.ratios,
            "goal": self.goal,
            "goal_of": self.of,
            "bound": self.bound,
            "state": self.state,
            "note": self.note,
        }


def quantile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of them do not exceed."""
    ordered = sorted(samples)
    return ordered[
        min(len(ordered) - 1, max(0, int(share * len(ordered) + 0.999999) - 1))
    ]
