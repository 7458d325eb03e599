"""Synthetic hours of a whole model without drift: inputs, quality, latency, errors, traffic.

Every column has its law in each hour, with a day, a week and a wandering (AR(1)) of its
own; the counts are one draw from it. Where there are segments, each has a share of the
rows that wanders, too, and in each of them every column has one more day and wandering
of its own; the counts of all rows are their sum. What is beyond the reference's range,
and which rare categories the reference never held, follow from the number of its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import lfilter
from scipy.special import expit, logit, ndtr, ndtri

from monitor.detector.lanes.lane import LaneWindow
from monitor.detector.lanes.segment_lane import key
from monitor.layout import (
    INTEGER,
    LOG,
    UNIT,
    ZERO_ONE,
    Layout,
    categorical_layout,
    layout_of_categories,
    numeric_layout,
)
from monitor.profile import Profile

NUMBERS, CATEGORICALS, COMMON, RARE = 8, 4, 10, 40
BINS = 20
OK, FAILED = 200, 500
OWN_SEASON = 0.08  # sd of the daily harmonics of each column's location
# of the commonest rare category, each of the others half as common as the one before
RARE_SHARE = 0.002
LATENCY_MS, LATENCY_SPREAD = 40.0, 0.5  # median, and sd of the logarithm


@dataclass(frozen=True)
class Quiet:
    """A model without drift.

    Wandering: of locations in sd, of the logarithms of rows and latency, of the logits
    of shares.
    """

    rows: float = 1000
    shocks: Literal["normal", "t3"] = "normal"
    phi: float = 0.8
    wobble: float = 0.03
    volume: float = 0.1
    latency: float = 0.05
    errors: float = 0.2
    truth: Literal["wrong", "absolute_error"] = "wrong"
    error_rate: float = 0.005
    wrong_rate: float = 0.1
    segments: tuple[float, ...] = ()  # shares of the rows
    # further categorical features: values, and the exponent of Zipf's law
    many: tuple[tuple[int, float], ...] = ()


class Model:
    """One model's hours from a seed: what it measures, and `windows` draws them.

    The first `reference` are its reference.
    """

    def __init__(self, seed: int, quiet: Quiet, reference: int, hours: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.quiet, self.number = quiet, reference + hours
        self.t = np.arange(self.number)
        # hours and rows of the reference
        self.reference, self.seen = reference, quiet.rows * reference
        weekend = np.where((self.t // 24) % 7 >= 5, 0.7, 1)
        day = 1 + 0.6 * np.sin(2 * np.pi * self.t / 24 + rng.uniform(0, 6.28))
        self.rows = rng.poisson(
            quiet.rows * day * weekend * np.exp(self._wander(quiet.volume))
        )
        self.parts = self._parts() if quiet.segments else [self.rows]

    def windows(self) -> tuple[dict[str, Layout], list[LaneWindow]]:
        """The layouts of its columns, and its hours."""
        split = {f"x{j}": self._number() for j in range(NUMBERS)}
        split |= {f"c{j}": self._categorical() for j in range(CATEGORICALS)}
        split["prediction"] = (
            UNIT,
            self._split(
                lambda location: self._cut(
                    UNIT, lambda x: logit(np.clip(x, 0, 1)), location
                )
            ),
        )
        drawn = {
            column: (layout, sum(counts)) for column, (layout, counts) in split.items()
        }
        drawn |= {f"m{j}": self._many(*law) for j, law in enumerate(self.quiet.many)}
        if self.quiet.segments:
            drawn |= {
                key(column, f"segment={s}"): (layout, part)
                for column, (layout, counts) in split.items()
                for s, part in enumerate(counts)
            }
        log_ms = (
            np.log(LATENCY_MS)
            + self._wander(self.quiet.latency)
            + LATENCY_SPREAD * self._season()
        )
        drawn["latency_ms"] = (
            LOG,
            self._draw(self._cut(LOG, np.log, log_ms, LATENCY_SPREAD), self.rows),
        )
        drawn["status"] = (
            INTEGER,
            self._outcome(INTEGER.size, OK, FAILED, self.quiet.error_rate),
        )
        if self.quiet.truth == "wrong":
            drawn["wrong"] = (
                ZERO_ONE,
                self._outcome(ZERO_ONE.size, 0, 1, self.quiet.wrong_rate),
            )
        else:
            log_error = self._wander(self.quiet.wobble) + self._season()
            drawn["absolute_error"] = (
                LOG,
                self._draw(self._cut(LOG, np.log, log_error), self.rows),
            )
        profiles = {
            column: [Profile(layout, c, int(c.sum())) for c in counts]
            for column, (layout, counts) in drawn.items()
        }
        hours = zip(*profiles.values(), strict=True)
        windows = [
            LaneWindow(i, False, dict(zip(profiles, parts, strict=True)))
            for i, parts in enumerate(hours)
        ]
        return {column: layout for column, (layout, _) in drawn.items()}, windows

    def _parts(self) -> list[np.ndarray]:
        """The rows of each segment in each hour."""
        shares = np.stack(
            [
                share * np.exp(self._wander(self.quiet.volume))
                for share in self.quiet.segments
            ],
            axis=1,
        )
        return list(
            self.rng.multinomial(
                self.rows, shares / shares.sum(axis=1, keepdims=True)
            ).T
        )

    def _split(self, law: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
        """The counts of each segment, from the shares of the bins by location; of all rows where there are none."""
        location = self._location()
        if not self.quiet.segments:
            return [self._draw(law(location), self.rows)]
        return [
            self._draw(law(location + self._location()), rows) for rows in self.parts
        ]

    def _wander(self, sd: float) -> np.ndarray:
        phi, heavy = self.quiet.phi, self.quiet.shocks == "t3"
        shocks = (
            self.rng.standard_t(3, self.number) / np.sqrt(3)
            if heavy
            else self.rng.normal(size=self.number)
        )
        return np.asarray(lfilter([1], [1, -phi], shocks * sd * np.sqrt(1 - phi**2)))

    def _season(self) -> np.ndarray:
        day = 2 * np.pi * self.t / 24
        a, b = self.rng.normal(0, OWN_SEASON, 2)
        return np.asarray(a * np.cos(day) + b * np.sin(day))

    def _location(self) -> np.ndarray:
        return self._wander(self.quiet.wobble) + self._season()

    def _cut(
        self, layout: Layout, scale, location: np.ndarray, sd: float = 1.0
    ) -> np.ndarray:  # type: ignore[no-untyped-def]
        """Shares of the bins, (T, bins), of a normal law on the `scale` of the values."""
        with np.errstate(divide="ignore"):
            bounds = scale(layout.upper_bounds()[:-1])
        below = ndtr((bounds[None, :] - location[:, None]) / sd)
        return np.diff(below, axis=1, prepend=0, append=1)

    def _number(self) -> tuple[Layout, list[np.ndarray]]:
        # the reference's least and largest values are the extremes of as many
        # independent draws
        low, high = self.rng.exponential(1 / self.seen, 2)
        layout = numeric_layout(
            ndtri(np.arange(1, BINS) / BINS), (float(ndtri(low)), float(-ndtri(high)))
        )
        return layout, self._split(
            lambda location: self._cut(layout, lambda x: x, location)
        )

    def _categorical(self) -> tuple[Layout, list[np.ndarray]]:
        common = self.rng.dirichlet(np.full(COMMON, 2.0))
        rare = RARE_SHARE * 0.5 ** np.arange(RARE)
        known = self.rng.random(RARE) < -np.expm1(-rare * self.seen)
        layout = categorical_layout([f"v{i}" for i in range(COMMON + int(known.sum()))])
        usual = np.concatenate(
            [common * (1 - rare.sum()), rare[known], [0.0], [rare[~known].sum()]]
        )

        def law(location: np.ndarray) -> np.ndarray:
            shares = np.tile(usual, (self.number, 1))
            shares[:, 0] *= np.exp(location)
            return shares / shares.sum(axis=1, keepdims=True)

        return layout, self._split(law)

    def _many(self, values: int, steepness: float) -> tuple[Layout, np.ndarray]:
        """The layout of a feature of very many values, of which the reference holds what it drew, and its counts."""
        weights = (1.0 + np.arange(values)) ** -steepness
        drawn = np.stack(
            [self.rng.multinomial(n, weights / weights.sum()) for n in self.rows]
        ).astype(np.int32)
        known = drawn[: self.reference]
        rows, hours = known.sum(axis=0), np.count_nonzero(known, axis=0)
        found = [
            (f"v{i:06}", int(rows[i]), bool(hours[i] == 1))
            for i in np.argsort(-rows, kind="stable")
            if rows[i]
        ]
        layout = layout_of_categories(found, int(rows.sum()))
        bins = np.full(values, layout.new_bin)
        for name, bin_ in layout.category_bins.items():
            bins[int(name[1:])] = bin_
        return layout, np.stack(
            [drawn[:, bins == b].sum(axis=1) for b in range(layout.size)], axis=1
        ).astype(np.int64)

    def _outcome(self, size: int, good: int, bad: int, rate: float) -> np.ndarray:
        counts = np.zeros((self.number, size), dtype=np.int64)
        counts[:, bad] = self.rng.binomial(
            self.rows, expit(logit(rate) + self._wander(self.quiet.errors))
        )
        counts[:, good] = self.rows - counts[:, bad]
        return counts

    def _draw(self, shares: np.ndarray, rows: np.ndarray) -> np.ndarray:
        shares = np.clip(shares, 0, None)
        return self.rng.multinomial(rows, shares / shares.sum(axis=1, keepdims=True))
