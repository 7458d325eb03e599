"""Inputs of an ONNX model from stored rows, with one feature shuffled."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import numpy_of

FLOATS = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
}
WHOLE_NUMBERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
MAX_INPUTS_IN_REASON, MAX_NAMES_IN_REASON = 5, 20

ModelInputs: TypeAlias = dict[str, np.ndarray]
# (feature to shuffle or None, its new order of rows) -> inputs
Feed: TypeAlias = Callable[[str | None, np.ndarray], ModelInputs]


class UnusableModel(Exception):
    """The model does not fit the rows; the message is the reason and the remedy."""


def feed_of(inputs: Sequence[Any], rows: pa.Table) -> Feed:
    """Return a function that makes the inputs of a model from rows.

    The model has an input for each feature, by its name, or one matrix of all features
    in the order of the columns. Raises UnusableModel for any other form.
    """
    names = rows.column_names
    if {value.name for value in inputs} <= set(names):
        return _feed_by_name(inputs, rows)
    if len(inputs) == 1 and len(inputs[0].shape) == 2:
        return _feed_matrix(inputs[0], rows)
    listed = [f"{value.name} {value.shape}" for value in inputs[:MAX_INPUTS_IN_REASON]]
    raise UnusableModel(
        f"the model's inputs ({', '.join(listed)}) are neither features by name"
        f" ({', '.join(names[:MAX_NAMES_IN_REASON])}) nor one matrix of them"
    )


def _feed_by_name(inputs: Sequence[Any], rows: pa.Table) -> Feed:
    values = {
        value.name: _encode(rows[value.name], value.type, value.name)
        for value in inputs
    }
    flat = {value.name: len(value.shape) < 2 for value in inputs}

    def feed(shuffled: str | None, order: np.ndarray) -> ModelInputs:
        model_inputs = {}
        for name, column in values.items():
            if name == shuffled:
                column = column[order]
            model_inputs[name] = column if flat[name] else column[:, None]
        return model_inputs

    return feed


def _feed_matrix(matrix_input: Any, rows: pa.Table) -> Feed:
    names = rows.column_names
    width = matrix_input.shape[1]
    if isinstance(width, int) and width != len(names):
        raise UnusableModel(
            f"the model accepts {width} numbers a row and there are {len(names)}"
            " features; name its features, in order, as `features`"
        )
    matrix = np.column_stack(
        [_encode(rows[name], matrix_input.type, name) for name in names]
    )

    def feed(shuffled: str | None, order: np.ndarray) -> ModelInputs:
        if shuffled is None:
            return {matrix_input.name: matrix}
        column = names.index(shuffled)
        shuffled_matrix = matrix.copy()
        shuffled_matrix[:, column] = matrix[order, column]
        return {matrix_input.name: shuffled_matrix}

    return feed


def _encode(column: pa.ChunkedArray, kind: str, name: str) -> np.ndarray:
    """Encode a feature for the model; missing numbers are NaN and missing texts empty.

    `kind` is onnxruntime's name of the input's type. Raises UnusableModel for a type
    that the feature does not fit.
    """
    if kind == "tensor(string)":
        texts = pc.fill_null(column.cast(pa.string()), "").to_pylist()
        return np.array(texts, dtype=object)
    if pa.types.is_string(column.type):
        raise UnusableModel(
            f"the feature {name!r} is text and the model accepts {kind}"
        )
    if kind in FLOATS:
        numbers = pc.fill_null(column.cast(pa.float64()), np.nan)
        return numpy_of(numbers).astype(FLOATS[kind])
    if kind == "tensor(bool)" or kind in WHOLE_NUMBERS:
        if column.null_count:
            raise UnusableModel(
                f"the feature {name!r} is missing in {column.null_count} rows"
                f" and the model accepts {kind}"
            )
        numbers = numpy_of(column.cast(pa.float64()))
        return numbers.astype(WHOLE_NUMBERS.get(kind, np.bool_))
    raise UnusableModel(
        f"the model accepts {kind} for {name!r};"
        " supported: float, double, int64, int32, bool, string"
    )
