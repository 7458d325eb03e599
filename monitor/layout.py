"""Layouts: the definition of a column's bins, frozen and named by the hash of its content."""

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
# from so many values on, comparing with every edge beats a binary search
MIN_COMPARED_VALUES = 8192
BLOCK_VALUES = 32_768  # that stay in the cache
# beyond it a sum of squares overflows: such values are invalid
MAX_MAGNITUDE = 1e150
MAX_CATEGORY_BINS = 50
MAX_CATEGORIES = 10_000
MIN_CATEGORY_ROWS = 5  # of the reference: rarer categories share the bin "other"
_LOG_EDGES = [0.0, *(LOG_LOW * LOG_BASE**i for i in range(LOG_BINS))]


@dataclass(frozen=True)
class Layout:
    """The definition of bins 0..size-1 of one column.

    numeric      `edges` e_0 < … < e_{k-1}: bin i is e_{i-1} < x <= e_i, bin k is above
                 the last edge. With `range`, the reference's least and largest value,
                 values beyond it have the outermost bins.
    categorical  `categories` (the most frequent of the reference), then "other"
                 (`others`, rare ones of it), then "new". `unseen`: the expected share
                 of new ones without drift. `chosen`: the share by which the reference
                 overstates its `categories`, as they were chosen from it.
    log          bin 0 is zero, then powers of LOG_BASE from LOG_LOW: a quantile is
                 within 1 %.
    unit         bin 0 is below 0, then 100 equal bins of [0, 1], then above 1.
    integer      bin i is the whole number i, 0..999.
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
        """The bin of new categories; None when the layout has none."""
        return len(self.categories) + 1 if self.kind == "categorical" else None

    @cached_property
    def bounds(self) -> tuple[float, ...]:
        """The bounds between numeric bins: the edges and the ends of the range, if known."""
        if self.range is None:
            return self.edges
        low, high = self.range
        return tuple(sorted({*self.edges, math.nextafter(low, -math.inf), high}))

    @cached_property
    def inner(self) -> "Layout":
        """The layout to compare on: without own bins for values beyond the range."""
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
        """The bin of every category of the reference; all others are new."""
        bins = {value: i for i, value in enumerate(self.categories)}
        bins.update(dict.fromkeys(self.others, len(self.categories)))
        return bins

    def index(self, value: Any) -> int | None:
        """The bin of one value; None when it is invalid. Engines are tested against it."""
        if self.kind == "categorical":
            return self.category_bins.get(str(value), len(self.categories) + 1)
        x = float(value)
        if not abs(x) < MAX_MAGNITUDE:
            return None
        match self.kind:
            case "numeric":
                return bisect_left(self.bounds, x)
            case "log":
                return bisect_left(_LOG_EDGES, x) if x >= 0 else None
            case "unit":
                if not 0 <= x <= 1:
                    return 0 if x < 0 else UNIT_BINS + 1
                return 1 + min(UNIT_BINS - 1, math.floor(x * UNIT_BINS))
            case _:
                return min(INTEGER_BINS - 1, max(0, round(x)))

    def bins_of(self, x: np.ndarray) -> np.ndarray:
        """The bin of each value of an ordered layout, int64, shape (n,); -1 if invalid.

        The same as `index`, value by value. Bounds are compared and never computed
        with, so that every machine agrees.
        """
        with np.errstate(invalid="ignore"):
            usable = np.abs(x) < MAX_MAGNITUDE
            match self.kind:
                case "numeric" if x.size >= MIN_COMPARED_VALUES:
                    bins = _edges_below(self._edges, x)
                case "numeric":
                    bins = np.searchsorted(self._edges, x, side="left")
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
        # only where set: layouts of versions without these fields have the same id
        if self.range is not None:
            content["range"] = self.range
        if self.unseen:
            content["unseen"] = self.unseen
        if self.chosen:
            content["chosen"] = self.chosen
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
    """A numeric layout from sorted reference quantiles.

    A value that fills several of them has its own bin. With the reference's least and
    largest value, values beyond them have bins of their own.

    >>> numeric_layout([1.0, 2.0, 3.0]).edges
    (1.0, 2.0, 3.0)
    >>> len(numeric_layout([0.0, 0.0, 5.0]).edges)  # below 0, at 0, to 5, above
    3
    >>> layout = numeric_layout([1.0, 2.0, 3.0], (0.0, 9.0))
    >>> [layout.index(x) for x in (-1, 0, 1, 9, 10)], layout.size
    ([0, 1, 1, 4, 5], 6)
    >>> layout.inner_bins.tolist()
    [0, 0, 1, 2, 3, 3]
    """
    values = [float(q) for q in quantiles if q is not None and math.isfinite(q)]
    edges: set[float] = set()
    for value in values:
        if value in edges:
            edges.add(math.nextafter(value, -math.inf))
        edges.add(value + 0.0)  # -0.0 and 0.0 are one edge
    return Layout("numeric", tuple(sorted(edges)) or (0.0,), range=low_high)


def layout_of_numbers(values: np.ndarray) -> Layout:
    """The numeric layout of reference values, shape (n,).

    Its edges are the values below which 1/20, 2/20 … of the usable ones lie. Values
    that are not finite are left out.
    """
    usable = np.sort(values[np.abs(values) < MAX_MAGNITUDE])
    if not len(usable):
        return numeric_layout([])
    quantiles = [
        float(usable[-(-i * len(usable) // NUMERIC_BINS) - 1])
        for i in range(1, NUMERIC_BINS)
    ]
    return numeric_layout(quantiles, (float(usable[0]) + 0.0, float(usable[-1]) + 0.0))


def categorical_layout(
    by_frequency: Sequence[str], top: int = MAX_CATEGORY_BINS
) -> Layout:
    """A categorical layout from reference values, the most frequent first.

    The caller orders values of equal frequency.
    """
    return Layout(
        "categorical",
        (),
        tuple(by_frequency[:top]),
        tuple(sorted(by_frequency[top:MAX_CATEGORIES])),
    )


def layout_of_categories(counted: Sequence[tuple[str, int, bool]], rows: int) -> Layout:
    """The categorical layout of a reference.

    `counted`: each value, its rows, and True if it occurs only once: in one row, or in
    one hour where rows have times. The most frequent first, those of as many rows by
    name; at least the first 10,000. `rows`: all rows that have a value.

    Chance alone is estimated by leaving each row of the reference out in turn (Good
    1953, The population frequencies of species and the estimation of population
    parameters, Biometrika 40). `unseen`: the row would be new, as its value occurs once
    or one row less puts it behind the first 10,000. `chosen`: its value has a bin only
    because of this row. A value with fewer than 5 rows has no bin.

    >>> counted = [("a", 90, False), ("b", 8, False), ("c", 1, True), ("d", 1, True)]
    >>> layout = layout_of_categories(counted, 100)
    >>> layout.categories, layout.others, layout.unseen, layout.chosen
    (('a', 'b'), ('c', 'd'), 0.02, 0.0)
    """
    listed = counted[:MAX_CATEGORIES]
    top = min(MAX_CATEGORY_BINS, sum(n >= MIN_CATEGORY_ROWS for _, n, _ in listed))
    # the rank of the last listed value and of the first without a bin
    last = first_other = (0, "")
    if sum(n for _, n, _ in listed) < rows:
        last = (-listed[-1][1], listed[-1][0])
    if top < len(listed):
        first_other = (-listed[top][1], listed[top][0])
    listed_again = top_again = top_rows = 0
    for value, n, is_once in listed:
        if not is_once and (1 - n, value) <= last:
            listed_again += n
    for value, n, _ in listed[:top]:
        top_rows += n
        if n > MIN_CATEGORY_ROWS and (1 - n, value) < first_other:
            top_again += n
    layout = categorical_layout([value for value, _, _ in listed], top)
    return replace(
        layout,
        unseen=round((rows - listed_again) / max(1, rows), 6),
        chosen=round((top_rows - top_again) / max(1, rows), 6),
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
        label = f"{_short(edges[i - 1])} – {_short(edges[i])}"
        if math.nextafter(edges[i], -math.inf) == edges[i - 1]:  # a point mass
            label = f"= {edges[i]:.6g}"
        labels.append(label)
    if len(edges) == 1:
        labels = [f"≤ {_short(edges[0])}"]
    return [*labels, f"> {_short(edges[-1])}"]


def _short(value: float) -> str:
    return f"{value:.4g}"


def _edges_below(edges: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The number of edges below each value, as `np.searchsorted` counts them.

    For few edges and many values comparing is five times as fast, as nothing branches.
    """
    counts, is_above = np.zeros(x.size, np.uint8), np.empty(BLOCK_VALUES, bool)
    for i in range(0, x.size, BLOCK_VALUES):
        block, counts_of_block = x[i : i + BLOCK_VALUES], counts[i : i + BLOCK_VALUES]
        above = is_above[: block.size]
        for edge in edges:
            np.greater(block, edge, out=above)
            np.add(counts_of_block, above.view(np.uint8), out=counts_of_block)
    return counts.astype(np.int64)
