"""Embeddings: features that are lists of numbers, stored as a norm, a size and projections.

Every version and machine computes the same projections, so profiles stay comparable.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

PROJECTIONS = 8
MAX_ELEMENTS = 65_536
_NUMBERS = frozenset({int, float, type(None)})
PARTS = ("norm", "size", *(f"projection_{k + 1}" for k in range(PROJECTIONS)))


def names(feature: str) -> list[str]:
    """Return the stored columns of an embedding.

    They are `feature.norm`, `feature.size`, `feature.projection_1` and so on.
    """
    return [f"{feature}.{part}" for part in PARTS]


@lru_cache(maxsize=64)
def directions(size: int) -> np.ndarray:
    """Return random directions for lists of `size` numbers, shape (size, PROJECTIONS).

    They are signs over sqrt(size), from a hash. A projection of independent numbers of
    variance 1 has variance 1, and distances are preserved in expectation (Achlioptas,
    2003, Database-friendly random projections, J. Comput. Syst. Sci. 66). They depend
    on the size only: every server, version and machine has the same projections, and
    profiles of years ago can be compared with those of today.

    >>> directions(4)[:, 0].tolist()
    [0.5, 0.5, -0.5, 0.5]
    """
    bits = hashlib.shake_256(f"driftdeck projection {size}".encode()).digest(
        -(-size * PROJECTIONS // 8)
    )
    signs = np.unpackbits(np.frombuffer(bits, np.uint8))[: size * PROJECTIONS].reshape(
        size, PROJECTIONS
    )
    result: np.ndarray = (signs * 2.0 - 1.0) / math.sqrt(size)
    return result


def summarise(embeddings: np.ndarray) -> np.ndarray:
    """Return the stored columns of embeddings of one size, shape (rows, len(PARTS)).

    `embeddings` has shape (rows, size). An embedding with a value that is not finite,
    or without values, has NaN as norm and projections, which is counted as invalid.
    """
    rows, size = embeddings.shape
    if not size:
        return np.column_stack(
            [
                np.full(rows, math.nan),
                np.zeros(rows),
                np.full((rows, PROJECTIONS), math.nan),
            ]
        )
    # a number too large to be squared is not finite
    with np.errstate(over="ignore", invalid="ignore"):
        norm = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings))[:, None]
        projected = embeddings @ directions(size)
    columns = np.hstack([norm, np.full((rows, 1), float(size)), projected])
    columns[~np.isfinite(columns).all(axis=1), :1] = math.nan
    columns[np.isnan(columns[:, 0]), 2:] = math.nan
    return columns


def problem(value: Sequence[Any]) -> str | None:
    """Return the reason why a list is no embedding; None when it is one."""
    if len(value) > MAX_ELEMENTS:
        return f"has {len(value)} elements; an embedding has at most {MAX_ELEMENTS}"
    if _NUMBERS.issuperset(map(type, value)):
        return None
    kinds = {list: "a list", dict: "an object", str: "text", bool: "a boolean"}
    place, item = next(
        (i, item) for i, item in enumerate(value) if type(item) not in _NUMBERS
    )
    kind = kinds.get(type(item), type(item).__name__)
    return f"is a list with {kind} at place {place + 1}; an embedding is a flat list of numbers"


def name_conflict(features: Iterable[str], embedded: Iterable[str]) -> str | None:
    """Return the first of the `features` whose name an embedding needs; None without one."""
    needed = {name for feature in embedded for name in names(feature)}
    return next((name for name in features if name in needed), None)


def replace_embeddings(features: Mapping[str, Any]) -> dict[str, Any]:
    """Return the features with each list replaced by its stored columns.

    A null among the numbers of a list counts as a value that is not finite.
    """
    stored: dict[str, Any] = {}
    for feature, value in features.items():
        if isinstance(value, list):
            summary = summarise(np.array([_numbers(value)]))[0].tolist()
            stored.update(zip(names(feature), summary, strict=True))
        else:
            stored[feature] = value
    return stored


def _numbers(value: Sequence[Any]) -> np.ndarray:
    try:
        return np.array(value, np.float64)  # null becomes NaN
    except OverflowError:
        return np.array(
            [
                math.nan if item is None or abs(item) > 1e308 else float(item)
                for item in value
            ]
        )
