"""Explanations of a change of distributions: traffic mix, one segment, or season.

All compare the profiles before the change with those after it by the symmetric
chi-squared distance, the sum over bins of (p - q)^2 / (p + q), less the part that
sampling adds. Source: Le Cam, Asymptotic Methods in Statistical Decision Theory (1986).

- `mix`: the profiles of the segments before the change, weighted with their shares of
  the rows after it, explain MIN_EXPLAINED of the distance: the segments are as they
  were, only their shares of the rows differ.
- `segment`: one segment, of at most half of the rows, holds MIN_SEGMENT_SHARE of the
  change.
- `season`: the profiles after the change are those of a year (52 weeks) ago.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.profile import Profile

MIN_EXPLAINED = 0.7  # of the distance
MIN_SEGMENT_SHARE = 0.8  # of the change
# of the rows after the change: segments with enough rows before it
MIN_COMPARABLE_ROWS = 0.92
MIN_ROWS = 200
Profiles = Mapping[str, Profile]


@dataclass(frozen=True)
class SegmentPart:
    """A segment before and after a change: name, rows, and profiles by column key."""

    name: str
    rows_before: int
    rows_after: int
    before: Profiles
    after: Profiles


@dataclass(frozen=True)
class Attribution:
    """A kind of cause and its segment, with its shares of the rows; "" for a season."""

    cause: str
    segment: str = ""


def distance(
    first: np.ndarray, second: np.ndarray, rows: tuple[float, float]
) -> tuple[float, float]:
    """Symmetric chi-squared distance of two distributions less its noise, and the noise.

    Both are shares on the same bins; `rows` are the rows of each. Range: up to 2;
    without a change it is 0 on average.

    >>> distance(np.array([0.5, 0.5]), np.array([0.5, 0.5]), (1e9, 1e9))[0] < 1e-6
    True
    >>> round(distance(np.array([1.0, 0.0]), np.array([0.0, 1.0]), (1e9, 1e9))[0], 6)
    2.0
    """
    total = first + second
    used = total > 0
    freedom = max(0, int(used.sum()) - 1)
    noise = freedom * (1 / max(rows[0], 1) + 1 / max(rows[1], 1)) / 2
    raw = float(((first - second)[used] ** 2 / total[used]).sum())
    return raw - noise, noise


def explain_change(
    columns: Sequence[str],
    before: Profiles,
    after: Profiles,
    segments: Mapping[str, Sequence[SegmentPart]],
    year_ago: Profiles,
) -> Attribution | None:
    """The best explanation of a change of some columns; None if there is none.

    None also while the change is within the noise. `segments` has the parts of each
    feature that makes segments, by the feature's column; a feature does not explain
    itself.
    """
    if _is_noise(columns, before, after):
        return None
    season = {
        column: _shares(profile)
        for column, profile in year_ago.items()
        if profile.n >= MIN_ROWS
    }
    if _explained(columns, before, after, season):
        return Attribution("season")
    candidates: list[tuple[float, Attribution]] = []
    for feature, parts in segments.items():
        others = [column for column in columns if column != feature]
        if others and not _is_noise(others, before, after):
            candidates += _mix(others, before, after, parts)
            candidates += _one_segment(others, parts)
    if not candidates:
        return None
    return max(candidates, key=lambda candidate: candidate[0])[1]


def _mix(
    columns: Sequence[str],
    before: Profiles,
    after: Profiles,
    parts: Sequence[SegmentPart],
) -> list[tuple[float, Attribution]]:
    """The explained share and the mix that explains it; empty if it does not."""
    rows_before = sum(part.rows_before for part in parts)
    rows_after = sum(part.rows_after for part in parts)
    comparable = [part for part in parts if part.rows_before >= MIN_ROWS]
    comparable_rows = sum(part.rows_after for part in comparable)
    if not comparable or comparable_rows < MIN_COMPARABLE_ROWS * rows_after:
        return []
    expected = {}
    for column in columns:
        weighted = [
            _shares(part.before[column]) * part.rows_after
            for part in comparable
            if column in part.before
        ]
        total = np.sum(weighted, axis=0)
        if np.ndim(total) and total.sum():
            expected[column] = total / total.sum()
    share = _explained(columns, before, after, expected)
    if not share:
        return []

    def move(part: SegmentPart) -> float:
        return abs(part.rows_after / rows_after - part.rows_before / rows_before)

    largest = max(parts, key=move)
    share_before = largest.rows_before / rows_before
    share_after = largest.rows_after / rows_after
    name = f"{largest.name} ({share_before:.0%} → {share_after:.0%})"
    return [(share, Attribution("mix", name))]


def _one_segment(
    columns: Sequence[str], parts: Sequence[SegmentPart]
) -> list[tuple[float, Attribution]]:
    """The share of the change in one segment, and that segment; empty if there is none."""
    usable = [part for part in parts if _has_rows(part)]
    if len(usable) < 2:
        return []
    moves = [
        part.rows_after * max(0.0, _sum(columns, part.before, part.after)[0])
        for part in usable
    ]
    largest = int(np.argmax(moves))
    part = usable[largest]
    rows = sum(other.rows_after for other in parts)
    share = moves[largest] / max(sum(moves), 1e-300)
    if share < MIN_SEGMENT_SHARE or part.rows_after > rows / 2:
        return []
    if _is_noise(columns, part.before, part.after):
        return []
    return [(share, Attribution("segment", part.name))]


def _has_rows(part: SegmentPart) -> bool:
    return min(part.rows_before, part.rows_after) >= MIN_ROWS


def _explained(
    columns: Sequence[str],
    before: Profiles,
    after: Profiles,
    expected: Mapping[str, np.ndarray],
) -> float:
    """The share of the distance that vanishes when `expected` replaces `before`.

    0 if it is below MIN_EXPLAINED, or a column has no expectation.
    """
    common = [column for column in columns if column in before and column in after]
    if not common or any(column not in expected for column in common):
        return 0.0
    whole, _ = _sum(common, before, after)
    unexplained = 0.0
    for column in common:
        rows = before[column].n, after[column].n
        unexplained += distance(expected[column], _shares(after[column]), rows)[0]
    share = 1 - max(0.0, unexplained) / whole if whole > 0 else 0.0
    return share if share >= MIN_EXPLAINED else 0.0


def _is_noise(columns: Sequence[str], before: Profiles, after: Profiles) -> bool:
    whole, noise = _sum(columns, before, after)
    return whole <= noise


def _sum(
    columns: Sequence[str], before: Profiles, after: Profiles
) -> tuple[float, float]:
    """Distance and noise, summed over the columns that both have."""
    pairs = [(before[c], after[c]) for c in columns if c in before and c in after]
    distances = [
        distance(_shares(b), _shares(a), (b.n, a.n)) for b, a in pairs if b.n and a.n
    ]
    return sum(d for d, _ in distances), sum(noise for _, noise in distances)


def _shares(profile: Profile) -> np.ndarray:
    return profile.inner().shares()
