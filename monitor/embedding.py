"""Embeddings: a feature that is a list of numbers becomes a few numbers that profiles can hold, the same ones for ever."""

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
    """The features that an embedding is kept as: `feature.norm`, `feature.size`, `feature.projection_1` and so on."""
    return [f"{feature}.{part}" for part in PARTS]


@lru_cache(maxsize=64)
def directions(size: int) -> np.ndarray:
    """Random directions for lists of `size` numbers, shape (size, PROJECTIONS): signs over sqrt(size), from a hash.

    So a projection of independent numbers of variance 1 has variance 1, and distances
    are kept in expectation (Achlioptas, 2003, Database-friendly random projections, J.
    Comput. Syst. Sci. 66). They depend on nothing but the size: every server, version
    and machine projects alike, and profiles of years ago compare with those of today.

    >>> directions(4)[:, 0].tolist()
    [0.5, 0.5, -0.5, 0.5]
    """
    bits = hashlib.shake_256(f"driftdeck projection {size}".encode()).digest(
        -(-size * PROJECTIONS // 8)
    )
    signs = np.unpackbits(np.frombuffer(bits, np.uint8))[: size * PROJECTIONS].reshape(
        size, PROJECTIONS
    )
    found: np.ndarray = (signs * 2.0 - 1.0) / math.sqrt(size)
    return found


def kept(embeddings: np.ndarray) -> np.ndarray:
    """What is kept of embeddings of one size, shape (rows, size), as shape (rows, len(PARTS)).

    An embedding with a value that is not finite has no norm and no projections (NaN,
    which is counted as invalid); one of no numbers neither.
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
    # what is too large to be squared is not finite
    with np.errstate(over="ignore", invalid="ignore"):
        norm = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings))[:, None]
        projected = embeddings @ directions(size)
    found = np.hstack([norm, np.full((rows, 1), float(size)), projected])
    found[~np.isfinite(found).all(axis=1), :1] = math.nan
    found[np.isnan(found[:, 0]), 2:] = math.nan
    return found


def problem(value: Sequence[Any]) -> str | None:
    """Why a list is no embedding; None when it is one."""
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


def clash(features: Iterable[str], embedded: Iterable[str]) -> str | None:
    """The first of the `features` whose name an embedding needs; None when there is none."""
    needed = {name for feature in embedded for name in names(feature)}
    return next((name for name in features if name in needed), None)


def unfolded(features: Mapping[str, Any]) -> dict[str, Any]:
    """Features with each list replaced by what is kept of it; null among its numbers makes it not finite."""
    found: dict[str, Any] = {}
    for feature, value in features.items():
        if isinstance(value, list):
            found.update(
                zip(
                    names(feature),
                    kept(np.array([_numbers(value)]))[0].tolist(),
                    strict=True,
                )
            )
        else:
            found[feature] = value
    return found


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
