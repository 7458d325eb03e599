"""Values of another type than their column: expected and received type, rows, one sample."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor.schema import Feature, FeatureKind

MAX_SAMPLE_CHARACTERS = 80
# columns and types of one request that are counted apart; the others share column ""
MAX_KINDS = 2_000
MAX_SENTENCES = 100
# as the client writes them in JSON
NON_FINITE = {"NaN": "NaN", "Infinity": "infinity", "-Infinity": "infinity"}
EXPECTED: Mapping[FeatureKind, str] = {"numeric": "number", "categorical": "text"}
HANDLING = {
    "number": "counted as invalid",
    "text": "kept as its text",
    "other": "counted as invalid or kept as text",
}


@dataclass(frozen=True)
class TypeMismatch:
    """Values of one column that have another type than the column.

    `sample` is one of them, as JSON. Where a number is expected the value counts as
    invalid. Where text is expected a number is kept as its text.
    """

    column: str
    expected: str
    came: str  # the received type
    rows: int
    sample: str

    def to_list(self) -> list[Any]:
        """Return plain data for the spool."""
        return [self.column, self.expected, self.came, self.rows, self.sample]


def mismatched_type(value: Any, kind: FeatureKind) -> str | None:
    """Return the type of a feature's value when it does not fit the column; None when it does."""
    if value is None or type(value) is (float if kind == "numeric" else str):
        return _non_finite(value) if type(value) is float else None
    if kind == "categorical":
        return None if isinstance(value, bool | str) else "number"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return NON_FINITE.get(value, "text")
    return _non_finite(float(value))


def _non_finite(value: float) -> str | None:
    if math.isfinite(value):
        return None
    return "NaN" if math.isnan(value) else "infinity"


def of_events(
    events: Iterable[Mapping[str, Any]], features: Sequence[Feature]
) -> list[TypeMismatch]:
    """Return the mismatches among the features of events."""
    counts: dict[tuple[str, FeatureKind, str], tuple[int, Any]] = {}
    for values in events:
        for feature in features:
            value = values.get(feature.name)
            received = mismatched_type(value, feature.kind)
            if received is not None:
                key = feature.name, feature.kind, received
                count, sample = counts.get(key, (0, value))
                counts[key] = count + 1, sample
    return _limited(
        [
            TypeMismatch(name, EXPECTED[kind], received, count, _as_json(sample))
            for (name, kind, received), (count, sample) in counts.items()
        ]
    )


def of_columns(
    table: pa.Table, columns: Mapping[str, str], features: Sequence[Feature]
) -> list[TypeMismatch]:
    """Return the mismatches in a table.

    `columns` maps a feature to its column in the table. Texts may be numbers, as in
    CSV: those that are not count.
    """
    mismatches: list[TypeMismatch] = []
    for feature in features:
        if feature.name in columns:
            column = table[columns[feature.name]]
            mismatches += _of_column(column, feature)
    return _limited(mismatches)


def _of_column(column: pa.ChunkedArray, feature: Feature) -> Iterator[TypeMismatch]:
    for received, is_wrong in _wrong_values(column, feature.kind):
        rows = pc.sum(is_wrong).as_py() or 0
        if rows:
            sample = column[pc.index(is_wrong, True).as_py()].as_py()
            yield TypeMismatch(
                feature.name, EXPECTED[feature.kind], received, rows, _as_json(sample)
            )


def _wrong_values(
    column: pa.ChunkedArray, kind: FeatureKind
) -> list[tuple[str, pa.ChunkedArray]]:
    """Return (received type, mask of its rows) for each type that does not fit."""
    type_ = column.type
    floating = pa.types.is_floating(type_)
    number = floating or pa.types.is_integer(type_) or pa.types.is_decimal(type_)
    if kind == "categorical":
        return [("number", pc.is_valid(column))] if number else []
    if floating:
        return [("NaN", pc.is_nan(column)), ("infinity", pc.is_inf(column))]
    if number or column.null_count == len(column):
        return []
    if _is_text(type_):
        is_no_number = pc.is_null(parse_numbers(column))
        return [("text", pc.and_(pc.is_valid(column), is_no_number))]
    name = "boolean" if pa.types.is_boolean(type_) else str(type_)
    return [(name, pc.is_valid(column))]


def _is_text(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
    )


def parse_numbers(texts: pa.ChunkedArray) -> pa.Array:
    """Return texts as float64, null where a text is not a number."""
    stripped = pc.utf8_trim_whitespace(texts.combine_chunks().cast(pa.string()))
    is_number = pc.match_substring_regex(
        stripped, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
    )
    numbers = pc.if_else(is_number, stripped, None)
    without_plus = pc.replace_substring_regex(numbers, r"^\+", "")
    return pc.cast(without_plus, pa.float64())


def sentences(mismatches: Sequence[TypeMismatch]) -> list[dict[str, Any]]:
    """Return one sentence for each mismatch, without samples, for the sender."""
    return [
        {
            "column": mismatch.column,
            "rows": mismatch.rows,
            "reason": f"expected {mismatch.expected}, got {mismatch.came}:"
            f" {HANDLING[mismatch.expected]}",
        }
        for mismatch in mismatches[:MAX_SENTENCES]
    ]


def without_samples(
    mismatches: Sequence[TypeMismatch], hidden: Iterable[str]
) -> list[TypeMismatch]:
    """Return the mismatches without samples of the `hidden` columns."""
    hidden_columns = set(hidden)
    return [
        replace(mismatch, sample="") if mismatch.column in hidden_columns else mismatch
        for mismatch in mismatches
    ]


def _limited(mismatches: list[TypeMismatch]) -> list[TypeMismatch]:
    """Keep the most frequent; add up the others under column ""."""
    if len(mismatches) <= MAX_KINDS:
        return mismatches
    mismatches.sort(key=lambda mismatch: -mismatch.rows)
    rows = sum(mismatch.rows for mismatch in mismatches[MAX_KINDS:])
    return [*mismatches[:MAX_KINDS], TypeMismatch("", "other", "other", rows, "")]


def _as_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)[:MAX_SAMPLE_CHARACTERS]
    return text.encode("utf-8", "replace").decode()
