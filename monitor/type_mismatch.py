"""Values of the wrong type: which columns they came in, what was expected, what came, how many, and one of them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.schema import Feature, FeatureKind

SAMPLE = 80  # characters of the one value that is shown
MAX_KINDS = 2_000  # of one request that are told apart; the rest count under column ""
MAX_TOLD = 100
# as the client writes them in JSON
NAMED = {"NaN": "NaN", "Infinity": "infinity", "-Infinity": "infinity"}
EXPECTED: Mapping[FeatureKind, str] = {"numeric": "number", "categorical": "text"}


@dataclass(frozen=True)
class TypeMismatch:
    """Values of one column that came as another type than the column has; `sample` is one of them, as JSON.

    Where a number was expected the value is counted as invalid. Where text was expected
    a number is kept as its text.
    """

    column: str
    expected: str
    came: str
    rows: int
    sample: str

    def to_list(self) -> list[Any]:
        """Plain data for the spool."""
        return [self.column, self.expected, self.came, self.rows, self.sample]


def came_as(value: Any, kind: FeatureKind) -> str | None:
    """What a value of a feature is, when it is not what the feature holds; None when it is."""
    if value is None or type(value) is (float if kind == "numeric" else str):
        return _unusable(value) if type(value) is float else None
    if kind == "categorical":
        return None if isinstance(value, bool | str) else "number"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return NAMED.get(value, "text")
    return _unusable(float(value))


def _unusable(value: float) -> str | None:
    return None if math.isfinite(value) else "NaN" if math.isnan(value) else "infinity"


def of_events(
    events: Iterable[Mapping[str, Any]], features: Sequence[Feature]
) -> list[TypeMismatch]:
    """Those among the features of some events."""
    found: dict[tuple[str, FeatureKind, str], tuple[int, Any]] = {}
    for values in events:
        for feature in features:
            value = values.get(feature.name)
            came = came_as(value, feature.kind)
            if came is not None:
                key = feature.name, feature.kind, came
                n, sample = found.get(key, (0, value))
                found[key] = n + 1, sample
    return _few(
        [
            TypeMismatch(name, EXPECTED[kind], came, n, _shown(v))
            for (name, kind, came), (n, v) in found.items()
        ]
    )


def of_columns(
    table: pa.Table, columns: Mapping[str, str], features: Sequence[Feature]
) -> list[TypeMismatch]:
    """Those in a table; `columns` has the table's column of each feature that it has. Texts may be numbers, as in CSV:
    `readable` of them are.
    """
    found = []
    for feature in features:
        if feature.name in columns:
            column = table[columns[feature.name]]
            found += [
                TypeMismatch(
                    feature.name,
                    EXPECTED[feature.kind],
                    came,
                    n,
                    _shown(column[place].as_py()),
                )
                for came, where in _wrong(column, feature.kind)
                if (n := pc.sum(where).as_py() or 0)
                and (place := pc.index(where, True).as_py()) >= 0
            ]
    return _few(found)


def _wrong(
    column: pa.ChunkedArray, kind: FeatureKind
) -> list[tuple[str, pa.ChunkedArray]]:
    """What came in a column that it does not hold, and in which rows."""
    type_ = column.type
    floating = pa.types.is_floating(type_)
    number = floating or pa.types.is_integer(type_) or pa.types.is_decimal(type_)
    if kind == "categorical":
        return [("number", pc.is_valid(column))] if number else []
    if floating:
        return [("NaN", pc.is_nan(column)), ("infinity", pc.is_inf(column))]
    if number or column.null_count == len(column):
        return []
    if (
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
    ):
        return [
            ("text", pc.and_(pc.is_valid(column), pc.is_null(parse_numbers(column))))
        ]
    return [
        ("boolean" if pa.types.is_boolean(type_) else str(type_), pc.is_valid(column))
    ]


def parse_numbers(texts: pa.ChunkedArray) -> pa.Array:
    """Texts as float64, null where a text is not a number."""
    stripped = pc.utf8_trim_whitespace(texts.combine_chunks().cast(pa.string()))
    number = pc.match_substring_regex(
        stripped, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
    )
    plain = pc.replace_substring_regex(pc.if_else(number, stripped, None), r"^\+", "")
    return pc.cast(plain, pa.float64())


def told(found: Sequence[TypeMismatch]) -> list[dict[str, Any]]:
    """The same as the sender reads them: one sentence for each, without a sample."""
    became = {
        "number": "counted as invalid",
        "text": "kept as its text",
        "other": "counted as invalid or kept as text",
    }
    return [
        {
            "column": m.column,
            "rows": m.rows,
            "reason": f"expected {m.expected}, came {m.came}: {became[m.expected]}",
        }
        for m in found[:MAX_TOLD]
    ]


def unseen(found: Sequence[TypeMismatch], hidden: Iterable[str]) -> list[TypeMismatch]:
    """The same without a sample of the `hidden` columns."""
    kept = set(hidden)
    return [replace(one, sample="") if one.column in kept else one for one in found]


def _few(found: list[TypeMismatch]) -> list[TypeMismatch]:
    """The most frequent by themselves, the others as one of column ""."""
    if len(found) <= MAX_KINDS:
        return found
    found.sort(key=lambda one: -one.rows)
    rest = sum(one.rows for one in found[MAX_KINDS:])
    return [*found[:MAX_KINDS], TypeMismatch("", "other", "other", rest, "")]


def _shown(value: Any) -> str:
    return (
        json.dumps(value, ensure_ascii=False, default=str)[:SAMPLE]
        .encode("utf-8", "replace")
        .decode()
    )
