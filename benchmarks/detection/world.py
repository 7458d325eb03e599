"""Synthetic traffic for the page detector: hourly counts of 12 numeric and 8 categorical features, from a seed.

Four segments of traffic mix differently over day and week and wander (AR(1), phi .8),
so all features move together a little; each feature wanders by itself too, and so does
its share of missing values. Given the mix of an hour the counts are one multinomial
draw. Shocks of the wandering are normal, or t with 3 degrees of freedom: rare large
ones that decay; or normal with rare single shocks that the reference does not have.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtr, ndtri

from monitor.detector.model import DetectorColumn, Hour

BINS, NUMERIC, SEGMENTS = 20, 12, 4
CATEGORIES = (3, 4, 5, 8, 10, 20, 30, 50)
MISSING = (0.0005, 0.002, 0.01, 0.03, 0.08)
FEATURES = [
    DetectorColumn(f"x{j}", "numeric" if j < NUMERIC else "categorical")
    for j in range(NUMERIC + len(CATEGORIES))
]

Shocks = Literal["normal", "t3", "rare"]
Kind = Literal[
    "mean", "segment", "category", "burst", "variance", "missing", "gradual", "season"
]
RARE_A_QUARTER, RARE_SIZE = 3, 12.0  # of each model, in sd of the wandering
GRADUAL_HOURS, BURST_HOURS = 14 * 24, 6


@dataclass(frozen=True)
class Change:
    """What happens from the hour `at`: `mean` moves by `size` sd (`gradual`: in 14 days), `variance` is `size` times as
    large, `segment` moves a share of traffic to the last one, `category` moves a share
    from first to last, `missing` makes a share missing (`burst`: for six hours),
    `season` shifts the day by `size` hours."""

    kind: Kind
    at: int
    size: float
    features: tuple[int, ...] = (0,)


@dataclass(frozen=True, eq=False)
class Law:
    """How the values of one number are distributed in each hour: segments in the shares `mix` (T, segments), each normal
    around its `centres` (T, segments) with the deviation `wider` (T,)."""

    mix: np.ndarray
    centres: np.ndarray
    wider: np.ndarray

    def cumulative(self, x: np.ndarray) -> np.ndarray:
        """P(value <= x) in each hour, (T, len(x))."""
        below = ndtr(
            (x[None, :, None] - self.centres[:, None, :]) / self.wider[:, None, None]
        )
        return (below * self.mix[:, None, :]).sum(2)


class World:
    """One model's traffic; `hours` draws the next ones, and every draw moves the generator on."""

    def __init__(
        self,
        seed: int,
        rows: float = 1000,
        shocks: Shocks = "normal",
        phi: float = 0.8,
        wobble: float = 0.03,
        seasonal: bool = True,
    ) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.rows, self.shocks, self.phi, self.wobble, self.seasonal, self.at = (
            rows,
            shocks,
            phi,
            wobble,
            seasonal,
            0,
        )
        self.usual_mix = np.log(np.array([0.4, 0.3, 0.2, 0.1]))
        self.means = rng.normal(0, 0.4, (NUMERIC, SEGMENTS))
        self.means -= (self.means * np.exp(self.usual_mix)).sum(1, keepdims=True)
        self.sd = np.sqrt(1 + ((self.means**2) * np.exp(self.usual_mix)).sum(1))
        self.categories = [self._categories(k) for k in CATEGORIES]
        self.missing = rng.choice(MISSING, len(FEATURES))
        self.daily = rng.normal(0, 0.35, (2, SEGMENTS))
        self.weekly = rng.normal(0, 0.25, (2, SEGMENTS))
        self.own_daily = rng.normal(0, 0.08, (NUMERIC, 2))
        self.phase = rng.uniform(0, 6.28)

    def _categories(self, k: int) -> np.ndarray:
        shares = 1 / np.arange(1, k + 1)
        p = np.stack(
            [shares * np.exp(self.rng.normal(0, 0.4, k)) for _ in range(SEGMENTS)]
        )
        return p / p.sum(1, keepdims=True)

    def _wander(self, hours: int, sd: float, columns: int = 1) -> np.ndarray:
        phi = self.phi
        if self.shocks == "t3":
            shock = (
                self.rng.standard_t(3, (hours, columns))
                / np.sqrt(3)
                * sd
                * np.sqrt(1 - phi**2)
            )
            first = np.zeros(columns)
        else:
            shock = self.rng.normal(size=(hours, columns)) * sd * np.sqrt(1 - phi**2)
            first = self.rng.normal(size=columns) * sd
        x = np.empty((hours, columns))
        x[0] = first
        for t in range(1, hours):
            x[t] = phi * x[t - 1] + shock[t]
        if (
            self.shocks == "rare"
            and columns == 1
            and sd == self.wobble
            and hours > 1000
        ):
            hit = self.rng.random((hours, 1)) < RARE_A_QUARTER / NUMERIC / 2160
            x += lfilter(
                [1],
                [1, -phi],
                hit * self.rng.choice([-1, 1], (hours, 1)) * RARE_SIZE * sd,
                axis=0,
            )
        return x

    def hours(self, number: int, change: Change | None = None) -> list[Hour]:
        """The next hours, oldest first."""
        return self.course(number, change)[0]

    def edges(self, j: int) -> np.ndarray:
        """The inner bounds of the bins of number `j`."""
        return ndtri(np.arange(1, BINS) / BINS) * self.sd[j]

    def course(
        self, number: int, change: Change | None = None
    ) -> tuple[list[Hour], list[Law]]:
        """The next hours, and the law that the values of each number were binned from."""
        t = np.arange(self.at, self.at + number)
        self.at += number
        day, week = 2 * np.pi * t / 24, 2 * np.pi * t / 168
        rng, kind = self.rng, change.kind if change else ""
        on = _course(change, t) if change else np.zeros(number)
        size = change.size * on if change else on
        shown = day + 2 * np.pi * size / 24 if kind == "season" else day
        if self.seasonal:
            volume = (
                self.rows
                * (1 + 0.6 * np.sin(day + self.phase))
                * np.where((t // 24) % 7 >= 5, 0.7, 1)
            )
            rows = rng.poisson(volume * np.exp(rng.normal(0, 0.1, number)))
            mix = (
                self.usual_mix
                + np.outer(np.cos(shown), self.daily[0])
                + np.outer(np.sin(shown), self.daily[1])
            )
            mix = (
                mix
                + np.outer(np.cos(week), self.weekly[0])
                + np.outer(np.sin(week), self.weekly[1])
            )
            mix = np.exp(mix + self._wander(number, 0.12, SEGMENTS))
        else:
            rows, mix = (
                np.full(number, int(self.rows)),
                np.tile(np.exp(self.usual_mix), (number, 1)),
            )
        mix /= mix.sum(1, keepdims=True)
        if kind == "segment":
            mix = mix * (1 - size[:, None])
            mix[:, -1] += size
        counts, laws = [], []
        for j, usual in enumerate(self.missing):
            logit = np.log(usual / (1 - usual)) + (
                self._wander(number, 0.1)[:, 0] if self.seasonal else 0
            )
            missing = np.broadcast_to(1 / (1 + np.exp(-logit)), (number,))
            own = change is not None and j in change.features
            if kind in ("burst", "missing") and own and change is not None:
                missing = np.where(on > 0, change.size, missing)
            if j < NUMERIC:
                moved = size * (own and kind in ("mean", "gradual"))
                wider = (
                    np.sqrt(change.size)
                    if change and own and kind == "variance"
                    else 1.0
                )
                laws.append(self._law(j, shown, mix, moved, 1 + (wider - 1) * on))
                p = np.diff(
                    laws[-1].cumulative(self.edges(j)), axis=1, prepend=0, append=1
                )
            else:
                p = self._categorical(
                    j - NUMERIC, mix, size * (own and kind == "category")
                )
            p = np.clip(p, 0, None)
            p /= p.sum(1, keepdims=True)
            counts.append(
                rng.multinomial(
                    rows, np.hstack([p * (1 - missing[:, None]), missing[:, None]])
                )
            )
        drawn = [
            Hour(
                int(h),
                tuple(c[i, :-1] for c in counts),
                np.array([c[i, -1] for c in counts]),
            )
            for i, h in enumerate(t)
        ]
        return drawn, laws

    def _law(
        self,
        j: int,
        day: np.ndarray,
        mix: np.ndarray,
        moved: np.ndarray,
        wider: np.ndarray,
    ) -> Law:
        shift = np.zeros(len(day))
        if self.seasonal:
            shift = self.own_daily[j, 0] * np.cos(day) + self.own_daily[j, 1] * np.sin(
                day
            )
            shift = shift + self._wander(len(day), self.wobble)[:, 0]
        shift = shift + moved * self.sd[j]
        return Law(mix, self.means[j][None, :] + shift[:, None], wider)

    def _categorical(self, k: int, mix: np.ndarray, moved: np.ndarray) -> np.ndarray:
        p = mix @ self.categories[k]
        taken = np.minimum(moved, p[:, 0])
        p[:, 0] -= taken
        p[:, -1] += taken
        return p


def _course(change: Change, t: np.ndarray) -> np.ndarray:
    """Return the share of the change that is present in each hour, 0 to 1."""
    if change.kind == "gradual":
        return np.clip((t - change.at) / GRADUAL_HOURS, 0, 1)
    if change.kind == "burst":
        return ((t >= change.at) & (t < change.at + BURST_HOURS)).astype(float)
    return (t >= change.at).astype(float)


def drawn(case: dict[str, Any]) -> tuple[list[Hour], list[Hour]]:
    """Reference and watched hours of a recorded case."""
    world = World(case["seed"], case["rows"], case["shocks"])
    about = case["change"]
    change = (
        Change(about["kind"], about["at"], about["size"], (about.get("feature", 0),))
        if about
        else None
    )
    return world.hours(case["reference_hours"]), world.hours(case["hours"], change)


def digest(hours: list[Hour]) -> str:
    """16 hex digits of all counts: equal when the same seed still draws the same traffic."""
    sha = hashlib.sha256()
    for hour in hours:
        for array in (*hour.counts, hour.missing):
            sha.update(np.asarray(array, dtype="<i8").tobytes())
    return sha.hexdigest()[:16]
