"""What is behind a change of distributions: another mix of segments, one segment alone, or the season of a year ago. Pure.

All compare profiles before the change with those after it by the symmetric chi-squared
distance, the sum over bins of (p - q)^2 / (p + q), less what sampling adds to it.
Source: Le Cam, Asymptotic Methods in Statistical Decision Theory (1986).

- `mix`: the profiles of the segments before, weighted with their shares of the rows
  after, are as far from what there is after
  as EXPLAINED of the distance allows: the segments are what they were, only there are more or fewer rows of some.
- `segment`: one segment, of at most half of the rows, holds ALONE of the change.
- `season`: what there is after is what there was a year (52 weeks) ago.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.profile import Profile

EXPLAINED = 0.7
ALONE = 0.8
MIN_ROWS = 200
Profiles = Mapping[str, Profile]


@dataclass(frozen=True)
class SegmentPart:
    """One segment before and after a change: its name, its rows, and the profiles of its columns by key."""

    name: str
    rows_before: int
    rows_after: int
    before: Profiles
    after: Profiles


@dataclass(frozen=True)
class Attribution:
    """The kind of cause, and the segment it is about with its shares before and after; empty for a season."""

    cause: str
    segment: str = ""


def distance(
    first: np.ndarray, second: np.ndarray, rows: tuple[float, float]
) -> tuple[float, float]:
    """The symmetric chi-squared distance of two distributions on the same bins less the noise of so many rows, and that noise.

    Without a change it is 0 on average. 0 to 2.

    >>> distance(np.array([0.5, 0.5]), np.array([0.5, 0.5]), (1e9, 1e9))[0] < 1e-6
    True
    >>> round(distance(np.array([1.0, 0.0]), np.array([0.0, 1.0]), (1e9, 1e9))[0], 6)
    2.0
    """
    total = first + second
    used = total > 0
    noise = (
        max(0, int(used.sum()) - 1) * (1 / max(rows[0], 1) + 1 / max(rows[1], 1)) / 2
    )
    return float(((first - second)[used] ** 2 / total[used]).sum()) - noise, noise


def behind(
    columns: Sequence[str],
    before: Profiles,
    after: Profiles,
    segments: Mapping[str, Sequence[SegmentPart]],
    year_ago: Profiles,
) -> Attribution | None:
    """What explains the change of some columns; None when nothing does, or the change is within the noise.

    `segments` has the parts of each feature that makes segments, by the feature's
    column, which is not asked about itself.
    """
    if _is_noise(columns, before, after):
        return None
    if _explained(
        columns,
        before,
        after,
        {c: _shares(p) for c, p in year_ago.items() if p.n >= MIN_ROWS},
    ):
        return Attribution("season")
    found: list[tuple[float, Attribution]] = []
    for feature, parts in segments.items():
        asked = [c for c in columns if c != feature]
        if asked and not _is_noise(asked, before, after):
            found += [*_mix(asked, before, after, parts), *_alone(asked, parts)]
    return max(found, key=lambda one: one[0])[1] if found else None


def _mix(
    columns: Sequence[str],
    before: Profiles,
    after: Profiles,
    parts: Sequence[SegmentPart],
) -> list[tuple[float, Attribution]]:
    rows_before, rows_after = (
        sum(p.rows_before for p in parts),
        sum(p.rows_after for p in parts),
    )
    known = [p for p in parts if p.rows_before >= MIN_ROWS]
    if not known or sum(p.rows_after for p in known) < (1 - ALONE / 10) * rows_after:
        return []
    weighted = {
        c: np.sum(
            [_shares(p.before[c]) * p.rows_after for p in known if c in p.before],
            axis=0,
        )
        for c in columns
    }
    weighted = {c: w / w.sum() for c, w in weighted.items() if np.ndim(w) and w.sum()}
    share = _explained(columns, before, after, weighted)
    most = max(
        parts,
        key=lambda p: abs(p.rows_after / rows_after - p.rows_before / rows_before),
    )
    shares = (
        f"{most.rows_before / rows_before:.0%} → {most.rows_after / rows_after:.0%}"
    )
    return [(share, Attribution("mix", f"{most.name} ({shares})"))] if share else []


def _alone(
    columns: Sequence[str], parts: Sequence[SegmentPart]
) -> list[tuple[float, Attribution]]:
    usable = [p for p in parts if min(p.rows_before, p.rows_after) >= MIN_ROWS]
    if len(usable) < 2:
        return []
    moved = [
        p.rows_after * max(0.0, _sum(columns, p.before, p.after)[0]) for p in usable
    ]
    first = int(np.argmax(moved))
    rows, share = (
        sum(p.rows_after for p in parts),
        moved[first] / max(sum(moved), 1e-300),
    )
    if (
        share < ALONE
        or usable[first].rows_after > rows / 2
        or _is_noise(columns, usable[first].before, usable[first].after)
    ):
        return []
    return [(share, Attribution("segment", usable[first].name))]


def _explained(
    columns: Sequence[str],
    before: Profiles,
    after: Profiles,
    expected: Mapping[str, np.ndarray],
) -> float:
    """The share of the distance that is gone when `expected` takes the place of what was before; 0 if it is too little."""
    asked = [c for c in columns if c in before and c in after]
    if not asked or any(c not in expected for c in asked):
        return 0.0
    whole, _ = _sum(asked, before, after)
    left = sum(
        distance(expected[c], _shares(after[c]), (before[c].n, after[c].n))[0]
        for c in asked
    )
    share = 1 - max(0.0, left) / whole if whole > 0 else 0.0
    return share if share >= EXPLAINED else 0.0


def _is_noise(columns: Sequence[str], before: Profiles, after: Profiles) -> bool:
    whole, noise = _sum(columns, before, after)
    return whole <= noise


def _sum(
    columns: Sequence[str], before: Profiles, after: Profiles
) -> tuple[float, float]:
    """Distance and noise over all columns that both have."""
    pairs = [(before[c], after[c]) for c in columns if c in before and c in after]
    found = [
        distance(_shares(b), _shares(a), (b.n, a.n)) for b, a in pairs if b.n and a.n
    ]
    return sum(d for d, _ in found), sum(n for _, n in found)


def _shares(profile: Profile) -> np.ndarray:
    return profile.inner().shares()
