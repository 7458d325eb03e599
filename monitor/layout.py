"""What the bins of a profile mean.

A layout is frozen once and named by the hash of its content.
"""

import hashlib
import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np

Kind = Literal["numeric", "categorical", "log", "unit", "integer"]

LOG_ACCURACY = 0.01
LOG_BASE = (1 + LOG_ACCURACY) / (1 - LOG_ACCURACY)
LOG_LOW = 1e-6
LOG_BINS = math.ceil(math.log(1e9 / LOG_LOW) / math.log(LOG_BASE))
UNIT_BINS = 100
INTEGER_BINS = 1000
NUMERIC_BINS = 20
# values from which on comparing beats a binary search, and that stay in the cache
MANY, AT_ONCE = 8192, 32_768
LARGEST = 1e150  # beyond it a sum of squares overflows: counted as invalid
TOP_CATEGORIES = 50
KNOWN_CATEGORIES = 10_000
MIN_ROWS = 5  # of the reference that a category has a bin of its own for
_LOG_EDGES = [0.0, *(LOG_LOW * LOG_BASE**i for i in range(LOG_BINS))]


@dataclass(frozen=True)
class Layout:
    """The meaning of bins 0..size-1 of one column.

    numeric      `edges` e_0 < … < e_{k-1}: bin i holds e_{i-1} < x <= e_i, bin k what
    is above the last edge; with a
                 `range`, the reference's least and largest value, what is below and above it has the outermost bins
    categorical  `categories` (top of the reference), then "other" (`others`, known but
    rare), then "new"; `unseen` is
                 the share of new ones that is to be expected when nothing changed, `chosen` the share by which the
                 reference overstates its top, having been chosen for it
    log          bin 0 is zero, then powers of LOG_BASE from LOG_LOW: a quantile is off
    by at most 1 % unit         bin 0 is below 0, then 100 equal bins of [0, 1], then
    above 1 integer      bin i is the whole number i, 0..999
    """

    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    unseen: float = 0.0
    chosen: float = 0.0

    @cached_property
    def id(self) -> str:
        """16 hex digits: the hash of the content, equal for equal layouts."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @property
    def size(self) -> int:
        """The number of bins."""
        match self.kind:
            case "numeric":
                return len(self.bounds) + 1
            case "categorical":
                return len(self.categories) + 2
            case "log":
                return LOG_BINS + 2
            case "unit":
                return UNIT_BINS + 2
            case _:
                return INTEGER_BINS

    @property
    def other_bin(self) -> int | None:
        """The bin of known but rare categories; None when the layout has none."""
        return len(self.categories) if self.kind == "categorical" else None

    @property
    def new_bin(self) -> int | None:
        """The bin of categories never seen in the reference; None when the layout has none."""
        return len(self.categories) + 1 if self.kind == "categorical" else None

    @cached_property
    def bounds(self) -> tuple[float, ...]:
        """The bounds between numeric bins: the edges, and the ends of the reference's range where that is known."""
        if self.range is None:
            return self.edges
        low, high = self.range
        return tuple(sorted({*self.edges, math.nextafter(low, -math.inf), high}))

    @cached_property
    def inner(self) -> "Layout":
        """The layout to compare on: without bins of their own for what is beyond the range of the reference."""
        return self if self.range is None else Layout(self.kind, self.edges)

    @cached_property
    def inner_bins(self) -> np.ndarray:
        """The bin of `inner` that each bin belongs to, shape (size,)."""
        if self.range is None:
            return np.arange(self.size)
        return np.array(
            [bisect_left(self.edges, bound) for bound in (*self.bounds, math.inf)]
        )

    @cached_property
    def category_bins(self) -> dict[str, int]:
        """The bin of every known category; what is not in it is new."""
        bins = {value: i for i, value in enumerate(self.categories)}
        bins.update(dict.fromkeys(self.others, len(self.categories)))
        return bins

    def index(self, value: Any) -> int | None:
        """The bin of one value by definition, None when the value is invalid here (engines are tested against this)."""
        if self.kind == "categorical":
            return self.category_bins.get(str(value), len(self.categories) + 1)
        x = float(value)
        if not abs(x) < LARGEST:
            return None
        match self.kind:
            case "numeric":
                return bisect_left(self.bounds, x)
            case "log":
                return bisect_left(_LOG_EDGES, x) if x >= 0 else None
            case "unit":
                return (
                    0
                    if x < 0
                    else UNIT_BINS + 1
                    if x > 1
                    else 1 + min(UNIT_BINS - 1, math.floor(x * UNIT_BINS))
                )
            case _:
                return min(INTEGER_BINS - 1, max(0, round(x)))

    def bins_of(self, x: np.ndarray) -> np.ndarray:
        """The bin of each value of an ordered layout, shape (n,), int64; -1 where the value is invalid.

        The same as `index`, value by value. Bounds are compared, never computed with:
        so every machine agrees.
        """
        with np.errstate(invalid="ignore"):
            usable = np.abs(x) < LARGEST
            match self.kind:
                case "numeric":
                    bins = (
                        _above(self._edges, x)
                        if x.size >= MANY
                        else np.searchsorted(self._edges, x, side="left")
                    )
                case "log":
                    usable &= x >= 0
                    bins = np.searchsorted(_LOG_EDGES, x, side="left")
                case "unit":
                    inner = 1 + np.minimum(
                        UNIT_BINS - 1, np.floor(np.clip(x, 0, 1) * UNIT_BINS)
                    )
                    bins = np.where(x < 0, 0, np.where(x > 1, UNIT_BINS + 1, inner))
                case "integer":
                    bins = np.clip(np.rint(x), 0, INTEGER_BINS - 1)
                case _:
                    raise TypeError("categories have no order")
            return np.where(usable, bins, -1).astype(np.int64, copy=False)

    @cached_property
    def _edges(self) -> np.ndarray:
        return np.array(self.bounds, dtype=float)

    def upper_bounds(self) -> np.ndarray:
        """The upper bound of each bin of an ordered layout, shape (size,); the last may be inf."""
        match self.kind:
            case "numeric":
                return np.array([*self.bounds, math.inf])
            case "log":
                return np.array([*_LOG_EDGES, LOG_LOW * LOG_BASE**LOG_BINS])
            case "unit":
                return np.concatenate(
                    [np.arange(UNIT_BINS + 1) / UNIT_BINS, [math.inf]]
                )
            case "integer":
                return np.arange(INTEGER_BINS, dtype=float)
            case _:
                raise TypeError("categories have no order")

    def labels(self) -> list[str]:
        """One short name for each bin, for people."""
        match self.kind:
            case "numeric":
                return _interval_labels(self.bounds)
            case "categorical":
                return [*self.categories, "other", "new"]
            case "unit":
                inner = [f"{i / UNIT_BINS:.2f}" for i in range(1, UNIT_BINS + 1)]
                return ["< 0", *(f"≤ {x}" for x in inner), "> 1"]
            case "integer":
                return [str(i) for i in range(INTEGER_BINS)]
            case _:
                return [f"≤ {x:.3g}" for x in self.upper_bounds()]

    def to_json(self) -> str:
        """Canonical JSON: the same layout always gives the same text."""
        content: dict[str, Any] = {
            "kind": self.kind,
            "edges": self.edges,
            "categories": self.categories,
            "others": self.others,
        }
        # left out otherwise: a layout frozen before there was one keeps its id
        if self.range is not None:
            content["range"] = self.range
        content |= {
            name: share
            for name in ("unseen", "chosen")
            if (share := getattr(self, name))
        }
        return json.dumps(content, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        """The layout that `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)


LOG = Layout("log")
UNIT = Layout("unit")
INTEGER = Layout("integer")
ZERO_ONE = Layout("numeric", (0.5,))
SECONDS = Layout(
    "numeric", tuple(m * 2.0**k for k in range(33) for m in (1.0, 1.5))
)  # from one second to two centuries


def numeric_layout(
    quantiles: Iterable[float], low_high: tuple[float, float] | None = None
) -> Layout:
    """A numeric layout from sorted reference quantiles; a value that fills several of them gets a bin of its own.

    With the reference's least and largest value, what is beyond them has bins of its
    own.

    >>> numeric_layout([1.0, 2.0, 3.0]).edges
    (1.0, 2.0, 3.0)
    >>> len(numeric_layout([0.0, 0.0, 5.0]).edges)  # a point mass at 0: below it, it, 5, above
    3
    >>> layout = numeric_layout([1.0, 2.0, 3.0], (0.0, 9.0))
    >>> [layout.index(x) for x in (-1, 0, 1, 9, 10)], layout.size, layout.inner_bins.tolist()
    ([0, 1, 1, 4, 5], 6, [0, 0, 1, 2, 3, 3])
    """
    values = [float(q) for q in quantiles if q is not None and math.isfinite(q)]
    edges: set[float] = set()
    for value in values:
        if value in edges:
            edges.add(math.nextafter(value, -math.inf))
        edges.add(value + 0.0)  # -0.0 and 0.0 are one edge
    return Layout("numeric", tuple(sorted(edges)) or (0.0,), range=low_high)


def layout_of_numbers(values: np.ndarray) -> Layout:
    """The numeric layout of reference values, shape (n,): those below which 1/20, 2/20 … of the usable ones lie, each one
    of them, and their range. What is not finite is left out.
    """
    usable = np.sort(values[np.abs(values) < LARGEST])
    if not len(usable):
        return numeric_layout([])
    quantiles = [
        float(usable[-(-i * len(usable) // NUMERIC_BINS) - 1])
        for i in range(1, NUMERIC_BINS)
    ]
    return numeric_layout(quantiles, (float(usable[0]) + 0.0, float(usable[-1]) + 0.0))


def categorical_layout(
    by_frequency: Sequence[str], top: int = TOP_CATEGORIES
) -> Layout:
    """A categorical layout from reference values, most frequent first; ties are the caller's to order."""
    return Layout(
        "categorical",
        (),
        tuple(by_frequency[:top]),
        tuple(sorted(by_frequency[top:KNOWN_CATEGORIES])),
    )


def layout_of_categories(found: Sequence[tuple[str, int, bool]], rows: int) -> Layout:
    """The categorical layout of a reference: its `found` values with their rows, the most frequent first and those of as
    many rows by name, at least the first 10,000 of them; `rows` are all that have a
    value.

    Of each value is said whether it came once only: in one row, or in one hour where
    rows have times. What chance alone does is told by leaving each row of the reference
    out in turn (Good 1953, The population frequencies of species and the estimation of
    population parameters, Biometrika 40). `unseen`: it would be new if it came again,
    as its value came once, or one row less puts it behind the 10,000 that are known.
    `chosen`: its value has a bin of its own only because of this row. A value with
    fewer than 5 rows has none.

    >>> layout = layout_of_categories([("a", 90, False), ("b", 8, False), ("c", 1, True), ("d", 1, True)], 100)
    >>> layout.categories, layout.others, layout.unseen, layout.chosen
    (('a', 'b'), ('c', 'd'), 0.02, 0.0)
    """
    known = found[:KNOWN_CATEGORIES]
    cut = sum(n for _, n, _ in known) < rows
    top = min(TOP_CATEGORIES, sum(n >= MIN_ROWS for _, n, _ in known))
    last = (-known[-1][1], known[-1][0]) if cut else (0, "")
    first_other = (-known[top][1], known[top][0]) if top < len(known) else (0, "")
    again = sum(n for value, n, once in known if not once and (1 - n, value) <= last)
    still = sum(
        n
        for value, n, _ in known[:top]
        if n > MIN_ROWS and (1 - n, value) < first_other
    )
    shares = [
        round(part / max(1, rows), 6)
        for part in (rows - again, sum(n for _, n, _ in known[:top]) - still)
    ]
    return replace(
        categorical_layout([value for value, _, _ in known], top),
        unseen=shares[0],
        chosen=shares[1],
    )


def _interval_labels(edges: Sequence[float]) -> list[str]:
    if not edges:
        return ["all"]
    for digits in range(3, 18):
        names = [f"{e:.{digits}g}" for e in edges]
        if len(set(names)) == len(names) or digits == 17:
            break
    labels = [f"≤ {names[0]}"]
    for i in range(1, len(edges)):
        point_mass = math.nextafter(edges[i], -math.inf) == edges[i - 1]
        labels.append(
            f"= {edges[i]:.6g}"
            if point_mass
            else f"{_short(edges[i - 1])} – {_short(edges[i])}"
        )
    labels.append(f"> {_short(edges[-1])}")
    return (
        labels if len(edges) > 1 else [f"≤ {_short(edges[0])}", f"> {_short(edges[0])}"]
    )


def _short(value: float) -> str:
    return f"{value:.4g}"


def _above(edges: np.ndarray, x: np.ndarray) -> np.ndarray:
    """How many edges each value is above, as `np.searchsorted` says: for few edges and many values comparing is five times
    as fast, as nothing branches.
    """
    found, above = np.zeros(x.size, np.uint8), np.empty(AT_ONCE, bool)
    for i in range(0, x.size, AT_ONCE):
        some, counted = x[i : i + AT_ONCE], found[i : i + AT_ONCE]
        one = above[: some.size]
        for edge in edges:
            np.greater(some, edge, out=one)
            np.add(counted, one.view(np.uint8), out=counted)
    return found.astype(np.int64)
