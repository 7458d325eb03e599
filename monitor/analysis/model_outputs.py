"""Outputs of an ONNX model: the one that repeats the stored predictions, and its score."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.analysis.model_inputs import UnusableModel
from monitor.arrow_columns import numpy_of

MIN_AGREEMENT = 0.9  # with the stored predictions
MAX_OUTPUT_COLUMNS = 100  # of one output that are compared with the stored predictions

# one value a row from an output
Reader: TypeAlias = Callable[[Any], np.ndarray]


def output_of(
    outputs: list[Any], stored: pa.ChunkedArray
) -> Callable[[list[Any]], np.ndarray]:
    """Choose the output, and the column of it, that repeats the stored predictions best.

    Return a function from all outputs to its values. Raises UnusableModel when the best
    agreement is below MIN_AGREEMENT.
    """
    best: tuple[int, Reader] | None = None
    best_agreement = -np.inf
    for i, output in enumerate(outputs):
        for read in _readers(output, len(stored)):
            agreement = agreement_of(stored, read(output))
            if agreement > best_agreement:
                best, best_agreement = (i, read), agreement
    if best is None or best_agreement < MIN_AGREEMENT:
        raise UnusableModel(
            "the model in the file does not give the stored predictions (agreement"
            f" {max(best_agreement, 0.0):.2f}, at least {MIN_AGREEMENT} is needed):"
            " is it the version in production, and does it accept the features as they"
            " were logged, in this order?"
        )
    index, best_reader = best
    return lambda outputs: best_reader(outputs[index])


def _readers(output: Any, rows: int) -> list[Reader]:
    """Return the ways to read one value a row from an output.

    They are the output itself, each of its columns, and the index of its largest
    column.
    """
    # the probabilities of a scikit-learn classifier: a dictionary a row
    if isinstance(output, list):
        if not output or not isinstance(output[0], dict):
            return []
        keys = list(output[0])[:MAX_OUTPUT_COLUMNS]
        return [partial(_read_key, key) for key in keys]
    shape = np.shape(output)
    if not shape or shape[0] != rows or len(shape) > 2:
        return []
    if len(shape) == 1:
        return [np.asarray]
    width = min(shape[1], MAX_OUTPUT_COLUMNS)
    columns: list[Reader] = [partial(_read_column, j) for j in range(width)]
    return [*columns, _read_largest] if shape[1] > 1 else columns


def _read_key(key: Any, output: Any) -> np.ndarray:
    return np.array([row[key] for row in output], dtype=float)


def _read_column(column: int, output: Any) -> np.ndarray:
    return np.asarray(output[:, column])


def _read_largest(output: Any) -> np.ndarray:
    return np.asarray(output.argmax(axis=1))


def agreement_of(target: pa.ChunkedArray | pa.Array, predictions: np.ndarray) -> float:
    """Return the score of predictions, at most 1, over rows with a target.

    R² for numbers; for classes 1 - misclassification rate / that of the most frequent
    class. -inf for predictions that are not numbers, and for numbers that are constant.
    """
    valid = np.ones(len(predictions), dtype=bool)
    if target.null_count:
        valid = numpy_of(pc.is_valid(target))
    if pa.types.is_string(target.type):
        classes = np.array(target.to_pylist(), dtype=object)[valid]
        return _class_agreement(classes, np.asarray(predictions)[valid])
    if not np.issubdtype(np.asarray(predictions).dtype, np.number):
        return -np.inf
    y = numpy_of(target.cast(pa.float64()))[valid]
    error = np.mean((y - predictions[valid].astype(float)) ** 2)
    variance = np.var(y)
    return float(1 - error / variance) if variance and np.isfinite(error) else -np.inf


def _class_agreement(classes: np.ndarray, predictions: np.ndarray) -> float:
    texts = [_text(value) for value in predictions.tolist()]
    wrong = classes != np.array(texts, dtype=object)
    _, counts = np.unique(classes.astype(str), return_counts=True)
    base_rate = 0.0
    if counts.size:
        base_rate = 1 - counts.max() / max(1, counts.sum())
    if not base_rate:
        return float(1 - wrong.mean())
    return float(1 - wrong.mean() / base_rate)


def target_of(predictions: np.ndarray) -> pa.Array:
    """Return predictions as a target: floats as numbers, all others as classes."""
    if np.issubdtype(predictions.dtype, np.floating):
        return pa.array(predictions.astype(float))
    return pa.array([_text(value) for value in predictions.tolist()], pa.string())


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
